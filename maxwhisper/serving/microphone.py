"""A browser's microphone, chunk by chunk: raw 16-bit samples in, 16 kHz out.

Owns the resampler, which goes on from chunk to chunk. In: bytes, a rate. Must not know the page.
"""

import numpy as np
import soxr

from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.engine import Waveform
from maxwhisper.errors import AudioError
from maxwhisper.mixdown import check_rate
from maxwhisper.samples import read_samples

BYTES_PER_SAMPLE = 2


class Microphone:
    """One recording while it is made, mono, at a rate in Hz that its first chunk says."""

    def __init__(self) -> None:
        self._rate = 0
        self._resampler: soxr.ResampleStream | None = None

    def samples(self, pcm: bytes, rate: int) -> Waveform:
        """The new samples, (n,) float32 at 16 kHz, of little-endian int16 mono at `rate`.

        Raises `AudioError` for half a sample, an absurd rate, and a rate that changes.
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
