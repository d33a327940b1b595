"""Logit rules on any logits and any history, against simple twins that check one token at a time.

The vocabulary is a small stand-in. Logits are a few whole numbers, or already forbidden: ties are
frequent, rows without any allowed token occur, and no two sums of probabilities are close.
"""

import math
import re
from types import SimpleNamespace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from whisper.decoding import ApplyTimestampRules

from maxwhisper.decoding.rules import (
    FORBIDDEN,
    ForbidRepeatedRun,
    PenalizeRepetition,
    SuppressBlank,
    TimestampRules,
    build_rules,
    greedy_rules,
    log_sum_exp,
)
from maxwhisper.options import TranscribeOptions
from tests.fakes.properties import properties

# Text, end of text, six more specials, 9 timestamps of 0.02 s.
N_TEXT, EOT, NO_TIMESTAMPS, BEGIN, N_VOCAB = 6, 6, 12, 13, 22
SPACE, NON_SPEECH = 0, (2, 5)
VOCABULARY = SimpleNamespace(
    n_vocab=N_VOCAB,
    eot=EOT,
    no_timestamps=NO_TIMESTAMPS,
    timestamp_begin=BEGIN,
    non_speech_tokens=NON_SPEECH,
    encode=lambda text: {" ": [SPACE]}[text],
    sot=7,
    control_tokens=(7, 8, 9, 10, 11),
)
NEVER_SAID = {*VOCABULARY.control_tokens}  # what `suppress_tokens` adds by itself

limits = st.none() | st.integers(0, 11)  # some past the last timestamp


def whole_logits(n_rows, n_levels, share_gone, seed):
    """(B, V) float32 in -n_levels..n_levels; a share is already forbidden."""
    rng = np.random.default_rng(seed)
    logits = rng.integers(-n_levels, n_levels, (n_rows, N_VOCAB), endpoint=True)
    gone = rng.random((n_rows, N_VOCAB)) < share_gone
    return np.where(gone, FORBIDDEN, logits).astype(np.float32)


def any_logits(n_rows, shares_gone=(0.0, 0.3, 0.8, 1.0)):
    return st.builds(
        whole_logits,
        n_rows=st.just(n_rows),
        n_levels=st.integers(0, 4),
        share_gone=st.sampled_from(shares_gone),
        seed=st.integers(0, 9999),
    )


@st.composite
def situations(draw, least=0, most=7):
    """Logits (B, V), and a history of the same length in every row: (B, n), plausible or not."""
    n_rows, n = draw(st.integers(1, 2)), draw(st.integers(least, most))
    tokens = st.integers(0, N_TEXT - 1) | st.integers(BEGIN, N_VOCAB - 1) | st.just(EOT)
    histories = [draw(st.lists(tokens, min_size=n, max_size=n)) for _ in range(n_rows)]
    return draw(any_logits(n_rows)), np.array(histories, np.int64).reshape(n_rows, n)


def masked(row, may_follow):
    """The row without the forbidden tokens."""
    return [x if may_follow(token) else FORBIDDEN for token, x in enumerate(row.tolist())]


def applied(rules, logits, sampled):
    found = logits.copy()
    for rule in rules:
        rule.apply(found, sampled)
    return found


def may_follow(token, history, limit=None):
    """All timestamp rules except the first and the last, for one token."""
    is_time = token >= BEGIN
    if not history:
        return is_time and (limit is None or token <= BEGIN + limit)
    after_time = history[-1] >= BEGIN
    after_closed_text = after_time and len(history) > 1 and history[-2] < BEGIN
    if after_closed_text and token < EOT:
        return False
    if after_time and not after_closed_text and is_time:
        return False
    times = [earlier for earlier in history if earlier >= BEGIN]
    if is_time and times:
        return token >= times[-1] if after_closed_text else token > times[-1]
    return True


def times_if_likelier(row):
    """The last timestamp rule: the sum of all timestamps against the best other token."""
    together = math.fsum(math.exp(x) for x in row[BEGIN:])
    if together > math.exp(max(row[:BEGIN])):
        return [FORBIDDEN] * BEGIN + row[BEGIN:]
    return row


