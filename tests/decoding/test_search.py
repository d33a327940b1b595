"""Greedy search on a scripted decoder: when it stops, what it adds up, what it never forgets."""

import math

import numpy as np
import pytest

from maxwhisper.clock import StageClock
from maxwhisper.decoding.search import greedy_search
from maxwhisper.decoding.window import compression_ratio, initial_tokens, sample_len
from maxwhisper.dims import Dims
from maxwhisper.options import TranscribeOptions
from maxwhisper.tokenizer import get_tokenizer

DIMS = Dims(80, 1500, 64, 1, 1, 51_864, 448, 64, 1, 1)
TOKENIZER = get_tokenizer(DIMS)


class ScriptedDecoder:
    """Says each row's script token by token, with probability 0.5; then end of text."""

    def __init__(self, scripts):
        self.scripts, self.position, self.steps = scripts, 0, []

    def _logits(self):
        logits = np.full((len(self.scripts), DIMS.n_vocab), -50.0, np.float32)
        for row, script in zip(logits, self.scripts, strict=True):
            token = script[self.position] if self.position < len(script) else TOKENIZER.eot
            row[token] = row[TOKENIZER.no_speech] = 1.0  # two tokens share all probability
        return logits

    def prefill(self, tokens, rows):
        return np.stack([self._logits()] * len(rows), axis=1)

    def step(self, tokens):
        self.steps.append(tokens.tolist())
        self.position += 1
        return self._logits()


class ForbidNoSpeech:
    def apply(self, logits, sampled):
        logits[:, TOKENIZER.no_speech] = -np.inf


def search(scripts, most=224, prompt=(), rules=None):
    decoder = ScriptedDecoder(scripts)
    first = initial_tokens(TOKENIZER, TranscribeOptions(), prompt, DIMS)
    clock = StageClock()
    rules = rules or (ForbidNoSpeech(),)
    result = greedy_search(decoder, first, len(scripts), rules, TOKENIZER, most, 448, clock)
    assert set(clock.seconds) == {"prefill", "decode"}
    return decoder, result


def test_rows_end_separately():
    decoder, result = search([[5, 6, 7], [8]])
    assert result.tokens == ((5, 6, 7), (8,))
    # A row that ended is fed end of text until the others are done.
    assert decoder.steps == [[5, 8], [6, TOKENIZER.eot], [7, TOKENIZER.eot]]


def test_log_probabilities_are_of_what_the_rules_left():
    assert search([[5]])[1].sum_logprobs == pytest.approx((0.0,), abs=1e-5)


def test_log_probabilities_count_end_of_text_once():
    class Halve:
        """Leave one rival as likely as the best: log-probability log(1/2) for every token."""

        def apply(self, logits, sampled):
            logits[:, TOKENIZER.no_speech] = -np.inf
            logits[:, 40_000] = 1.0 - 1e-6

    _, result = search([[5, 6, 7], [8]], rules=(Halve(),))
    expected = (4 * math.log(0.5), 2 * math.log(0.5))
    assert result.sum_logprobs == pytest.approx(expected, abs=1e-4)


def test_no_speech_probability_is_unfiltered():
    assert search([[5]])[1].no_speech_probs == pytest.approx((0.5,), abs=1e-5)


def test_sample_len_stops_the_loop():
    decoder, result = search([[5] * 100], most=10)
    assert result.tokens == ((5,) * 10,)
    assert len(decoder.steps) == 9  # the tenth token is not read


def test_a_full_context_stops_the_loop():
    """223 prompt tokens + sot_prev + sot leave room for 223 steps and one unread token."""
    decoder, result = search([[5] * 400], most=400, prompt=[1] * 300)
    assert len(result.tokens[0]) == 448 + 1 - 225
    assert len(decoder.steps) == 448 - 225


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
