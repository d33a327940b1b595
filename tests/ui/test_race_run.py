"""A race before its turn: told its place, stopped while it waits, refused where a line is full."""

import sys
import threading
import time

import pytest
from fake_page import MACHINE, write_wav

from maxwhisper import audio
from maxwhisper.options import GREEDY
from maxwhisper.serving.fair_use import FairUse, Limits, TooMuch
from maxwhisper.serving.pool import EnginePool
from maxwhisper.serving.runs import RunStore
from maxwhisper.serving.uploads import Uploads
from maxwhisper.ui.race_run import Request, Runner, Source

STRANGER = "203.0.113.7"


@pytest.fixture
def runner(tmp_path):
    """On engines that are never started: nothing here comes to them."""
    pool = EnginePool(("maxwhisper",), ("demo",))
    store = RunStore(tmp_path / "runs", keep_days=7, keep_runs=20)
    return Runner(pool, Uploads(tmp_path), store, MACHINE, FairUse(Limits(waiting=1)))


@pytest.fixture
def request_of(tmp_path):
    source = Source(write_wav(tmp_path / "clip.wav"), is_upload=False)
    return lambda visitor: Request(source, "demo", GREEDY, visitor=visitor)


def test_who_waits_is_told_his_place_and_may_leave(runner, request_of):
    with runner.turns.line_up(STRANGER):
        views = runner.run("anna", request_of(STRANGER))
        assert (next(views).n_ahead, runner.turns.n_waiting) == (1, 1)
        assert runner.stop("anna")
        *_, last = views
        assert runner.turns.n_waiting == 0
    assert last.is_over
    assert last.run is None
    assert [lane.phase for lane in last.lanes.values()] == ["stopped"]
    assert not runner.stop("anna"), "it is forgotten"


def test_stop_ends_a_race_whose_recording_is_still_being_read(runner, request_of, monkeypatch):
    stuck = (sys.executable, "-c", "import time; time.sleep(600)")
    monkeypatch.setattr(audio, "_CHILD", stuck)
    views = runner.run("anna", request_of(STRANGER))
    assert next(views).lanes["maxwhisper"].note == "reading the recording"
    threading.Timer(0.2, runner.stop, ["anna"]).start()
    started_s = time.monotonic()
    *_, last = views
    assert time.monotonic() - started_s < 5
    assert last.is_over
    assert [lane.phase for lane in last.lanes.values()] == ["stopped"]
    assert runner.turns.n_waiting == 0


def test_who_closes_the_page_leaves_the_line(runner, request_of):
    with runner.turns.line_up(STRANGER):
        views = runner.run("anna", request_of(STRANGER))
        next(views)
        views.close()
        assert runner.turns.n_waiting == 0


def test_a_second_race_in_the_line_is_refused(runner, request_of):
    with runner.turns.line_up(STRANGER):
        first = runner.run("anna", request_of(STRANGER))
        next(first)
        with pytest.raises(TooMuch, match="1 of your races wait"):
            next(runner.run("anna in another window", request_of(STRANGER)))
        first.close()
