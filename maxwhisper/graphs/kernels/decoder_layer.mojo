"""A whole layer of the decoder for one new token of each row, on a CPU: (B, C) -> (B, C).

Apart, the layer's operations are short: starting the threads for each takes a seventh of a small
network's step, and MAX's threads look for work on after each start, at the expense of whatever
comes next. Here they start once and share the chunks of twelve phases.

Keys and values of the new token are written to the caches at its position. Attention reads the
caches up to it.

Source: openai/whisper model.py:142-171 (ResidualAttentionBlock).
"""

import extensibility
from extensibility import InputTensor, OutputTensor
from extensibility import _MutableInputTensor as MutableInputTensor
from max.algorithm import sync_parallelize
from max.algorithm.backend.cpu.parallelize import parallelism_level
from max.gpu.host import DeviceContext
from std.math import ceildiv, erf, exp, sqrt
from std.sys.info import simd_width_of

from .attend import attend
from .crew import Crew
from .skinny_matmul import COLUMNS, WORK_PER_THREAD, columns

comptime LANES = simd_width_of[DType.float32]()
comptime Lanes = SIMD[DType.float32, LANES]
comptime EPSILON = Float32(1e-5)
comptime N_PHASES = 12
comptime CHUNKS_PER_THREAD = 4  # of a product: threads that start late take fewer
comptime KEYS_PER_CHUNK = 192  # of the audio


@always_inline
def normalize[
    x_origin: Origin,
    gamma_origin: Origin,
    beta_origin: Origin,
    output_origin: MutOrigin,
    //,
](
    x: Pointer[Float32, x_origin],
    gamma: Pointer[Float32, gamma_origin],
    beta: Pointer[Float32, beta_origin],
    output: Pointer[Float32, output_origin],
    depth: Int,
):
    """Layer norm of one row."""
    var sums = Lanes(0)
    for k in range(0, depth, LANES):
        sums += x.unsafe_load[width=LANES](k)
    var mean = sums.reduce_add() / Float32(depth)
    var squares = Lanes(0)
    for k in range(0, depth, LANES):
        var apart = x.unsafe_load[width=LANES](k) - mean
        squares = apart.fma(apart, squares)
    var scale = 1 / sqrt(squares.reduce_add() / Float32(depth) + EPSILON)
    for k in range(0, depth, LANES):
        var apart = (x.unsafe_load[width=LANES](k) - mean) * scale
        var moved = apart.fma(gamma.unsafe_load[width=LANES](k), beta.unsafe_load[width=LANES](k))
        output.unsafe_store(k, moved)


@always_inline
def product[
    dtype: DType,
    x_origin: Origin,
    w_origin: Origin,
    bias_origin: Origin,
    output_origin: MutOrigin,
    //,
](
    first: Int,
    stop: Int,
    n_rows: Int,
    x: Pointer[Float32, x_origin],
    w: Pointer[Scalar[dtype], w_origin],
    bias: Pointer[Float32, bias_origin],
    output: Pointer[Float32, output_origin],
    depth: Int,
    n_columns: Int,
):
    """Columns first..stop of x @ w^T + bias."""
    for column in range(first, stop, COLUMNS):
        columns(
            n_rows,
            x,
            w.unsafe_offset(column * depth),
            bias.unsafe_offset(column),
            output.unsafe_offset(column),
            depth,
            n_columns,
            True,
        )


@always_inline
def add[
    a_origin: Origin, output_origin: MutOrigin, //
](
    first: Int,
    stop: Int,
    n_rows: Int,
    a: Pointer[Float32, a_origin],
    output: Pointer[Float32, output_origin],
    n_columns: Int,
):
    """Add `a` to columns first..stop of the output."""
    for row in range(n_rows):
        for column in range(row * n_columns + first, row * n_columns + stop, COLUMNS):
            var sums = output.unsafe_load[width=COLUMNS](column)
            output.unsafe_store(column, a.unsafe_load[width=COLUMNS](column) + sums)


