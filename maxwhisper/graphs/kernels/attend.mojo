"""Attention of one query of one head to some of the keys, on a CPU. Keys and values are read once
and in order, which takes nearly all of the time.

The keys of a head may be split among threads: partial results are combined by their maximum scores,
as in a streaming softmax.
"""

from std.math import ceildiv, exp
from std.sys.info import simd_width_of

comptime LANES = simd_width_of[DType.float32]()
comptime Lanes = SIMD[DType.float32, LANES]


@always_inline
def attend[
    q_origin: Origin,
    keys_origin: Origin,
    values_origin: Origin,
    found_origin: MutOrigin,
    //,
    width: Int,
](
    q: Pointer[Float32, q_origin],
    keys: Pointer[Float32, keys_origin],
    values: Pointer[Float32, values_origin],
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
        var sums = Lanes(0)
        comptime for d in range(parts):
            sums = query[d].fma(keys.unsafe_load[width=LANES](s * width + d * LANES), sums)
        var score = sums.reduce_add()
        scores.unsafe_store(s, score)
        largest = max(largest, score)

    var total = Lanes(0)
    for s in range(0, padded, LANES):
        var weights = exp(scores.unsafe_load[width=LANES](s) - largest)
        scores.unsafe_store(s, weights)
        total += weights
    var sums = Array[Lanes, parts](fill=0)
    for s in range(length):
        var weight = Lanes(scores.unsafe_load(s))
        comptime for d in range(parts):
            var value = values.unsafe_load[width=LANES](s * width + d * LANES)
            sums[d] = weight.fma(value, sums[d])
    comptime for d in range(parts):
        found.unsafe_store(d * LANES, sums[d])
    found.unsafe_store(width, total.reduce_add())
    found.unsafe_store(width + 1, largest)
