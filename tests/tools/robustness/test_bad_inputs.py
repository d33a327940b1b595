"""The short form of the suite `bad_inputs`, and what its oracle says of wrong answers."""

import pytest

from tools.robustness.__main__ import run_named
from tools.robustness.bad_files import recipes
from tools.robustness.bad_inputs import Outcome, judge
from tools.robustness.recordings import REFUSALS, SECONDS, Expected, text
from tools.robustness.suite import SuiteRun, Unexpected

WHOLE = Expected(seconds=SECONDS, has_text=True)
DAMAGED = Expected(codes=frozenset(REFUSALS), seconds=SECONDS, may_lack=True)
REFUSED = Expected(codes=frozenset({"truncated"}))


@pytest.mark.slow
@pytest.mark.faults
def test_the_short_suite_meets_its_bar():
    record = run_named("bad_inputs", SuiteRun(is_short=True))
    assert not record.failures
    assert record.n_cases > 30


def test_there_are_enough_files_with_names_of_their_own():
    made = [(recipe.group, recipe.name) for recipe in recipes()]
    assert len(made) >= 400
    assert len(set(made)) == len(made)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome(seconds=4.4, text=text()), WHOLE),
        (Outcome(seconds=3.4, warning="1.0 s in the middle could not be decoded."), DAMAGED),
        (Outcome("truncated", "This file is truncated."), DAMAGED),
        (Outcome(error="This file is truncated."), REFUSED),
    ],
)
def test_a_right_answer_passes(outcome, expected):
    judge(outcome, expected)


@pytest.mark.parametrize(
    ("outcome", "expected", "why"),
    [
        (Outcome(seconds=3.4), DAMAGED, "4.40 s heard or said"),
        (Outcome(seconds=1.4, warning="1.0 s in the middle"), DAMAGED, "4.40 s heard or said"),
        (Outcome(seconds=4.4, text="Thank you for watching."), WHOLE, "The kettle"),
        (Outcome(seconds=4.4, warning="1.0 s in the middle"), WHOLE, "no warning"),
        (Outcome("truncated", "This file is truncated."), WHOLE, "no refusal"),
        (Outcome(seconds=4.4), REFUSED, "a refusal of"),
        (Outcome("too_long", "This recording is too long."), REFUSED, "truncated"),
        (Outcome(error="Traceback (most recent call last)"), REFUSED, "an answer"),
        (Outcome(error="Internal error, logged on the server."), REFUSED, "an answer"),
        (Outcome("truncated", "x" * 500), REFUSED, "a short refusal"),
    ],
)
def test_a_wrong_answer_is_found(outcome, expected, why):
    with pytest.raises(Unexpected, match=why):
        judge(outcome, expected)
