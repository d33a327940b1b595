"""Live on a page: words while somebody speaks, one at a time, and never in a race's way."""

import threading
import time

import numpy as np
import pytest

from maxwhisper.engines.pool import Device
from maxwhisper.errors import EngineUnavailable, OptionError
from maxwhisper.evaluation.selftest.tasks import layer_comparison
from maxwhisper.options import TranscribeOptions
from maxwhisper.transcribe.stream import Update
from maxwhisper.transcript import Word
from maxwhisper.web.server import live_session as live
from maxwhisper.web.server.live_desk import LiveDesk
from maxwhisper.web.server.live_session import Ticket
from tests.fakes.engine_processes import wait_until

HALF_SECOND = np.zeros(8_000, np.float32)
OPTIONS = TranscribeOptions(language="en")


def never():
    return False


def over(session):
    wait_until(lambda: session.is_over, timeout_s=20)
    return session.view


@pytest.fixture
def desk(make_pool):
    return LiveDesk(make_pool())


def test_words_are_tentative_then_committed_then_final(desk):
    session = desk.open(Ticket("anna"), OPTIONS)
    for _ in range(3):
        session.feed(HALF_SECOND)
    wait_until(lambda: session.view.committed == " the <b>quick</b>")
    view = session.view
    assert view.tentative == " brown"
    assert (view.phase, view.received_s, view.lag_s) == ("listening", 1.5, 0.5)
    assert 0.5 <= view.delay_s <= 1.0  # the fake commits a word when the next one is complete
    session.finish()
    last = over(session)
    assert (last.committed, last.tentative, last.note) == (" the <b>quick</b> brown", "", "")
    assert [word.start for word in last.words] == [0.0, 0.5, 1.0]


def test_beginning_anew_ends_ones_own_session_first(desk):
    first = desk.open(Ticket("anna"), OPTIONS)
    first.feed(HALF_SECOND)
    second = desk.open(Ticket("anna"), OPTIONS)
    second.feed(HALF_SECOND)
    second.finish()
    assert over(second).committed == " the"  # nothing of the first one
    assert first.is_over


def test_it_ends_after_its_time_and_takes_no_more(desk, monkeypatch):
    monkeypatch.setattr(live, "MAX_LIVE_S", 1.0)
    session = desk.open(Ticket("anna"), OPTIONS)
    for _ in range(5):
        session.feed(HALF_SECOND)
    view = over(session)
    assert view.received_s == 1.0
    assert view.committed == " the <b>quick</b>"
    assert "others can use Live now" in view.note


def test_a_trickle_of_bytes_holds_live_no_longer_than_silence(desk, monkeypatch):
    monkeypatch.setattr(live, "IDLE_S", 0.5)
    session = desk.open(Ticket("anna"), OPTIONS)
    wait_until(lambda: _trickle(session), timeout_s=20)
    assert session.view.note.startswith("ended: no sound for")


def test_a_session_ends_by_the_clock_however_little_it_sends(desk, monkeypatch):
    monkeypatch.setattr(live, "MAX_LIVE_S", 1.0)
    session = desk.open(Ticket("anna"), OPTIONS)
    wait_until(lambda: _trickle(session), timeout_s=20)
    assert session.view.received_s < 0.1
    assert "others can use Live now" in session.view.note
    desk.open(Ticket("ben"), OPTIONS).finish()


def _trickle(session):
    """Send one sample, as two bytes every 8 s do. True once the session is over."""
    session.feed(HALF_SECOND[:1])
    time.sleep(0.05)
    return session.is_over


def test_a_visitor_who_leaves_is_not_waited_for(desk, monkeypatch):
    monkeypatch.setattr(live, "IDLE_S", 0.2)
    assert over(desk.open(Ticket("anna"), OPTIONS)).note == "ended: no sound for 0 s"


def test_a_race_has_the_device_and_live_waits_for_its_end(desk):
    session = desk.open(Ticket("anna"), OPTIONS)
    wait_until(lambda: session.view.phase == "listening")
    with desk._pool.device(never):
        session.feed(HALF_SECOND)
        session.feed(HALF_SECOND)
        wait_until(lambda: session.view.phase == "waiting")
        time.sleep(0.3)
        assert session.view.committed + session.view.tentative == ""
        assert session.view.lag_s >= 0.5  # it grows, and is shown
    session.finish()
    assert over(session).committed == " the <b>quick</b>"


def test_who_stops_need_not_wait_for_a_race(desk):
    with desk._pool.device(never):
        session = desk.open(Ticket("anna"), OPTIONS)
        session.feed(HALF_SECOND)
        session.finish()
        wait_until(lambda: session.view.phase == "waiting", timeout_s=20)
        session.stop("the rest was not read")
        assert session.is_over
        session.join(20)
    session.stop("too late")
    assert session.view.note == "the rest was not read"


def test_who_stops_need_not_wait_for_an_engine_at_work(desk, monkeypatch):
    at_work, may_answer = threading.Event(), threading.Event()

    def slow(device, name, command):
        at_work.set()
        may_answer.wait(20)
        return Update((Word(" late", 0.0, 0.5, 1.0),), " later", 0.5, 0.0, 1.0)

    session = desk.open(Ticket("anna"), OPTIONS)
    wait_until(lambda: session.view.phase == "listening", timeout_s=20)
    monkeypatch.setattr(Device, "stream", slow)
    session.feed(HALF_SECOND)
    assert at_work.wait(20)
    session.stop()
    ended = session.view
    assert (ended.phase, ended.note) == ("over", "stopped")
    may_answer.set()
    session.join(20)
    assert session.view == ended, "what comes too late changes nothing"


def test_a_race_that_waits_goes_before_live(make_pool):
    pool = make_pool()
    pool._waiting.append("a race")
    with pytest.raises(live.RunCancelled), pool.spare_device(lambda: True):
        raise AssertionError("a race was waiting")
    pool._waiting.clear()
    with pool.spare_device(never):
        assert pool.is_busy
    assert not pool.is_busy


def test_a_lost_engine_ends_the_session_with_its_reason(desk):
    session = desk.open(Ticket("anna"), OPTIONS)
    session.feed(HALF_SECOND)
    wait_until(lambda: session.view.tentative == " the")
    desk._pool._engines["maxwhisper"]._replace()
    session.feed(HALF_SECOND)
    note = over(session).note
    assert "maxwhisper is not ready" in note
    assert "try again when it is ready" in note


def test_a_stream_that_was_lost_says_so(make_pool):
    pool = make_pool()
    lost = pytest.raises(EngineUnavailable, match="lost with the engine's")
    with pool.device(never) as device, lost:
        device.stream("maxwhisper", live.messages.FeedStream(HALF_SECOND))


def test_impossible_options_open_nothing(desk):
    with pytest.raises(OptionError):
        desk.open(Ticket("anna"), TranscribeOptions(task="dance"))
    assert desk.of("anna") is None


def test_layers_come_one_by_one(make_pool):
    with make_pool().device(never) as device:
        rows = list(device.run("maxwhisper", layer_comparison, HALF_SECOND))
    assert [row.layer for row in rows][-1] == "logits"
    assert rows[1].errors == ()
