"""Log-mel spectrograms on a device: computed in blocks on demand, with one floor for all blocks.

Owns how much of a long recording is transformed at once and how much is cached. In: a waveform.
Out: frames; the numbers do not depend on the order of access. Knows no window and no network.
"""

from collections.abc import Mapping

import numpy as np
from max.driver import Buffer
from max.engine import Model

from maxwhisper.audio.frames import hop_blocks, n_frames
from maxwhisper.audio.waveform import Waveform
from maxwhisper.decoding.protocols import Float32
from maxwhisper.graphs import LOG_MEL, NORMALIZE
from maxwhisper.network.mel_filters import mel_filters
from maxwhisper.runtime.device import Placement

BLOCK_FRAMES = 6_000  # 60 s: bounds the spectrum's memory to about 20 MB
CACHED_BLOCKS = 5  # 5 min in 10 MB at 80 mels; longer recordings are transformed twice


class LogMelSpectrogram:
    """The log-mel of one recording: `len(mel)` frames, of which `mel[a:b]` is (b - a, M) float32.

    Its floor lies 8 below the loudest bin of the whole recording (openai/whisper audio.py:155), so
    construction transforms everything once, block by block. The last `CACHED_BLOCKS` blocks are
    cached and the others are transformed again: memory does not grow with the recording.
    """

    def __init__(self, log_mel: "LogMel", waveform: Waveform, padding: int) -> None:
        self._log_mel = log_mel
        self._waveform = waveform
        self._padding = padding
        self._n_frames = n_frames(waveform, padding)
        self._cached: dict[int, Buffer] = {}  # first frame -> log-mel without floor, (T, M)
        peaks = [self._transform(start) for start in range(0, len(self), BLOCK_FRAMES)]
        self._peak = np.max(peaks, axis=0) if peaks else np.zeros((1, 1), np.float32)

    def __len__(self) -> int:
        return self._n_frames

    def __getitem__(self, frames: slice) -> Float32:
        if not isinstance(frames, slice) or frames.step not in (None, 1):
            raise TypeError(f"expected mel[a:b], got mel[{frames}]: take mel[:] for an array")
        start, stop, _ = frames.indices(len(self))
        parts = [
            self._block(first)[max(start - first, 0) : stop - first]
            for first in range(start - start % BLOCK_FRAMES, stop, BLOCK_FRAMES)
        ]
        return np.concatenate([np.empty((0, self._log_mel.n_mels), np.float32), *parts])

    def _block(self, first: int) -> Float32:
        """The normalised block that begins at frame `first`."""
        if first not in self._cached:
            self._transform(first)
        return self._log_mel.normalize(self._cached[first], self._peak)

    def _transform(self, first: int) -> Float32:
        """Cache the block that begins at frame `first` in place of the oldest; return its peak."""
        stop = min(first + BLOCK_FRAMES, len(self))
        hops = hop_blocks(self._waveform, self._padding, first, stop)
        if len(self._cached) == CACHED_BLOCKS:
            del self._cached[next(iter(self._cached))]
        self._cached[first], peak = self._log_mel.transform(hops)
        return peak


class LogMel:
    """The two mel graphs with one filterbank. The graphs take any number of mels, 80 or 128."""

    def __init__(
        self,
        models: Mapping[str, Model],
        placement: Placement,
        n_mels: int,
        filters: Float32 | None = None,  # (n_mels, F); None: Whisper's
    ) -> None:
        self.n_mels = n_mels
        self._models = models
        self._placement = placement
        bank = mel_filters(n_mels) if filters is None else filters
        self._filters = placement.put(np.ascontiguousarray(bank.T))

    def __call__(self, waveform: Waveform, padding: int) -> LogMelSpectrogram:
        """(n,) samples, then `padding` zeros -> (T, n_mels), T = (n + padding) // 160."""
        return LogMelSpectrogram(self, waveform, padding)

    def transform(self, hops: Float32) -> tuple[Buffer, Float32]:
        """Hops (T + 2, 160) -> log-mel without floor (T, n_mels), its peak (1, 1)."""
        log_mel, peak = self._models[LOG_MEL].execute(self._placement.put(hops), self._filters)
        return log_mel, peak.to_numpy()

    def normalize(self, log_mel: Buffer, peak: Float32) -> Float32:
        """Log-mel (T, n_mels) under a recording's peak (1, 1) -> model input, about -1..1.5."""
        return self._models[NORMALIZE].execute(log_mel, self._placement.put(peak))[0].to_numpy()
