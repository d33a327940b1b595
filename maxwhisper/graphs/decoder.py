"""The text decoder over a static key-value cache: prefill of many tokens, and the one-token step.

Source: openai/whisper model.py:208-249 (TextDecoder). The reference grows its cache by
concatenation; here each layer has a buffer of `n_text_ctx` slots, written in place. Slots that are
not written yet are masked. `greedy` builds its own step from the same parts.

The token embedding (V, C) is an input, not a weight of the graph, and V is symbolic: the same
graphs serve "base" and "base.en", whose vocabularies differ.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from max.dtype import DType
from max.graph import (
    BufferType,
    BufferValue,
    DeviceRef,
    Graph,
    Module,
    TensorType,
    TensorValue,
    Value,
    ops,
)

from maxwhisper.graphs.layers import (
    KERNEL_HEAD_WIDTH,
    KERNELS,
    Scope,
    attention,
    merge_heads,
    skinny_matmul,
    split_heads,
)
from maxwhisper.network.dims import Dims

PREFILL = "decoder_prefill"
STEP = "decoder_step"

# Stores new keys or values (B, H, L, D) in a cache and returns the cache (B, H, n_text_ctx, D).
Append = Callable[[BufferValue, TensorValue], TensorValue]


@dataclass(frozen=True)
class Attended:
    """What the decoder blocks attend to."""

    mask: TensorValue  # (L, n_text_ctx) float32, added to the self-attention scores
    append: Append
    keys_values: Sequence[Value]  # as `keys_values_types`
    position: TensorValue  # (1,) int64: slot of the first token; a host value on a CPU

    def of_layer(self, layer: int) -> tuple[TensorValue, TensorValue, BufferValue, BufferValue]:
        """Cross key and value, cache of keys and of values."""
        n_layer = len(self.keys_values) // 4
        cross = self.keys_values[2 * layer : 2 * layer + 2]
        cache = self.keys_values[2 * (n_layer + layer) : 2 * (n_layer + layer) + 2]
        return cross[0].tensor, cross[1].tensor, cache[0].buffer, cache[1].buffer


def prefill_graph(
    module: Module, dims: Dims, dtype: DType, device: DeviceRef, matrices: DType
) -> None:
    """tokens (B, L) at positions offset..offset+L-1 -> logits (B, R, V) at the R requested rows,
    then each layer's cross-attention queries (B, H, L, D), which word times are computed from.

    Inputs: tokens int64; offset (1,) int64 on the CPU; mask (L, n_text_ctx) float32; the token
    embedding; then `keys_values_types`; then rows (R,) int64.
    """
    types = [
        *_input_types(dims, dtype, device, matrices, "tokens"),
        TensorType(DType.int64, ("rows",), device),
    ]
    with Graph(PREFILL, input_types=types, module=module, custom_extensions=[KERNELS]) as graph:
        scope = Scope(graph, dtype, device, matrices)
        *inputs, rows = graph.inputs
        x, queries = _decode(scope, dims, inputs)
        x = ops.gather(x, rows.tensor, axis=1)
        graph.output(logits(x, graph.inputs[3].tensor), *queries)


def step_graph(
    module: Module, dims: Dims, dtype: DType, device: DeviceRef, matrices: DType
) -> None:
    """tokens (B, 1) at position offset -> logits (B, 1, V). Inputs as prefill's, without rows."""
    types = _input_types(dims, dtype, device, matrices, 1)
    with Graph(STEP, input_types=types, module=module, custom_extensions=[KERNELS]) as graph:
        scope = Scope(graph, dtype, device, matrices)
        x, _ = _decode(scope, dims, graph.inputs)
        graph.output(logits(x, graph.inputs[3].tensor))


def _input_types(
    dims: Dims, dtype: DType, device: DeviceRef, matrices: DType, n_tokens: str | int
) -> list[TensorType | BufferType]:
    return [
        TensorType(DType.int64, ("batch", n_tokens), device),
        TensorType(DType.int64, (1,), DeviceRef.CPU()),  # a slice's start is a host value
        TensorType(DType.float32, (n_tokens, dims.n_text_ctx), device),
        embedding_type(dims, dtype, device, matrices),
        *keys_values_types(dims, dtype, device),
    ]


def embedding_type(dims: Dims, dtype: DType, device: DeviceRef, matrices: DType) -> TensorType:
    """The token embedding (V, C), in the type of the decoder's matrices."""
    of_matrices = matrices if device.is_cpu() else dtype
    return TensorType(of_matrices, ("vocabulary", dims.n_text_state), device)


def keys_values_types(dims: Dims, dtype: DType, device: DeviceRef) -> list[TensorType | BufferType]:
    """Per layer the cross key and value (B, H, S, D), then per layer the cache buffers, key and
    value (B, H, n_text_ctx, D), written in place."""
    heads, width = dims.n_text_head, dims.text_head_width
    cross = TensorType(dtype, ("batch", heads, dims.n_audio_ctx, width), device)
    cache = BufferType(dtype, ("batch", heads, dims.n_text_ctx, width), device)
    return [*[cross] * (2 * dims.n_text_layer), *[cache] * (2 * dims.n_text_layer)]


def _decode(
    scope: Scope, dims: Dims, inputs: Sequence[Value]
) -> tuple[TensorValue, list[TensorValue]]:
    """Tokens at an offset that the host knows -> (B, L, C) and the cross-attention queries."""
    tokens, offset, mask, embedding = (value.tensor for value in inputs[:4])
    n_tokens = tokens.shape[1]
    end = offset[0] + ops.shape_to_tensor(tokens.shape)[1].cast(DType.int64)
    slots = (slice(offset[0], end), n_tokens)
    positions = positional_embedding(scope, dims)[slots, :]
    attended = Attended(mask, append_at(slots), inputs[4:], offset)
    return blocks(scope, dims, embed(scope, embedding, tokens) + positions, attended)


