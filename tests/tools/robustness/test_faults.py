"""The suite of faults in its short form: an engine is killed in its turn, then the page."""

import sys

import pytest

from tools.robustness.__main__ import run_named
from tools.robustness.suite import SuiteRun


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_short_form_passes():
    record = run_named("faults", SuiteRun(is_short=True))
    assert not record.failures
    assert record.n_cases == 3
    assert 0 < record.measured["seconds until an engine killed is back"] <= 60
