"""The greedy step: read the last token of each row, run the decoder and the logit rules, choose the
next token and store it, all on the device.

Nothing returns to the host, which reads the stored tokens every few steps. The rules are those of
`decoding.rules` that depend only on the last tokens. The numpy rules are the slow twin, and tests
compare the two.
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

from maxwhisper.graphs.decoder import (
    Append,
    Attended,
    append_at,
    blocks,
    embed,
    embedding_type,
    keys_values_types,
    logits,
    positional_embedding,
)
from maxwhisper.graphs.layers import KERNELS, MASKED, Scope
from maxwhisper.network.dims import Dims

GREEDY_STEP = "greedy_step"


def greedy_step_graph(
    module: Module, dims: Dims, dtype: DType, device: DeviceRef, matrices: DType
) -> None:
    """Read the last token of each row, at `position`, and store the next one. No outputs.

    Inputs; all but the rules are changed in place:

    * position (1,) int64: a host value on a CPU; on a GPU the step increments it, because a
      captured step takes no arguments
    * written (B, n_text_ctx) int64: column p holds the token chosen at position p
    * last (B, 3) int64: the last token, the one before it and the last timestamp
    * sum_logprobs (B, 1) float32
    * forbidden (V,) float32: 0 or -inf
    * bounds (2,) int64: the end-of-text token and the first timestamp, which is past the vocabulary
      where timestamps have no rules
    * the token embedding (V, C)
    * then `keys_values_types`
    """
    n_ctx, on_host = dims.n_text_ctx, device.is_cpu()
    types: list[TensorType | BufferType] = [
        (TensorType if on_host else BufferType)(DType.int64, (1,), device),
        BufferType(DType.int64, ("batch", n_ctx), device),
        BufferType(DType.int64, ("batch", 3), device),
        BufferType(DType.float32, ("batch", 1), device),
        TensorType(DType.float32, ("vocabulary",), device),
        TensorType(DType.int64, (2,), device),
        embedding_type(dims, dtype, device, matrices),
        *keys_values_types(dims, dtype, device),
    ]
    with Graph(GREEDY_STEP, input_types=types, module=module, custom_extensions=[KERNELS]) as graph:
        scope = Scope(graph, dtype, device, matrices)
        counter, written, state, sums, forbidden, bounds, table, *keys_values = graph.inputs
        position = counter.tensor if on_host else ops.buffer_load(counter.buffer)
        last = ops.buffer_load(state.buffer)
        slots = _range(n_ctx, device)

        # `attention` warns of a mask made in the graph; it is exact for the one query row here.
        mask = ops.where(slots <= position, _float(0, device), _float(MASKED, device))
        at = slice(position[0], position[0] + 1)
        append = append_at((at, 1)) if on_host else _append_where(slots, position)
        attended = Attended(mask.reshape((1, n_ctx)), append, keys_values, position)
        positions = ops.gather(positional_embedding(scope, dims), position, axis=0)
        embedding = table.tensor
        x, _ = blocks(scope, dims, embed(scope, embedding, last[:, 0:1]) + positions, attended)
        rules = forbidden.tensor, last, bounds.tensor
        if on_host:
            token, logprob = choose(x, embedding, *rules)
        else:
            scores = logits(x, embedding).reshape((last.shape[0], embedding.shape[0]))
            token, logprob = choose_by_operations(scores + rules[0], *rules[1:])

        latest = ops.where(token >= bounds.tensor[1], token, last[:, 2:3])
        ops.buffer_store(state.buffer, ops.concat([token, last[:, 0:1], latest], axis=1))
        ops.buffer_store(sums.buffer, ops.buffer_load(sums.buffer) + logprob)
        here = (slots == position).reshape((1, n_ctx))
        ops.buffer_store(written.buffer, ops.where(here, token, ops.buffer_load(written.buffer)))
        if not on_host:
            ops.buffer_store(counter.buffer, position + 1)
        graph.output()


def choose(
    x: TensorValue, embedding: TensorValue, *rules: TensorValue
) -> tuple[TensorValue, TensorValue]:
    """The likeliest token that the timestamp rules allow and its log-probability, (B, 1) each, by
    our own kernel, which stores no logits. A row that has ended gives end of text with
    log-probability 0.

    Inputs: the decoder's last state x (B, 1, C), embedding (V, C); then the rules: forbidden (V,),
    last (B, 3), bounds (2,).
    """
    batch, _, n_state = x.shape
    out_types = [TensorType(dtype, (batch, 1), x.device) for dtype in (DType.int64, DType.float32)]
    inputs = [x.reshape((batch, n_state)), embedding, *rules]
    token, logprob = ops.custom("maxwhisper_choose", x.device, inputs, out_types)
    return token.tensor, logprob.tensor


def choose_by_operations(
    logits: TensorValue, last: TensorValue, bounds: TensorValue
) -> tuple[TensorValue, TensorValue]:
    """`choose` from logits (B, V) that already are -inf where forbidden.

    Source: openai/whisper decoding.py:452-505, on probabilities relative to the likeliest token.
    """
    device = logits.device
    eot, begin = bounds[0], bounds[1]
    token, before, latest = last[:, 0:1], last[:, 1:2], last[:, 2:3]
    n_vocab = logits.shape[1]
    stop = ops.shape_to_tensor(logits.shape)[1].cast(DType.int64)
    ids = ops.range(0, stop, 1, out_dim=n_vocab, dtype=DType.int64, device=device)
    ids = ids.reshape((1, n_vocab))
    is_time = ids >= begin
    was_time, was_pair = token >= begin, before >= begin
    closed = was_time & ~was_pair  # text was closed: a second timestamp or the end follows
    first_allowed = ops.where(closed, latest, latest + 1)
    barred = (is_time & ((was_time & was_pair) | (ids < first_allowed))) | (closed & (ids < eot))
    never = _float(float("-inf"), device)
    allowed = ops.where(barred, never, logits)

    peak = ops.max(allowed, axis=1)
    shares = ops.exp(allowed - peak)
    of_times = ops.sum(ops.where(is_time, shares, _float(0, device)), axis=1)
    likeliest_text = ops.max(ops.where(is_time, _float(0, device), shares), axis=1)
    prefers_time = of_times > likeliest_text
    allowed = ops.where(prefers_time & ~is_time, never, allowed)
    total = ops.where(prefers_time, of_times, ops.sum(shares, axis=1))

    logprob = ops.max(allowed, axis=1) - peak - ops.log(total)
    ended = token == eot
    chosen = ops.argmax(allowed, axis=1).cast(DType.int64)
    return ops.where(ended, eot, chosen), ops.where(ended, _float(0, device), logprob)


def _append_where(slots: TensorValue, position: TensorValue) -> Append:
    """Append at a position that only the device knows, as a captured step requires. The whole cache
    is read and written, which on a GPU takes about as long as launching a few kernels."""
    here = (slots == position).reshape((1, 1, slots.shape[0], 1))

    def append(buffer: BufferValue, new: TensorValue) -> TensorValue:
        cache = ops.where(here, new, ops.buffer_load(buffer))
        ops.buffer_store(buffer, cache)
        return cache

    return append


def _range(n: int, device: DeviceRef) -> TensorValue:
    return ops.range(0, n, 1, out_dim=n, dtype=DType.int64, device=device)


def _float(value: float, device: DeviceRef) -> TensorValue:
    return ops.constant(value, DType.float32, device=device)
