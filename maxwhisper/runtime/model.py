"""A Whisper on a device: compiled graphs bound to one checkpoint's weights.

Implements `decoding.protocols.Network`. Inputs and outputs are numpy arrays; features, keys, values
and cache stay on the device between calls. Not thread-safe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from max.driver import Buffer
from max.dtype import DType
from max.engine import CompiledModel, InferenceSession, Model

from maxwhisper.checkpoint.schema import Array, Checkpoint, Heads
from maxwhisper.decoding.protocols import Float32, GreedyRules, Int64, OnTokens
from maxwhisper.engine import Progress
from maxwhisper.errors import OptionError
from maxwhisper.graphs import CROSS_KV, ENCODER, GATHER_ROWS, GREEDY_STEP, PREFILL, STEP
from maxwhisper.network.dims import Dims
from maxwhisper.runtime.buffers import device_buffer, to_float32, weight_buffers
from maxwhisper.runtime.compiled import load_or_compile
from maxwhisper.runtime.device import Placement
from maxwhisper.runtime.greedy import GreedyLoop
from maxwhisper.runtime.kv_cache import KVCache
from maxwhisper.runtime.log_mel import LogMel, LogMelSpectrogram
from maxwhisper.runtime.weights import TOKEN_EMBEDDING, fits_float16, graph_weights


@dataclass(frozen=True)
class Encoded:
    """Encoded windows on the device: features (B, S, C), cross keys and values (B, H, S, D)."""

    features: Buffer
    cross_kv: Sequence[Buffer]
    batch: int


class MaxNetwork:
    """Log-mel, encoder and decoder of one checkpoint as executable MAX models.

    `embedding` is that of the tokens, (V, C) on the device: the one weight that is an input.
    """

    def __init__(
        self,
        dims: Dims,
        placement: Placement,
        models: dict[str, Model],
        embedding: Buffer,
        alignment_heads: Heads = (),
        filters: Float32 | None = None,  # (n_mels, F) of the log-mel; None: Whisper's
    ) -> None:
        self.artifact: Path | None = None  # the file that the graphs were loaded from
        self._dims = dims
        self._embedding = embedding
        self._alignment_heads = alignment_heads
        self.placement = placement
        self.models = models
        self._log_mel = LogMel(models, placement, dims.n_mels, filters)
        self._cache: KVCache | None = None
        self._greedy: GreedyLoop | None = None

    @property
    def dims(self) -> Dims:
        return self._dims

    @property
    def embedding(self) -> Buffer:
        return self._embedding

    @property
    def alignment_heads(self) -> Heads:
        return self._alignment_heads

    def log_mel(self, waveform: Float32, padding: int) -> LogMelSpectrogram:
        """(n,) samples, then `padding` zeros -> (T, n_mels), T = (n + padding) // 160."""
        return self._log_mel(waveform, padding)

    def encode(self, mel: Float32) -> Encoded:
        """mel (B, T, n_mels) -> encoded audio, left on the device."""
        n_frames, n_mels = self._dims.n_frames, self._dims.n_mels
        if mel.ndim != 3 or mel.shape[1:] != (n_frames, n_mels):
            raise OptionError(f"expected mel of shape (B, {n_frames}, {n_mels}), got {mel.shape}")
        (features,) = self.models[ENCODER].execute(self.placement.put(mel))
        return self._project(features)

    def from_features(self, features: Float32) -> Encoded:
        """Encoded audio from features (B, S, C) that were computed elsewhere."""
        return self._project(device_buffer(features, self.placement.dtype, self.placement))

    def _project(self, features: Buffer) -> Encoded:
        cross_kv = self.models[CROSS_KV].execute(features)
        return Encoded(features, cross_kv, features.shape[0])

    def select(self, encoded: Encoded, rows: Sequence[int]) -> Encoded:
        """Rows of encoded audio, in any order and any number of times."""
        if list(rows) == list(range(encoded.batch)):
            return encoded
        # As a stack of one head, features pass through the same graph as keys and values.
        batch, length, width = encoded.features.shape
        stacked = encoded.features.view(encoded.features.dtype, (batch, 1, length, width))
        (features,) = self.gather([stacked], rows)
        flat = features.view(features.dtype, (len(rows), length, width))
        return Encoded(flat, self.gather(encoded.cross_kv, rows), len(rows))

    def gather(self, buffers: Sequence[Buffer], rows: Sequence[int]) -> list[Buffer]:
        """New buffers: row r of each is its row rows[r]."""
        chosen = self.positions(rows)
        gather = self.models[GATHER_ROWS]
        return [gather.execute(buffer, chosen)[0] for buffer in buffers]

    def align(
        self, encoded: Encoded, tokens: Int64, rows: Sequence[int]
    ) -> tuple[Float32, Float32]:
        """Decode whole texts, tokens (B, L), in one pass. Ends the decoder made before.

        Returns the logits (B, R, V) at positions `rows`, and the cross-attention scores
        (B, N, L, S) of the N alignment heads, before softmax.
        """
        decoder = self.decoder(encoded)
        logits, *queries = decoder.forward(PREFILL, tokens, self.positions(rows))
        of_layer = {
            layer: (to_float32(queries[layer]), to_float32(encoded.cross_kv[2 * layer]))
            for layer in {layer for layer, _ in self._alignment_heads}
        }
        scores = []
        for layer, head in self._alignment_heads:
            query, key = (heads_of_layer[:, head] for heads_of_layer in of_layer[layer])
            scores.append(query @ key.swapaxes(1, 2) * query.shape[-1] ** -0.5)
        return decoder.on_host(logits), np.stack(scores, axis=1)

    def positions(self, rows: Sequence[int]) -> Buffer:
        """Row numbers (R,) int64 on the device."""
        return self.placement.put(np.array(rows, np.int64))

    def features(self, encoded: Encoded) -> Float32:
        """Encoder output (B, S, C) as float32 on the host, for inspection."""
        return to_float32(encoded.features)

    def decoder(self, encoded: Encoded) -> "MaxDecoder":
        """A decoder for `encoded` with an empty cache. Ends the decoder made before."""
        cache = self._cache
        if cache is None or cache.batch != encoded.batch or not cache.is_sound:
            cache = self._cache = KVCache(self._dims, self.placement, encoded.batch)
        cache.reset()
        return MaxDecoder(self, encoded, cache)

    def greedy_loop(self, cache: KVCache) -> GreedyLoop:
        """The loop of greedy steps over `cache`; kept as long as the cache is the same."""
        if self._greedy is None or self._greedy.cache is not cache:
            if self._greedy is not None:
                self._greedy.close()
            step, placement = self.models[GREEDY_STEP], self.placement
            self._greedy = GreedyLoop(step, self._dims, placement, cache, self.embedding)
        return self._greedy

    def close(self) -> None:
        """Release the graphs, their weights and the caches."""
        if self._greedy is not None:
            self._greedy.close()
        self._greedy = self._cache = None
        self.models.clear()
        del self._embedding

    def verify_capture(self) -> bool:
        """True if the greedy step is captured and launches the same kernels as an executed one.

        Call after a greedy transcription. Raises `RuntimeError` if the launches differ.
        """
        return self._greedy is not None and self._greedy.verify_capture()


