"""The line of races: in order, bounded, and left at once by who stops waiting."""

from contextlib import ExitStack

import pytest

from maxwhisper.serving import turns
from maxwhisper.serving.fair_use import FairUse, Limits, TooMuch
from maxwhisper.serving.status import RunCancelled
from maxwhisper.serving.turns import MAX_WAITING, Turns

ANNA, BORIS = "203.0.113.7", "2001:db8::1"


@pytest.fixture
def line(monkeypatch):
    monkeypatch.setattr(turns, "LOOK_S", 0.0)
    return Turns(FairUse(Limits(waiting=2)))


def never():
    return False


def test_races_are_served_in_the_order_they_came(line):
    with ExitStack() as running:
        first = running.enter_context(line.line_up(ANNA))
        with line.line_up(BORIS) as second, line.line_up(ANNA) as third:
            assert list(first.wait(never)) == []
            assert (next(second.wait(never)), next(third.wait(never))) == (1, 2)
            assert line.n_waiting == 2
            running.close()
            assert list(second.wait(never)) == []
            assert next(third.wait(never)) == 1
    assert line.n_waiting == 0


def test_who_stops_waiting_is_gone_from_the_line(line):
    with line.line_up(ANNA):
        with pytest.raises(RunCancelled), line.line_up(BORIS) as place:
            list(place.wait(lambda: True))
        assert line.n_waiting == 0


def test_nobody_waits_with_more_races_than_a_share(line):
    with line.line_up(ANNA), line.line_up(ANNA), line.line_up(ANNA):  # the first one runs
        with pytest.raises(TooMuch, match="2 of your races wait"), line.line_up(ANNA):
            pass
        with line.line_up(BORIS):
            assert line.n_waiting == 3


def test_the_line_has_an_end(line):
    with ExitStack() as waiting:
        for n in range(MAX_WAITING + 1):
            waiting.enter_context(line.line_up(f"203.0.113.{n}"))
        with pytest.raises(TooMuch, match="races wait already: come back"), line.line_up(BORIS):
            pass
