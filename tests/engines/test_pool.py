"""Engines in processes of their own: they answer, crash, hang, stop, and come back."""

import contextlib
import threading
import time

import numpy as np
import pytest

from maxwhisper.engines import background, process, supervisor
from maxwhisper.engines import pool as pool_module
from maxwhisper.engines.messages import FinishStream
from maxwhisper.engines.race import (
    EngineResult,
    Finished,
    Heard,
    Race,
    Refused,
    Spoke,
    Started,
    Stopped,
    run_race,
)
from maxwhisper.engines.status import RunCancelled
from maxwhisper.errors import EngineUnavailable, OptionError
from maxwhisper.evaluation.selftest.tasks import component_checks
from maxwhisper.options import TranscribeOptions
from tests.fakes.engine_processes import WORDS, wait_until

ONE_SECOND = np.zeros(16_000, dtype=np.float32)
THREE = ("openai-whisper", "faster-whisper", "maxwhisper")


def never():
    return False


def transcribe(pool, prompt=None, cancelled=never, name="maxwhisper"):
    segments = []
    options = TranscribeOptions(initial_prompt=prompt)
    with pool.device(cancelled) as device:
        timed = device.transcribe(name, ONE_SECOND, options, segments.append)
    return timed, segments


def selftest(pool, names, where=""):
    with pool.device(never) as device:
        yield from device.run("maxwhisper", component_checks, names, where)


def test_ready_engine_reports_itself_and_its_warm_up(make_pool):
    status = make_pool().statuses()["maxwhisper"]
    assert status.info.name == "maxwhisper"
    assert status.model == "demo"
    assert status.cold_s > 0
    assert status.warm_s > 0


def test_transcript_comes_with_segments_and_the_workers_clock(make_pool):
    timed, segments = transcribe(make_pool())
    assert [s.text for s in timed.transcript.segments] == [s.text for s in segments]
    assert timed.transcript.duration == 1.0
    assert 0.03 < timed.seconds < 2.0  # seven words at 5 ms


def test_unready_engine_is_refused_with_its_state(make_pool):
    pool = make_pool(ready=False)
    with pytest.raises(EngineUnavailable, match="maxwhisper is not ready"):
        transcribe(pool)


def test_refusal_by_the_engine_is_passed_on_and_nothing_restarts(make_pool):
    pool = make_pool()
    with pytest.raises(EngineUnavailable, match="does not support initial_prompt"):
        transcribe(pool, "refuse")
    assert transcribe(pool)[0].transcript.text.startswith(" the")


def test_bug_in_an_engine_reaches_nobody_but_the_log(make_pool, capfd):
    pool = make_pool()
    with pytest.raises(EngineUnavailable) as caught:
        transcribe(pool, "bug")
    assert "secret" not in str(caught.value)
    assert "KeyError: '/secret/path'" in capfd.readouterr().err


def test_missing_checkpoint_is_a_reason_not_a_crash(make_pool):
    pool = make_pool(models=("absent",), ready=False)
    wait_until(lambda: pool.statuses()["maxwhisper"].phase == "unavailable")
    assert "expected a checkpoint" in pool.statuses()["maxwhisper"].detail


@pytest.mark.faults
def test_what_was_refused_is_tried_again_after_a_while(make_pool, monkeypatch):
    monkeypatch.setattr(supervisor, "RETRY_S", 0.1)
    pool = make_pool(models=("absent",), ready=False)
    wait_until(lambda: pool.statuses()["maxwhisper"].phase == "unavailable")
    monkeypatch.setenv("CHECKPOINT_IS_BACK", "1")
    wait_until(lambda: pool.statuses()["maxwhisper"].phase == "ready")


