"""The queue of the device: in order, bounded, and a visitor who stops leaves it at once."""

import threading
from contextlib import ExitStack

import pytest

from maxwhisper.engines.status import RunCancelled
from maxwhisper.web.server import queue
from maxwhisper.web.server.fair_use import CHECKS, RACES, FairUse, LimitExceeded, Limits
from maxwhisper.web.server.queue import MAX_WAITING, VisitorQueue

ANNA, BORIS = "203.0.113.7", "2001:db8::1"


@pytest.fixture
def races(monkeypatch):
    monkeypatch.setattr(queue, "MIN_TELL_S", 0.0)
    return VisitorQueue(FairUse(Limits(waiting=2)))


def never():
    return False


def test_races_run_in_the_order_they_joined(races):
    with ExitStack() as running:
        first = running.enter_context(races.join(ANNA))
        with races.join(BORIS) as second, races.join(ANNA) as third:
            assert list(first.wait(never)) == []
            assert (next(second.wait(never)), next(third.wait(never))) == (1, 2)
            assert races.n_waiting == 2
            running.close()
            assert list(second.wait(never)) == []
            assert next(third.wait(never)) == 1
    assert races.n_waiting == 0


def test_who_waits_is_told_how_long_the_first_still_takes(races):
    with races.join(ANNA) as first, races.join(BORIS) as second, races.join(BORIS) as third:
        assert third.first_left_s() is None, "nobody has said"
        second.left_s = lambda: 99.0
        first.left_s = lambda: 12.0
        assert [place.first_left_s() for place in (second, third)] == [12.0, 12.0]


def test_a_visitor_who_stops_leaves_the_queue(races):
    with races.join(ANNA):
        with pytest.raises(RunCancelled), races.join(BORIS) as place:
            list(place.wait(lambda: True))
        assert races.n_waiting == 0


def test_no_visitor_exceeds_the_limit_of_waiting_races(races):
    with races.join(ANNA), races.join(ANNA), races.join(ANNA):  # the first one runs
        with pytest.raises(LimitExceeded, match="You already have 2 waiting"), races.join(ANNA):
            pass
        with races.join(BORIS):
            assert races.n_waiting == 3


def test_the_queue_has_a_maximum_length(races):
    with ExitStack() as waiting:
        for n in range(MAX_WAITING + 1):
            waiting.enter_context(races.join(f"203.0.113.{n}"))
        with (
            pytest.raises(LimitExceeded, match="queue is full: 100 are waiting"),
            races.join(BORIS),
        ):
            pass


def test_only_a_turn_counts_and_not_the_wait_for_it(races):
    with races.join(ANNA, RACES) as first:
        with races.join(BORIS, RACES), races.join(BORIS, RACES):
            pass
        races.fair.check_turn(BORIS, RACES)
        with first.turn():
            pass
    races.fair.limits = Limits(minutes=0.5, check_minutes=0.5)
    with pytest.raises(LimitExceeded, match="minutes of races"), races.join(ANNA, RACES):
        pass
    with races.join(BORIS, RACES), races.join(ANNA, CHECKS):
        assert races.n_waiting == 1


def test_who_waits_far_behind_is_told_less_often_but_hears_of_the_turn(races, monkeypatch):
    monkeypatch.setattr(queue, "MIN_TELL_S", 60.0)
    with ExitStack() as running:
        running.enter_context(races.join(ANNA))
        with races.join(BORIS) as place:
            told = place.wait(never)
            assert next(told) == 1
            threading.Timer(0.1, running.close).start()
            assert list(told) == []
