"""Multiply a few rows by a large matrix on a CPU: x (R, K) @ w (N, K)^T + bias (N,) -> (R, N).

A decoder step consists almost entirely of such products. Reading `w` takes nearly all of their
time, so `w` may be stored in float16, as in Whisper's checkpoints. It is widened to float32 in
registers, which is exact.

Input: x and bias float32, w float16 or float32, all row-major; K is a multiple of LANES. An empty
bias adds nothing.
Output: float32. Sums are kept per lane and added at the end.
"""

import extensibility
from extensibility import InputTensor, OutputTensor
from max.algorithm import sync_parallelize
from max.algorithm.backend.cpu.parallelize import parallelism_level
from max.gpu.host import DeviceContext
from std.math import ceildiv
from std.sys.info import simd_width_of

comptime LANES = simd_width_of[DType.float32]()
comptime COLUMNS = 4  # rows of w per tile
comptime ROWS = 2  # rows of x per tile; the tile's sums stay in registers
comptime WORK_PER_THREAD = 1 << 17  # multiplications: about 10 us, the cost of starting a thread


@always_inline
def columns[
    dtype: DType,
    x_origin: Origin,
    w_origin: Origin,
    bias_origin: Origin,
    output_origin: MutOrigin,
    //,
](
    n_rows: Int,
    x: Pointer[Float32, x_origin],
    w: Pointer[Scalar[dtype], w_origin],
    bias: Pointer[Float32, bias_origin],
    output: Pointer[Float32, output_origin],
    depth: Int,
    n_columns: Int,
    has_bias: Bool,
):
    """Multiply all rows of x by COLUMNS rows of w: ROWS at a time, then the rest one by one."""
    var first = 0
    comptime for rows in [ROWS, 1]:
        while first + rows <= n_rows:
            var sums = Array[SIMD[DType.float32, LANES], rows * COLUMNS](fill=0)
            for k in range(0, depth, LANES):
                comptime for c in range(COLUMNS):
                    var wide = w.unsafe_load[width=LANES](c * depth + k).cast[DType.float32]()
                    comptime for r in range(rows):
                        var here = x.unsafe_load[width=LANES]((first + r) * depth + k)
                        sums[r * COLUMNS + c] = wide.fma(here, sums[r * COLUMNS + c])
            comptime for r in range(rows):
                comptime for c in range(COLUMNS):
                    var total = sums[r * COLUMNS + c].reduce_add()
                    if has_bias:
                        total += bias.unsafe_load(c)
                    output.unsafe_store((first + r) * n_columns + c, total)
            first += rows


@extensibility.register("maxwhisper_skinny_matmul")
struct SkinnyMatmul:
    @staticmethod
    def execute[
        target: StaticString,
    ](
        output: OutputTensor[dtype=DType.float32, rank=2, ...],
        x: InputTensor[dtype=DType.float32, rank=2, ...],
        w: InputTensor[rank=2, ...],
        bias: InputTensor[dtype=DType.float32, rank=1, ...],
        ctx: DeviceContext,
    ) raises:
        var n_rows = x.dim_size(0)
        var depth = x.dim_size(1)
        var n_columns = w.dim_size(0)
        var has_bias = bias.dim_size(0) > 0
        var x_ptr = x.unsafe_ptr()
        var w_ptr = w.unsafe_ptr()
        var bias_ptr = bias.unsafe_ptr()
        var output_ptr = output.unsafe_ptr()
        if depth % LANES or n_columns < COLUMNS:
            raise Error("expected a depth that is a multiple of the vector width, and at least four columns")

        var n_tiles = ceildiv(n_columns, COLUMNS)
        var n_useful = ceildiv(n_rows * n_columns * depth, WORK_PER_THREAD)
        var n_tasks = min(parallelism_level(None), n_useful)
        var share = ceildiv(n_tiles, n_tasks)

        def work(task: Int) {imm}:
            for t in range(task * share, min(n_tiles, (task + 1) * share)):
                # The last tile overlaps the one before it; both write the same values there.
                var column = min(t * COLUMNS, n_columns - COLUMNS)
                columns(
                    n_rows,
                    x_ptr,
                    w_ptr.unsafe_offset(column * depth),
                    bias_ptr.unsafe_offset(column),
                    output_ptr.unsafe_offset(column),
                    depth,
                    n_columns,
                    has_bias,
                )

        sync_parallelize(work, n_tasks)
