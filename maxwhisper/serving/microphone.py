"""A browser's microphone, chunk by chunk: small WAV files in, mono 16 kHz samples out.

Every chunk repeats the header of the first, whose lengths are guesses: the samples are whatever
follows it. Nothing but 16-bit PCM is taken, and no library opens a stranger's file. Must not know
the page.
"""

import struct

import numpy as np
import soxr

from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.engine import Waveform
from maxwhisper.errors import AudioError
from maxwhisper.mixdown import check_rate

HEADER_BYTES = 44
MAX_CHANNELS = 8
PCM = 1
_HEADER = struct.Struct("<4s4x4s4s4xHHIIHH4s4x")  # RIFF, WAVE, fmt, the format's fields, data


class Microphone:
    """One recording while it is made. The resampler goes on from chunk to chunk."""

    def __init__(self) -> None:
        self._format = (0, 0)  # rate in Hz, channels
        self._resampler: soxr.ResampleStream | None = None

    def samples(self, chunk: bytes) -> Waveform:
        """The new samples, (n,) float32 at 16 kHz. Raises `AudioError` for anything else."""
        rate, channels = _read_header(chunk)
        if (rate, channels) != self._format:
            self._format = rate, channels
            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")
        assert self._resampler is not None
        frame_bytes = 2 * channels
        n_whole = (len(chunk) - HEADER_BYTES) // frame_bytes * frame_bytes
        pcm = np.frombuffer(chunk, "<i2", offset=HEADER_BYTES, count=n_whole // 2)
        mono = pcm.reshape(-1, channels).mean(axis=1, dtype=np.float32) / np.float32(32768)
        return self._resampler.resample_chunk(mono)


def _read_header(chunk: bytes) -> tuple[int, int]:
    """Rate in Hz and channels."""
    if len(chunk) < HEADER_BYTES:
        raise AudioError("bad_chunk", f"expected a WAV chunk, got {len(chunk)} bytes: record again")
    riff, wave, fmt, coding, channels, rate, _, _, bits, data = _HEADER.unpack_from(chunk)
    if (riff, wave, fmt, data) != (b"RIFF", b"WAVE", b"fmt ", b"data"):
        raise AudioError("bad_chunk", "expected a WAV chunk, got something else: record again")
    if coding != PCM or bits != 16 or not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(
            "bad_chunk",
            f"expected 16-bit PCM of 1 to {MAX_CHANNELS} channels, got coding {coding}, "
            f"{bits} bits, {channels} channels: try another browser",
        )
    check_rate(rate)
    return rate, channels
