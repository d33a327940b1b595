"""Engines that are stopped, killed or hung, idle or in their turn: the others go on, it comes back.

The processes are real and so are the signals; only the networks are fake.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from maxwhisper.engines import process, supervisor
from maxwhisper.engines.messages import FeedStream, OpenStream
from maxwhisper.engines.race import Finished, Race, Refused, Started, Stopped, run_race
from maxwhisper.errors import EngineUnavailable
from maxwhisper.options import StreamOptions, TranscribeOptions
from tests.fakes.engine_processes import wait_until

ROOT = Path(__file__).parents[2]
TEN_SECONDS = np.zeros(160_000, dtype=np.float32)  # 640 kB: more than any pipe holds
OTHER, OURS = BOTH = ("openai-whisper", "maxwhisper")
TEXT = " the <b>quick</b> brown fox & its friends"

pytestmark = pytest.mark.faults


def never():
    return False


def pid_of(pool, name=OURS):
    return pool._engines[name]._process._process.pid


def is_ready(pool, name=OURS):
    return pool.statuses()[name].phase == "ready"


def race_of(pool, prompt=None, first=OTHER, on_event=lambda event: None):
    """Texts and reasons of refusals, by engine; fails when the race does not end."""
    events = []
    options = TranscribeOptions(initial_prompt=prompt)
    race = Race(TEN_SECONDS, options, "demo", offset=pool.names.index(first))
    until_s = time.monotonic() + 40
    for event in run_race(pool, race, threading.Event()):
        assert time.monotonic() < until_s, "the race holds the device for ever"
        events.append(event)
        on_event(event)
    texts = {e.result.engine: e.result.transcript.text for e in events if isinstance(e, Finished)}
    reasons = {e.engine: e.reason for e in events if isinstance(e, Refused)}
    return texts, reasons


def at_the_turn_of(name, do):
    """A reader of events that calls `do` when the turn of engine `name` has begun."""
    return lambda event: do() if isinstance(event, Started) and event.engine == name else None


def test_an_engine_stopped_while_idle_does_not_stop_a_race(make_pool, monkeypatch):
    monkeypatch.setattr(supervisor, "BEAT_S", 3600.0)  # the race finds it, no heartbeat
    pool = make_pool(names=BOTH)
    os.kill(pid_of(pool), signal.SIGSTOP)
    texts, reasons = race_of(pool)
    assert texts == {OTHER: TEXT}
    assert "stopped answering during this run and is restarting" in reasons[OURS]
    assert race_of(pool) == (dict.fromkeys(BOTH, TEXT), {}), "the next race waits for it"


@pytest.mark.parametrize("system_tells", [True, False])
def test_a_stopped_engine_is_found_without_a_race(make_pool, monkeypatch, system_tells):
    monkeypatch.setattr(supervisor, "BEAT_S", 0.3)
    monkeypatch.setattr(process, "ANSWER_S", 3.0)
    if not system_tells:
        monkeypatch.setattr(process.EngineProcess, "is_frozen", False)
    pool = make_pool()
    stopped = pid_of(pool)
    time.sleep(1.0)
    assert pid_of(pool) == stopped, "a healthy engine keeps its process"
    os.kill(stopped, signal.SIGSTOP)
    wait_until(lambda: not is_ready(pool), timeout_s=10)
    wait_until(lambda: is_ready(pool))
    assert pid_of(pool) != stopped
    assert not pool.is_busy


def test_no_heartbeat_is_asked_for_while_the_device_is_held(make_pool, monkeypatch):
    monkeypatch.setattr(supervisor, "BEAT_S", 0.05)
    pool = make_pool()
    asked = []
    run = process.EngineProcess.run
    monkeypatch.setattr(
        process.EngineProcess,
        "run",
        lambda *given, **named: asked.append(1) or run(*given, **named),
    )
    wait_until(lambda: asked, timeout_s=10)
    with pool.device(never):
        time.sleep(0.2)
        asked.clear()
        time.sleep(0.5)
        assert not asked


def test_an_engine_killed_before_its_turn_warms_up_within_the_race(make_pool):
    pool = make_pool(names=BOTH)
    kill = at_the_turn_of(OTHER, lambda: os.kill(pid_of(pool), signal.SIGKILL))
    assert race_of(pool, on_event=kill) == (dict.fromkeys(BOTH, TEXT), {})


@pytest.mark.parametrize(
    ("prompt", "signal_number"),
    [("hang", 0), ("hang", signal.SIGSTOP), ("endless", 0)],
    ids=["never returns", "stopped", "never ends"],
)
def test_a_hung_engine_is_killed_at_the_deadline_with_nobody_pressing_stop(
    make_pool, monkeypatch, prompt, signal_number
):
    monkeypatch.setattr(process, "STOPPED_S", 3600.0)  # leave it to the deadline
    monkeypatch.setattr(process, "POLL_S", 2.0)  # not a moment without an item, on any machine
    pool = make_pool(names=BOTH, deadline_s=3.0)
    hung = pid_of(pool)

    def freeze():
        time.sleep(0.5)  # it has begun
        os.kill(hung, signal_number)

    texts, reasons = race_of(pool, prompt, OURS, at_the_turn_of(OURS, freeze))
    assert texts == {OTHER: TEXT}
    assert "gave no result within 3 s and was restarted" in reasons[OURS]
    wait_until(lambda: is_ready(pool))
    assert pid_of(pool) != hung
    assert race_of(pool) == (dict.fromkeys(BOTH, TEXT), {})


def test_an_engine_stopped_in_its_turn_does_not_use_up_the_deadline(make_pool, monkeypatch):
    monkeypatch.setattr(process, "STOPPED_S", 0.5)
    pool = make_pool(names=BOTH)

    def freeze():
        time.sleep(0.5)
        os.kill(pid_of(pool), signal.SIGSTOP)

    texts, reasons = race_of(pool, "hang", OURS, at_the_turn_of(OURS, freeze))
    assert texts == {OTHER: TEXT}
    assert "stopped answering" in reasons[OURS]


def test_an_engine_that_waits_for_ever_does_not_use_up_the_deadline(make_pool, monkeypatch):
    """As after memory ran out in a thread that held a lock: its process lives and computes nothing.
    One that computes may take its time."""
    monkeypatch.setattr(process, "IDLE_S", 1.0)
    pool = make_pool(names=BOTH)
    hung = pid_of(pool)
    texts, reasons = race_of(pool, "hang", OURS)
    assert texts == {OTHER: TEXT}
    assert "stopped answering" in reasons[OURS]
    assert race_of(pool, "compute") == (dict.fromkeys(BOTH, TEXT), {})
    assert pid_of(pool) != hung


def test_an_engine_that_hangs_in_its_warm_up_gets_a_new_process(make_pool, monkeypatch, tmp_path):
    """It holds the device meanwhile: no race begins."""
    monkeypatch.setattr(process, "IDLE_S", 1.0)
    monkeypatch.setenv("FAKE_ENGINE_HANGS_ONCE", str(tmp_path / "hung"))
    pool = make_pool()
    assert (tmp_path / "hung").exists()
    assert race_of(pool, first=OURS) == ({OURS: TEXT}, {})


def test_an_engine_out_of_memory_gets_a_new_process(make_pool):
    """The old one would go on without: every later run would fail."""
    pool = make_pool(names=BOTH)
    exhausted = pid_of(pool)
    texts, reasons = race_of(pool, "exhaust", OURS)
    assert texts == {OTHER: TEXT}
    assert reasons[OURS] == (
        "maxwhisper ran out of memory during this run and is restarting: choose a shorter "
        "recording or a smaller model, or try again when it is ready"
    )
    assert race_of(pool) == (dict.fromkeys(BOTH, TEXT), {})
    assert pid_of(pool) != exhausted


def test_an_engine_that_was_stopped_for_a_moment_goes_on(make_pool):
    pool = make_pool()
    pid = pid_of(pool)
    os.kill(pid, signal.SIGSTOP)
    threading.Timer(1.0, os.kill, (pid, signal.SIGCONT)).start()
    assert race_of(pool, first=OURS) == ({OURS: TEXT}, {})
    assert pid_of(pool) == pid


def test_stop_ends_a_race_whose_engine_is_stopped(make_pool, monkeypatch):
    monkeypatch.setattr(process, "CANCEL_GRACE_S", 0.3)
    pool = make_pool()
    os.kill(pid_of(pool), signal.SIGSTOP)
    events = run_race(
        pool, Race(TEN_SECONDS, TranscribeOptions(), "demo"), stop := threading.Event()
    )
    next(event for event in events if isinstance(event, Started))
    stop.set()
    assert isinstance(list(events)[-1], Stopped)
    wait_until(lambda: not pool.is_busy, timeout_s=3)


def test_a_stopped_live_stream_ends_with_a_reason(make_pool, monkeypatch):
    monkeypatch.setattr(process, "STOPPED_S", 0.5)
    pool = make_pool()
    gone = pytest.raises(EngineUnavailable, match="stopped answering during this run")
    with pool.device(never) as device:
        device.stream(OURS, OpenStream(TranscribeOptions(), StreamOptions()))
        os.kill(pid_of(pool), signal.SIGSTOP)
        with gone:
            device.stream(OURS, FeedStream(TEN_SECONDS))


PARENT = """
import os, signal, sys, time
sys.path[:0] = ["."]
from tests.fakes import engine_processes
import pytest
from maxwhisper.engines.process import EngineProcess
from maxwhisper.engines import messages
if __name__ == "__main__":
    engine_processes.install(pytest.MonkeyPatch())
    engine = EngineProcess("maxwhisper")
    for _ in engine.run(messages.Ping()): pass
    os.kill(engine._process.pid, signal.SIGSTOP)
    print(engine._process.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux ends the children of a killed parent")
def test_no_engine_outlives_a_page_that_was_killed_not_even_a_stopped_one(tmp_path):
    script = tmp_path / "page.py"
    script.write_text(PARENT)
    page = subprocess.Popen(
        [sys.executable, script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    pid = int(page.stdout.readline())
    page.kill()
    page.wait()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), timeout_s=10)
    assert list(tmp_path.iterdir()) == [script]
