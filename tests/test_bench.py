"""The harness on engines whose clock is known: order, medians, honesty about failures."""

import copy
import itertools

import fake_engines
import numpy as np
import pytest
from fake_engines import FakeEngine

from maxwhisper import bench, bench_report, machine
from maxwhisper.bench import Clip, Contestant, Settings, load_contestants, with_a_a_check
from maxwhisper.options import TranscribeOptions

CLIP = Clip("jfk", np.zeros(11 * 16_000, np.float32), "And so, my fellow Americans.")


def contestants(*engines):
    return [Contestant(engine.info.name, engine, 0.5) for engine in engines]


def fake_clock(seconds):
    """A clock that says each timed section took the next of `seconds`."""
    ticks = itertools.chain.from_iterable((0.0, s) for s in seconds)
    return lambda: next(ticks)


def test_numbers_follow_from_the_seconds():
    record = bench.run(
        contestants(FakeEngine("a")), [CLIP], "fake", clock=fake_clock([0.4, 0.1, 0.2])
    )
    bench_report.validate(record)
    (run,) = record["runs"]
    assert run["seconds"] == [0.4, 0.1, 0.2]
    assert run["median_s"] == 0.2
    assert run["rtfx"] == pytest.approx(11 / 0.2)
    assert run["wer"] == 0.0
    assert run["stages"] == {"mel": 0.1, "decode": 0.2, "total": 0.3}
    assert run["load_s"] == 0.5
    assert run["same_text_every_round"] is True


def test_every_engine_gets_the_same_array_and_options():
    engines = [FakeEngine("a"), FakeEngine("b")]
    options = TranscribeOptions(language="en")
    bench.run(contestants(*engines), [CLIP], "fake", Settings(rounds=2, warmups=1, options=options))
    for engine in engines:
        assert len(engine.calls) == 3  # a warm-up, then two rounds
        assert all(wave is CLIP.waveform and opts is options for wave, opts in engine.calls)


def test_the_order_is_rotated():
    lines = []
    engines = [FakeEngine("a"), FakeEngine("b"), FakeEngine("c")]
    bench.run(
        contestants(*engines), [CLIP], "fake", Settings(rounds=3, warmups=1), progress=lines.append
    )
    order = [line.split(": ")[1][0] for line in lines if "round" in line]
    assert "".join(order) == "abcbcacab"


def test_a_failing_engine_is_an_error_and_the_others_run():
    engines = [FakeEngine("good"), FakeEngine("bad", fail_from_call=3)]
    record = bench.run(contestants(*engines), [CLIP], "fake")
    bench_report.validate(record)
    good, bad = record["runs"]
    assert good["error"] is None
    assert len(good["seconds"]) == 3
    assert bad["error"] == "RuntimeError: CUDA failed"
    assert bad["seconds"] == []
    assert bad["median_s"] is None
    assert len(engines[1].calls) == 3, "not called again after it failed"
    assert bench_report.failed(record)
    assert "bad: ERROR RuntimeError" in bench_report.table(record)


@pytest.mark.parametrize(
    ("clip", "company"),
    [(CLIP, []), (Clip("unknown", CLIP.waveform), [FakeEngine("good")])],
    ids=["it has a reference", "another engine heard words"],
)
def test_an_empty_text_for_speech_is_an_error(clip, company):
    lanes = contestants(FakeEngine("mute", text=" "), *company)
    mute = bench.run(lanes, [clip], "tiny")["runs"][0]
    assert mute["error"] == "returned an empty text for speech"
    assert mute["rtfx"] is None


def test_silence_may_be_empty():
    silence = Clip("silence", CLIP.waveform, "")
    (run,) = bench.run(contestants(FakeEngine("mute", text="")), [silence], "tiny")["runs"]
    assert run["error"] is None
    lanes = contestants(FakeEngine("hallucinating"), FakeEngine("mute", text=""))
    runs = bench.run(lanes, [silence], "tiny")["runs"]
    assert [(run["error"], run["wer"]) for run in runs] == [(None, None), (None, None)]


def test_changing_texts_are_reported():
    engine = FakeEngine("moody")
    texts = iter(["warm", "warm", "one", "two", "two"])
    real = engine.transcribe

    def moody(waveform, options, on_segment=None):
        engine.text = next(texts)
        return real(waveform, options, on_segment)

    engine.transcribe = moody
    (run,) = bench.run(contestants(engine), [Clip("c", CLIP.waveform)], "fake")["runs"]
    assert run["same_text_every_round"] is False


