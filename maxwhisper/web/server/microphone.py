"""Microphone audio from a browser, chunk by chunk: raw 16-bit samples in, 16 kHz out.

Owns the resampler, whose state continues from chunk to chunk. In: bytes, a rate. Must not know the
page.
"""

import numpy as np
import soxr

from maxwhisper.audio.resample import check_rate
from maxwhisper.audio.samples import read_samples
from maxwhisper.audio.waveform import Waveform
from maxwhisper.errors import AudioError
from maxwhisper.network.dims import SAMPLE_RATE

BYTES_PER_SAMPLE = 2


class Microphone:
    """One mono recording in progress; its first chunk sets the rate in Hz."""

    def __init__(self) -> None:
        self._rate = 0
        self._resampler: soxr.ResampleStream | None = None

    def samples(self, pcm: bytes, rate: int) -> Waveform:
        """Samples (n,) float32 at 16 kHz of a chunk of little-endian int16 mono at `rate`.

        Raises `AudioError` for half a sample, an impossible rate, and a rate that changes.
        """
        if self._resampler is None:
            check_rate(rate)
            self._rate = rate
            self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")
        if rate != self._rate or len(pcm) % BYTES_PER_SAMPLE:
            raise AudioError(
                "bad_chunk",
                f"expected whole 16-bit samples at {self._rate} Hz, got {len(pcm)} bytes "
                f"at {rate}: start again",
            )
        chunk = np.frombuffer(pcm, "<i2")
        return self._resampler.resample_chunk(read_samples(chunk, 0, len(chunk)))
