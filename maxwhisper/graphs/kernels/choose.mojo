"""Choose the likeliest token that the timestamp rules allow, on a CPU, from the decoder's last
state: x (R, K) @ w (V, K)^T are the logits.

Each thread takes chunks of the vocabulary. While a chunk's logits are near, it notes their maximum
and their sum of probabilities, for text and for timestamps: the logits are read once and never
stored. `greedy.choose_by_operations` does the same with MAX's operations.

Text tokens come before the first timestamp token. The rules only exclude ranges of the vocabulary:
they move the first allowed text token and the first allowed timestamp. So no mask is needed.

Source: openai/whisper decoding.py:452-505, on probabilities relative to the likeliest token.
"""

import extensibility
from extensibility import InputTensor, OutputTensor
from max.algorithm import sync_parallelize
from max.algorithm.backend.cpu.parallelize import parallelism_level
from max.gpu.host import DeviceContext
from std.math import ceildiv, exp, log
from std.sys.info import simd_width_of
from std.utils.numerics import neg_inf

from .crew import Crew
from .skinny_matmul import COLUMNS, WORK_PER_THREAD, columns

comptime LANES = simd_width_of[DType.float32]()
comptime NEVER = neg_inf[DType.float32]()
comptime CHUNK = 256  # tokens, a multiple of COLUMNS and LANES; the last chunk has up to twice as many


@fieldwise_init
struct Range(TrivialRegisterPassable):
    """The allowed tokens of a kind: the first of the likeliest, its logit, and the sum of
    exp(logit - that logit)."""

    var token: Int
    var logit: Float32
    var total: Float32

    @always_inline
    def joined(self, other: Self) -> Self:
        """With the tokens of `other`, which come later."""
        if other.logit == NEVER:
            return self
        if self.logit == NEVER:
            return other
        var peak = max(self.logit, other.logit)
        var total = self.total * exp(self.logit - peak) + other.total * exp(other.logit - peak)
        return Range(other.token if other.logit > self.logit else self.token, peak, total)


@fieldwise_init
struct Rules(TrivialRegisterPassable):
    """What a row allows: text from `text` to `end_of_text`, timestamps from `time` on."""

    var text: Int
    var end_of_text: Int
    var time: Int
    var has_ended: Bool


@always_inline
def rules_of(token: Int, before: Int, latest: Int, eot: Int, begin: Int, n_vocab: Int) -> Rules:
    """The rules after `token` and the one before it, when `latest` was the latest timestamp."""
    var was_time = token >= begin
    var was_pair = before >= begin
    var closed = was_time and not was_pair  # text was closed: a second timestamp or the end follows
    var time = max(begin, latest if closed else latest + 1)
    if time > n_vocab or (was_time and was_pair):
        time = n_vocab
    return Rules(eot if closed else 0, min(begin, n_vocab), time, token == eot)


@always_inline
def scan[
    logits_origin: MutOrigin, forbidden_origin: Origin, //
](
    logits: Pointer[Float32, logits_origin],
    forbidden: Pointer[Float32, forbidden_origin],
    start: Int,
    first: Int,
    stop: Int,
) -> Range:
    """Tokens first..stop of a chunk that begins with token `start`; `forbidden` is of token 0."""
    if first >= stop:
        return Range(first, NEVER, 0)
    var largest = SIMD[DType.float32, LANES](NEVER)
    var token = first
    while token + LANES <= stop:
        var allowed = logits.unsafe_load[width=LANES](token - start)
        largest = max(largest, allowed + forbidden.unsafe_load[width=LANES](token))
        token += LANES
    var peak = largest.reduce_max()
    while token < stop:
        peak = max(peak, logits.unsafe_load(token - start) + forbidden.unsafe_load(token))
        token += 1
    if peak == NEVER:
        return Range(first, NEVER, 0)
    var found = stop
    var sums = SIMD[DType.float32, LANES](0)
    token = first
    while token + LANES <= stop:
        var allowed = logits.unsafe_load[width=LANES](token - start)
        var shares = exp(allowed + forbidden.unsafe_load[width=LANES](token) - peak)
        if found == stop and shares.reduce_max() == 1:
            found = token
        sums += shares
        token += LANES
    var total = sums.reduce_add()
    while token < stop:
        total += exp(logits.unsafe_load(token - start) + forbidden.unsafe_load(token) - peak)
        token += 1
    if found == stop:  # in the last tokens, which fill no vector
        found = max(first, stop - LANES)
    while found < stop - 1 and (
        logits.unsafe_load(found - start) + forbidden.unsafe_load(found) != peak
    ):
        found += 1
    return Range(found, peak, total)


