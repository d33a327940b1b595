"""Self-attention over a whole window, on a CPU: qkv (B, S, 3 C) -> (B, S, C), without a mask.

Queries, keys and values are stored side by side, each with its heads side by side, so nothing is
permuted before or after. MAX keeps all S x S scores of all heads, which do not fit into the cache.
This kernel computes the scores of QUERIES rows at a time and overwrites them with the next ones.
Both products keep a tile of ROWS x COLUMNS sums in registers and stream panels of COLUMNS keys, or
of COLUMNS elements of each value, past it.

Input and output: float32, row-major; a head is a multiple of COLUMNS wide. Scores and probabilities
are float32. The maximum score of a row is subtracted before exp().
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
# The sums, a panel's two vectors and a broadcast use 15 of AVX2's 16 registers, 27 of AVX-512's 32.
comptime ROWS = 12 if LANES >= 16 else 6
comptime COLUMNS = 2 * LANES
comptime QUERIES = 24  # rows of scores at once: 144 KB for 1500 positions
comptime TASKS_PER_THREAD = 2  # each task packs its own copy of a head's keys and values


@always_inline
def product[
    a_origin: Origin,
    panel_origin: Origin,
    out_origin: MutOrigin,
    //,
](
    n_rows: Int,
    a: Pointer[Float32, a_origin],
    a_stride: Int,
    panel: Pointer[Float32, panel_origin],
    depth: Int,
    output: Pointer[Float32, out_origin],
    out_stride: Int,
):
    """Write `a` (n_rows, depth) @ `panel` (depth, COLUMNS) to `output` (n_rows, COLUMNS)."""
    var first = 0
    comptime for rows in [ROWS, 1]:
        while first + rows <= n_rows:
            var a_here = a.unsafe_offset(first * a_stride)
            var out_here = output.unsafe_offset(first * out_stride)
            var sums = Array[Lanes, rows * 2](fill=0)
            for k in range(depth):
                var low = panel.unsafe_load[width=LANES](k * COLUMNS)
                var high = panel.unsafe_load[width=LANES](k * COLUMNS + LANES)
                comptime for r in range(rows):
                    var left = Lanes(a_here.unsafe_load(r * a_stride + k))
                    sums[2 * r] = left.fma(low, sums[2 * r])
                    sums[2 * r + 1] = left.fma(high, sums[2 * r + 1])
            comptime for r in range(rows):
                out_here.unsafe_store(r * out_stride, sums[2 * r])
                out_here.unsafe_store(r * out_stride + LANES, sums[2 * r + 1])
            first += rows


@always_inline
def exponentials[
    origin: MutOrigin, //
](scores: Pointer[Float32, origin], length: Int, padded: Int, scale: Float32) -> Float32:
    """Replace each score by exp(scale * (score - maximum)), and by 0 beyond `length`. Return the
    sum."""
    for s in range(length, padded):
        scores.unsafe_store(s, Float32.MIN_FINITE)
    var largest = Lanes(Float32.MIN_FINITE)
    for s in range(0, padded, LANES):
        largest = max(largest, scores.unsafe_load[width=LANES](s))
    var maximum = Lanes(largest.reduce_max())
    var total = Lanes(0)
    for s in range(0, padded, LANES):
        var weight = exp((scores.unsafe_load[width=LANES](s) - maximum) * scale)
        scores.unsafe_store(s, weight)
        total += weight
    return total.reduce_add()


@extensibility.register("maxwhisper_self_attention")
struct SelfAttention:
    @staticmethod
    def execute[
        target: StaticString,
        width: Int,
    ](
        output: OutputTensor[dtype=DType.float32, rank=3, ...],
        qkv: InputTensor[dtype=DType.float32, rank=3, ...],
        ctx: DeviceContext,
    ) raises:
        comptime assert width % COLUMNS == 0, "a head's width must be a multiple of two vectors"
        var batch = qkv.dim_size(0)
        var length = qkv.dim_size(1)
        var stride = qkv.dim_size(2)
        var n_state = stride // 3
        var n_head = n_state // width
        var qkv_ptr = qkv.unsafe_ptr()
        var output_ptr = output.unsafe_ptr()
        var padded = ceildiv(length, COLUMNS) * COLUMNS
        var scale = Float32(width) ** -0.5
        var n_tasks = TASKS_PER_THREAD * parallelism_level(None)
        var splits = ceildiv(n_tasks, batch * n_head)
        var share = ceildiv(ceildiv(length, splits), QUERIES) * QUERIES

        def work(task: Int) {imm}:
            """Compute a share of the queries of one head of one window."""
            var window = task // splits // n_head
            var head = task // splits % n_head
            var first = task % splits * share
            var last = min(length, first + share)
            if first >= last:
                return
            var here = qkv_ptr.unsafe_offset(window * length * stride + head * width)
            var out_here = output_ptr.unsafe_offset(window * length * n_state + head * width)

            var key_panels = List[Float32](length=width * padded, fill=0)
            var value_panels = List[Float32](length=width * length, fill=0)
            var keys = key_panels.unsafe_ptr()
            var values = value_panels.unsafe_ptr()
            for s in range(length):
                var key = here.unsafe_offset(s * stride + n_state)
                var value = here.unsafe_offset(s * stride + 2 * n_state)
                var column = keys.unsafe_offset(s // COLUMNS * COLUMNS * width + s % COLUMNS)
                for d in range(width):
                    column.unsafe_store(d * COLUMNS, key.unsafe_load(d))
                for d in range(0, width, COLUMNS):
                    var part = value.unsafe_load[width=COLUMNS](d)
                    values.unsafe_store(d * length + s * COLUMNS, part)

            var score_rows = List[Float32](length=QUERIES * padded, fill=0)
            var scores = score_rows.unsafe_ptr()
            for q in range(first, last, QUERIES):
                var n = min(QUERIES, last - q)
                var queries = here.unsafe_offset(q * stride)
                var attended = out_here.unsafe_offset(q * n_state)
                for s in range(0, padded, COLUMNS):
                    var panel = keys.unsafe_offset(s * width)
                    product(n, queries, stride, panel, width, scores.unsafe_offset(s), padded)
                var sums = Array[Float32, QUERIES](fill=0)
                for r in range(n):
                    var row = scores.unsafe_offset(r * padded)
                    sums[r] = exponentials(row, length, padded, scale)
                for d in range(0, width, COLUMNS):
                    var panel = values.unsafe_offset(d * length)
                    var part = attended.unsafe_offset(d)
                    product(n, scores, padded, panel, length, part, n_state)
                for r in range(n):
                    for d in range(0, width, LANES):
                        var place = attended.unsafe_offset(r * n_state + d)
                        place.unsafe_store(place.unsafe_load[width=LANES]() / sums[r])

        sync_parallelize(work, batch * n_head * splits)
