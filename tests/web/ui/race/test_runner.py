"""A race before its turn: told its place, stopped while it waits, refused where a line is full.
And when it is over: shown though it cannot be saved, and what gave each result is known."""

import dataclasses
import sys
import threading
import time

import gradio as gr
import pytest

from maxwhisper import checkpoint
from maxwhisper.audio import load as audio
from maxwhisper.engine import EngineInfo
from maxwhisper.engines import race
from maxwhisper.engines.pool import EnginePool
from maxwhisper.engines.status import Status
from maxwhisper.errors import CheckpointError, OptionError
from maxwhisper.options import GREEDY
from maxwhisper.web.server.better_weights import BetterWeights
from maxwhisper.web.server.fair_use import FairUse, LimitExceeded, Limits
from maxwhisper.web.server.queue import VisitorQueue
from maxwhisper.web.server.run_store import RunNotFound, RunStore
from maxwhisper.web.server.uploads import Uploads
from maxwhisper.web.ui.race import runner as runner_module
from maxwhisper.web.ui.race.request import Request, Source
from maxwhisper.web.ui.race.runner import Runner
from maxwhisper.web.ui.race.tab import _draw, race_tab
from maxwhisper.web.ui.weights import ShownWeights
from tests.fakes.page import MACHINE, write_wav
from tests.fakes.runs import ENGINES, make_run, result, waveform

STRANGER = "203.0.113.7"


@pytest.fixture
def runner(tmp_path):
    """On engines that are never started: nothing here comes to them."""
    pool = EnginePool(("maxwhisper",), ("demo",))
    store = RunStore(tmp_path / "runs", keep_days=7, keep_runs=20)
    return Runner(pool, Uploads(tmp_path), store, MACHINE, VisitorQueue(FairUse(Limits(waiting=1))))


@pytest.fixture
def request_of(tmp_path):
    source = Source(write_wav(tmp_path / "clip.wav"), is_upload=False)
    return lambda visitor: Request(source, "demo", GREEDY, visitor=visitor)


def test_who_waits_is_told_his_place_and_may_leave(runner, request_of):
    with runner.queue.join(STRANGER):
        views = runner.run("anna", request_of(STRANGER))
        assert (next(views).n_ahead, runner.queue.n_waiting) == (1, 1)
        assert runner.stop("anna")
        *_, last = views
        assert runner.queue.n_waiting == 0
    assert last.is_over
    assert last.run is None
    assert [lane.phase for lane in last.panels.values()] == ["stopped"]
    assert not runner.stop("anna"), "it is forgotten"


def test_stop_ends_a_race_whose_recording_is_still_being_read(runner, request_of, monkeypatch):
    stuck = (sys.executable, "-c", "import time; time.sleep(600)")
    monkeypatch.setattr(audio, "_CHILD", stuck)
    views = runner.run("anna", request_of(STRANGER))
    assert next(views).panels["maxwhisper"].note == "reading the recording"
    threading.Timer(0.2, runner.stop, ["anna"]).start()
    started_s = time.monotonic()
    *_, last = views
    assert time.monotonic() - started_s < 5
    assert last.is_over
    assert [lane.phase for lane in last.panels.values()] == ["stopped"]
    assert runner.queue.n_waiting == 0


def test_who_waits_is_told_about_how_long(runner, request_of):
    with runner.queue.join(STRANGER) as first:
        first.left_s = lambda: 12.0
        views = runner.run("anna", request_of(STRANGER))
        banner, *_ = _draw(runner, next(views), None)
        assert "one run ahead of yours" in banner
        assert "It will take about 15 s more." in banner
        views.close()


def test_who_closes_the_page_leaves_the_line(runner, request_of):
    with runner.queue.join(STRANGER):
        views = runner.run("anna", request_of(STRANGER))
        next(views)
        views.close()
        assert runner.queue.n_waiting == 0


def test_a_second_race_in_the_line_is_refused(runner, request_of):
    with runner.queue.join(STRANGER):
        first = runner.run("anna", request_of(STRANGER))
        next(first)
        with pytest.raises(LimitExceeded, match="You already have 1 waiting"):
            next(runner.run("anna in another window", request_of(STRANGER)))
        first.close()


@pytest.fixture
def fetched(runner, monkeypatch):
    """Return a function that replaces `checkpoint.get`, so no test needs a network."""
    runner.pool = EnginePool(("maxwhisper",), ("demo", "tiny"))

    def have(download):
        monkeypatch.setattr(checkpoint, "find", lambda name, **_: name if name == "demo" else None)
        monkeypatch.setattr(checkpoint, "get", download)

    return have