def append_at(slots: tuple[slice, object]) -> Append:
    """Append in place at slots that the host knows: only the new values are copied."""

    def append(buffer: BufferValue, new: TensorValue) -> TensorValue:
        everything = slice(None)
        ops.buffer_store_slice(buffer, new, [everything, everything, slots, everything])
        return ops.buffer_load(buffer)

    return append


def embed(scope: Scope, embedding: TensorValue, tokens: TensorValue) -> TensorValue:
    """embedding (V, C), tokens (B, L) -> (B, L, C)."""
    return ops.gather(embedding, tokens, axis=0).cast(scope.dtype)


def blocks(
    scope: Scope, dims: Dims, x: TensorValue, attended: Attended
) -> tuple[TensorValue, list[TensorValue]]:
    """All blocks and the final norm: embedded tokens (B, L, C) -> (B, L, C), and each layer's
    cross-attention queries (B, H, L, D). A step on a CPU computes each block in one kernel of our
    own, which keeps the queries."""
    queries = []
    is_fused = scope.device.is_cpu() and x.shape[1] == 1
    for layer in range(dims.n_text_layer):
        if is_fused and dims.text_head_width % KERNEL_HEAD_WIDTH == 0:
            x = fused_block(scope, x, dims, layer, attended)
            continue
        x, q = _block(scope, x, dims, layer, attended)
        queries.append(q)
    return scope.layer_norm(x, "decoder.ln", dims.n_text_state), queries


def _block(
    scope: Scope, x: TensorValue, dims: Dims, layer: int, attended: Attended
) -> tuple[TensorValue, TensorValue]:
    """Pre-norm causal self-attention over the cache, cross-attention, then the MLP -> (B, L, C)
    and the queries of the cross-attention (B, H, L, D)."""
    name, n_state, n_head = f"decoder.blocks.{layer}", dims.n_text_state, dims.n_text_head
    cross_k, cross_v, cache_k, cache_v = attended.of_layer(layer)

    h = scope.layer_norm(x, f"{name}.attn_ln", n_state)
    qkv = scope.skinny_linear(h, f"{name}.attn.qkv", n_state, 3 * n_state)
    q, k, v = (split_heads(part, n_head) for part in ops.chunk(qkv, 3, axis=2))
    h = merge_heads(
        attention(q, attended.append(cache_k, k), attended.append(cache_v, v), attended.mask)
    )
    x = x + scope.skinny_linear(h, f"{name}.attn.out", n_state, n_state)

    h = scope.layer_norm(x, f"{name}.cross_attn_ln", n_state)
    q = split_heads(scope.skinny_linear(h, f"{name}.cross_attn.query", n_state, n_state), n_head)
    h = merge_heads(attention(q, cross_k, cross_v))
    x = x + scope.skinny_linear(h, f"{name}.cross_attn.out", n_state, n_state)

    h = scope.layer_norm(x, f"{name}.mlp_ln", n_state)
    return x + scope.mlp(h, f"{name}.mlp", n_state, skinny=True), q


def fused_block(
    scope: Scope, x: TensorValue, dims: Dims, layer: int, attended: Attended
) -> TensorValue:
    """`_block` for one token, (B, 1, C) -> (B, 1, C), in a kernel of our own for CPUs."""
    name, n_state = f"decoder.blocks.{layer}", dims.n_text_state
    weights = [
        *scope.norm_weights(f"{name}.attn_ln", n_state),
        *scope.skinny_weights(f"{name}.attn.qkv", n_state, 3 * n_state),
        *scope.skinny_weights(f"{name}.attn.out", n_state, n_state),
        *scope.norm_weights(f"{name}.cross_attn_ln", n_state),
        *scope.skinny_weights(f"{name}.cross_attn.query", n_state, n_state),
        *scope.skinny_weights(f"{name}.cross_attn.out", n_state, n_state),
        *scope.norm_weights(f"{name}.mlp_ln", n_state),
        *scope.skinny_weights(f"{name}.mlp.0", n_state, 4 * n_state),
        *scope.skinny_weights(f"{name}.mlp.2", 4 * n_state, n_state),
    ]
    flat = x.reshape((x.shape[0], n_state))
    inputs = [flat, attended.position, *weights, *attended.of_layer(layer)]
    (out,) = ops.inplace_custom(
        "maxwhisper_decoder_layer",
        scope.device,
        inputs,
        [flat.type],
        {"width": dims.text_head_width},
    )
    return out.tensor.reshape(x.shape)


def positional_embedding(scope: Scope, dims: Dims) -> TensorValue:
    """(n_text_ctx, C)."""
    return scope.weight("decoder.positional_embedding", dims.n_text_ctx, dims.n_text_state)


def logits(x: TensorValue, embedding: TensorValue) -> TensorValue:
    """x (B, R, C), embedding (V, C) -> (B, R, V): the output projection is the token embedding
    (model.py:246).

    On a GPU it is computed as embedding @ x^T, which needs no transposed copy of the embedding.
    """
    if x.device.is_cpu():
        return skinny_matmul(x, embedding)
    batch, rows, n_state = x.shape
    columns = ops.transpose(x.reshape((-1, n_state)), 0, 1)
    rows_last = ops.transpose(embedding @ columns, 0, 1)
    return rows_last.reshape((batch, rows, embedding.shape[0])).cast(DType.float32)