@pytest.mark.faults
def test_where_no_engine_has_the_model_the_next_race_tries_again(make_pool, monkeypatch):
    pool = make_pool(models=("absent",), ready=False)
    wait_until(lambda: pool.statuses()["maxwhisper"].phase == "unavailable")
    pool.use_model("absent", never)
    assert "expected a checkpoint" in pool.statuses()["maxwhisper"].detail
    monkeypatch.setenv("CHECKPOINT_IS_BACK", "1")
    pool.use_model("absent", never)
    assert pool.statuses()["maxwhisper"].phase == "ready"


@pytest.mark.faults
def test_crash_ends_the_run_and_the_engine_comes_back(make_pool):
    pool = make_pool()
    with pytest.raises(
        EngineUnavailable, match="crashed during this run and is restarting: try again"
    ):
        transcribe(pool, "crash")
    wait_until(lambda: pool.statuses()["maxwhisper"].phase == "ready")
    assert transcribe(pool)[0].transcript.n_tokens == 14


@pytest.mark.faults
def test_engine_that_always_crashes_is_given_up(make_pool):
    pool = make_pool(models=("broken",), ready=False)
    wait_until(lambda: pool.statuses()["maxwhisper"].phase == "unavailable")
    assert pool.statuses()["maxwhisper"].detail == (
        "crashed 4 times in 10 minutes, trying again in 10"
    )


@pytest.mark.faults
def test_hung_engine_is_killed_at_the_deadline_and_comes_back(make_pool):
    pool = make_pool(deadline_s=0.3)
    start = time.monotonic()
    with pytest.raises(EngineUnavailable, match=r"no result within .* shorter .* less busy"):
        transcribe(pool, "hang")
    assert time.monotonic() - start < 3
    wait_until(lambda: pool.statuses()["maxwhisper"].phase == "ready")


@pytest.mark.faults
def test_deaf_engine_is_killed_after_a_stop(make_pool, monkeypatch):
    monkeypatch.setattr(process, "CANCEL_GRACE_S", 0.3)
    pool = make_pool()
    with pytest.raises(RunCancelled):
        transcribe(pool, "hang", cancelled=lambda: True)
    wait_until(lambda: pool.statuses()["maxwhisper"].phase == "ready")


def test_stop_ends_a_run_between_segments_and_keeps_the_engine(make_pool):
    pool, stop = make_pool(), threading.Event()
    threading.Timer(0.3, stop.set).start()
    start = time.monotonic()
    with pytest.raises(RunCancelled):
        transcribe(pool, "slow", stop.is_set)  # 280 words at 50 ms: 14 s
    assert time.monotonic() - start < 3
    assert pool.statuses()["maxwhisper"].phase == "ready"
    assert transcribe(pool)[0].transcript.n_tokens == 14  # nothing of the stopped run is left over


def test_selftest_yields_each_check_and_may_name_some(make_pool):
    pool = make_pool()
    assert [r.name for r in selftest(pool, ())] == [
        "log-mel",
        "encoder",
        "kv-cache",
    ]
    assert [r.status for r in selftest(pool, ("kv-cache",))] == ["failed"]
    (elsewhere,) = selftest(pool, ("encoder",), "gpu:1")
    assert elsewhere.device == "gpu:1, as asked"


def test_abandoned_selftest_does_not_answer_the_next_command(make_pool):
    pool = make_pool()
    checks = selftest(pool, ())
    next(checks)
    checks.close()
    assert not pool.is_busy
    assert transcribe(pool)[0].transcript.n_tokens == 14


@pytest.mark.faults
def test_stops_do_not_use_up_restarts(make_pool, monkeypatch):
    monkeypatch.setattr(process, "CANCEL_GRACE_S", 0.1)
    pool = make_pool()
    for _ in range(supervisor.MAX_RESTARTS + 1):
        with pytest.raises(RunCancelled):
            transcribe(pool, "hang", cancelled=lambda: True)
        wait_until(lambda: pool.statuses()["maxwhisper"].phase == "ready")


def test_model_must_be_on_offer(make_pool):
    with pytest.raises(OptionError, match="unknown model '/etc/passwd': choose one of demo"):
        make_pool().use_model("/etc/passwd", never)


