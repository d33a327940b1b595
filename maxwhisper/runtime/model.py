"""A Whisper on a device: compiled graphs bound to one checkpoint's weights.

Fulfils `decoding.protocols.Network`. Arrays come in and go out as numpy; what stays between calls
(features, keys, values, cache) stays on the device. Not thread-safe.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from max.driver import CPU, Buffer
from max.dtype import DType
from max.engine import InferenceSession, Model

from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.decoding.protocols import Float32, Int64
from maxwhisper.dims import Dims
from maxwhisper.engine import Progress
from maxwhisper.errors import OptionError
from maxwhisper.graphs import CROSS_KV, ENCODER, LOG_MEL, NORMALIZE, PREFILL, STEP
from maxwhisper.mel import hop_blocks, mel_filters
from maxwhisper.runtime.compiled import load_or_compile
from maxwhisper.runtime.device import Placement
from maxwhisper.runtime.kv_cache import KVCache
from maxwhisper.runtime.weights import graph_weights, is_float32

MEL_BLOCK_FRAMES = 6_000  # 60 s: bounds the spectrum's memory to about 20 MB


@dataclass(frozen=True)
class Encoded:
    """Encoded windows on the device: features (B, S, C), cross keys and values (B, H, S, D)."""

    features: Buffer
    cross_kv: Sequence[Buffer]
    batch: int


class MaxNetwork:
    """Log-mel, encoder and decoder of one checkpoint as executable MAX models."""

    def __init__(self, dims: Dims, placement: Placement, models: dict[str, Model]) -> None:
        self._dims = dims
        self.placement = placement
        self._models = models
        self._filters = self._put(np.ascontiguousarray(mel_filters(dims.n_mels).T))
        self._cache: KVCache | None = None

    @property
    def dims(self) -> Dims:
        return self._dims

    def log_mel(self, waveform: Float32, padding: int) -> Float32:
        """(n,) samples, then `padding` zeros -> (T, n_mels), T = (n + padding) // 160."""
        hops = hop_blocks(waveform, padding)
        blocks, peaks = [], []
        for start in range(0, len(hops) - 2, MEL_BLOCK_FRAMES):
            part = hops[start : start + MEL_BLOCK_FRAMES + 2]  # frames overlap into two more hops
            log_mel, peak = self._models[LOG_MEL].execute(self._put(part), self._filters)
            blocks.append(log_mel)
            peaks.append(peak.to_numpy())
        peak = self._put(np.max(peaks, axis=0))
        normalize = self._models[NORMALIZE]
        return np.concatenate([normalize.execute(part, peak)[0].to_numpy() for part in blocks])

    def encode(self, mel: Float32) -> Encoded:
        """mel (B, T, n_mels) -> encoded audio, left on the device."""
        expected = (self._dims.n_frames, self._dims.n_mels)
        if mel.ndim != 3 or mel.shape[1:] != expected:
            raise OptionError(f"expected mel of shape (B, {expected}), got {mel.shape}")
        (features,) = self._models[ENCODER].execute(self._put(mel))
        return self.from_features(features)

    def from_features(self, features: Buffer) -> Encoded:
        """Project features (B, S, C) in the network's precision to cross keys and values."""
        cross_kv = self._models[CROSS_KV].execute(features)
        return Encoded(features, cross_kv, features.shape[0])

    def features(self, encoded: Encoded) -> Float32:
        """Encoder output (B, S, C) as float32 on the host, to look at."""
        return to_float32(encoded.features)

    def decoder(self, encoded: Encoded) -> "MaxDecoder":
        """A decoder for `encoded`, with an empty cache. It ends the one made before."""
        if self._cache is None or self._cache.batch != encoded.batch:
            self._cache = KVCache(self._dims, self.placement, encoded.batch)
        self._cache.reset()
        return MaxDecoder(self, encoded, self._cache)

    def run(self, graph: str, *inputs: Buffer) -> Buffer:
        """Execute a graph that has one output."""
        return self._models[graph].execute(*inputs)[0]

    def _put(self, array: npt.NDArray[Any]) -> Buffer:
        buffer = Buffer.from_numpy(array)
        return buffer if self.placement.device.is_host else buffer.to(self.placement.device)


class MaxDecoder:
    """Prefill and steps over the network's one cache. Fulfils `decoding.protocols.Decoder`."""

    def __init__(self, network: MaxNetwork, encoded: Encoded, cache: KVCache) -> None:
        self._network = network
        self._encoded = encoded
        self._cache = cache

    def prefill(self, tokens: Int64, rows: Sequence[int]) -> Float32:
        """Start over with tokens (B, L); logits (B, R, V) at positions `rows`."""
        self._cache.reset()
        wanted = self._network._put(np.array(rows, np.int64))
        return self._forward(PREFILL, tokens, wanted)

    def step(self, tokens: Int64) -> Float32:
        """Append one token a row, (B,); logits (B, V)."""
        return self._forward(STEP, tokens[:, None])[:, 0]

    def _forward(self, graph: str, tokens: Int64, *more: Buffer) -> Float32:
        batch, n_tokens = tokens.shape
        cache, put = self._cache, self._network._put
        if batch != cache.batch:
            raise OptionError(f"expected {cache.batch} rows of tokens, got {batch}")
        if cache.length + n_tokens > cache.capacity:
            raise OptionError(
                f"the context holds {cache.capacity} tokens: cannot add {n_tokens} to {cache.length}"
            )
        logits = self._network.run(
            graph,
            put(np.ascontiguousarray(tokens, np.int64)),
            Buffer.from_numpy(np.array([cache.length], np.int64)),
            put(cache.mask(n_tokens)),
            *self._encoded.cross_kv,
            *cache.buffers,
            *more,
        )
        cache.length += n_tokens
        return logits.to_numpy()


def load_network(
    checkpoint: Checkpoint,
    placement: Placement,
    cache_dir: Any = None,
    progress: Progress | None = None,
) -> MaxNetwork:
    """Bind a checkpoint's weights to the compiled graphs of its dims."""
    session = InferenceSession(devices=[placement.device])
    compiled = load_or_compile(session, checkpoint.dims, placement, cache_dir, progress)
    arrays = graph_weights(checkpoint.dims, checkpoint.weights)
    registry = {name: device_weight(name, array, placement) for name, array in arrays.items()}
    models = session.init_all(compiled, weights_registry=registry)
    return MaxNetwork(checkpoint.dims, placement, models)


def device_weight(name: str, array: Float32, placement: Placement) -> Buffer:
    """A weight in its precision on its device."""
    dtype = DType.float32 if is_float32(name) else placement.dtype
    buffer = from_float32(array, dtype)
    return buffer if placement.device.is_host else buffer.to(placement.device)


def from_float32(array: Float32, dtype: DType) -> Buffer:
    """float32 numpy -> host buffer of `dtype`, rounded to nearest even."""
    if dtype == DType.float32:
        return Buffer.from_numpy(array)
    if dtype == DType.float16:
        return Buffer.from_numpy(array.astype(np.float16))
    bits = np.ascontiguousarray(array).view(np.uint32)  # numpy has no bfloat16: keep the upper half
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    return Buffer.from_numpy(rounded.astype(np.uint16)).view(DType.bfloat16)


def to_float32(buffer: Buffer) -> Float32:
    """Any float buffer -> float32 numpy on the host."""
    host = buffer if buffer.device.is_host else buffer.to(CPU())
    if host.dtype == DType.bfloat16:
        bits = host.view(DType.uint16).to_numpy().astype(np.uint32) << 16
        return bits.view(np.float32)
    return host.to_numpy().astype(np.float32)
