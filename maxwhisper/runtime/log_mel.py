"""Log-mel spectrograms on a device, block by block, with the floor of the whole recording."""

from collections.abc import Mapping

import numpy as np
from max.engine import Model

from maxwhisper.decoding.protocols import Float32
from maxwhisper.graphs import LOG_MEL, NORMALIZE
from maxwhisper.mel import hop_blocks, mel_filters
from maxwhisper.runtime.device import Placement

BLOCK_FRAMES = 6_000  # 60 s: bounds the spectrum's memory to about 20 MB


class LogMel:
    """The two mel graphs with one filterbank. The graphs take any number of mels: 80, 128."""

    def __init__(self, models: Mapping[str, Model], placement: Placement, n_mels: int) -> None:
        self._models = models
        self._placement = placement
        self._filters = placement.put(np.ascontiguousarray(mel_filters(n_mels).T))

    def __call__(self, waveform: Float32, padding: int) -> Float32:
        """(n,) samples, then `padding` zeros -> (T, n_mels), T = (n + padding) // 160."""
        put = self._placement.put
        hops = hop_blocks(waveform, padding)
        blocks, peaks = [], []
        for start in range(0, len(hops) - 2, BLOCK_FRAMES):
            part = hops[start : start + BLOCK_FRAMES + 2]  # frames overlap into two more hops
            log_mel, peak = self._models[LOG_MEL].execute(put(part), self._filters)
            blocks.append(log_mel)
            peaks.append(peak.to_numpy())
        peak = put(np.max(peaks, axis=0))
        normalize = self._models[NORMALIZE]
        return np.concatenate([normalize.execute(part, peak)[0].to_numpy() for part in blocks])