@always_inline
def gelu[
    output_origin: MutOrigin, //
](
    first: Int,
    stop: Int,
    n_rows: Int,
    output: Pointer[Float32, output_origin],
    n_columns: Int,
):
    """The exact GELU of columns first..stop."""
    for row in range(n_rows):
        for column in range(row * n_columns + first, row * n_columns + stop, COLUMNS):
            var x = output.unsafe_load[width=COLUMNS](column)
            output.unsafe_store(column, 0.5 * x * (1 + erf(x * Float32(0.7071067811865476))))


@extensibility.register("maxwhisper_decoder_layer")
struct DecoderLayer:
    @staticmethod
    def execute[
        target: StaticString,
        width: Int,
    ](
        output: OutputTensor[dtype=DType.float32, rank=2, ...],
        x: InputTensor[dtype=DType.float32, rank=2, ...],
        position: InputTensor[dtype=DType.int64, rank=1, ...],
        attn_gamma: InputTensor[dtype=DType.float32, rank=1, ...],
        attn_beta: InputTensor[dtype=DType.float32, rank=1, ...],
        qkv_w: InputTensor[rank=2, ...],
        qkv_b: InputTensor[dtype=DType.float32, rank=1, ...],
        out_w: InputTensor[rank=2, ...],
        out_b: InputTensor[dtype=DType.float32, rank=1, ...],
        cross_gamma: InputTensor[dtype=DType.float32, rank=1, ...],
        cross_beta: InputTensor[dtype=DType.float32, rank=1, ...],
        query_w: InputTensor[rank=2, ...],
        query_b: InputTensor[dtype=DType.float32, rank=1, ...],
        cross_out_w: InputTensor[rank=2, ...],
        cross_out_b: InputTensor[dtype=DType.float32, rank=1, ...],
        mlp_gamma: InputTensor[dtype=DType.float32, rank=1, ...],
        mlp_beta: InputTensor[dtype=DType.float32, rank=1, ...],
        up_w: InputTensor[rank=2, ...],
        up_b: InputTensor[dtype=DType.float32, rank=1, ...],
        down_w: InputTensor[rank=2, ...],
        down_b: InputTensor[dtype=DType.float32, rank=1, ...],
        audio_keys: InputTensor[dtype=DType.float32, rank=4, ...],
        audio_values: InputTensor[dtype=DType.float32, rank=4, ...],
        keys: MutableInputTensor[dtype=DType.float32, rank=4, ...],
        values: MutableInputTensor[dtype=DType.float32, rank=4, ...],
        ctx: DeviceContext,
    ) raises:
        comptime assert width % LANES == 0, "a head's width must be a multiple of the vector width"
        var n_rows = x.dim_size(0)
        var n_state = x.dim_size(1)
        var n_heads = n_state // width
        var n_audio = audio_keys.dim_size(2)
        var n_slots = keys.dim_size(2)
        var here = Int(position.unsafe_ptr().unsafe_load(0))

        var x_ptr = x.unsafe_ptr()
        var output_ptr = output.unsafe_ptr()
        var attn_gamma_ptr = attn_gamma.unsafe_ptr()
        var attn_beta_ptr = attn_beta.unsafe_ptr()
        var qkv_w_ptr = qkv_w.unsafe_ptr()
        var qkv_b_ptr = qkv_b.unsafe_ptr()
        var out_w_ptr = out_w.unsafe_ptr()
        var out_b_ptr = out_b.unsafe_ptr()
        var cross_gamma_ptr = cross_gamma.unsafe_ptr()
        var cross_beta_ptr = cross_beta.unsafe_ptr()
        var query_w_ptr = query_w.unsafe_ptr()
        var query_b_ptr = query_b.unsafe_ptr()
        var cross_out_w_ptr = cross_out_w.unsafe_ptr()
        var cross_out_b_ptr = cross_out_b.unsafe_ptr()
        var mlp_gamma_ptr = mlp_gamma.unsafe_ptr()
        var mlp_beta_ptr = mlp_beta.unsafe_ptr()
        var up_w_ptr = up_w.unsafe_ptr()
        var up_b_ptr = up_b.unsafe_ptr()
        var down_w_ptr = down_w.unsafe_ptr()
        var down_b_ptr = down_b.unsafe_ptr()
        var audio_keys_ptr = audio_keys.unsafe_ptr()
        var audio_values_ptr = audio_values.unsafe_ptr()
        var keys_ptr = keys.unsafe_ptr()
        var values_ptr = values.unsafe_ptr()

        # Products per row: 14 C^2 of the weights, and two of each head with each slot and frame.
        var n_products = n_rows * n_state * (14 * n_state + 2 * (n_audio + here + 1))
        var n_tasks = min(parallelism_level(None), ceildiv(n_products, WORK_PER_THREAD))

        var n_parts = ceildiv(n_audio, KEYS_PER_CHUNK)
        var part_size = width + 2
        var n_row_heads = n_rows * n_heads
        var size = n_rows * n_state
        var normed_row = List[Float32](length=size, fill=0)
        var qkv_row = List[Float32](length=3 * size, fill=0)
        var attended_row = List[Float32](length=size, fill=0)
        var stream_row = List[Float32](length=size, fill=0)
        var query_row = List[Float32](length=size, fill=0)
        var hidden_row = List[Float32](length=4 * size, fill=0)
        var found_parts = List[Float32](length=n_row_heads * (n_parts + 1) * part_size, fill=0)
        var normed = normed_row.unsafe_ptr()
        var qkv = qkv_row.unsafe_ptr()
        var attended = attended_row.unsafe_ptr()
        var stream = stream_row.unsafe_ptr()  # the residual stream
        var query = query_row.unsafe_ptr()
        var hidden = hidden_row.unsafe_ptr()
        var parts = found_parts.unsafe_ptr()
        var counters = List[Int64](length=2 * N_PHASES, fill=0)
        var crew = Crew(counters.unsafe_ptr())

        def work(task: Int) {imm}:
            var per_chunk = ceildiv(n_state, CHUNKS_PER_THREAD * n_tasks * COLUMNS) * COLUMNS
            var of_state = ceildiv(n_state, per_chunk)
            var of_qkv = ceildiv(3 * n_state, per_chunk)
            var of_hidden = ceildiv(4 * n_state, per_chunk)

            var chunk = crew.take(0)
            while chunk < n_rows:
                var row = chunk * n_state
                normalize(
                    x_ptr.unsafe_offset(row),
                    attn_gamma_ptr,
                    attn_beta_ptr,
                    normed.unsafe_offset(row),
                    n_state,
                )
                crew.finish(0)
                chunk = crew.take(0)
            crew.wait(0, n_rows)

            chunk = crew.take(1)
            while chunk < of_qkv:
                var first = chunk * per_chunk
                var stop = min(first + per_chunk, 3 * n_state)
                product(first, stop, n_rows, normed, qkv_w_ptr, qkv_b_ptr, qkv, n_state, 3 * n_state)
                crew.finish(1)
                chunk = crew.take(1)
            crew.wait(1, of_qkv)

            chunk = crew.take(2)
            while chunk < n_row_heads:
                var row = chunk // n_heads
                var head = chunk % n_heads * width
                var new = qkv.unsafe_offset(row * 3 * n_state + head)
                var cache = chunk * n_slots * width
                var slot = cache + here * width
                for d in range(0, width, LANES):
                    var key = new.unsafe_load[width=LANES](n_state + d)
                    var value = new.unsafe_load[width=LANES](2 * n_state + d)
                    keys_ptr.unsafe_store(slot + d, key)
                    values_ptr.unsafe_store(slot + d, value)
                var found = parts.unsafe_offset((n_row_heads * n_parts + chunk) * part_size)
                attend[width](
                    new,
                    keys_ptr.unsafe_offset(cache),
                    values_ptr.unsafe_offset(cache),
                    here + 1,
                    found,
                )
                var total = found.unsafe_load(width)
                var to = attended.unsafe_offset(row * n_state + head)
                for d in range(0, width, LANES):
                    to.unsafe_store(d, found.unsafe_load[width=LANES](d) / total)
                crew.finish(2)
                chunk = crew.take(2)
            crew.wait(2, n_row_heads)

            chunk = crew.take(3)
            while chunk < of_state:
                var first = chunk * per_chunk
                var stop = min(first + per_chunk, n_state)
                product(first, stop, n_rows, attended, out_w_ptr, out_b_ptr, stream, n_state, n_state)
                add(first, stop, n_rows, x_ptr, stream, n_state)
                crew.finish(3)
                chunk = crew.take(3)
            crew.wait(3, of_state)

            chunk = crew.take(4)
            while chunk < n_rows:
                var row = chunk * n_state
                normalize(
                    stream.unsafe_offset(row),
                    cross_gamma_ptr,
                    cross_beta_ptr,
                    normed.unsafe_offset(row),
                    n_state,
                )
                crew.finish(4)
                chunk = crew.take(4)
            crew.wait(4, n_rows)

            chunk = crew.take(5)
            while chunk < of_state:
                var first = chunk * per_chunk
                var stop = min(first + per_chunk, n_state)
                product(first, stop, n_rows, normed, query_w_ptr, query_b_ptr, query, n_state, n_state)
                crew.finish(5)
                chunk = crew.take(5)
            crew.wait(5, of_state)

            chunk = crew.take(6)
            while chunk < n_row_heads * n_parts:
                var row_head = chunk // n_parts
                var first = chunk % n_parts * KEYS_PER_CHUNK
                var audio = (row_head * n_audio + first) * width
                attend[width](
                    query.unsafe_offset(row_head * width),
                    audio_keys_ptr.unsafe_offset(audio),
                    audio_values_ptr.unsafe_offset(audio),
                    min(KEYS_PER_CHUNK, n_audio - first),
                    parts.unsafe_offset(chunk * part_size),
                )
                crew.finish(6)
                chunk = crew.take(6)
            crew.wait(6, n_row_heads * n_parts)

            chunk = crew.take(7)
            while chunk < n_row_heads:
                var of_head = parts.unsafe_offset(chunk * n_parts * part_size)
                var largest = Float32.MIN_FINITE
                for part in range(n_parts):
                    largest = max(largest, of_head.unsafe_load(part * part_size + width + 1))
                var total = Float32(0)
                var sums = SIMD[DType.float32, width](0)
                for part in range(n_parts):
                    var of_part = of_head.unsafe_offset(part * part_size)
                    var weight = exp(of_part.unsafe_load(width + 1) - largest)
                    total += weight * of_part.unsafe_load(width)
                    sums += weight * of_part.unsafe_load[width=width]()
                attended.unsafe_store(chunk * width, sums / total)
                crew.finish(7)
                chunk = crew.take(7)
            crew.wait(7, n_row_heads)

            chunk = crew.take(8)
            while chunk < of_state:
                var first = chunk * per_chunk
                var stop = min(first + per_chunk, n_state)
                # The query is read no more: the sum of this phase takes its place.
                product(
                    first, stop, n_rows, attended, cross_out_w_ptr, cross_out_b_ptr, query, n_state, n_state
                )
                add(first, stop, n_rows, stream, query, n_state)
                crew.finish(8)
                chunk = crew.take(8)
            crew.wait(8, of_state)

            chunk = crew.take(9)
            while chunk < n_rows:
                var row = chunk * n_state
                normalize(
                    query.unsafe_offset(row),
                    mlp_gamma_ptr,
                    mlp_beta_ptr,
                    normed.unsafe_offset(row),
                    n_state,
                )
                crew.finish(9)
                chunk = crew.take(9)
            crew.wait(9, n_rows)

            chunk = crew.take(10)
            while chunk < of_hidden:
                var first = chunk * per_chunk
                var stop = min(first + per_chunk, 4 * n_state)
                product(first, stop, n_rows, normed, up_w_ptr, up_b_ptr, hidden, n_state, 4 * n_state)
                gelu(first, stop, n_rows, hidden, 4 * n_state)
                crew.finish(10)
                chunk = crew.take(10)
            crew.wait(10, of_hidden)

            chunk = crew.take(11)
            while chunk < of_state:
                var first = chunk * per_chunk
                var stop = min(first + per_chunk, n_state)
                product(
                    first, stop, n_rows, hidden, down_w_ptr, down_b_ptr, output_ptr, 4 * n_state, n_state
                )
                add(first, stop, n_rows, query, output_ptr, n_state)
                crew.finish(11)
                chunk = crew.take(11)
            crew.wait(11, of_state)

        sync_parallelize(work, n_tasks)