def test_changing_the_model_reloads_every_engine(make_pool):
    pool = make_pool(models=("demo", "tiny"))
    pool.use_model("tiny", never)
    status = pool.statuses()["maxwhisper"]
    assert (status.phase, status.model) == ("ready", "tiny")


def test_an_engine_on_its_way_is_waited_for_but_not_for_ever(make_pool, monkeypatch):
    pool = make_pool(ready=False)
    with monkeypatch.context() as patch:
        patch.setattr(pool_module, "PATIENCE_S", 0.0)
        pool.use_model("demo", never)
        assert pool.statuses()["maxwhisper"].phase != "ready"
    pool.use_model("demo", never)
    assert pool.statuses()["maxwhisper"].phase == "ready"


def test_warm_up_waits_for_the_device(make_pool):
    pool = make_pool(models=("demo", "tiny"))
    with pool.device(never):
        pool._engines["maxwhisper"].start("tiny")
        wait_until(lambda: pool.statuses()["maxwhisper"].detail == "waiting for the device")
        time.sleep(0.3)
        assert pool.statuses()["maxwhisper"].phase == "warming"
    wait_until(lambda: pool.statuses()["maxwhisper"].phase == "ready")


def test_the_device_is_called_while_it_is_held_and_not_later(make_pool):
    unknown = pytest.raises(EngineUnavailable, match="nobody is not part of this page")
    with make_pool().device(never) as device, unknown:
        device.stream("nobody", FinishStream())
    with pytest.raises(RuntimeError, match="got one that was released"):
        device.stream("maxwhisper", FinishStream())


def test_race_runs_one_engine_at_a_time_in_rotated_order(make_pool):
    pool = make_pool(names=THREE)
    race = Race(ONE_SECOND, TranscribeOptions(), "demo", rounds=2, offset=1)
    events = list(run_race(pool, race, threading.Event()))
    assert [e.engine for e in events if isinstance(e, Started)] == [
        *("openai-whisper", "maxwhisper", "faster-whisper", "maxwhisper"),
        *("maxwhisper", "faster-whisper", "maxwhisper", "openai-whisper"),
    ], "ours runs twice in a round: the difference is noise"
    speaking = [e.engine for e in events if isinstance(e, Spoke)]
    assert speaking == sorted(
        speaking, key=("openai-whisper", "maxwhisper", "faster-whisper").index
    )
    heard = [e for e in events if isinstance(e, Heard)]
    assert {e.engine for e in heard} == {"maxwhisper", "openai-whisper"}, "the other cannot tell"
    assert len(heard) == 2 * len(WORDS), "in the first round only"
    assert heard[0].text == "th", "half of the first word"
    results = {e.result.engine: e.result for e in events if isinstance(e, Finished)}
    assert {len(r.seconds) for r in results.values()} == {2}
    assert results["maxwhisper"].median_s < results["openai-whisper"].median_s
    assert results["maxwhisper"].disturbed_by == ()


def test_race_goes_on_without_an_engine_that_crashes(make_pool):
    pool = make_pool(names=THREE)
    race = Race(ONE_SECOND, TranscribeOptions(initial_prompt="crash"), "demo")
    events = list(run_race(pool, race, threading.Event()))
    assert [e.engine for e in events if isinstance(e, Refused)] == ["maxwhisper"]
    assert {e.result.engine for e in events if isinstance(e, Finished)} == set(THREE[:2])


def test_closing_a_race_frees_the_device(make_pool):
    pool = make_pool()
    race = run_race(
        pool,
        Race(ONE_SECOND, TranscribeOptions(initial_prompt="slow"), "demo"),
        threading.Event(),
    )
    next(event for event in race if isinstance(event, Spoke))
    assert pool.is_busy
    race.close()
    wait_until(lambda: not pool.is_busy, timeout_s=5)


