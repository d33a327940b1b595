"""A race and a benchmark are fair: their seconds are those of a clock outside, every engine hears
the same samples, and none computes while another has its turn."""

import hashlib
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from maxwhisper.engines.race import Finished, Race, Started, run_race
from maxwhisper.evaluation.bench import harness
from maxwhisper.evaluation.bench.cases import Clip, Mode, Model, make_job
from maxwhisper.evaluation.bench.entry import Entrant
from maxwhisper.evaluation.bench.harness import Plan
from maxwhisper.options import GREEDY
from tests.fakes import engine_processes
from tests.fakes.engines import SLOW_S
from tests.fakes.threads import cpu_seconds

NOISE = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
NAMES = ("openai-whisper", "faster-whisper", "maxwhisper")


def cpu_s(pid):
    """CPU seconds of a process so far."""
    return cpu_seconds(Path(f"/proc/{pid}/stat"))


def outside(events):
    """(engine, seconds by our own clock) of each turn, from its start to its end."""
    told = [(event, time.monotonic()) for event in events if isinstance(event, Started | Finished)]
    return [
        (started.engine, end_s - start_s)
        for (started, start_s), (finished, end_s) in pairwise(told)
        if isinstance(started, Started) and isinstance(finished, Finished)
    ]


def test_seconds_of_a_race_are_those_of_an_outside_clock(make_pool):
    """Neither less than an engine sleeps for certain, nor more than its turn took."""
    pool = make_pool(NAMES)
    options = GREEDY.changed({"initial_prompt": "steady"})
    race = Race(NOISE, options, "demo", rounds=2)
    results = []

    def kept():
        for event in run_race(pool, race, threading.Event()):
            results.extend([event.result] if isinstance(event, Finished) else [])
            yield event

    turns = outside(kept())
    last = {result.engine: result for result in results}
    told = {name: (*last[name].seconds, *last[name].again) for name in NAMES}
    assert sorted(map(len, told.values())) == [2, 2, 4], "ours has two turns a round"
    for name, seconds in told.items():
        taken_s = [each for engine, each in turns if engine == name]
        assert len(taken_s) == len(seconds)
        assert min(seconds) >= engine_processes.STEADY_S, f"{name} slept longer than it says"
        assert sum(seconds) <= sum(taken_s), f"{name} says more than its turns took"


@pytest.mark.parametrize("name", NAMES)
def test_seconds_of_the_benchmark_are_those_of_an_outside_clock(name, monkeypatch):
    slow = {name: "tests.fakes.engines:create_slow"}
    monkeypatch.setattr("maxwhisper.engine.ENGINES", slow)
    contestants = harness.load_contestants([Entrant(name)], Model("demo"))
    plan = Plan([Model("demo")], [Mode("greedy", GREEDY)], [Clip("noise", NOISE)], 2, 1, aa=False)
    start_s = time.monotonic()
    try:
        (run,) = harness.run(plan, lambda _: contestants).runs
    finally:
        harness.close(contestants)
    assert min(*run.seconds, run.median_s, run.cold_s) >= SLOW_S
    assert sum(run.seconds) + run.cold_s <= time.monotonic() - start_s


def test_every_engine_of_a_race_hears_the_same_samples(make_pool, monkeypatch):
    monkeypatch.setenv("FAKE_ENGINE_HEARS_HASHES", "1")
    pool = make_pool(NAMES)
    race = Race(NOISE, GREEDY, "demo")
    events = list(run_race(pool, race, threading.Event()))
    heard = {e.result.engine: e.result.transcript.text for e in events if isinstance(e, Finished)}
    expected = hashlib.sha256(NOISE.tobytes()).hexdigest()
    assert set(heard) == set(NAMES)
    assert {text.split()[-1] for text in heard.values()} == {expected}


def test_no_engine_of_a_race_computes_in_the_turn_of_another(make_pool):
    """Ours leaves a thread that computes for ever, in the first of its two turns."""
    pool = make_pool(NAMES)
    ours = pool._engines["maxwhisper"]._process
    race = Race(NOISE, GREEDY.changed({"initial_prompt": "spin"}), "demo")
    taken_s = {name: [] for name in NAMES}
    with pool.device(lambda: False) as device:
        for name in sorted(NAMES, key="maxwhisper".__ne__):
            device.transcribe(
                name,
                race.waveform,
                race.options,
                lambda _, name=name: taken_s[name].append(cpu_s(ours._process.pid)),
            )
            if name == "maxwhisper":
                before_s = cpu_s(ours._process.pid)
                time.sleep(0.2)
                assert cpu_s(ours._process.pid) - before_s > 0.05, "or this test tests nothing"
    for name in NAMES[:2]:
        assert len(taken_s[name]) > 5
        assert taken_s[name][0] == taken_s[name][-1], f"ours computes in the turn of {name}"
    assert not ours.is_frozen, "it goes on when the others have had their turns"


def test_no_engine_of_the_benchmark_computes_in_the_turn_of_another(monkeypatch):
    spinning = {"spinning": "tests.fakes.engines:create_spinning"}
    monkeypatch.setattr("maxwhisper.engine.ENGINES", spinning)
    job = make_job(Mode("greedy", GREEDY), Model("demo"), Clip("noise", NOISE))
    (contestant,) = harness.load_contestants([Entrant("spinning")], Model("demo"))
    try:
        for _ in range(2):
            contestant.subject.run(job)
            pid = contestant.subject._process._process.pid
            before_s = cpu_s(pid)
            time.sleep(0.2)
            assert cpu_s(pid) == before_s
    finally:
        start_s = time.monotonic()
        harness.close([contestant])
    assert time.monotonic() - start_s < 1, "it hears of the end although it stood still"
