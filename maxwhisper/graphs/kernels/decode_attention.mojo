"""Attention of a decoder's one query to many keys, on a CPU: q (B, H, 1, D), k and v (B, H, S, D),
mask (1, S) -> (B, H, 1, D).

It takes as long as it takes to read keys and values, each once and in order. Heads are few, so the
keys of each are split among tasks, whose results are put together by their greatest scores.

In and out: float32, row-major; a head is a multiple of the lanes wide. The mask is added to the
scores, and a key that it hides is not read.
"""

import extensibility
from extensibility import InputTensor, OutputTensor
from max.algorithm import sync_parallelize
from max.algorithm.backend.cpu.parallelize import parallelism_level
from max.gpu.host import DeviceContext
from std.math import ceildiv, exp
from std.sys.info import simd_width_of

comptime LANES = simd_width_of[DType.float32]()
comptime Lanes = SIMD[DType.float32, LANES]
comptime HIDDEN = Float32(-1e29)  # a mask below this leaves nothing of a key
comptime TASKS_A_THREAD = 2


@always_inline
def attend[
    q_origin: Origin,
    keys_origin: Origin,
    values_origin: Origin,
    mask_origin: Origin,
    found_origin: MutOrigin,
    //,
    width: Int,
](
    q: Pointer[Float32, q_origin],
    keys: Pointer[Float32, keys_origin],
    values: Pointer[Float32, values_origin],
    mask: Pointer[Float32, mask_origin],
    length: Int,
    found: Pointer[Float32, found_origin],
):
    """Into `found`: the sum of values, each times exp(score - the greatest), (D,); the sum of those
    weights; the greatest score."""
    comptime parts = width // LANES
    var query = Array[Lanes, parts](fill=0)
    comptime for d in range(parts):
        query[d] = q.unsafe_load[width=LANES](d * LANES) * Float32(width) ** -0.5
    var padded = ceildiv(length, LANES) * LANES
    var score_row = List[Float32](length=padded, fill=Float32.MIN_FINITE)
    var scores = score_row.unsafe_ptr()
    var most = Float32.MIN_FINITE
    for s in range(length):
        var hidden = mask.unsafe_load(s)
        if hidden > HIDDEN:
            var sums = Lanes(0)
            comptime for d in range(parts):
                sums = query[d].fma(keys.unsafe_load[width=LANES](s * width + d * LANES), sums)
            var score = sums.reduce_add() + hidden
            scores.unsafe_store(s, score)
            most = max(most, score)

    var total = Lanes(0)
    for s in range(0, padded, LANES):
        var weights = exp(scores.unsafe_load[width=LANES](s) - most)
        scores.unsafe_store(s, weights)
        total += weights
    var sums = Array[Lanes, parts](fill=0)
    for s in range(length):
        if mask.unsafe_load(s) > HIDDEN:
            var weight = Lanes(scores.unsafe_load(s))
            comptime for d in range(parts):
                var value = values.unsafe_load[width=LANES](s * width + d * LANES)
                sums[d] = weight.fma(value, sums[d])
    comptime for d in range(parts):
        found.unsafe_store(d * LANES, sums[d])
    found.unsafe_store(width, total.reduce_add())
    found.unsafe_store(width + 1, most)


@extensibility.register("maxwhisper_decode_attention")
struct DecodeAttention:
    @staticmethod
    def execute[
        target: StaticString,
        width: Int,
    ](
        output: OutputTensor[dtype=DType.float32, rank=4, ...],
        q: InputTensor[dtype=DType.float32, rank=4, ...],
        k: InputTensor[dtype=DType.float32, rank=4, ...],
        v: InputTensor[dtype=DType.float32, rank=4, ...],
        mask: InputTensor[dtype=DType.float32, rank=2, ...],
        ctx: DeviceContext,
    ) raises:
        comptime assert width % LANES == 0, "a head must be a multiple of a vector wide"
        var n_heads = k.dim_size(0) * k.dim_size(1)
        var length = k.dim_size(2)
        var q_ptr = q.unsafe_ptr()
        var k_ptr = k.unsafe_ptr()
        var v_ptr = v.unsafe_ptr()
        var mask_ptr = mask.unsafe_ptr()
        var splits = ceildiv(TASKS_A_THREAD * parallelism_level(None), n_heads)
        var share = ceildiv(length, splits)
        comptime size = width + 2
        var parts = List[Float32](length=n_heads * splits * size, fill=0)
        var found = parts.unsafe_ptr()

        def work(task: Int) {imm}:
            var head = task // splits
            var first = min(length, task % splits * share)
            attend[width](
                q_ptr.unsafe_offset(head * width),
                k_ptr.unsafe_offset((head * length + first) * width),
                v_ptr.unsafe_offset((head * length + first) * width),
                mask_ptr.unsafe_offset(first),
                min(share, length - first),
                found.unsafe_offset(task * size),
            )

        sync_parallelize(work, n_heads * splits)

        for head in range(n_heads):
            var of_head = found.unsafe_offset(head * splits * size)
            var most = Float32.MIN_FINITE
            for part in range(splits):
                most = max(most, of_head.unsafe_load(part * size + width + 1))
            var total = Float32(0)
            var sums = SIMD[DType.float32, width](0)
            for part in range(splits):
                var here = of_head.unsafe_offset(part * size)
                var weight = exp(here.unsafe_load(width + 1) - most)
                total += weight * here.unsafe_load(width)
                sums += weight * here.unsafe_load[width=width]()
            output.unsafe_ptr().unsafe_store(head * width, sums / total)
