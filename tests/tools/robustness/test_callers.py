"""The suite of the API's callers: its short form, and that its checks can fail."""

import pytest

from tools.robustness import callers
from tools.robustness.__main__ import run_named
from tools.robustness.callers import Call
from tools.robustness.suite import SuiteRun, Unexpected


@pytest.mark.slow
def test_the_short_form_passes():
    record = run_named("callers", SuiteRun(is_short=True))
    assert not record.failures
    assert record.n_cases == 4 + 2 * (callers.SHORT_SENT + 1)
    assert record.measured["1 callers: recordings a second"] > 0


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (Call("plain.flac", 200, "other words", "", 1.0), "expected 'my words', got 'other words'"),
        (Call("plain.flac", 500, None, "1", 0.1, "oops"), "got 500: oops"),
        (Call("plain.flac", 429, None, "", 0.1), "expected a text or Retry-After, got 429"),
        (Call("plain.flac", 429, None, "1", 0.3), "within 0.2 s, got 0.30 s"),
        (Call("plain.flac", 0, None, "", 0.1, "OSError()"), "got 0: OSError"),
    ],
)
def test_a_wrong_answer_fails(call, problem):
    with pytest.raises(Unexpected, match=problem):
        callers._check(call, "my words")


def test_a_right_answer_and_a_quick_refusal_pass():
    callers._check(Call("plain.flac", 200, "my words", "", 9.0), "my words")
    callers._check(Call("plain.flac", 429, None, "12", 0.1), "my words")


def test_a_caller_that_starves_and_no_gain_fail():
    quick = Call("plain.flac", 200, "", "", 1.0)
    callers._check_wait([quick], 8, 2.0)
    with pytest.raises(Unexpected, match=r"within 13.0 s, got 14.0 s"):
        callers._check_wait([quick, Call("plain.flac", 200, "", "", 14.0)], 8, 2.0)
    callers._check_gain({1: 1.0, 32: 2.0})
    with pytest.raises(Unexpected, match=r"got 1.90"):
        callers._check_gain({1: 1.0, 32: 1.9})
