"""Choose the likeliest token that the timestamp rules allow, on a CPU: one pass over the logits for
the maximum, one for the probabilities. `greedy.choose_by_operations` does the same with MAX's
operations.

Text tokens come before the first timestamp token. The rules only exclude ranges of the vocabulary:
they move the first allowed text token and the first allowed timestamp. So no mask is needed.

Source: openai/whisper decoding.py:452-505, on probabilities relative to the likeliest token.
"""

import extensibility
from extensibility import InputTensor, OutputTensor
from max.algorithm import sync_parallelize
from max.gpu.host import DeviceContext
from std.math import exp, log
from std.sys.info import simd_width_of
from std.utils.numerics import neg_inf

comptime LANES = simd_width_of[DType.float32]()
comptime NEVER = neg_inf[DType.float32]()


@fieldwise_init
struct Row[logits_origin: Origin, forbidden_origin: Origin](TrivialRegisterPassable):
    """The logits of one row, with 0 or -inf added to each."""

    var logits: Pointer[Float32, Self.logits_origin]
    var forbidden: Pointer[Float32, Self.forbidden_origin]

    @always_inline
    def at[width: Int](self, token: Int) -> SIMD[DType.float32, width]:
        var allowed = self.forbidden.unsafe_load[width=width](token)
        return self.logits.unsafe_load[width=width](token) + allowed

    def maximum(self, first: Int, stop: Int) -> Float32:
        """The largest logit of tokens first..stop; -inf if the range is empty."""
        var largest = SIMD[DType.float32, LANES](NEVER)
        var token = first
        while token + LANES <= stop:
            largest = max(largest, self.at[LANES](token))
            token += LANES
        var found = largest.reduce_max()
        while token < stop:
            found = max(found, self.at[1](token))
            token += 1
        return found

    def probability(self, first: Int, stop: Int, peak: Float32) -> Float32:
        """Sum of exp(logit - peak) over tokens first..stop."""
        var sums = SIMD[DType.float32, LANES](0)
        var token = first
        while token + LANES <= stop:
            sums += exp(self.at[LANES](token) - peak)
            token += LANES
        var total = sums.reduce_add()
        while token < stop:
            total += exp(self.at[1](token) - peak)
            token += 1
        return total

    def find(self, value: Float32, first: Int, stop: Int) -> Int:
        """The first of tokens first..stop whose logit is `value`; `first` if there is none."""
        for token in range(first, stop):
            if self.at[1](token) == value:
                return token
        return first


@extensibility.register("maxwhisper_choose")
struct Choose:
    @staticmethod
    def execute[
        target: StaticString,
    ](
        chosen: OutputTensor[dtype=DType.int64, rank=2, ...],
        logprob: OutputTensor[dtype=DType.float32, rank=2, ...],
        logits: InputTensor[dtype=DType.float32, rank=2, ...],
        forbidden: InputTensor[dtype=DType.float32, rank=1, ...],
        last: InputTensor[dtype=DType.int64, rank=2, ...],
        bounds: InputTensor[dtype=DType.int64, rank=1, ...],
        ctx: DeviceContext,
    ) raises:
        var n_vocab = logits.dim_size(1)
        var chosen_ptr = chosen.unsafe_ptr()
        var logprob_ptr = logprob.unsafe_ptr()
        var logits_ptr = logits.unsafe_ptr()
        var forbidden_ptr = forbidden.unsafe_ptr()
        var last_ptr = last.unsafe_ptr()
        var eot = Int(bounds.unsafe_ptr().unsafe_load(0))
        var begin = Int(bounds.unsafe_ptr().unsafe_load(1))

        def work(b: Int) {imm}:
            var token = Int(last_ptr.unsafe_load(3 * b))
            if token == eot:
                chosen_ptr.unsafe_store(b, Int64(eot))
                logprob_ptr.unsafe_store(b, 0)
                return
            var was_time = token >= begin
            var was_pair = Int(last_ptr.unsafe_load(3 * b + 1)) >= begin
            var latest = Int(last_ptr.unsafe_load(3 * b + 2))
            var closed = was_time and not was_pair  # text was closed: a second timestamp or the end follows
            var end_of_text = min(begin, n_vocab)
            var text = eot if closed else 0
            var time = max(begin, latest if closed else latest + 1)
            if time > n_vocab or (was_time and was_pair):
                time = n_vocab

            var row = Row(logits_ptr.unsafe_offset(b * n_vocab), forbidden_ptr)
            var best_text = row.maximum(text, end_of_text)
            var best_time = row.maximum(time, n_vocab)
            var peak = max(best_text, best_time)
            var of_times = row.probability(time, n_vocab, peak)
            var prefers_time = of_times > exp(best_text - peak)
            var total = of_times
            if not prefers_time:
                total += row.probability(text, end_of_text, peak)

            var is_time = prefers_time or best_time > best_text
            var best = best_time if is_time else best_text
            var found = row.find(best, time, n_vocab) if is_time else row.find(
                best, text, end_of_text
            )
            chosen_ptr.unsafe_store(b, Int64(found))
            logprob_ptr.unsafe_store(b, best - peak - log(total))

        sync_parallelize(work, logits.dim_size(0))
