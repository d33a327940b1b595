"""Decode the audio track of one untrusted media file.

Owns the allowed formats, the choice of track, and how damage is passed over. In: an open binary
file. Out: a `Recording`. Formats and protocols come from an allow-list, so a file cannot make
FFmpeg open another file. The format follows from the content, never from the name. This module
knows no path, no child process and no page.
"""

from __future__ import annotations

from typing import BinaryIO, NamedTuple

import av
import numpy as np
import numpy.typing as npt

from maxwhisper.audio.completeness import Facts, Heard, facts_of, missing
from maxwhisper.audio.resample import Mixdown, check_rate
from maxwhisper.audio.signatures import HEAD_BYTES, is_audio, non_audio_kind
from maxwhisper.audio.waveform import Waveform
from maxwhisper.errors import AudioError

# FFmpeg's names of the demuxers. No playlists (hls, dash, concat, sdp): those open other files.
FORMATS = "wav,w64,aiff,caf,flac,mp3,aac,ogg,mov,matroska,asf,amr"
# FFmpeg refuses every other format and every protocol but a plain file, nested opens included.
_OPEN_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
_CHOOSE_AUDIO = (
    "Choose an audio file (wav, flac, mp3, m4a, ogg, opus, webm, aiff, wma) or a video with sound."
)

MAX_CHANNELS = 16  # covers microphone arrays and surround mixes; more means a crafted header

_PACKED_SAMPLES = 16_384  # per block: 3 times as fast as packet by packet (1 h of wav)


class Recording(NamedTuple):
    """The sound of a file."""

    waveform: Waveform  # (n,), n >= 1
    warning: str = ""  # what of it could not be decoded, in sentences; "" if nothing is missing


def read_audio(file: BinaryIO, max_seconds: float | None) -> Recording:
    """Decode the best audio track of `file` to float32 mono 16 kHz, (n,), clipped to -1..1.

    Damaged packets are skipped, as players do, and the result says how many seconds they held. A
    file that ends before the length that it states is refused. aac, amr, live webm, streamed wav
    and mp3 without a frame count state no length that can be trusted, so a truncated one yields the
    part that is there.

    Raises `AudioError` and nothing else.
    """
    facts = facts_of(file)
    try:
        container = av.open(file, "r", options=dict(_OPEN_OPTIONS), metadata_errors="ignore")
    except Exception as error:  # PyAV raises five families of exceptions for bad files
        raise _unreadable(file, error) from error
    try:
        with container:
            return _decode_container(container, facts, max_seconds)
    except AudioError:
        raise
    except MemoryError as error:
        raise AudioError(
            "too_many_samples",
            "This recording does not fit in memory. Split it into parts.",
        ) from error
    except Exception as error:
        raise AudioError(
            "bad_audio", f"This recording is damaged. Export it again. ({_reason(error)})"
        ) from error


def _decode_container(
    container: av.container.InputContainer, facts: Facts, max_s: float | None
) -> Recording:
    """Return the best audio track. Raises `AudioError` if it is none, or if its end is missing."""
    stream = container.streams.best("audio")
    if not isinstance(stream, av.AudioStream):
        if container.streams.audio:
            raise AudioError(
                "bad_audio",
                "The audio track states no sample rate and channels. Export it again.",
            )
        kinds = " and ".join(sorted({s.type for s in container.streams}))
        if not kinds:
            raise AudioError(
                "truncated",
                "This file begins like audio but lists no tracks. Copy or export it again.",
            )
        raise AudioError(
            "no_audio_stream",
            f"This file has no sound, only {kinds}. Choose another file.",
        )
    if stream.codec_context is None:  # FFmpeg knows the container, but not the codec
        raise AudioError(
            "unknown_codec",
            "The sound of this file is in an unknown format. Export it again as wav, flac or mp3.",
        )
    check_rate(stream.codec_context.sample_rate)
    channels = stream.codec_context.channels
    if channels > MAX_CHANNELS:
        raise AudioError(
            "too_many_channels",
            f"This recording has {channels} channels; at most {MAX_CHANNELS} are supported. "
            "Mix it down first.",
        )
    mixdown, heard = _decode_stream(container, stream, max_s)
    warning = missing(container, stream, facts, heard)
    return Recording(mixdown.finish(), warning)


def _decode_stream(
    container: av.container.InputContainer, stream: av.AudioStream, max_s: float | None
) -> tuple[Mixdown, Heard]:
    """Decode one stream. Returns its samples, and what was counted on the way."""
    # Convert to packed floats and keep rate and channels. Planar frames must not reach numpy
    # directly: for 8 planes PyAV 18.1 counts one more and reads past them (segmentation fault).
    to_float = av.AudioResampler(format="flt", frame_size=_PACKED_SAMPLES)
    mixdown: Mixdown | None = None
    heard = Heard()
    for packet in container.demux(stream):
        try:
            frames = stream.decode(packet)
        except av.FFmpegError:
            heard.n_damaged += 1
            heard.damaged_bytes += packet.size
            continue
        heard.n_good += 1
        heard.good_bytes += packet.size
        for frame in frames:
            mixdown = mixdown or Mixdown(
                frame.sample_rate, frame.layout.nb_channels, max_s, clip=True
            )
            for packed in to_float.resample(frame):  # raises if the format changes midway
                mixdown.add(_by_channel(packed))
            begin_s, seconds = frame.time or 0.0, frame.samples / frame.sample_rate
            heard.start_s = begin_s if heard.start_s is None else min(heard.start_s, begin_s)
            heard.end_s = max(heard.end_s, begin_s + seconds)
            heard.seconds += seconds
    if mixdown is not None:
        for packed in to_float.resample(None):  # the last, partly filled frame
            mixdown.add(_by_channel(packed))
    if heard.n_damaged > heard.n_good:
        raise AudioError(
            "bad_audio",
            f"This recording has {heard.n_damaged} damaged packets and {heard.n_good} good ones. "
            "Export it again.",
        )
    if mixdown is None or mixdown.n_source_samples == 0:
        raise AudioError("no_samples", "This file contains no samples. Record it again.")
    return mixdown, heard


def _by_channel(packed: av.AudioFrame) -> npt.NDArray[np.float32]:
    """Return the samples of a frame of packed floats as (channels, n)."""
    samples = packed.to_ndarray().reshape(-1, packed.layout.nb_channels).T
    return samples.astype(np.float32, copy=False)


def refuse_non_audio(head: bytes) -> None:
    """Raise `AudioError` not_audio if these first `HEAD_BYTES` bytes belong to another kind of
    file."""
    kind = non_audio_kind(head)
    if kind is not None:
        raise AudioError("not_audio", f"This is {kind}, not audio. {_CHOOSE_AUDIO}")


def _unreadable(file: BinaryIO, error: Exception) -> AudioError:
    """Return why FFmpeg could not open the file: truncated if it begins like audio, else not audio.

    Raises `AudioError` if the first bytes name another kind of file.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    refuse_non_audio(head)
    if is_audio(head):
        return AudioError(
            "truncated",
            "This file begins like audio but is truncated or damaged. Copy or export it again. "
            f"({_reason(error)})",
        )
    return AudioError(
        "not_audio", f"This file contains no readable audio. {_CHOOSE_AUDIO} ({_reason(error)})"
    )


def _reason(error: Exception) -> str:
    """Return FFmpeg's message without the placeholder that PyAV inserts for a file's name."""
    message = getattr(error, "strerror", None) or str(error).partition(": '<")[0] or repr(error)
    return f"Decoder message: {message}"
