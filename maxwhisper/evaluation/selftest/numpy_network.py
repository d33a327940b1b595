"""The numpy reference behind the decoding protocol: slow, no cache, the twin of `MaxNetwork`."""

from collections.abc import Sequence

import numpy as np

from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.decoding.protocols import Float32, Int64
from maxwhisper.network import reference
from maxwhisper.network.dims import Dims


class NumpyNetwork:
    """Fulfils `decoding.protocols.Network`. Encoded audio is simply the features (B, S, C)."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.reference = reference.Network(checkpoint.dims, checkpoint.weights)
        self.alignment_heads = checkpoint.alignment_heads

    @property
    def dims(self) -> Dims:
        return self.reference.dims

    def log_mel(self, waveform: Float32, padding: int) -> Float32:
        mel = reference.log_mel_spectrogram(waveform, self.dims.n_mels, padding)
        return mel.astype(np.float32)

    def encode(self, mel: Float32) -> Float32:
        return self.reference.encoder(mel)

    def decoder(self, encoded: Float32) -> "NumpyDecoder":
        return NumpyDecoder(self.reference, encoded)

    def select(self, encoded: Float32, rows: Sequence[int]) -> Float32:
        return encoded[list(rows)]

    def align(
        self, encoded: Float32, tokens: Int64, rows: Sequence[int]
    ) -> tuple[Float32, Float32]:
        layers: list[Float32] = []
        logits = self.reference.decoder(tokens, encoded, cross_scores=layers)
        scores = np.stack([layers[layer][:, head] for layer, head in self.alignment_heads], axis=1)
        return logits[:, list(rows)], scores


class NumpyDecoder:
    """Reads all tokens again at every step."""

    def __init__(self, network: reference.Network, features: Float32) -> None:
        self._network = network
        self._features = features
        self._tokens: Int64 = np.empty((len(features), 0), np.int64)

    def prefill(self, tokens: Int64, rows: Sequence[int]) -> Float32:
        self._tokens = tokens
        return self._network.decoder(tokens, self._features)[:, list(rows)]

    def step(self, tokens: Int64) -> Float32:
        self._tokens = np.concatenate([self._tokens, tokens[:, None]], axis=1)
        return self._network.decoder(self._tokens, self._features)[:, -1]

    def select(self, rows: Sequence[int]) -> None:
        self._tokens, self._features = self._tokens[list(rows)], self._features[list(rows)]