class MaxDecoder:
    """Prefill and steps over a cache. Implements `decoding.protocols.GreedyDecoder`."""

    def __init__(self, network: MaxNetwork, encoded: Encoded, cache: KVCache) -> None:
        self._network = network
        self._cross_kv = encoded.cross_kv
        self._cache = cache
        self._window_of_row = list(range(encoded.batch))

    def prefill(self, tokens: Int64, rows: Sequence[int]) -> Float32:
        """Start over with tokens (B, L); logits (B, R, V) at positions `rows`."""
        self._cache.reset()
        return self.on_host(self.forward(PREFILL, tokens, self._network.positions(rows))[0])

    def step(self, tokens: Int64) -> Float32:
        """Append one token a row, (B,); logits (B, V)."""
        return self.on_host(self.forward(STEP, tokens[:, None])[0])[:, 0]

    def greedy(
        self,
        sampled: Int64,
        sum_logprobs: Float32,
        rules: GreedyRules,
        max_tokens: int,
        on_tokens: OnTokens | None = None,
    ) -> tuple[Int64, Float32]:
        """See `protocols.GreedyDecoder`.

        On a CPU, ended rows are removed from the batch once they are half of it: later steps then
        cost half as much, and removing the rows costs about one step.
        """
        n_rows, n = sampled.shape
        tokens = np.full((n_rows, max_tokens), rules.eot, np.int64)
        tokens[:, :n] = sampled
        sums = sum_logprobs.copy()
        rows: slice | npt.NDArray[np.intp] = slice(None)  # those still in the batch
        first_cache = self._cache
        loop = self._begin_greedy(sampled, sums, rules)
        while n < max_tokens:
            n_steps = min(loop.steps_per_check, max_tokens - n)
            written, sums[rows] = loop.run(n_steps)
            tokens[rows, n : n + n_steps] = written
            n += n_steps
            if on_tokens is not None:
                on_tokens(tokens[:, :n], sums)
            is_live = written[:, -1] != rules.eot
            n_live = np.count_nonzero(is_live)
            if n_live == 0:
                break
            if loop.may_shrink and 2 * n_live <= len(is_live):
                self.select(np.flatnonzero(is_live).tolist())
                rows = np.arange(n_rows)[rows][is_live]
                loop = self._begin_greedy(tokens[rows, :n], sums[rows], rules)
        if not np.isfinite(sums).all():
            first_cache.is_sound = self._cache.is_sound = False
        return tokens[:, :n], sums

    def _begin_greedy(
        self, sampled: Int64, sum_logprobs: Float32, rules: GreedyRules
    ) -> GreedyLoop:
        loop = self._network.greedy_loop(self._cache)
        loop.begin(self._cross_kv, sampled, sum_logprobs, rules)
        return loop

    def greedy_step(self, tokens: Int64, rules: GreedyRules) -> tuple[Int64, Float32]:
        """One greedy step after `tokens` (B, L), of which the cache holds all but the last: the
        chosen tokens (B,) and their log-probabilities (B,)."""
        loop = self._begin_greedy(tokens, np.zeros(len(tokens), np.float32), rules)
        chosen, sums = loop.run(1)
        return chosen[:, 0], sums

    def rewind(self, n_tokens: int) -> None:
        """Forget all tokens but the first `n_tokens`."""
        self._cache.length = n_tokens

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows in this order: row r was rows[r]. A row may repeat or be left out.

        Keys and values of the audio are copied only if the window of a row changes.
        """
        if list(rows) == list(range(self._cache.batch)):
            return
        window_of_row = [self._window_of_row[row] for row in rows]
        if window_of_row != self._window_of_row:
            self._cross_kv = self._network.gather(self._cross_kv, rows)
        self._cache = self._cache.moved(self._network.gather(self._cache.buffers, rows))
        self._window_of_row = window_of_row

    def on_host(self, logits: Buffer) -> Float32:
        """Logits (B, R, V) as numpy.

        If one logit of a position is NaN, all are, and the cache may hold NaN too.
        """
        found = logits.to_numpy()
        self._cache.is_sound &= not np.isnan(found[..., 0]).any()
        return found

    def forward(self, graph: str, tokens: Int64, *inputs: Buffer) -> Sequence[Buffer]:
        """Append tokens (B, L) to the cache and return the outputs of the graph."""
        batch, n_tokens = tokens.shape
        cache, put = self._cache, self._network.placement.put
        if batch != cache.batch:
            raise OptionError(f"expected {cache.batch} rows of tokens, got {batch}")
        if n_tokens > (room := cache.capacity - cache.length):
            raise OptionError(
                f"expected at most {room} more tokens, got {n_tokens}: shorten prefix or prompt"
            )
        outputs = self._network.models[graph].execute(
            put(np.ascontiguousarray(tokens, np.int64)),
            Buffer.from_numpy(np.array([cache.length], np.int64)),
            put(cache.mask(n_tokens)),
            self._network.embedding,
            *self._cross_kv,
            *cache.buffers,
            *inputs,
        )
        cache.length += n_tokens
        return outputs


def load_network(
    checkpoint: Checkpoint,
    placement: Placement,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    sources: Sequence[Path] | None = None,
) -> MaxNetwork:
    """Bind a checkpoint's weights to the compiled graphs of its dims; see `load_or_compile`."""
    session, on_host = InferenceSession(devices=[placement.device]), placement.device.is_host
    arrays = graph_weights(checkpoint.dims, checkpoint.weights, on_host)
    if on_host and fits_float16(arrays):
        placement = replace(placement, matrices=DType.float16)
    graphs = load_or_compile(session, checkpoint.dims, placement, cache_dir, progress, sources)
    network = bind(session, graphs.model, checkpoint, placement, arrays)
    network.artifact = graphs.artifact
    return network


def bind(
    session: InferenceSession,
    compiled: CompiledModel,
    checkpoint: Checkpoint,
    placement: Placement,
    arrays: Mapping[str, Array] | None = None,
) -> MaxNetwork:
    """The graphs with a checkpoint's weights; `arrays` are these as `graph_weights` lays them
    out."""
    dims, on_host = checkpoint.dims, placement.device.is_host
    if arrays is None:
        arrays = graph_weights(dims, checkpoint.weights, on_host)
    registry = weight_buffers(arrays, placement)
    embedding = registry.pop(TOKEN_EMBEDDING)
    if not on_host:
        embedding = embedding.to(placement.device)
    models = session.init_all(compiled, weights_registry=registry)
    return MaxNetwork(dims, placement, models, embedding, checkpoint.alignment_heads)
