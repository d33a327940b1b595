"""The text decoder over a static key-value cache: prefill of many tokens, and the one-token step.

Source: openai/whisper model.py:208-249 (TextDecoder). The reference grows its cache by
concatenation; here it is a buffer of `n_text_ctx` slots a layer, written in place. Slots not yet
written are masked.
"""

from max.dtype import DType
from max.graph import (
    BufferType,
    BufferValue,
    DeviceRef,
    Graph,
    Module,
    TensorType,
    TensorValue,
    ops,
)

from maxwhisper.dims import Dims
from maxwhisper.graphs.layers import Scope, attention, merge_heads, split_heads

PREFILL = "decoder_prefill"
STEP = "decoder_step"


def prefill_graph(module: Module, dims: Dims, dtype: DType, device: DeviceRef) -> None:
    """tokens (B, L) at positions offset..offset+L-1 -> logits (B, R, V) at the R rows asked for,
    then each layer's cross-attention queries (B, H, L, D), from which word times are made.

    Inputs: tokens int64; offset (1,) int64 on the CPU; mask (L, n_text_ctx) float32; rows (R,)
    int64; then per layer the cross key and value (B, H, S, D), then per layer the cache buffers,
    key and value (B, H, n_text_ctx, D), which are written in place.
    """
    rows_type = TensorType(DType.int64, ("rows",), device)
    types = [*_input_types(dims, dtype, device, "tokens"), rows_type]
    with Graph(PREFILL, input_types=types, module=module) as graph:
        scope = Scope(graph, dtype, device)
        x, queries = _decoder(scope, graph, dims)
        x = ops.gather(x, graph.inputs[-1].tensor, axis=1)
        graph.output(_logits(scope, x, dims), *queries)


def step_graph(module: Module, dims: Dims, dtype: DType, device: DeviceRef) -> None:
    """tokens (B, 1) at position offset -> logits (B, 1, V). Inputs as prefill's, without rows."""
    types = _input_types(dims, dtype, device, 1)
    with Graph(STEP, input_types=types, module=module) as graph:
        scope = Scope(graph, dtype, device)
        x, _ = _decoder(scope, graph, dims)
        graph.output(_logits(scope, x, dims))


def _input_types(
    dims: Dims, dtype: DType, device: DeviceRef, n_tokens: str | int
) -> list[TensorType | BufferType]:
    heads, width = dims.n_text_head, dims.text_head_width
    cross = TensorType(dtype, ("batch", heads, dims.n_audio_ctx, width), device)
    cache = BufferType(dtype, ("batch", heads, dims.n_text_ctx, width), device)
    return [
        TensorType(DType.int64, ("batch", n_tokens), device),
        TensorType(DType.int64, (1,), DeviceRef.CPU()),  # a slice's start is a host value
        TensorType(DType.float32, (n_tokens, dims.n_text_ctx), device),
        *[cross] * (2 * dims.n_text_layer),
        *[cache] * (2 * dims.n_text_layer),
    ]


def _decoder(scope: Scope, graph: Graph, dims: Dims) -> tuple[TensorValue, list[TensorValue]]:
    """Embedding, all blocks and the final norm: -> (B, L, C), and the cross-attention queries."""
    tokens, offset, mask = (value.tensor for value in graph.inputs[:3])
    n_state, n_layer = dims.n_text_state, dims.n_text_layer
    cross = [value.tensor for value in graph.inputs[3 : 3 + 2 * n_layer]]
    cache = [value.buffer for value in graph.inputs[3 + 2 * n_layer : 3 + 4 * n_layer]]

    n_tokens = tokens.shape[1]
    end = offset[0] + ops.shape_to_tensor(tokens.shape)[1].cast(DType.int64)
    slots = (slice(offset[0], end), n_tokens)
    embedding = _token_embedding(scope, dims)
    positions = scope.weight("decoder.positional_embedding", dims.n_text_ctx, n_state)
    x = ops.gather(embedding, tokens, axis=0) + positions[slots, :]
    queries = []
    for layer in range(n_layer):
        keys_values = (*cross[2 * layer : 2 * layer + 2], *cache[2 * layer : 2 * layer + 2])
        x, q = _block(scope, x, f"decoder.blocks.{layer}", dims, slots, mask, keys_values)
        queries.append(q)
    return scope.layer_norm(x, "decoder.ln", n_state), queries


def _block(
    scope: Scope,
    x: TensorValue,
    name: str,
    dims: Dims,
    slots: tuple[slice, object],
    mask: TensorValue,
    keys_values: tuple[TensorValue, TensorValue, BufferValue, BufferValue],
) -> tuple[TensorValue, TensorValue]:
    """Pre-norm causal self-attention over the cache, cross-attention, then the MLP: -> (B, L, C),
    and the cross-attention's queries (B, H, L, D)."""
    n_state, n_head = dims.n_text_state, dims.n_text_head
    cross_k, cross_v, cache_k, cache_v = keys_values

    h = scope.layer_norm(x, f"{name}.attn_ln", n_state)
    qkv = scope.linear(h, f"{name}.attn.qkv", n_state, 3 * n_state)
    q, k, v = (split_heads(part, n_head) for part in ops.chunk(qkv, 3, axis=2))
    everything = slice(None)
    for buffer, new in ((cache_k, k), (cache_v, v)):
        ops.buffer_store_slice(buffer, new, [everything, everything, slots, everything])
    h = merge_heads(attention(q, ops.buffer_load(cache_k), ops.buffer_load(cache_v), mask))
    x = x + scope.linear(h, f"{name}.attn.out", n_state, n_state)

    h = scope.layer_norm(x, f"{name}.cross_attn_ln", n_state)
    q = split_heads(scope.linear(h, f"{name}.cross_attn.query", n_state, n_state), n_head)
    h = merge_heads(attention(q, cross_k, cross_v))
    x = x + scope.linear(h, f"{name}.cross_attn.out", n_state, n_state)

    h = scope.layer_norm(x, f"{name}.mlp_ln", n_state)
    return x + scope.mlp(h, f"{name}.mlp", n_state), q


def _token_embedding(scope: Scope, dims: Dims) -> TensorValue:
    return scope.weight("decoder.token_embedding.weight", dims.n_vocab, dims.n_text_state)


def _logits(scope: Scope, x: TensorValue, dims: Dims) -> TensorValue:
    """(B, R, C) -> (B, R, V): the output projection is the token embedding (model.py:246).

    Written as embedding @ x^T: on a CPU, for one row, that takes 4.4 ms where x @ embedding^T takes
    6.8 ms (256 wide, 2 cores, MAX 26.7.0), and needs no second, transposed copy of the embedding.
    """
    batch, rows, n_state = x.shape
    columns = ops.transpose(x.reshape((-1, n_state)), 0, 1)
    logits = ops.transpose(_token_embedding(scope, dims) @ columns, 0, 1)
    return logits.reshape((batch, rows, dims.n_vocab)).cast(DType.float32)
