"""Recordings as strangers send them: good, damaged, lying, hostile; each with what must come of it.

One sentence of the bundled clip `plain.flac` in every container that PyAV writes, and files made
byte by byte. Out: `Recipe`s. What is expected follows from how a file was made, never from the
project's own decoder. The same files on every run.
"""

import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import av
import librosa
import numpy as np
import numpy.typing as npt
from PIL import Image

from tools.robustness.page import ROOT

CLIPS = ROOT / "examples" / "clips"
RATE = 16_000
SECONDS = 4.4  # the first sentence, and the pause after it
DELAY_S = 0.15  # of encoders; shorter than a syllable

REFUSALS = {"truncated", "bad_audio", "no_samples", "not_audio", "no_audio_stream"}
Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Expected:
    """What must come of a file. With `codes`, one of these refusals; with `seconds`, that much
    sound. With both, either; and a part that is missing must be said."""

    codes: frozenset[str] = frozenset()
    seconds: float | None = None
    has_text: bool = False  # the sentence must be heard
    may_lack: bool = False  # a damaged file: heard and said seconds are `seconds` together


@dataclass(frozen=True)
class Recipe:
    group: str
    name: str
    file_name: str
    make: Callable[[], bytes]
    expected: Expected


# container, codec, rate, muxer options, ending, whether the file states its length
KINDS: dict[str, tuple[str, str, int, dict[str, str], bool]] = {
    "pcm16.wav": ("wav", "pcm_s16le", 16_000, {}, True),
    "pcm24.wav": ("wav", "pcm_s24le", 44_100, {}, True),
    "float.wav": ("wav", "pcm_f32le", 48_000, {}, True),
    "mulaw.wav": ("wav", "pcm_mulaw", 8_000, {}, True),
    "pcm.w64": ("w64", "pcm_s16le", 16_000, {}, True),
    "pcm.aiff": ("aiff", "pcm_s16be", 22_050, {}, True),
    "pcm.caf": ("caf", "pcm_s16le", 48_000, {}, True),
    "alac.caf": ("caf", "alac", 48_000, {}, True),
    "voice.flac": ("flac", "flac", 48_000, {}, True),
    "voice.mp3": ("mp3", "libmp3lame", 44_100, {}, True),
    "uncounted.mp3": ("mp3", "libmp3lame", 16_000, {"write_xing": "0"}, False),
    "voice.aac": ("adts", "aac", 48_000, {}, False),
    "voice.m4a": ("ipod", "aac", 48_000, {}, True),
    "alac.m4a": ("ipod", "alac", 44_100, {}, True),
    "parts.mp4": ("mp4", "aac", 48_000, {"movflags": "frag_keyframe+empty_moov"}, True),
    "voice.opus": ("ogg", "libopus", 48_000, {}, True),
    "flac.ogg": ("ogg", "flac", 16_000, {}, True),
    "voice.webm": ("webm", "libopus", 48_000, {}, True),
    "live.webm": ("webm", "libopus", 48_000, {"live": "1"}, False),
    "aac.mkv": ("matroska", "aac", 48_000, {}, True),
    "flac.mkv": ("matroska", "flac", 44_100, {}, True),
    "voice.wma": ("asf", "wmav2", 44_100, {}, True),
}


@cache
def clips() -> list[dict[str, Any]]:
    """The bundled clips with their texts."""
    found: list[dict[str, Any]] = json.loads((CLIPS / "clips.json").read_text(encoding="utf-8"))
    return found


def said(name: str) -> str:
    """What is said in the clip whose file is `name`."""
    return next(str(clip["text"]) for clip in clips() if clip["file"] == name)


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


@cache
def sentence(rate: int = RATE) -> Samples:
    """The spoken sentence, (n,); at other rates by linear interpolation, which speech survives."""
    samples, found = librosa.load(CLIPS / "plain.flac", sr=None)
    samples = samples[: round(SECONDS * found)]
    if rate == found:
        return samples
    places = np.arange(round(SECONDS * rate)) * (found / rate)
    return np.interp(places, np.arange(len(samples)), samples).astype(np.float32)


def text() -> str:
    """What is said in `sentence`."""
    return str(clips()[0]["utterances"][0]["text"])


@cache
def encoded(kind: str) -> bytes:
    """The sentence as one of `KINDS`."""
    container, codec, rate, options, _ = KINDS[kind]
    return encode(container, codec, rate, sentence(rate)[None], options)


def encode(
    container: str, codec: str, rate: int, samples: Samples, options: dict[str, str] | None = None
) -> bytes:
    """(channels, n) samples as a file."""
    layout = "mono" if len(samples) == 1 else "stereo"
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options or {}) as out:
        stream: Any = out.add_stream(codec, rate=rate)
        stream.layout = layout
        if codec in ("aac", "libmp3lame", "libopus", "wmav2"):
            stream.bit_rate = 64_000
        to_codec = av.AudioResampler(format=stream.format.name, layout=layout, rate=rate)
        for start in range(0, samples.shape[1], 1024):
            block = np.ascontiguousarray(samples[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, start
            for ready in to_codec.resample(frame):
                out.mux(stream.encode(ready))
        out.mux(stream.encode(None))
    return file.getvalue()


def wav(
    payload: bytes,
    *,
    tag: int = 1,
    channels: int = 1,
    rate: int = RATE,
    bits: int = 16,
    stated: int | None = None,
) -> bytes:
    """A wav file whose header may lie."""
    align = channels * bits // 8
    form = struct.pack(
        "<HHIIHH", tag, channels, rate, rate * align & 0xFFFFFFFF, align & 0xFFFF, bits
    )
    size = len(payload) if stated is None else stated
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", min(size + 36, 0xFFFFFFFF)) + body + payload


def pcm16(samples: Samples) -> bytes:
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").T.tobytes()


def video(container: str) -> bytes:
    """A second of moving grey without sound."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        picture: Any = out.add_stream("mpeg4", rate=24)
        picture.width = picture.height = 64
        picture.pix_fmt = "yuv420p"
        for level in range(24):
            pixels = np.full((64, 64, 3), 10 * level, np.uint8)
            out.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(picture.encode(None))
    return file.getvalue()


def picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "orange").save(file, kind)
    return file.getvalue()


def zipped() -> bytes:
    """A megabyte of zeros, zipped."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("voice.wav", bytes(1 << 20))
    return file.getvalue()


def long_silence(minutes: int) -> bytes:
    """Minutes of silence in a few kilobytes a minute."""
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as out:
        stream: Any = out.add_stream("flac", rate=RATE)
        stream.layout, stream.format = "mono", "s16"
        for minute in range(minutes):
            zeros = np.zeros((1, 60 * RATE), np.int16)
            frame = av.AudioFrame.from_ndarray(zeros, format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, minute * 60 * RATE
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def overwritten(data: bytes, start: float, stop: float, *, noise: bool = False) -> bytes:
    """The file with zeros or noise from one share of its length to another."""
    a, b = round(start * len(data)), round(stop * len(data))
    return data[:a] + (np.random.default_rng(1).bytes(b - a) if noise else bytes(b - a)) + data[b:]


def without(data: bytes, start: float, stop: float) -> bytes:
    """The file without the bytes from one share of its length to another."""
    return data[: round(start * len(data))] + data[round(stop * len(data)) :]
