"""The decoding loop on a scripted decoder: when it stops, what it sums, and what it keeps."""

import math

import numpy as np
import pytest

from maxwhisper.clock import StageClock
from maxwhisper.decoding.rules import SuppressTokens, TimestampRules
from maxwhisper.decoding.search import Search
from maxwhisper.decoding.strategy import Candidate, Sampling, likeliest
from maxwhisper.decoding.window import compression_ratio, initial_tokens, sample_len
from maxwhisper.errors import NumericError, OptionError
from maxwhisper.network.dims import Dims
from maxwhisper.options import TranscribeOptions
from maxwhisper.text.tokenizer import get_tokenizer

DIMS = Dims(80, 1500, 64, 1, 1, 51_864, 448, 64, 1, 1)
TOKENIZER = get_tokenizer(DIMS)


class ScriptedDecoder:
    """Returns the script of each row token by token with probability 0.5, then end of text."""

    def __init__(self, scripts):
        self.scripts, self.position, self.steps = scripts, 0, []

    def _logits(self):
        logits = np.full((len(self.scripts), DIMS.n_vocab), -50.0, np.float32)
        for row, script in zip(logits, self.scripts, strict=True):
            token = script[self.position] if self.position < len(script) else TOKENIZER.eot
            row[token] = row[TOKENIZER.no_speech] = 1.0  # two tokens share the probability
        return logits

    def prefill(self, tokens, rows):
        return np.stack([self._logits()] * len(rows), axis=1)

    def select(self, rows):
        self.scripts = [self.scripts[row] for row in rows]

    def step(self, tokens):
        self.steps.append(tokens.tolist())
        self.position += 1
        return self._logits()


class ForbidNoSpeech:
    def apply(self, logits, sampled):
        logits[:, TOKENIZER.no_speech] = -np.inf


def searcher(rules, sample_len, strategy=None):
    strategy = strategy or Sampling(TOKENIZER.eot)
    return Search(TOKENIZER, strategy, rules, sample_len, 448, StageClock())


def search(scripts, sample_len=224, prompt=(), rules=None, strategy=None):
    decoder = ScriptedDecoder(scripts)
    first = initial_tokens(TOKENIZER, TranscribeOptions(), prompt, DIMS)
    found = searcher(rules or (ForbidNoSpeech(),), sample_len, strategy)
    result = found.run(decoder, first, len(scripts))
    assert set(found.clock.seconds) == {"prefill", "decode"}
    return decoder, result


def tokens_of(result):
    return tuple(candidate.tokens for (candidate,) in result.candidates)


def sums_of(result):
    return tuple(candidate.sum_logprob for (candidate,) in result.candidates)


def test_rows_end_separately():
    decoder, result = search([[5, 6, 7], [8]])
    assert tokens_of(result) == ((5, 6, 7), (8,))
    # A row that has ended gets end of text until the others are done.
    assert decoder.steps == [[5, 8], [6, TOKENIZER.eot], [7, TOKENIZER.eot]]


def test_log_probabilities_are_of_what_the_rules_left():
    assert sums_of(search([[5]])[1]) == pytest.approx((0.0,), abs=1e-5)


def test_log_probabilities_count_end_of_text_once():
    class Halve:
        """Leave one rival as likely as the best: log-probability log(1/2) for every token."""

        def apply(self, logits, sampled):
            logits[:, TOKENIZER.no_speech] = -np.inf
            logits[:, 40_000] = 1.0 - 1e-6

    _, result = search([[5, 6, 7], [8]], rules=(Halve(),))
    expected = (4 * math.log(0.5), 2 * math.log(0.5))
    assert sums_of(result) == pytest.approx(expected, abs=1e-4)


def test_no_speech_probability_is_unfiltered():
    assert search([[5]])[1].no_speech_probs == pytest.approx((0.5,), abs=1e-5)


def test_sample_len_stops_the_loop():
    decoder, result = search([[5] * 100], sample_len=10)
    assert tokens_of(result) == ((5,) * 10,)
    assert len(decoder.steps) == 9  # the tenth token is not decoded


def test_a_full_context_stops_the_loop():
    """223 prompt tokens + sot_prev + sot leave room for 223 steps and one token that is not
    decoded."""
    decoder, result = search([[5] * 400], sample_len=400, prompt=[1] * 300)
    assert len(tokens_of(result)[0]) == 448 + 1 - 225
    assert len(decoder.steps) == 448 - 225


def test_best_of_samples_every_window_several_times():
    strategy = Sampling(TOKENIZER.eot, 1.0, best_of=3, random=np.random.default_rng(0))
    decoder, result = search([[5, 6], [8]], strategy=strategy)
    assert [len(candidates) for candidates in result.candidates] == [3, 3]
    assert len(decoder.scripts) == 6
    assert {candidate.tokens for candidate in result.candidates[1]} == {(8,)}


