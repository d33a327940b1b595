"""Work in a thread: steps in order, errors passed on, a deaf worker is not waited for."""

import threading
import time

import pytest

from maxwhisper.engines import background as module
from maxwhisper.engines.background import in_background
from maxwhisper.engines.status import RunCancelled


def steps_of(work, cancelled=None):
    return [
        step for step in in_background(work, cancelled or threading.Event()) if step is not None
    ]


def test_steps_come_in_order():
    assert steps_of(lambda emit: [emit(n) for n in range(5)]) == [0, 1, 2, 3, 4]


def test_an_error_comes_after_the_steps_before_it():
    def work(emit):
        emit("a step")
        raise KeyError("why")

    steps = filter(None, in_background(work, threading.Event()))
    assert next(steps) == "a step"
    with pytest.raises(KeyError, match="why"):
        next(steps)


def test_a_reader_is_told_that_work_goes_on(monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.01)
    go_on = threading.Event()
    steps = in_background(lambda _emit: go_on.wait(), threading.Event())
    assert [next(steps), next(steps)] == [None, None]
    go_on.set()
    assert not list(filter(None, steps))


def test_deaf_work_is_left_within_five_seconds():
    """By the page's own constants; the bound is the issue's."""
    cancelled, hung = threading.Event(), threading.Event()
    steps = in_background(lambda _emit: hung.wait(), cancelled)
    assert next(steps) is None
    cancelled.set()
    started_s = time.monotonic()
    with pytest.raises(RunCancelled):
        list(steps)
    assert time.monotonic() - started_s < 5
    hung.set()


def test_work_that_speaks_on_after_a_stop_is_left_too(monkeypatch):
    monkeypatch.setattr(module, "STOP_S", 0.2)
    cancelled, is_left = threading.Event(), threading.Event()

    def chatter(emit):
        while not is_left.wait(0.01):
            emit("on and on")

    cancelled.set()
    with pytest.raises(RunCancelled):
        list(in_background(chatter, cancelled))
    is_left.set()


def test_work_that_winds_down_in_time_ends_its_own_way():
    cancelled = threading.Event()
    cancelled.set()
    assert steps_of(lambda emit: emit("the last one"), cancelled) == ["the last one"]


def test_a_reader_who_leaves_stops_the_work():
    cancelled = threading.Event()
    steps = in_background(lambda emit: emit(1), cancelled)
    next(steps)
    assert not cancelled.is_set()
    steps.close()
    assert cancelled.is_set()
