"""The sound of one media file, opened as if a stranger had sent it.

Owns which formats are opened, which track is taken, and whether the file is whole. In: an open
binary file. Out: a `Waveform`. Formats and protocols are listed, so nothing that a file names is
opened; content decides, never the name. Knows no path, no child process and no page.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, BinaryIO

import av
import numpy as np
import numpy.typing as npt

from maxwhisper.errors import AudioError
from maxwhisper.mixdown import Mixdown, check_rate
from maxwhisper.signatures import HEAD_BYTES, is_sound, other_kind

if TYPE_CHECKING:  # the decoding child imports this file: it should load no checkpoint code
    from maxwhisper.engine import Waveform

# Demuxers by their FFmpeg names. No playlists (hls, dash, concat, sdp): those open other files.
FORMATS = "wav,w64,aiff,caf,flac,mp3,aac,ogg,mov,matroska,asf,amr"
# FFmpeg refuses every other format and every protocol but a plain file, nested opens included.
_OPEN_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
_RECORDING = "a sound file (wav, flac, mp3, m4a, ogg, opus, webm, aiff, wma) or a video with sound"

MAX_CHANNELS = 16  # real microphones and surround mixes; more comes from crafted headers

# Containers that state each track's true length; Matroska may state one for the whole file. The
# others give none, or FFmpeg's guess from a bit rate.
_STATE_TRACK_LENGTH = ("flac", "aiff", "mov,mp4,m4a,3gp,3g2,mj2")
_PACKED_SAMPLES = 16_384  # handed on at once: 3 times as fast as packet by packet (1 h of wav)
_SHORT_S, _SHORT_SHARE = 0.25, 0.02  # missing more than both: cut short (encoder delay is 0.05 s)
_WAV_UNKNOWN_SIZE = 0x7FFF_0000  # bytes: streaming writers put about 2 or 4 GiB, or 0
_MAX_WAV_CHUNKS = 1000  # before the samples; real files have fewer than ten


def read_sound(file: BinaryIO, max_seconds: float | None) -> Waveform:
    """Decode the best audio track of `file` to float32 mono 16 kHz, (n,), clipped to -1..1.

    Single damaged packets are skipped, as players do. A file that holds less than it states is
    refused; mp3, aac, ogg, wma, caf, amr, w64, live webm and streamed wav state no length that can
    be trusted, so of those the part that is there is returned.

    Raises `AudioError` and nothing else.
    """
    _refuse_cut_wav(file)
    try:
        container = av.open(file, "r", options=dict(_OPEN_OPTIONS), metadata_errors="ignore")
    except Exception as error:  # PyAV raises five families of exceptions for bad files
        raise _unreadable(file, error) from error
    try:
        with container:
            return _decode_container(container, max_seconds)
    except AudioError:
        raise
    except MemoryError as error:
        raise AudioError(
            "too_long", "expected a recording that fits in memory: cut it into parts"
        ) from error
    except Exception as error:
        raise AudioError(
            "bad_audio",
            "expected a whole recording, got one that is damaged: export it again "
            f"({_reason(error)})",
        ) from error


def _decode_container(container: av.container.InputContainer, max_s: float | None) -> Waveform:
    """The waveform of the best audio track, never the picture, if all of it is there."""
    stream = container.streams.best("audio")
    if not isinstance(stream, av.AudioStream):
        if container.streams.audio:
            raise AudioError(
                "bad_audio",
                "expected a sound track with rate and channels, got one without: export it again",
            )
        kinds = " and ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise AudioError(
            "no_audio_stream",
            f"expected a file with sound, got one with {kinds} alone: choose another file",
        )
    check_rate(stream.codec_context.sample_rate)
    channels = stream.codec_context.channels
    if channels > MAX_CHANNELS:
        raise AudioError(
            "too_many_channels",
            f"expected 1 to {MAX_CHANNELS} channels, got {channels}: mix it down first",
        )
    mixdown, end_s = _decode_stream(container, stream, max_s)
    stated_s = _stated_seconds(container, stream)
    if stated_s is not None:
        start_s = float((stream.start_time or 0) * (stream.time_base or 0))
        _check_complete(stated_s, end_s - start_s, "s", tolerance=_SHORT_S)
    return mixdown.finish()


def _decode_stream(
    container: av.container.InputContainer, stream: av.AudioStream, max_s: float | None
) -> tuple[Mixdown, float]:
    """All samples of one stream, and the time in seconds at which its last frame ends."""
    # Packed floats, rate and channels kept. Planar frames must not reach numpy directly: for 8
    # planes PyAV 18.1 counts one more and reads past them (a segmentation fault, measured).
    to_float = av.AudioResampler(format="flt", frame_size=_PACKED_SAMPLES)
    mixdown: Mixdown | None = None
    n_good = n_damaged = 0
    end_s = 0.0
    for packet in container.demux(stream):
        try:
            frames = stream.decode(packet)
        except av.FFmpegError:
            n_damaged += 1
            continue
        n_good += 1
        for frame in frames:
            mixdown = mixdown or Mixdown(
                frame.sample_rate, frame.layout.nb_channels, max_s, clip=True
            )
            for packed in to_float.resample(frame):  # raises if the format changes midway
                mixdown.add(_by_channel(packed))
            end_s = max(end_s, (frame.time or 0.0) + frame.samples / frame.sample_rate)
    if mixdown is not None:
        for packed in to_float.resample(None):  # what did not fill a frame
            mixdown.add(_by_channel(packed))
    if n_damaged > n_good:
        raise AudioError(
            "bad_audio",
            f"expected a readable recording, got {n_damaged} damaged packets and {n_good} good "
            "ones: export it again",
        )
    if mixdown is None or mixdown.n_source_samples == 0:
        raise AudioError(
            "no_samples", "expected sound, got a file without samples: record it again"
        )
    return mixdown, end_s


def _by_channel(packed: av.AudioFrame) -> npt.NDArray[np.float32]:
    """The samples of a frame of packed floats, (channels, n)."""
    samples = packed.to_ndarray().reshape(-1, packed.layout.nb_channels).T
    return samples.astype(np.float32, copy=False)


def _stated_seconds(container: av.container.InputContainer, stream: av.AudioStream) -> float | None:
    """The length of the sound that the container states, or None where it states none."""
    if container.format.name in _STATE_TRACK_LENGTH:
        return float(stream.duration * (stream.time_base or 0)) if stream.duration else None
    # Matroska states one length for all tracks, which may be the picture's; and for a live file,
    # which has none, FFmpeg guesses one when it knows the bit rate.
    is_stated = len(container.streams) == 1 and not stream.codec_context.bit_rate
    if container.format.name == "matroska,webm" and is_stated and container.duration:
        return container.duration / av.time_base
    return None


def _refuse_cut_wav(file: BinaryIO) -> None:
    """Compare a wav file's data chunk with what is there: FFmpeg hides the difference."""
    head = file.read(12)
    size = file.seek(0, io.SEEK_END)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        at = 12
        for _ in range(_MAX_WAV_CHUNKS):
            file.seek(at)
            if at + 8 > size:
                break
            name, n_bytes = struct.unpack("<4sI", file.read(8))
            at += 8
            if name == b"data":
                if 0 < n_bytes < _WAV_UNKNOWN_SIZE:
                    _check_complete(n_bytes, size - at, "bytes", tolerance=0)
                break
            at += n_bytes + n_bytes % 2  # chunks are padded to even lengths
    file.seek(0)


