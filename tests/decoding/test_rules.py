"""Logit rules one by one: tables of allowed tokens, and openai-whisper's filters as reference."""

import numpy as np
import pytest
import torch

from maxwhisper.decoding.rules import (
    FORBIDDEN,
    ForbidRepeatedRun,
    PenalizeRepetition,
    SuppressBlank,
    SuppressTokens,
    TimestampRules,
    build_rules,
    log_sum_exp,
    suppressed_tokens,
)
from maxwhisper.errors import OptionError
from maxwhisper.evaluation.selftest.text import (
    SITUATIONS,
    count_rule_mistakes,
    count_tokenizer_mistakes,
)
from maxwhisper.network.dims import Dims
from maxwhisper.options import TranscribeOptions
from maxwhisper.text.tokenizer import get_tokenizer

VOCABULARIES = (51_864, 51_865, 51_866)


def dims(n_vocab):
    return Dims(80, 1500, 64, 1, 1, n_vocab, 448, 64, 1, 1)


@pytest.fixture(params=VOCABULARIES)
def tokenizer(request):
    return get_tokenizer(dims(request.param), language="en", task="transcribe")


@pytest.fixture
def openai_tokenizer(tokenizer):
    import whisper.tokenizer

    return whisper.tokenizer.get_tokenizer(
        tokenizer.n_vocab > 51_864,
        num_languages=100 if tokenizer.n_vocab == 51_866 else 99,
        language="en",
        task="transcribe",
    )


def test_timestamp_table(tokenizer):
    assert len(SITUATIONS) >= 10
    assert count_rule_mistakes(tokenizer) == 0


def test_timestamp_table_notices_a_broken_rule(tokenizer, monkeypatch):
    monkeypatch.setattr(TimestampRules, "_keep_order", lambda *_: None)
    assert count_rule_mistakes(tokenizer) > 0


def test_tokenizer_table(tokenizer):
    assert count_tokenizer_mistakes(dims(tokenizer.n_vocab)) == 0


def random_sampling(rng, tokenizer, n_rows):
    """Plausible and implausible histories: text and timestamps in any order, up to 8 tokens."""
    length = int(rng.integers(0, 9))
    text = rng.integers(0, tokenizer.eot, (n_rows, length))
    timestamps = tokenizer.timestamp_begin + np.sort(rng.integers(0, 1501, (n_rows, length)), 1)
    return np.where(rng.random((n_rows, length)) < 0.5, timestamps, text)


@pytest.mark.parametrize("limit_index", [None, 50])
def test_timestamp_rules_equal_openai_whisper(tokenizer, openai_tokenizer, limit_index):
    from whisper.decoding import ApplyTimestampRules

    ours = TimestampRules(
        tokenizer.eot, tokenizer.no_timestamps, tokenizer.timestamp_begin, limit_index
    )
    theirs = ApplyTimestampRules(openai_tokenizer, 3, limit_index)
    rng = np.random.default_rng(0)
    preferred = 0
    for _ in range(12):
        sampled = random_sampling(rng, tokenizer, 3)
        logits = rng.normal(0, 2, (3, tokenizer.n_vocab)).astype(np.float32)
        logits[0, : tokenizer.timestamp_begin] += 10  # text likely, timestamps likely, neither
        logits[1, tokenizer.timestamp_begin :] += 10
        want = torch.from_numpy(logits.copy())
        prompt = np.full((3, 3), tokenizer.sot)
        theirs.apply(want, torch.from_numpy(np.concatenate([prompt, sampled], axis=1)))
        ours.apply(logits, sampled)
        np.testing.assert_array_equal(logits, want.numpy())
        preferred += int(np.isneginf(logits[1, : tokenizer.eot]).all())
    assert preferred > 0  # the last rule was reached


def test_suppress_blank(tokenizer):
    rule = SuppressBlank((220, tokenizer.eot))
    logits = np.zeros((2, tokenizer.n_vocab), np.float32)
    rule.apply(logits, np.empty((2, 0), np.int64))
    assert np.flatnonzero(logits[0]).tolist() == [220, tokenizer.eot]
    later = np.zeros((2, tokenizer.n_vocab), np.float32)
    rule.apply(later, np.zeros((2, 1), np.int64))
    assert not later.any()


