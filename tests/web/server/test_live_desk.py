"""The line for Live: in order, with a place, left at will; and the text that a page keeps."""

import time

import numpy as np
import pytest

from maxwhisper.options import TranscribeOptions
from maxwhisper.web.server import live_desk, live_session
from maxwhisper.web.server.fair_use import FairUse, Limits
from maxwhisper.web.server.live_desk import LiveDesk
from maxwhisper.web.server.live_session import Ticket
from tests.fakes.engine_processes import pools, wait_until

HALF_SECOND = np.zeros(8_000, np.float32)
OPTIONS = TranscribeOptions(language="en")


@pytest.fixture(scope="module")
def pool():
    with pytest.MonkeyPatch.context() as patch, pools(patch) as make:
        yield make()


@pytest.fixture
def desk(pool):
    return LiveDesk(pool, FairUse(Limits(waiting=2)))


def phases(*sessions):
    return [session.view.phase for session in sessions]


def begun(session):
    wait_until(lambda: session.view.phase == "listening", timeout_s=20)


def over(session):
    wait_until(lambda: session.is_over, timeout_s=20)
    session.join(20)
    return session.view


def speak(desk, owner, n=2):
    """A session of `n` half seconds, to its end."""
    session = desk.open(Ticket(owner), OPTIONS)
    begun(session)
    for _ in range(n):
        session.feed(HALF_SECOND)
    session.finish()
    return over(session)


def test_others_wait_in_line_and_begin_by_themselves_in_order(desk):
    anna, ben, cleo = (desk.open(Ticket(name), OPTIONS) for name in ("anna", "ben", "cleo"))
    begun(anna)
    wait_until(lambda: cleo.view.place == 3)
    assert phases(ben, cleo) == ["in line", "in line"]
    assert (ben.view.place, cleo.view.place) == (2, 3)
    most = live_session.MAX_LIVE_S
    assert most - 5 < ben.view.left_s <= most
    assert 2 * most - 5 < cleo.view.left_s <= 2 * most
    ben.feed(HALF_SECOND)  # dropped: nobody listens to who waits
    anna.finish()
    begun(ben)
    assert ben.view.received_s == 0
    assert ben.view.left_s > most - 5, "the time begins with the turn"
    wait_until(lambda: cleo.view.place == 2)
    assert cleo.view.phase == "in line"
    ben.stop()
    begun(cleo)
    cleo.stop()


def test_who_leaves_the_line_is_passed_over(desk, monkeypatch):
    monkeypatch.setattr(live_session, "AWAY_S", 0.3)
    anna = desk.open(Ticket("anna", token="a"), OPTIONS)
    begun(anna)
    stops, closes, vanishes = (
        desk.open(Ticket(name, token=name), OPTIONS) for name in ("ben", "cleo", "dora")
    )
    stays = desk.open(Ticket("emil"), OPTIONS)  # a clip: no microphone that could vanish
    wait_until(lambda: stays.view.place == 5 or vanishes.is_over)
    stops.finish()
    desk.leave("cleo")
    assert over(stops).note == over(vanishes).note == "You left the line."
    assert over(closes).phase == "over"
    assert not anna.is_over, "who has its turn is not in line"
    wait_until(lambda: stays.view.place == 2)
    anna.finish()
    begun(stays)
    stays.stop()


def test_beginning_anew_goes_to_the_end_of_the_line(desk):
    anna = desk.open(Ticket("anna"), OPTIONS)
    begun(anna)
    ben = desk.open(Ticket("ben"), OPTIONS)
    again = desk.open(Ticket("anna"), OPTIONS)
    assert anna.is_over
    begun(ben)
    wait_until(lambda: again.view.place == 2)
    assert again.view.phase == "in line"
    ben.stop()
    begun(again)
    again.stop()


def test_a_full_line_and_a_visitor_with_many_pages_are_told(desk, monkeypatch):
    first = desk.open(Ticket("first", "1.2.3.4"), OPTIONS)
    pages = [desk.open(Ticket(f"page {n}", "1.2.3.4"), OPTIONS) for n in range(3)]
    assert "each visitor may have 2" in over(pages[2]).note
    monkeypatch.setattr(live_desk, "MAX_LINE", 2)
    assert over(desk.open(Ticket("ben"), OPTIONS)).note.startswith("The line is full: 2 are")
    for session in (*pages[:2], first):
        session.stop()


def test_who_waits_for_the_device_beyond_all_time_gives_live_up(desk, monkeypatch):
    monkeypatch.setattr(live_session, "MAX_LIVE_S", 0.2)
    monkeypatch.setattr(live_desk, "MAX_FINISH_S", 0.4)
    with desk._pool.device(lambda: False):
        anna = desk.open(Ticket("anna"), OPTIONS)
        anna.feed(HALF_SECOND)
        ben = desk.open(Ticket("ben"), OPTIONS)
        time.sleep(0.3)
        assert phases(ben) == ["in line"]
        wait_until(lambda: anna.is_over, timeout_s=20)
        assert "others can use Live now" in anna.view.note
        wait_until(lambda: ben.view.phase != "in line", timeout_s=20)
    ben.stop()


def test_the_text_of_a_page_outlives_its_sessions(desk):
    for _ in range(2):
        speak(desk, "anna")
    speak(desk, "ben")
    speak(desk, "anna", n=0)  # nothing said: nothing to keep
    running = desk.open(Ticket("anna"), OPTIONS)
    texts = [view.committed for view in desk.earlier("anna")]
    assert texts == [" the <b>quick</b>", " the <b>quick</b>"]
    desk.clear("anna")
    assert desk.of("anna") is running, "clearing ends nothing"
    assert desk.earlier("anna") == ()
    running.stop()
    desk.clear("anna")
    assert desk.of("anna") is None
    assert desk.of("ben") is not None


def test_what_is_kept_is_bounded(desk, monkeypatch):
    monkeypatch.setattr(live_desk, "MAX_KEPT", 3)
    for _ in range(5):
        speak(desk, "anna")
    assert len(desk.earlier("anna")) == 2
    monkeypatch.setattr(live_desk, "MAX_PAGES", 2)
    speak(desk, "ben")
    running = desk.open(Ticket("cleo"), OPTIONS)
    assert [name for name in ("anna", "ben", "cleo") if desk.of(name)] == ["ben", "cleo"]
    running.stop()
