"""Recordings made on the spot for the audio tests: good ones with PyAV, bad ones byte by byte."""

import io
import struct

import av
import numpy as np
import numpy.typing as npt


def tone(rate: int, seconds: float, hertz: float = 440.0) -> npt.NDArray[np.float32]:
    """A sine of amplitude 0.3 (RMS 0.2121), (n,)."""
    t = np.arange(round(rate * seconds)) / rate
    return (0.3 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def wav(
    samples: npt.NDArray[np.float32] | None = None,
    *,
    rate: int = 16_000,
    stated_bytes: int | None = None,
    as_float: bool = False,
) -> bytes:
    """A wav file of (channels, n) or (n,) samples, whose header may lie about rate and size."""
    samples = np.atleast_2d(tone(16_000, 3.0) if samples is None else samples)
    interleaved = samples.T
    data = interleaved.astype("<f4") if as_float else (interleaved * 32767).astype("<i2")
    payload = data.tobytes()
    stated = len(payload) if stated_bytes is None else stated_bytes
    width, channels = data.itemsize, len(samples)
    bytes_per_second = rate * width * channels & 0xFFFF_FFFF
    header = struct.pack(
        "<HHIIHH",
        3 if as_float else 1,
        channels,
        rate,
        bytes_per_second,
        width * channels,
        8 * width,
    )
    riff_bytes = min(stated + 36, 0xFFFF_FFFF)
    return b"".join(
        (
            *(b"RIFF", struct.pack("<I", riff_bytes), b"WAVE"),
            *(b"fmt ", struct.pack("<I", len(header)), header),
            *(b"data", struct.pack("<I", stated), payload),
        )
    )


def encode(
    container: str,
    codec: str,
    *,
    rate: int = 48_000,
    seconds: float = 6.0,
    options: dict[str, str] | None = None,
    with_picture: bool = False,
    with_sound: bool = True,
) -> bytes:
    """A file with a 440 Hz tone and, if asked, a second of moving grey, in PyAV's encoders."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options or {}) as out:
        picture = _add_picture(out) if with_picture else None
        sound = out.add_stream(codec, rate=rate) if with_sound else None
        if sound is not None:
            sound.layout, sound.bit_rate = "mono", 64_000
        if picture is not None:
            for level in range(24):
                pixels = np.full((64, 64, 3), 10 * level, np.uint8)
                out.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            out.mux(picture.encode(None))
        if sound is not None:
            samples = tone(rate, seconds)
            for start in range(0, len(samples), 1024):
                chunk = samples[None, start : start + 1024]
                frame = av.AudioFrame.from_ndarray(chunk, format="flt", layout="mono")
                frame.sample_rate, frame.pts = rate, start
                out.mux(sound.encode(frame))
            out.mux(sound.encode(None))
    return file.getvalue()


def _add_picture(out: av.container.OutputContainer) -> av.VideoStream:
    picture = out.add_stream("mpeg4", rate=24)
    picture.width = picture.height = 64
    picture.pix_fmt = "yuv420p"
    return picture


def silent_flac(hours: float) -> bytes:
    """Hours of 48 kHz stereo silence in a few hundred kB: a duration bomb."""
    file = io.BytesIO()
    block_s = 10
    zeros = np.zeros((1, 2 * 48_000 * block_s), np.int16)
    with av.open(file, "w", format="flac") as out:
        stream = out.add_stream("flac", rate=48_000)
        stream.layout, stream.format = "stereo", "s16"
        for block in range(round(hours * 3600 / block_s)):
            frame = av.AudioFrame.from_ndarray(zeros, format="s16", layout="stereo")
            frame.sample_rate, frame.pts = 48_000, block * block_s * 48_000
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


# The child of `audio.decoders`, for which some files are deadly.
FRAGILE = """
import os, sys, time
from maxwhisper.audio import decoders
real = decoders.read
def read(path, **limits):
    if "/crash." in path:
        os.kill(os.getpid(), 11)
    if "/hang." in path:
        time.sleep(60)
    return real(path, **limits)
decoders.read = read
decoders.serve(int(sys.argv[1]))
"""