def timestamps_twin(row, history, limit):
    def allowed(token):
        return token != NO_TIMESTAMPS and may_follow(token, history, limit)

    return times_if_likelier(masked(row, allowed))


@properties
@given(situations(), limits)
def test_timestamp_rules(situation, limit):
    logits, sampled = situation
    found = applied([TimestampRules(EOT, NO_TIMESTAMPS, BEGIN, limit)], logits, sampled)
    assert found.tolist() == [
        timestamps_twin(row, history, limit)
        for row, history in zip(logits, sampled.tolist(), strict=True)
    ]


@properties
@given(situations(), limits)
def test_timestamp_rules_are_openai_whispers(situation, limit):
    logits, sampled = situation
    theirs = ApplyTimestampRules(VOCABULARY, 1, limit)
    want = torch.from_numpy(logits.copy())
    after_sot = np.concatenate([np.full((len(sampled), 1), VOCABULARY.sot), sampled], axis=1)
    theirs.apply(want, torch.from_numpy(after_sot))
    found = applied([TimestampRules(EOT, NO_TIMESTAMPS, BEGIN, limit)], logits, sampled)
    np.testing.assert_array_equal(found, want.numpy())


@properties
@given(situations())
def test_suppress_blank(situation):
    logits, sampled = situation
    barred = (SPACE, EOT) if sampled.shape[1] == 0 else ()
    found = applied([SuppressBlank((SPACE, EOT))], logits, sampled)
    assert found.tolist() == [masked(row, lambda token: token not in barred) for row in logits]


@properties
@given(situations(), st.sampled_from([0.5, 1.5, 3.0]))
def test_repetition_penalty(situation, penalty):
    def twin(row, history):
        def penalized(x):
            return x / np.float32(penalty) if x > 0 else x * np.float32(penalty)

        said = {token for token in history if token < EOT}
        return [penalized(x) if token in said else x for token, x in enumerate(row)]

    logits, sampled = situation
    found = applied([PenalizeRepetition(penalty, EOT)], logits, sampled)
    assert found.tolist() == [
        twin(row, history) for row, history in zip(logits, sampled.tolist(), strict=True)
    ]


def repeats_a_run(text, length):
    """Whether the last `length` tokens occurred before."""
    runs = [text[first : first + length] for first in range(len(text) - length + 1)]
    return bool(runs) and runs[-1] in runs[:-1]


@properties
@given(situations(most=12), st.integers(1, 4))
def test_no_repeated_run(situation, length):
    logits, sampled = situation
    sampled = np.where(sampled < EOT, sampled % 3, sampled)  # few words, so that runs repeat

    def twin(row, history):
        text = [token for token in history if token < EOT]
        return masked(row, lambda t: t >= EOT or not repeats_a_run([*text, t], length))

    found = applied([ForbidRepeatedRun(length, EOT)], logits, sampled)
    assert found.tolist() == [
        twin(row, history) for row, history in zip(logits, sampled.tolist(), strict=True)
    ]


@properties
@given(st.integers(0, 11), st.sampled_from([-0.45, 0.0, 0.45]))
def test_the_latest_first_timestamp_in_seconds(position, off):
    """Up to and including the nearest timestamp; 0 s and None mean no limit."""
    limit_s = max(0.0, (position + off) * 0.02)
    options = TranscribeOptions(max_initial_timestamp=limit_s)
    logits = np.zeros((1, N_VOCAB), np.float32)
    found = applied(build_rules(VOCABULARY, options), logits, np.empty((1, 0), np.int64))
    allowed = [token - BEGIN for token in np.flatnonzero(found[0] == 0)]
    assert allowed == [i for i in range(N_VOCAB - BEGIN) if limit_s == 0 or i <= position]


requests = st.builds(
    TranscribeOptions,
    suppress_tokens=st.sampled_from([None, "", "-1", "3", "-1,3", (1, 6), (EOT,)]),
    suppress_blank=st.booleans(),
    without_timestamps=st.booleans(),
    max_initial_timestamp=st.sampled_from([None, 0.0, 0.06]),
    no_repeat_ngram_size=st.integers(0, 2),
)