def test_a_window_begins_with_no_blank_as_in_openai_whisper(tokenizer, openai_tokenizer):
    from whisper.decoding import SuppressBlank as Theirs

    rules = build_rules(tokenizer, TranscribeOptions(without_timestamps=True, suppress_tokens=None))
    (rule,) = rules
    got, want = np.zeros((2, 1, tokenizer.n_vocab), np.float32)
    rule.apply(got, np.empty((1, 0), np.int64))
    theirs = Theirs(openai_tokenizer, sample_begin=3)
    theirs.apply(torch.from_numpy(want), torch.zeros((1, 3), dtype=torch.int64))
    np.testing.assert_array_equal(got, want)
    assert np.isinf(got).sum() == 2


def test_suppress_tokens():
    logits = np.zeros((2, 10), np.float32)
    SuppressTokens((1, 7)).apply(logits, np.zeros((2, 3), np.int64))
    assert (logits == FORBIDDEN).sum() == 4


@pytest.mark.parametrize("request_", ["-1", "-1,13", "13", "13,30", (-1,), (5, 6)])
def test_suppressed_ids_equal_openai_whisper(tokenizer, openai_tokenizer, request_):
    from whisper.decoding import DecodingOptions, DecodingTask

    task = DecodingTask.__new__(DecodingTask)  # only the method under test, without a model
    task.tokenizer = openai_tokenizer
    request = list(request_) if isinstance(request_, tuple) else request_
    task.options = DecodingOptions(suppress_tokens=request)
    assert suppressed_tokens(tokenizer, request_) == task._get_suppress_tokens()


@pytest.mark.parametrize("request_", ["a", "1,,2", "99999", "-1,-5", (-2,)])
def test_impossible_suppression_is_refused(tokenizer, request_):
    with pytest.raises(OptionError, match="suppress_tokens"):
        suppressed_tokens(tokenizer, request_)


def test_rules_follow_the_options(tokenizer):
    def kinds(**changes):
        return [type(rule) for rule in build_rules(tokenizer, TranscribeOptions(**changes))]

    assert kinds() == [SuppressBlank, SuppressTokens, TimestampRules]
    assert kinds(suppress_blank=False) == [SuppressTokens, TimestampRules]
    assert kinds(suppress_tokens="") == [SuppressBlank, TimestampRules]
    assert kinds(suppress_tokens=None) == [SuppressBlank, TimestampRules]
    assert kinds(without_timestamps=True) == [SuppressBlank, SuppressTokens]


@pytest.mark.parametrize(
    ("limit_s", "index"), [(1.0, 50), (0.5, 25), (1e308, 1500), (0.0, None), (None, None)]
)
def test_zero_initial_limit_means_none_as_in_the_reference(tokenizer, limit_s, index):
    options = TranscribeOptions(max_initial_timestamp=limit_s)
    assert build_rules(tokenizer, options)[-1].max_initial_index == index


def test_log_sum_exp():
    x = np.array([1000.0, 1000.0, -np.inf], np.float32)
    assert log_sum_exp(x) == pytest.approx(1000 + np.log(2))
    assert log_sum_exp(np.full(3, -np.inf, np.float32)) == -np.inf


def test_a_repetition_penalty_lowers_what_was_said_and_nothing_else():
    logits = np.array([[2.0, -2.0, 1.0, 4.0]], np.float32)
    PenalizeRepetition(2.0, eot=3).apply(logits, np.array([[0, 1, 1, 3]]))
    assert logits.tolist() == [[1.0, -4.0, 1.0, 4.0]]  # 3 and above are not text


@pytest.mark.parametrize(
    ("length", "said", "forbidden"),
    [
        (1, [4, 5], {4, 5}),
        (2, [4, 5, 4], {5}),
        (3, [4, 5, 6, 4, 5], {6}),
        (3, [4, 5, 6, 4], set()),
        (2, [4, 90, 5, 91, 4], {5}),  # timestamps in between do not count
        (2, [], set()),
    ],
)
def test_no_run_of_tokens_repeats(length, said, forbidden):
    logits = np.zeros((1, 100), np.float32)
    ForbidRepeatedRun(length, eot=80).apply(logits, np.array([said], np.int64).reshape(1, -1))
    assert set(np.flatnonzero(logits[0] == FORBIDDEN).tolist()) == forbidden


def test_rules_of_the_second_peer_are_asked_for_by_name():
    rules = build_rules(
        get_tokenizer(dims(51_864)),
        TranscribeOptions(repetition_penalty=1.1, no_repeat_ngram_size=3),
    )
    assert rules[:2] == (PenalizeRepetition(1.1, 50_256), ForbidRepeatedRun(3, 50_256))
