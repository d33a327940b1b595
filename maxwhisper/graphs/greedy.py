"""The greedy step: one token of every row is read, passed through the decoder and the logit rules,
chosen and written down, all of it on the device.

Nothing comes back to the host, which looks at what was written every few steps. The rules are those
of `decoding.rules` that need no more than the last tokens; numpy's stay the twin, and the tests
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

from maxwhisper.dims import Dims
from maxwhisper.graphs.decoder import (
    Append,
    append_at,
    blocks,
    keys_values_types,
    logits,
    positional_embedding,
)
from maxwhisper.graphs.layers import KERNELS, MASKED, Scope

GREEDY_STEP = "greedy_step"


def greedy_step_graph(
    module: Module, dims: Dims, dtype: DType, device: DeviceRef, matrices: DType
) -> None:
    """Reads the last token of every row, at `position`, and writes the next one. No outputs.

    Inputs, all but the rules changed in place: position (1,) int64, a host value on a CPU and
    counted up here on a GPU, where a captured step gets no arguments; written (B, n_text_ctx)
    int64, whose column p is the token chosen at position p; last (B, 3) int64, the last token, the
    one before it and the last timestamp; sum_logprobs (B, 1) float32; then the rules: forbidden
    (V,) float32, 0 or -inf; bounds (2,) int64, end of text and the first timestamp, which lies past
    the vocabulary where timestamps have no rules. Then `keys_values_types`.
    """
    n_ctx, on_host = dims.n_text_ctx, device.is_cpu()
    types: list[TensorType | BufferType] = [
        (TensorType if on_host else BufferType)(DType.int64, (1,), device),
        BufferType(DType.int64, ("batch", n_ctx), device),
        BufferType(DType.int64, ("batch", 3), device),
        BufferType(DType.float32, ("batch", 1), device),
        TensorType(DType.float32, (dims.n_vocab,), device),
        TensorType(DType.int64, (2,), device),
        *keys_values_types(dims, dtype, device),
    ]
    with Graph(GREEDY_STEP, input_types=types, module=module, custom_extensions=[KERNELS]) as graph:
        scope = Scope(graph, dtype, device, matrices)
        counter, written, state, sums, forbidden, bounds, *keys_values = graph.inputs
        position = counter.tensor if on_host else ops.buffer_load(counter.buffer)
        last = ops.buffer_load(state.buffer)
        slots = _range(n_ctx, device)

        # Made in the graph, where attention warns of it: right for one row, which is all there is.
        mask = ops.where(slots <= position, _float(0, device), _float(MASKED, device))
        at = slice(position[0], position[0] + 1)
        x, _ = blocks(
            scope,
            dims,
            last[:, 0:1],
            ops.gather(positional_embedding(scope, dims), position, axis=0),
            mask.reshape((1, n_ctx)),
            append_at((at, 1)) if on_host else _append_where(slots, position),
            keys_values,
        )
        scores = logits(scope, x, dims).reshape((last.shape[0], dims.n_vocab))
        token, logprob = choose(scores, forbidden.tensor, last, bounds.tensor)

        latest = ops.where(token >= bounds.tensor[1], token, last[:, 2:3])
        ops.buffer_store(state.buffer, ops.concat([token, last[:, 0:1], latest], axis=1))
        ops.buffer_store(sums.buffer, ops.buffer_load(sums.buffer) + logprob)
        here = (slots == position).reshape((1, n_ctx))
        ops.buffer_store(written.buffer, ops.where(here, token, ops.buffer_load(written.buffer)))
        if not on_host:
            ops.buffer_store(counter.buffer, position + 1)
        graph.output()


def choose(
    logits: TensorValue, forbidden: TensorValue, last: TensorValue, bounds: TensorValue
) -> tuple[TensorValue, TensorValue]:
    """logits (B, V), forbidden (V,), last (B, 3), bounds (2,) -> the likeliest token that the
    timestamp rules allow and its log-probability, (B, 1) each; end of text for ever, at no cost, in
    rows that have ended.

    On a CPU our own kernel, which needs no masks as wide as the vocabulary; else MAX's operations.
    """
    if not logits.device.is_cpu():
        return choose_by_operations(logits + forbidden, last, bounds)
    shape = (logits.shape[0], 1)
    out_types = [TensorType(dtype, shape, logits.device) for dtype in (DType.int64, DType.float32)]
    inputs = [logits, forbidden, last, bounds]
    token, logprob = ops.custom("maxwhisper_choose", logits.device, inputs, out_types)
    return token.tensor, logprob.tensor


def choose_by_operations(
    logits: TensorValue, last: TensorValue, bounds: TensorValue
) -> tuple[TensorValue, TensorValue]:
    """`choose`, of logits that are -inf where they are forbidden.

    Source: openai/whisper decoding.py:452-505, on probabilities relative to the likeliest token.
    """
    device = logits.device
    eot, begin = bounds[0], bounds[1]
    token, before, latest = last[:, 0:1], last[:, 1:2], last[:, 2:3]
    ids = _range(logits.shape[1], device).reshape((1, logits.shape[1]))
    is_time = ids >= begin
    was_time, was_pair = token >= begin, before >= begin
    closed = was_time & ~was_pair  # text was closed: another timestamp, or the end
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
    """Appends at a position that only the device knows, as a captured step must: the whole cache is
    read and written, which a GPU does in the time of a few kernels' starts."""
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