def request_twin(options, row, history):
    """What `options` leave of one row, rule by rule."""
    text = [token for token in history if token < EOT]
    length = options.no_repeat_ngram_size
    asked = options.suppress_tokens
    if asked:
        ids = {int(i) for i in asked.split(",")} if isinstance(asked, str) else set(asked)
        never = NEVER_SAID | (ids - {-1}) | (set(NON_SPEECH) if -1 in ids else set())
    else:
        never = set()
    if options.suppress_blank and not history:
        never |= {SPACE, EOT}
    left = masked(
        row,
        lambda token: (
            token not in never
            and not (length and token < EOT and repeats_a_run([*text, token], length))
        ),
    )
    if options.without_timestamps:
        return left
    limit = options.max_initial_timestamp
    return timestamps_twin(np.array(left), history, round(limit * 50) if limit else None)


@properties
@given(situations(), requests)
def test_all_rules_of_a_request_together(situation, options):
    logits, sampled = situation
    found = applied(build_rules(VOCABULARY, options), logits, sampled)
    assert found.tolist() == [
        request_twin(options, row, history)
        for row, history in zip(logits, sampled.tolist(), strict=True)
    ]


@properties
@given(situations(least=1), requests)
def test_what_the_device_is_told_is_what_the_rules_do(situation, options):
    """From the second token on: a list of forbidden tokens and the timestamp rules, or None."""
    logits, sampled = situation
    rules = build_rules(VOCABULARY, options)
    of_device = greedy_rules(rules, VOCABULARY)
    if options.no_repeat_ngram_size:
        assert of_device is None
        return
    logits[:, list(of_device.forbidden)] = FORBIDDEN
    has_times = of_device.timestamp_begin == BEGIN
    assert has_times or of_device.timestamp_begin == N_VOCAB

    def twin(row, history):
        if not has_times:
            return row.tolist()
        return times_if_likelier(masked(row, lambda token: may_follow(token, history)))

    assert applied(rules, logits, sampled).tolist() == [
        twin(row, history) for row, history in zip(logits, sampled.tolist(), strict=True)
    ]


WELL_FORMED = re.compile("t(x+tt)*(x*|x+t)e?")  # time, text, end of text


@properties
@given(st.data(), st.integers(0, 2), st.booleans())
def test_whatever_is_sampled_is_well_formed(data, run_length, blank):
    """Any walk through the allowed tokens: pairs of timestamps that never decrease around text with
    a duration. From finite logits there is always an allowed token."""
    options = TranscribeOptions(no_repeat_ngram_size=run_length, suppress_blank=blank)
    rules = build_rules(VOCABULARY, options)
    walk = []
    while len(walk) < 9 and EOT not in walk:
        logits = data.draw(any_logits(1, shares_gone=[0.0]))
        left = applied(rules, logits, np.array([walk], np.int64).reshape(1, -1))[0]
        allowed = np.flatnonzero(left > FORBIDDEN).tolist()
        assert allowed, walk
        walk.append(data.draw(st.sampled_from(allowed)))
    kinds = "".join("t" if t >= BEGIN else "e" if t == EOT else "x" for t in walk)
    assert WELL_FORMED.fullmatch(kinds), walk
    times = [token for token in walk if token >= BEGIN]
    assert times == sorted(times)
    starts, ends = times[::2], times[1::2]  # of segments: none is empty
    assert all(start < end for start, end in zip(starts, ends, strict=False)), walk
    text = [token for token in walk if token < EOT]
    assert not any(repeats_a_run(text[: n + 1], run_length) for n in range(len(text)) if run_length)


@properties
@given(st.lists(st.integers(-30, 30) | st.just(-math.inf), min_size=1, max_size=12))
def test_log_sum_exp(numbers):
    total = math.fsum(map(math.exp, numbers))
    want = math.log(total) if total else -math.inf
    found = float(log_sum_exp(np.array(numbers, np.float32)))
    assert math.isclose(found, want, rel_tol=1e-6, abs_tol=1e-5)