def test_sampling_draws_from_the_softmax_at_its_temperature():
    """Two tokens with logits 1 and 0: at t = 0.5 the first has probability 1 / (1 + exp(-2))."""
    logits = np.full((1, 100), -np.inf, np.float32)
    logits[0, 3], logits[0, 4] = 1.0, 0.0
    strategy = Sampling(eot=99, temperature=0.5, random=np.random.default_rng(1))
    empty, zero = np.empty((1, 0), np.int64), np.zeros(1, np.float32)
    moves = [strategy.choose(logits, empty, zero) for _ in range(2000)]
    share = np.mean([move.sampled[0, 0] == 3 for move in moves])
    assert share == pytest.approx(1 / (1 + math.exp(-2)), abs=0.03)
    # The log-probability is still that of temperature 1.
    first = next(move for move in moves if move.sampled[0, 0] == 3)
    assert first.sum_logprobs[0] == pytest.approx(-math.log(1 + math.exp(-1)), abs=1e-6)


def test_the_same_seed_draws_the_same():
    logits = np.zeros((2, 50), np.float32)
    empty, zero = np.empty((2, 0), np.int64), np.zeros(2, np.float32)

    def draw(seed):
        strategy = Sampling(eot=49, temperature=0.8, random=np.random.default_rng(seed))
        return [strategy.choose(logits, empty, zero).sampled.tolist() for _ in range(5)]

    assert draw(3) == draw(3) != draw(4)


def test_ranking_is_the_references():
    from whisper.decoding import MaximumLikelihoodRanker

    rng = np.random.default_rng(0)
    for penalty in (None, 0.0, 0.6, 1.0):
        for _ in range(50):
            candidates = [
                Candidate(tuple(range(rng.integers(1, 12))), float(-rng.uniform(0, 9)))
                for _ in range(5)
            ]
            best = MaximumLikelihoodRanker(penalty).rank(
                [[list(c.tokens) for c in candidates]], [[c.sum_logprob for c in candidates]]
            )[0]
            assert likeliest(candidates, penalty) is candidates[best]


def test_an_empty_candidate_is_ranked_not_a_crash():
    assert likeliest([Candidate((), -1.0), Candidate((1,), -2.0)], None).tokens == ()


def test_nan_logits_are_an_error_that_says_what_to_do():
    class Broken(ScriptedDecoder):
        def _logits(self):
            return super()._logits() * np.nan

    with pytest.raises(NumericError, match="float32"):
        searcher((), 9).run(Broken([[5]]), (TOKENIZER.sot,), 1)


class DeviceDecoder(ScriptedDecoder):
    """Samples on its own; its second row ends with `last_sum`."""

    last_sum = 0.0

    def greedy(self, sampled, sum_logprobs, rules, max_tokens, on_tokens=None):
        sums = np.array([0, self.last_sum], np.float32)
        return np.pad(sampled, ((0, 0), (0, 3)), constant_values=5), sums


@pytest.mark.parametrize("last_sum", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("forbidden", "error"),
    [(range(TOKENIZER.timestamp_begin), OptionError), ((TOKENIZER.no_speech,), NumericError)],
)
def test_no_token_left_and_no_number_are_told_apart_on_a_device_too(forbidden, error, last_sum):
    """After a timestamp text must follow: if all text is forbidden, no token is left."""
    rules = (
        SuppressTokens(tuple(forbidden)),
        TimestampRules(TOKENIZER.eot, TOKENIZER.no_timestamps, TOKENIZER.timestamp_begin, None),
    )
    decoder = DeviceDecoder([[TOKENIZER.timestamp_begin]] * 2)

    def run():
        searcher(rules, 9).run(decoder, (TOKENIZER.sot,), 2)

    run()
    decoder.last_sum = last_sum
    with pytest.raises(error):
        run()


def test_hotwords_share_the_prompts_room():
    def first(prompt, **changes):
        return initial_tokens(TOKENIZER, TranscribeOptions(**changes), prompt, DIMS)

    words = tuple(TOKENIZER.encode(" kernel tensor"))
    assert first((), hotwords="kernel tensor") == (TOKENIZER.sot_prev, *words, TOKENIZER.sot)
    full = first(range(300), hotwords="kernel tensor")
    assert full[1 : 1 + len(words)] == words
    assert len(full) == 1 + 223 + 1
    assert full[-2] == 299
    assert first((), hotwords="", prefix="") == (TOKENIZER.sot,)  # empty text has no tokens


def test_initial_tokens():
    def first(prompt=(), **changes):
        return initial_tokens(TOKENIZER, TranscribeOptions(**changes), prompt, DIMS)

    assert first() == (TOKENIZER.sot,)
    assert first(without_timestamps=True) == (TOKENIZER.sot, TOKENIZER.no_timestamps)
    assert first([1, 2]) == (TOKENIZER.sot_prev, 1, 2, TOKENIZER.sot)
    long = first(range(300))
    assert len(long) == 225
    assert long[1] == 300 - 223


def test_sample_len_defaults_to_half_the_context():
    assert sample_len(TranscribeOptions(), DIMS) == 224
    assert sample_len(TranscribeOptions(sample_len=7), DIMS) == 7


def test_compression_ratio_equals_openai_whisper():
    from whisper.utils import compression_ratio as reference

    for text in ("", "a", "ja " * 50, "Größe, naïve, 日本語"):
        assert compression_ratio(text) == reference(text)
