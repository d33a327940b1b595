"""A race goes on while its page is away, for its visitor alone, and not for long."""

import itertools
import queue
import threading

import pytest

from maxwhisper.web.ui.race.ongoing import Ongoing

HERE = {"visitor": "a", "session": "page"}


class Views:
    """Views of a race, one for each `show`; None ends it."""

    def __init__(self):
        self.shown, self.closed = queue.Queue(), threading.Event()

    def __call__(self):
        try:
            while (view := self.shown.get(timeout=10)) is not None:
                yield (view,)
        finally:
            self.closed.set()

    def show(self, *views):
        for view in views:
            self.shown.put(view)


@pytest.fixture
def views():
    return Views()


def test_who_comes_back_sees_the_newest_view_and_the_end(views):
    ongoing = Ongoing()
    first = ongoing.begin("id", views(), **HERE)
    views.show(1)
    assert next(first) == (1,)
    assert ongoing.leave("page")
    assert not ongoing.leave("other"), "it watched none"
    again = ongoing.watch("id", visitor="a", session="reloaded")
    views.show(2)
    seen = [next(again)]
    views.show(3, None)
    seen += list(again)
    assert seen[-1] == (3,)
    assert views.closed.wait(5)
    assert ongoing.watch("id", **HERE) is None, "it is over: the store has it"


def test_only_its_visitor_may_come_back_and_stop_it(views):
    ongoing = Ongoing()
    watching = ongoing.begin("id", views(), **HERE)
    assert ongoing.watch("id", visitor="b", session="other") is None
    assert ongoing.watch("another", **HERE) is None
    assert ongoing.watch("id", visitor="a", session="reloaded") is not None
    assert ongoing.starter("reloaded") == "page", "whose race Stop ends"
    assert ongoing.starter("other") == "other"
    views.show(None)
    assert list(watching) == []


@pytest.mark.parametrize("away_s", [0.0, 60.0])
def test_a_race_that_nobody_watches_is_stopped_after_a_while(views, away_s):
    ongoing = Ongoing(away_s)
    watching = ongoing.begin("id", views(), **HERE)
    views.show(1)
    next(watching)
    watching.close()
    for _ in itertools.takewhile(lambda _: not views.closed.wait(0.05), range(6)):
        views.show(2)
    assert views.closed.is_set() is (away_s == 0)
    views.show(None)
    assert views.closed.wait(5)


def test_a_page_that_comes_back_in_time_keeps_its_race(views):
    ongoing = Ongoing(away_s=0.0)
    ongoing.begin("id", views(), **HERE)
    ongoing.watch("id", visitor="a", session="reloaded")
    ongoing.leave("page")
    for _ in range(5):
        views.show(1)
    assert not views.closed.wait(0.2)
    views.show(None)
    assert views.closed.wait(5)