@extensibility.register("maxwhisper_choose")
struct Choose:
    @staticmethod
    def execute[
        target: StaticString,
    ](
        chosen: OutputTensor[dtype=DType.int64, rank=2, ...],
        logprob: OutputTensor[dtype=DType.float32, rank=2, ...],
        x: InputTensor[dtype=DType.float32, rank=2, ...],
        w: InputTensor[rank=2, ...],
        forbidden: InputTensor[dtype=DType.float32, rank=1, ...],
        last: InputTensor[dtype=DType.int64, rank=2, ...],
        bounds: InputTensor[dtype=DType.int64, rank=1, ...],
        ctx: DeviceContext,
    ) raises:
        var n_rows = x.dim_size(0)
        var depth = x.dim_size(1)
        var n_vocab = w.dim_size(0)
        if depth % LANES or n_vocab < COLUMNS:
            raise Error("expected a depth that is a multiple of the vector width, and at least four tokens")
        var chosen_ptr = chosen.unsafe_ptr()
        var logprob_ptr = logprob.unsafe_ptr()
        var x_ptr = x.unsafe_ptr()
        var w_ptr = w.unsafe_ptr()
        var forbidden_ptr = forbidden.unsafe_ptr()
        var last_ptr = last.unsafe_ptr()
        var eot = Int(bounds.unsafe_ptr().unsafe_load(0))
        var begin = Int(bounds.unsafe_ptr().unsafe_load(1))

        var rules = List[Rules]()
        for row in range(n_rows):
            rules.append(
                rules_of(
                    Int(last_ptr.unsafe_load(3 * row)),
                    Int(last_ptr.unsafe_load(3 * row + 1)),
                    Int(last_ptr.unsafe_load(3 * row + 2)),
                    eot,
                    begin,
                    n_vocab,
                )
            )
        var rules_ptr = rules.unsafe_ptr()
        var n_chunks = max(1, n_vocab // CHUNK)
        var nothing = Range(0, NEVER, 0)
        var of_text = List[Range](length=n_chunks * n_rows, fill=nothing)
        var of_times = List[Range](length=n_chunks * n_rows, fill=nothing)
        var text_ptr = of_text.unsafe_ptr()
        var times_ptr = of_times.unsafe_ptr()
        var n_tasks = min(
            parallelism_level(None), ceildiv(n_rows * n_vocab * depth, WORK_PER_THREAD)
        )
        var counters = List[Int64](length=2, fill=0)
        var crew = Crew(counters.unsafe_ptr())

        def work(task: Int) {imm}:
            var logits_of_chunk = List[Float32](length=n_rows * 2 * CHUNK, fill=0)
            var logits = logits_of_chunk.unsafe_ptr()
            var chunk = crew.take(0)
            while chunk < n_chunks:
                var first = chunk * CHUNK
                var stop = n_vocab if chunk == n_chunks - 1 else first + CHUNK
                for column in range(first, stop, COLUMNS):
                    # The last columns overlap those before; both write the same values there.
                    var token = min(column, stop - COLUMNS)
                    columns(
                        n_rows,
                        x_ptr,
                        w_ptr.unsafe_offset(token * depth),
                        x_ptr,
                        logits.unsafe_offset(token - first),
                        depth,
                        2 * CHUNK,
                        False,
                    )
                for row in range(n_rows):
                    var allowed = rules_ptr.unsafe_offset(row)[]
                    var of_row = logits.unsafe_offset(row * 2 * CHUNK)
                    var text = max(first, allowed.text)
                    var end_of_text = min(stop, allowed.end_of_text)
                    var time = max(first, allowed.time)
                    text_ptr.unsafe_offset(chunk * n_rows + row)[] = scan(
                        of_row, forbidden_ptr, first, text, end_of_text
                    )
                    times_ptr.unsafe_offset(chunk * n_rows + row)[] = scan(
                        of_row, forbidden_ptr, first, time, stop
                    )
                chunk = crew.take(0)

        sync_parallelize(work, n_tasks)

        for row in range(n_rows):
            if rules_ptr.unsafe_offset(row)[].has_ended:
                chosen_ptr.unsafe_store(row, Int64(eot))
                logprob_ptr.unsafe_store(row, 0)
                continue
            var text = nothing
            var times = nothing
            for chunk in range(n_chunks):
                text = text.joined(text_ptr.unsafe_offset(chunk * n_rows + row)[])
                times = times.joined(times_ptr.unsafe_offset(chunk * n_rows + row)[])
            # Timestamps are chosen if all of them together are likelier than any text token.
            var likelier = times.logit + log(times.total) > text.logit
            var total = times if likelier else text.joined(times)
            var best = times if likelier or times.logit > text.logit else text
            chosen_ptr.unsafe_store(row, Int64(best.token))
            logprob_ptr.unsafe_store(row, best.logit - total.logit - log(total.total))