def test_who_waits_for_weights_keeps_nobody_from_racing(runner, request_of, fetched):
    come, asked = threading.Event(), []

    def download(name, *, progress):
        asked.append(name)
        progress("downloading tiny.pt: 1 of 72 MiB")
        come.wait(60)  # deaf to a Stop: a server that sends nothing

    fetched(download)
    views = runner.run("anna", dataclasses.replace(request_of(STRANGER), model="tiny"))
    assert next(views).panels["maxwhisper"].note == "downloading tiny.pt: 1 of 72 MiB"
    with runner.queue.join("198.51.100.2") as place:
        assert list(place.wait(lambda: False)) == [], "no race is before theirs"
    other = runner.run("ben", dataclasses.replace(request_of("198.51.100.2"), model="tiny"))
    assert next(other).panels["maxwhisper"].note == "waiting: another model is downloading"
    other.close()
    started_s = time.monotonic()
    assert runner.stop("anna")
    *_, last = views
    assert time.monotonic() - started_s < 5
    assert [lane.phase for lane in last.panels.values()] == ["stopped"]
    assert asked == ["tiny"]
    come.set()


def test_a_stopped_fetch_ends_with_its_next_line(runner, request_of, fetched):
    ended = threading.Event()

    def download(name, *, progress):
        try:
            while True:
                progress("downloading")
                time.sleep(0.05)
        finally:
            ended.set()

    fetched(download)
    views = runner.run("anna", dataclasses.replace(request_of(STRANGER), model="tiny"))
    next(views)
    runner.stop("anna")
    *_, last = views
    assert last.is_over
    assert ended.wait(10), "no download goes on that nobody waits for"


def test_weights_that_cannot_be_had_change_no_engine(runner, request_of, fetched, caplog):
    def download(name, *, progress):
        raise CheckpointError("cannot download tiny: put it at /secret/path")

    fetched(download)
    with pytest.raises(CheckpointError, match="Choose another model") as refused:
        list(runner.run("anna", dataclasses.replace(request_of(STRANGER), model="tiny")))
    assert "/secret/path" not in str(refused.value)
    assert "/secret/path" in caplog.text
    assert runner.pool.statuses()["maxwhisper"].phase == "starting", "it was not asked to load"
    assert runner.queue.n_waiting == 0


def test_a_model_that_is_not_on_offer_is_not_fetched(runner, request_of, fetched):
    fetched(lambda name, *, progress: pytest.fail("fetched"))
    with pytest.raises(OptionError, match="unknown model 'large-v3'"):
        list(runner.run("anna", dataclasses.replace(request_of(STRANGER), model="large-v3")))


def ready(name):
    info = EngineInfo(name, "1.0", "demo", "cpu", "no GPU", "float32")
    return Status("ready", model="demo", info=info)


@pytest.fixture
def raced(runner, monkeypatch):
    """A function that has the runner see these events, and these states of its engines."""

    def script(events, statuses):
        runner.pool = EnginePool(ENGINES, ("demo",))
        monkeypatch.setattr(runner.pool, "statuses", statuses)
        monkeypatch.setattr(race, "run_race", lambda *_: events())

    return script


def test_a_race_that_cannot_be_kept_is_shown_without_a_link(
    runner, request_of, raced, tmp_path, caplog
):
    def events():
        yield from (race.Finished(result(name, ["the quick fox"])) for name in ENGINES)

    raced(events, lambda: {name: ready(name) for name in ENGINES})
    (tmp_path / "runs").touch()  # where the folder would be
    *_, last = runner.run("anna", request_of(STRANGER))
    assert last.is_over
    assert last.sentences[0].startswith("maxwhisper was fastest")
    assert "cannot be saved" in last.problem
    assert "cannot be saved" in caplog.text
    banner, *_, keep, forget, run_id, _raced = _draw(runner, last, None)
    assert "cannot be saved" in banner
    assert (keep, forget.visible, run_id) == ("", False, "")


def test_text_is_shown_as_it_is_heard_and_who_waits_has_a_place(
    runner, request_of, raced, monkeypatch
):
    monkeypatch.setattr(runner_module, "REDRAW_S", 0.0)
    said = result("faster-whisper", ["the fox"])
    (segment,) = said.transcript.segments
    script = [
        race.Waiting(),
        race.Started("faster-whisper", 0),
        race.Heard("faster-whisper", "the fax"),
        race.Heard("faster-whisper", "the fox"),
        race.Spoke("faster-whisper", segment),
        race.Heard("faster-whisper", "and"),
        race.Finished(said),
    ]
    raced(lambda: iter(script), lambda: {name: ready(name) for name in ENGINES})
    runner._offset = iter([3])  # ours, openai-whisper, ours again, and then the first of this race
    seen = [
        (
            lane.phase,
            [text for _, text in lane.texts],
            lane.partial,
            *(view.panels[name].note for name in ("maxwhisper", "openai-whisper")),
        )
        for view in runner.run("anna", request_of(STRANGER))
        for lane in [view.panels["faster-whisper"]]
    ]
    turns = ("Waiting its turn: 2nd", "Waiting its turn: 3rd")
    assert seen[1:-1] == [
        ("waiting", [], "", *turns),
        ("running", [], "", *turns),
        ("running", [], "the fax", *turns),
        ("running", [], "the fox", *turns),
        ("running", [segment.text], "", *turns),
        ("running", [segment.text], "and", *turns),
        ("done", [segment.text], "", *turns),
    ]


