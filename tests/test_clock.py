"""Seconds of stages."""

import pytest

from maxwhisper import clock
from maxwhisper.clock import StageClock


def test_a_stage_that_comes_twice_counts_twice_also_where_it_fails(monkeypatch):
    now = [100.0]

    def fail_after(seconds):
        now[0] += seconds
        raise ValueError("broken")

    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    stages = StageClock()
    with stages.stage("mel"):
        now[0] += 1.0
    now[0] += 8.0  # between stages
    with stages.stage("decode"):
        now[0] += 2.0
    with pytest.raises(ValueError, match="broken"), stages.stage("mel"):
        fail_after(0.5)
    assert stages.seconds == {"mel": 1.5, "decode": 2.0}