def _check_complete(stated: float, found: float, unit: str, tolerance: float) -> None:
    if stated - found > max(tolerance, _SHORT_SHARE * stated):
        raise AudioError(
            "no_samples" if found <= 0 else "truncated",
            f"expected {stated:.10g} {unit} of audio as the file states, got {found:.10g}: "
            "it was cut short, copy or export it again",
        )


def refuse_other(head: bytes) -> None:
    """Raise `AudioError` not_audio if these first `HEAD_BYTES` bytes are surely no recording's."""
    kind = other_kind(head)
    if kind is not None:
        raise AudioError("not_audio", f"expected {_RECORDING}, got {kind}: choose another file")


def _unreadable(file: BinaryIO, error: Exception) -> AudioError:
    """Why FFmpeg could not open the file: cut short if it begins like audio, else not audio. Raises
    `AudioError` itself for what has another name."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    refuse_other(head)
    if is_sound(head):
        return AudioError(
            "truncated",
            "expected a whole file, got one that begins as audio and is cut short or damaged: "
            f"copy or export it again ({_reason(error)})",
        )
    return AudioError(
        "not_audio",
        f"expected {_RECORDING}, got a file without any sound that can be read: choose another, "
        f"or convert it to wav ({_reason(error)})",
    )


def _reason(error: Exception) -> str:
    """The cause in FFmpeg's words, without the placeholder that PyAV puts for a file's name."""
    words = getattr(error, "strerror", None) or str(error).partition(": '<")[0] or repr(error)
    return f"the decoder’s words: {words}"
