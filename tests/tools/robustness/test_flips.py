"""The short form of the suite `flips`, and what its oracle says of wrong answers."""

import pytest

from tools.robustness import flips
from tools.robustness.suite import SuiteRun, Unexpected, run_suite


@pytest.mark.slow
def test_the_short_suite_meets_its_bar():
    record = run_suite("flips", flips, SuiteRun(is_short=True))
    assert record.failures == []
    assert record.n_cases == flips.N_SHORT
    assert sum(record.measured.values()) <= flips.N_SHORT


@pytest.mark.parametrize("found", [flips.DIED, "text right, but not the whole", "traceback: x"])
def test_a_wrong_answer_is_found(found):
    assert flips._group(found, " right") == "unnoticed, wrong"
    with pytest.raises(Unexpected):
        flips._check(found, " right")


@pytest.mark.parametrize(
    ("found", "group"),
    [
        ("text right", "unnoticed, the same text"),
        ("refused the graphs end the process that runs them", "found by the process that tries"),
        ("refused the compiled graphs compute a wrong logits", "found by the check of numbers"),
    ],
)
def test_a_right_answer_passes(found, group):
    assert flips._group(found, " right") == group
    flips._check(found, " right")
