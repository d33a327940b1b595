"""Downmix and resample decoded audio to one float32 mono 16 kHz waveform.

Owns downmix, resampling and the length limit. In: float32 arrays (channels, n), in order. Out: a
`Waveform`. Each chunk is processed as it arrives and stored by `samples.py`. Knows no file format.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

from maxwhisper.audio.samples import SampleStore
from maxwhisper.audio.waveform import Waveform
from maxwhisper.errors import AudioError
from maxwhisper.network.dims import SAMPLE_RATE

MIN_RATE, MAX_RATE = 4_000, 384_000  # Hz: below telephone speech; the fastest converters sold
_MAX_WORK_BYTES = 1 << 30  # float32 over all channels: allows 10 min of 192 kHz stereo
LOUDEST = 1e6  # full scale is 1; int16 values stored as floats fit; larger values are damage
_ANTI_PHASE = 1e-6  # the mean is 60 dB below its channels: left and right cancel


class Mixdown:
    """Convert one recording to mono 16 kHz: `add` chunks, then call `finish` once.

    The resampler is soxr HQ fed in chunks. Its output equals
    `librosa.resample(res_type="soxr_hq")` bit for bit (a test compares them), without librosa's
    import of 5 s and 500 MB. Channels are averaged; if they cancel (left = -right), the left one is
    used. With `clip`, the result is clipped to -1..1.
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
        self._channels = channels
        self._max_seconds = max_seconds
        self._clip = clip
        self._work_bytes = 0
        self._mean_energy = 0.0
        self._channel_energy = 0.0
        # Columns: the mean and, for several channels, the left one. `finish` chooses between them.
        self._columns = [SampleStore() for _ in range(min(channels, 2))]
        self._resampler = soxr.ResampleStream(
            sample_rate, SAMPLE_RATE, len(self._columns), dtype="float32", quality="HQ"
        )

    def add(self, samples: npt.NDArray[np.float32]) -> None:
        """Add (channels, n) samples. Raises `AudioError`: too_long or too_many_samples beyond a
        limit, bad_audio for NaN, Inf and samples above `LOUDEST`."""
        before = self.n_source_samples
        self.n_source_samples += samples.shape[1]
        self._work_bytes += samples.nbytes
        self._check_length()
        check_samples(samples, before)
        mean = samples.mean(axis=0)
        self._mean_energy += float(np.vdot(mean, mean))
        self._channel_energy += float(np.vdot(samples, samples)) / len(samples)
        self._resample(np.stack([mean, samples[0]][: len(self._columns)], axis=1))

    def finish(self) -> Waveform:
        """Return the whole waveform, (ceil(n_source * 16000 / rate),). Call once."""
        self._resample(np.zeros((0, len(self._columns)), np.float32), last=True)
        cancels = self._mean_energy < _ANTI_PHASE * self._channel_energy
        mean_or_left = self._columns[-1 if cancels else 0]
        return mean_or_left.finish(-(-self.n_source_samples * SAMPLE_RATE // self.sample_rate))

    def _resample(self, samples: npt.NDArray[np.float32], last: bool = False) -> None:
        """Resample (n, columns) source samples and append them to the columns at 16 kHz."""
        resampled = self._resampler.resample_chunk(samples, last=last)
        if self._clip:
            resampled = np.clip(resampled, -1, 1)
        for column, store in enumerate(self._columns):
            store.append(resampled[:, column])

    def _check_length(self) -> None:
        if self._max_seconds is None:
            return
        if self.n_source_samples > self._max_seconds * self.sample_rate:
            raise AudioError(
                "too_long",
                f"This recording is longer than {self._max_seconds:g} s. Split it, or raise the "
                "limit.",
            )
        if self._work_bytes > _MAX_WORK_BYTES:
            raise AudioError(
                "too_many_samples",
                f"This recording has too many samples: {self._channels} channels at "
                f"{self.sample_rate} Hz fill {_MAX_WORK_BYTES >> 20} MiB after "
                f"{self.n_source_samples / self.sample_rate:.0f} s. Mix it down to mono, or export "
                "it at 16000 Hz.",
            )


def check_samples(samples: npt.NDArray[np.float32], start: int) -> None:
    """Raise `AudioError` bad_audio for NaN, Inf and values above `LOUDEST`. `samples` is (n,) or
    (channels, n), and begins at sample `start` of the recording."""
    valid = np.abs(samples) <= LOUDEST  # False for NaN
    if not valid.all():
        where = np.unravel_index(int(np.argmin(valid)), valid.shape)
        raise AudioError(
            "bad_audio",
            f"Expected samples in about -1..1, got {samples[where]} at {start + int(where[-1])}. "
            "Remove it first.",
        )


def check_rate(rate: int) -> None:
    """Raise `AudioError` bad_sample_rate outside MIN_RATE..MAX_RATE."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(
            "bad_sample_rate",
            f"Expected a sample rate of {MIN_RATE} to {MAX_RATE} Hz, got {rate}. Export it again, "
            "for example at 16000 Hz.",
        )