def test_a_a_check_runs_the_same_engine_under_two_names():
    engine = FakeEngine("a")
    lanes = with_a_a_check(contestants(engine))
    assert [lane.name for lane in lanes] == ["a", "a (A/A)"]
    record = bench.run(lanes, [CLIP], "fake", Settings(rounds=2, warmups=1))
    assert len(engine.calls) == 2 * (1 + 2)
    assert [run["engine"] for run in record["runs"]] == ["a", "a (A/A)"]


@pytest.fixture
def isolated(monkeypatch):
    """isolated(*names): contestants in processes of their own, ended after the test."""
    started = []

    def load(*names):
        started.extend(load_contestants(names, "demo"))
        return started

    registry = fake_engines.ENGINES | fake_engines.TROUBLED
    monkeypatch.setattr("maxwhisper.engine.ENGINES", registry)
    yield load
    bench.close(started)


def test_loading_is_timed_apart_and_may_fail(isolated):
    good, bad = isolated("plain", "missing")
    assert good.load_s >= 0
    assert bad.engine is None
    assert bad.error.startswith("loading failed: EngineUnavailable: missing cannot run")
    record = bench.run([good, bad], [CLIP], "fake")
    bench_report.validate(record)
    assert record["runs"][1]["error"] == bad.error


def test_every_engine_has_a_process_and_its_own_clock(isolated):
    """The slow engine is timed where it runs: the pipe and the other engine do not count."""
    first, second = isolated("plain", "slow")
    never = lambda: pytest.fail("the harness's own clock was asked")  # noqa: E731
    record = bench.run([first, second], [CLIP], "fake", clock=never)
    quick, slow = (run["median_s"] for run in record["runs"])
    assert quick < fake_engines.SLOW_S <= slow < 2 * fake_engines.SLOW_S


def test_a_failure_in_the_other_process_comes_back_as_a_line(isolated):
    record = bench.run(isolated("failing"), [CLIP], "fake")
    assert record["runs"][0]["error"] == "RuntimeError: CUDA failed"


def test_an_engine_whose_process_dies_is_an_error(isolated):
    record = bench.run(isolated("dying", "plain"), [CLIP], "fake")
    assert "BrokenProcessPool" in record["runs"][0]["error"]
    assert record["runs"][1]["error"] is None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda r: r.pop("machine"), "machine"),
        (lambda r: r.update(schema=99), "schema"),
        (lambda r: r.update(runs=[]), "at least one run"),
        (lambda r: r["runs"][0].pop("wer"), "wer"),
        (lambda r: r["runs"][0].update(rtfx="fast"), "rtfx"),
        (lambda r: r["runs"][0].update(rtfx=1e6), "rtfx"),
        (lambda r: r["runs"][0].update(median_s=0.0), "median_s"),
        (lambda r: r["runs"][0]["seconds"].pop(), "seconds"),
        (lambda r: r["runs"][0].update(text="retouched"), "text_sha256"),
        (lambda r: r["runs"][0].update(error="but it has seconds"), "no seconds"),
    ],
)
def test_validate_refuses_a_retouched_record(change, complaint):
    record = bench.run(contestants(FakeEngine("a")), [CLIP], "fake")
    bench_report.validate(record)
    changed = copy.deepcopy(record)
    change(changed)
    with pytest.raises(ValueError, match=complaint):
        bench_report.validate(changed)


def test_the_table_is_sorted_and_says_by_how_much():
    clock = fake_clock([0.4, 0.2, 0.2, 0.4, 0.4, 0.2])  # rotated: a b | b a | a b
    record = bench.run(contestants(FakeEngine("a"), FakeEngine("b")), [CLIP], "fake", clock=clock)
    lines = bench_report.table(record).splitlines()
    rows = [line for line in lines if line.startswith(("a ", "b "))]
    assert [row.split()[0] for row in rows] == ["b", "a"]
    assert "2.00" in rows[1].split()
    assert "0.0 %" in rows[0]


def test_the_table_doubts_noisy_rounds():
    for seconds, noisy in (([0.20, 0.21, 0.20], False), ([0.20, 0.30, 0.20], True)):
        clock = fake_clock(seconds)
        record = bench.run(contestants(FakeEngine("a")), [CLIP], "fake", clock=clock)
        assert ("noisy: rounds of a differ" in bench_report.table(record)) is noisy


def test_rounds_must_be_positive():
    with pytest.raises(ValueError, match="at least 1"):
        bench.run([], [CLIP], "fake", Settings(rounds=0))


def test_the_machine_describes_itself():
    described = machine.describe()
    assert described["versions"]["numpy"] == np.__version__
    assert described["versions"]["maxwhisper"]
    assert described["threads"] >= 1
    assert described["commit"] is None or len(described["commit"].rstrip("+")) == 40