def test_words_heard_often_are_drawn_now_and_then(runner, request_of, raced):
    def events():
        yield race.Started("maxwhisper", 0)
        for n in range(1000):
            yield race.Heard("maxwhisper", f"{n} words")
        yield race.Finished(result("maxwhisper", ["1000 words"]))

    raced(events, lambda: {name: ready(name) for name in ENGINES})
    assert len(list(runner.run("anna", request_of(STRANGER)))) < 50


def test_what_gave_a_result_is_known_though_it_died_in_a_later_round(runner, request_of, raced):
    statuses = {name: ready(name) for name in ENGINES}

    def events():
        yield from (race.Finished(result(name, ["a fox"], rounds=1)) for name in ENGINES)
        statuses["maxwhisper"] = Status("crashed", "restarting")
        yield race.Refused("maxwhisper", "maxwhisper crashed during this run")

    raced(events, lambda: dict(statuses))
    *_, last = runner.run("anna", request_of(STRANGER))
    assert set(last.run.engines) == set(ENGINES)
    assert not any("different devices" in sentence for sentence in last.sentences)


def test_rounds_are_counted_and_done_is_said_once(runner, request_of, raced):
    first, both = (result("maxwhisper", ["a fox"], rounds=n) for n in (1, 2))

    def events():
        for number, so_far in ((0, first), (1, both)):
            yield race.Started("maxwhisper", number)
            yield race.Finished(so_far, is_last=False)
            yield race.Started("openai-whisper", number)
            yield race.Started("maxwhisper", number, is_again=True)
            yield race.Finished(so_far, is_last=number == 1)

    raced(events, lambda: {name: ready(name) for name in ENGINES})
    asked = dataclasses.replace(request_of(STRANGER), rounds=2)
    told = []
    for view in runner.run("anna", asked):
        lane = view.panels["maxwhisper"]
        if (lane.phase, lane.note) != (told or [None])[-1]:
            told.append((lane.phase, lane.note))
    assert told[1:] == [
        ("running", "round 1 of 2"),
        ("waiting", "1 of 2 rounds"),
        ("running", "extra run to measure noise"),
        ("waiting", "1 of 2 rounds"),
        ("running", "round 2 of 2"),
        ("waiting", "2 of 2 rounds"),
        ("running", "extra run to measure noise"),
        ("done", "done"),
    ]


@pytest.mark.parametrize(("seconds", "rounds"), [(59.9, 3), (60.0, 1)])
def test_short_recordings_have_three_rounds_unless_others_are_asked_for(
    runner, request_of, monkeypatch, seconds, rounds, tmp_path
):
    ran = []
    monkeypatch.setattr(race, "run_race", lambda pool, work, _: ran.append(work.rounds) or iter(()))
    clip = Source(write_wav(tmp_path / "long.wav", seconds), is_upload=False)
    asked = dataclasses.replace(request_of(STRANGER), source=clip, rounds=None)
    *_, last = runner.run("anna", asked)
    assert last.run.rounds == rounds
    list(runner.run("anna", dataclasses.replace(asked, rounds=2)))
    assert ran == [rounds, 2]


@pytest.fixture
def handlers(runner):
    """The Race tab's own, by name."""
    with gr.Blocks() as page:
        weights = ShownWeights(BetterWeights("", runner.pool, runner.queue), runner.pool)
        race_tab(runner, [], gr.State(""), weights)
    return {fn.name: fn.fn for fn in page.fns.values()}


def test_who_only_opened_a_link_deletes_nothing(runner, request_of, handlers):
    run = make_run()
    runner.runs.save(run, waveform())
    handlers["delete"](run.id, None, True)
    handlers["delete"](run.id, request_of(STRANGER).source, False)
    assert runner.runs.load(run.id) == run
    handlers["delete"](run.id, request_of(STRANGER).source, True)
    with pytest.raises(RunNotFound):
        runner.runs.load(run.id)


def test_run_comes_back_where_the_recording_is_still_there(request_of, handlers, tmp_path):
    clip = request_of(STRANGER).source
    gone = Source(tmp_path / "gone.wav", is_upload=True)
    assert [handlers["again"](s).interactive for s in (clip, gone, None)] == [True, False, False]