def test_second_race_waits_for_the_first_and_may_give_up(make_pool):
    pool = make_pool()
    stop = threading.Event()
    with pool.device(never):
        threading.Timer(0.2, stop.set).start()
        events = list(run_race(pool, Race(ONE_SECOND, TranscribeOptions(), "demo"), stop))
    assert isinstance(events[-1], Stopped)
    assert not any(isinstance(e, Started) for e in events)


def test_who_stops_a_race_need_not_wait_for_an_engine_that_is_deaf(make_pool, monkeypatch):
    monkeypatch.setattr(background, "STOP_S", 0.5)
    pool, stop = make_pool(), threading.Event()
    race = run_race(pool, Race(ONE_SECOND, TranscribeOptions(initial_prompt="hang"), "demo"), stop)
    next(event for event in race if isinstance(event, Started))
    stop.set()
    started_s = time.monotonic()
    assert isinstance(list(race)[-1], Stopped)
    assert time.monotonic() - started_s < 5
    assert pool.is_busy, "the engine has the device until it is killed"


def test_result_figures():
    timed = EngineResult("maxwhisper", _transcript(duration=30.0, n_tokens=60), (2.0, 1.0, 4.0))
    assert timed.median_s == 2.0
    assert timed.rtfx == 15.0
    assert timed.tokens_per_s == 30.0


def _transcript(duration, n_tokens):
    from maxwhisper.transcript import Segment, Transcript

    segment = Segment(0, 0, 0.0, 1.0, " a", tuple(range(n_tokens)), 0.0, 0.0, 1.0, 0.0)
    return Transcript(" a", "en", (segment,), duration)


def beats(path):
    return [float(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_preparation_stands_still_during_a_race(make_pool, monkeypatch, tmp_path):
    monkeypatch.setenv("FAKE_ENGINE_BEATS", str(tmp_path / "beats"))
    pool, notes = make_pool(models=("demo", "tiny")), []
    preparing = threading.Thread(target=lambda: notes.extend(pool.prepare("tiny", never)))
    preparing.start()
    wait_until(lambda: beats(tmp_path / "beats"))
    for _ in range(3):
        with pool.device(never) as device:
            began_s = time.monotonic()
            device.transcribe("maxwhisper", ONE_SECOND, TranscribeOptions(), lambda segment: None)
            ended_s = time.monotonic()
        assert ended_s - began_s > 0.03
        time.sleep(0.05)
        assert not [beat for beat in beats(tmp_path / "beats") if began_s < beat < ended_s]
    preparing.join(30)
    assert notes == ["preparing maxwhisper", "maxwhisper: compiling graphs: 1 s"]
    assert len(beats(tmp_path / "beats")) == 500, "it went on after each race"
    assert pool.statuses()["maxwhisper"].model == "demo", "the engines kept their model"


def test_a_race_longer_than_a_frozen_engine_may_be_does_not_kill_a_preparation(
    make_pool, monkeypatch, tmp_path
):
    monkeypatch.setattr(process, "STOPPED_S", 0.1)
    monkeypatch.setenv("FAKE_ENGINE_BEATS", str(tmp_path / "beats"))
    pool = make_pool(models=("demo", "tiny"))
    preparing = threading.Thread(target=lambda: list(pool.prepare("tiny", never)))
    preparing.start()
    wait_until(lambda: beats(tmp_path / "beats"))
    with pool.device(never):
        time.sleep(0.5)
    preparing.join(30)
    assert len(beats(tmp_path / "beats")) == 500


def test_closing_a_pool_ends_a_paused_preparation(make_pool, monkeypatch, tmp_path):
    monkeypatch.setenv("FAKE_ENGINE_BEATS", str(tmp_path / "beats"))
    pool = make_pool(models=("demo", "tiny"))

    def prepare():
        with contextlib.suppress(RunCancelled):
            list(pool.prepare("tiny", never))

    preparing = threading.Thread(target=prepare)
    preparing.start()
    wait_until(lambda: beats(tmp_path / "beats"))
    with pool.device(never):
        pool.close()
        preparing.join(10)
    assert not preparing.is_alive()
