"""Attention of one decoder query to many keys, on a CPU: q (B, H, 1, D), k and v (B, H, S, D),
mask (1, S) -> (B, H, 1, D).

Keys and values are read once and in order, which takes nearly all of the time. There are few heads,
so the keys of each head are split among tasks. Their partial results are combined by their maximum
scores, as in a streaming softmax.

Input and output: float32, row-major; a head is a multiple of LANES wide. The mask is added to the
scores, and a masked key is not read.
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
comptime HIDDEN = Float32(-1e29)  # a key whose mask is below this has weight 0
comptime TASKS_PER_THREAD = 2


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
    """Write to `found`: the weighted sum of the values (D,), where a weight is exp(score - maximum
    score); the sum of the weights; the maximum score."""
    comptime parts = width // LANES
    var query = Array[Lanes, parts](fill=0)
    comptime for d in range(parts):
        query[d] = q.unsafe_load[width=LANES](d * LANES) * Float32(width) ** -0.5
    var padded = ceildiv(length, LANES) * LANES
    var score_row = List[Float32](length=padded, fill=Float32.MIN_FINITE)
    var scores = score_row.unsafe_ptr()
    var largest = Float32.MIN_FINITE
    for s in range(length):
        var hidden = mask.unsafe_load(s)
        if hidden > HIDDEN:
            var sums = Lanes(0)
            comptime for d in range(parts):
                sums = query[d].fma(keys.unsafe_load[width=LANES](s * width + d * LANES), sums)
            var score = sums.reduce_add() + hidden
            scores.unsafe_store(s, score)
            largest = max(largest, score)

    var total = Lanes(0)
    for s in range(0, padded, LANES):
        var weights = exp(scores.unsafe_load[width=LANES](s) - largest)
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
    found.unsafe_store(width + 1, largest)


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
        comptime assert width % LANES == 0, "a head's width must be a multiple of the vector width"
        var n_heads = k.dim_size(0) * k.dim_size(1)
        var length = k.dim_size(2)
        var q_ptr = q.unsafe_ptr()
        var k_ptr = k.unsafe_ptr()
        var v_ptr = v.unsafe_ptr()
        var mask_ptr = mask.unsafe_ptr()
        var splits = ceildiv(TASKS_PER_THREAD * parallelism_level(None), n_heads)
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
            var largest = Float32.MIN_FINITE
            for part in range(splits):
                largest = max(largest, of_head.unsafe_load(part * size + width + 1))
            var total = Float32(0)
            var sums = SIMD[DType.float32, width](0)
            for part in range(splits):
                var here = of_head.unsafe_offset(part * size)
                var weight = exp(here.unsafe_load(width + 1) - largest)
                total += weight * here.unsafe_load(width)
                sums += weight * here.unsafe_load[width=width]()
            output.unsafe_ptr().unsafe_store(head * width, sums / total)
