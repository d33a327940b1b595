"""The clock around a library's calls, on calls of a known length."""

import pytest

from baselines.outside_clock import OutsideClock, Timed


class Model:
    """Each call takes as many seconds as it is given."""

    device = "cpu"

    def __init__(self, now):
        self.now = now

    def encode(self, seconds):
        self.now[0] += seconds
        return seconds

    def __call__(self, seconds):
        self.now[0] += seconds


@pytest.fixture
def now(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("baselines.outside_clock.time.perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize(("before", "expected"), [("vad", {"vad": 2.0}), ("", {})])
def test_calls_are_summed_and_the_time_before_the_first_is_a_stage(now, before, expected):
    clock = OutsideClock(before)
    model = Timed(Model(now), clock, {"encode": "encoder"}, called="mel")
    now[0] += 2.0
    model(1.0)
    now[0] += 9.0  # between the calls
    assert model.encode(0.5) == 0.5
    model.encode(0.25)
    assert clock.seconds == expected | {"mel": 1.0, "encoder": 0.75}
    assert model.device == "cpu"


def test_a_call_that_fails_is_counted_and_fails(now):
    clock = OutsideClock()
    with pytest.raises(TypeError):
        Timed(Model(now), clock, {"encode": "encoder"}).encode("long")
    assert clock.seconds == {"encoder": 0.0}
