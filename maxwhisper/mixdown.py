"""From decoded sound of any rate and channel count to one float32 mono 16 kHz waveform.

Owns downmix, resampling and the length bound. In: float32 arrays (channels, n), in order. Out: a
`Waveform`. Works on chunks as they come and hands them on to `samples.py`. Knows no file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import soxr

from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.errors import AudioError
from maxwhisper.samples import SampleStore

if TYPE_CHECKING:  # the decoding child imports this file: it should load no checkpoint code
    from maxwhisper.engine import Waveform

MIN_RATE, MAX_RATE = 4_000, 384_000  # Hz: below telephone speech; the fastest converters sold
_MAX_WORK_BYTES = 1 << 30  # float32 over all channels: lets 10 min of 192 kHz stereo through
LOUDEST = 1e6  # full scale is 1; int16 values kept as floats fit; beyond is damage, as NaN is
_ANTI_PHASE = 1e-6  # mean 60 dB below its channels: left and right cancel


class Mixdown:
    """One recording on its way to mono 16 kHz: `add` chunks, then `finish` once.

    The resampler is soxr HQ fed in chunks, which gives bit for bit the numbers of
    `librosa.resample(res_type="soxr_hq")` (a test compares them) without its import of 5 s and
    500 MB. Channels are averaged; if they cancel (left = -right), the left one is taken. NaN, Inf
    and absurd samples become 0. With `clip`, the result is kept within -1..1.
    """

    def __init__(
        self,
        sample_rate: int,
        channels: int,
        max_seconds: float | None = None,
        *,
        clip: bool = False,
    ) -> None:
        self.sample_rate = sample_rate
        self.n_source_samples = 0
        self._max_seconds = max_seconds
        self._clip = clip
        self._work_bytes = 0
        self._mean_energy = 0.0
        self._channel_energy = 0.0
        # Columns: the mean and, if there is more, the left: which one serves is known at the end.
        self._columns = [SampleStore() for _ in range(min(channels, 2))]
        self._resampler = soxr.ResampleStream(
            sample_rate, SAMPLE_RATE, len(self._columns), dtype="float32", quality="HQ"
        )

    def add(self, samples: npt.NDArray[np.float32]) -> None:
        """Add (channels, n) samples. Raises `AudioError` too_long once past the bound."""
        self.n_source_samples += samples.shape[1]
        self._work_bytes += samples.nbytes
        self._check_length()
        samples = np.where(np.abs(samples) <= LOUDEST, samples, np.float32(0))  # NaN fails too
        mean = samples.mean(axis=0)
        self._mean_energy += float(np.vdot(mean, mean))
        self._channel_energy += float(np.vdot(samples, samples)) / len(samples)
        self._resample(np.stack([mean, samples[0]][: len(self._columns)], axis=1))

    def finish(self) -> Waveform:
        """The whole waveform, (ceil(n_source * 16000 / rate),). Call once."""
        self._resample(np.zeros((0, len(self._columns)), np.float32), last=True)
        cancels = self._mean_energy < _ANTI_PHASE * self._channel_energy
        mean_or_left = self._columns[-1 if cancels else 0]
        return mean_or_left.finish(-(-self.n_source_samples * SAMPLE_RATE // self.sample_rate))

    def _resample(self, samples: npt.NDArray[np.float32], last: bool = False) -> None:
        """(n, columns) samples at the source's rate -> the columns, at 16 kHz."""
        resampled = self._resampler.resample_chunk(samples, last=last)
        if self._clip:
            resampled = np.clip(resampled, -1, 1)
        for column, store in enumerate(self._columns):
            store.append(resampled[:, column])

    def _check_length(self) -> None:
        if self._max_seconds is None:
            return
        advice = "cut the recording, or allow more"
        if self.n_source_samples > self._max_seconds * self.sample_rate:
            raise AudioError(
                "too_long", f"expected at most {self._max_seconds:g} s, got more: {advice}"
            )
        if self._work_bytes > _MAX_WORK_BYTES:
            raise AudioError(
                "too_long",
                f"expected at most {_MAX_WORK_BYTES >> 20} MiB of samples over all channels, "
                f"got more: {advice}",
            )


def check_rate(rate: int) -> None:
    """Raise `AudioError` bad_sample_rate outside MIN_RATE..MAX_RATE."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(
            "bad_sample_rate",
            f"expected a sample rate of {MIN_RATE} to {MAX_RATE} Hz, got {rate}: export it again, "
            "for example at 16000 Hz",
        )
