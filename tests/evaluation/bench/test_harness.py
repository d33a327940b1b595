"""The harness on engines whose clock is known: order, medians, noise, honesty about failures."""

import json

import numpy as np
import pytest

from maxwhisper import machine
from maxwhisper.errors import RecordError
from maxwhisper.evaluation.bench import harness
from maxwhisper.evaluation.bench.cases import Clip, Job, Mode, Model, find_mode
from maxwhisper.evaluation.bench.entry import Contestant, Entrant
from maxwhisper.evaluation.bench.harness import Plan
from maxwhisper.evaluation.bench.measure import measure
from maxwhisper.evaluation.bench.record import BenchRecord, GraphRuns
from maxwhisper.options import GREEDY
from tests.fakes import engines as fake_engines
from tests.fakes.engines import FakeEngine
from tests.fakes.scripted_subject import DIMS, WARMUP_S, contestant, meter

CLIP = Clip("jfk", np.zeros(11 * 16_000, np.float32), "And so, my fellow Americans.")
MODE = Mode("sequential greedy", GREEDY)
BATCHED = Mode("batched 8", GREEDY, 8)
MODEL = Model("fake")
FIXED = Model("random:small", DIMS, 16)


def race(*contestants, model=MODEL, modes=(MODE,), clips=(CLIP,), aa=False, **settings):
    """A record of the contestants, valid or the test fails."""
    plan = Plan([model], modes, clips, **({"rounds": 3} | settings), aa=aa)
    return harness.run(plan, lambda _: contestants)


def test_numbers_follow_from_the_seconds():
    (run,) = race(contestant("a", [0.4, 0.1, 0.2])).runs
    assert run.seconds == [0.4, 0.1, 0.2]
    assert run.median_s == 0.2
    assert run.iqr_s == pytest.approx(0.15)
    assert run.rtfx == pytest.approx(11 / 0.2)
    assert run.tokens_per_s == pytest.approx(2 / 0.2)
    assert run.wer == 0.0
    assert run.stages == {"mel": 0.1, "decode": 0.2, "total": 0.3}
    assert (run.load_s, run.cold_s, run.first_text_s) == (0.5, WARMUP_S, 0.05)
    assert run.same_text_every_round is True


def test_every_engine_gets_the_same_array_and_options():
    contestants = [contestant("a"), contestant("b")]
    race(*contestants, modes=[find_mode("beam5", "en", 8)], rounds=2, warmups=1)
    jobs = [entrant.subject.jobs for entrant in contestants]
    assert [len(each) for each in jobs] == [3, 3]  # a warm-up, then two rounds
    assert all(job is jobs[0][0] or job == jobs[0][0] for each in jobs for job in each)
    assert jobs[0][0].waveform is CLIP.waveform
    assert (jobs[0][0].options.beam_size, jobs[0][0].options.language) == (5, "en")


def test_the_order_is_rotated():
    lines = []
    plan = Plan([MODEL], [MODE], [CLIP], rounds=3, warmups=1, aa=False)
    contestants = [contestant(name) for name in "abc"]
    harness.run(plan, lambda _: contestants, progress=lines.append)
    order = [line.split(": ")[1][0] for line in lines if "round" in line]
    assert "".join(order) == "abcbcacab"


def test_every_model_is_loaded_and_closed_in_turn():
    loaded = []

    def load(model):
        assert all(each.subject.is_closed for each in loaded), "two models at once"
        loaded.append(contestant(model.name))
        return [loaded[-1]]

    so_far = []
    plan = Plan([MODEL, Model("other")], [MODE], [CLIP])
    record = harness.run(plan, load, on_model=so_far.append)
    assert [run.model for run in record.runs] == ["fake", "other"]
    for kept, models in zip(so_far, (["fake"], ["fake", "other"]), strict=True):
        assert [run.model for run in kept.runs] == list(kept.models) == models
    assert all(each.subject.is_closed for each in loaded)
    assert record.models["other"].source == "seeded random weights"


def test_only_the_last_warm_up_is_metered():
    entrant = contestant("a", meters={"encoder": meter(2, 6.0), "unused": meter(0, 0.0)})
    (run,) = race(entrant).runs
    assert entrant.subject.metered == [False, True, False, False, False]
    assert run.graphs == {"encoder": GraphRuns(2, 6.0)}
    assert run.outside_graphs == pytest.approx(1 - 6.0 / WARMUP_S)


def test_an_engine_without_batches_says_so_and_is_no_failure():
    contestants = contestant("ours"), contestant("theirs", no_batches=True)
    record = race(*contestants, modes=[MODE, BATCHED])
    last = record.runs[-1]
    assert last.mode == "batched 8"
    assert last.unsupported == "theirs has no batches"
    assert (last.error, last.median_s) == (None, None)
    assert not record.failed
    assert contestants[0].subject.engine.modes[-1] == (8, None)


@pytest.mark.parametrize(
    ("n_tokens", "error"),
    [(16, None), (15, "expected 16 tokens in every round, got [15]")],
)
def test_random_weights_must_decode_the_tokens_they_are_told_to(n_tokens, error):
    contestants = contestant("a", n_tokens=16), contestant("b", n_tokens=n_tokens)
    a, b = race(*contestants, model=FIXED).runs
    assert (a.error, b.error) == (None, error)
    assert a.step_ms == pytest.approx(1000 * 0.2 / 15), "the first token comes with the prefill"
    assert (a.wer, a.text) == (None, None), "what random weights say means nothing"
    assert a.text_sha256


def test_the_same_engine_twice_tells_how_noisy_the_machine_is():
    pairs = [0.2, 0.2, 0.21, 0.2, 0.2, 0.2]  # each round: the engine, then its twin, and rotated
    quiet = race(contestant("a", pairs), aa=True).aa
    assert (quiet.verdict, quiet.cells[0].label) == ("quiet", "a")
    assert [len(seconds) for seconds in quiet.cells[0].seconds] == [3, 3]
    noisy = race(contestant("a", [0.2, 0.21, 0.21, 0.2, 0.2, 0.21]), aa=True).aa
    assert noisy.worst == pytest.approx(0.05)
    assert noisy.verdict == "too noisy"
    assert race(contestant("a")).aa.verdict == "not checked"


def test_a_failing_engine_is_an_error_and_the_others_run():
    contestants = contestant("good"), contestant("bad", fail_from_call=3)
    record = race(*contestants, aa=True)
    good, bad = record.runs
    assert good.error is None
    assert len(good.seconds) == 3
    assert bad.error == "RuntimeError: CUDA failed"
    assert (bad.seconds, bad.median_s) == ([], None)
    assert len(contestants[1].subject.jobs) == 3, "not called again after it failed"
    assert record.failed


def test_no_check_of_noise_by_an_engine_that_fails():
    assert race(contestant("bad", fail_from_call=3), aa=True).aa.verdict == "not checked"


@pytest.mark.parametrize(
    ("clip", "company"),
    [(CLIP, []), (Clip("unknown", CLIP.waveform), ["good"])],
    ids=["it has a reference", "another engine heard words"],
)
def test_an_empty_text_for_speech_is_an_error(clip, company):
    contestants = [contestant("mute", text=" "), *map(contestant, company)]
    mute = race(*contestants, clips=[clip]).runs[0]
    assert mute.error == "returned an empty text for speech"
    assert mute.rtfx is None


def test_silence_may_be_empty():
    silence = Clip("silence", CLIP.waveform, "")
    contestants = contestant("hallucinating"), contestant("mute", text="")
    runs = race(*contestants, clips=[silence]).runs
    assert [(run.error, run.wer) for run in runs] == [(None, None), (None, None)]


def test_changing_texts_are_reported():
    entrant = contestant("moody")
    texts, real = iter(["warm", "warm", "one", "two", "two"]), entrant.subject.engine.transcribe

    def moody(*arguments, **mode):
        entrant.subject.engine.text = next(texts)
        return real(*arguments, **mode)

    entrant.subject.engine.transcribe = moody
    (run,) = race(entrant, clips=[Clip("c", CLIP.waveform)]).runs
    assert run.same_text_every_round is False


def test_rounds_must_be_positive():
    with pytest.raises(ValueError, match="at least 1"):
        harness.run(Plan([MODEL], [MODE], [CLIP], rounds=0), lambda _: [])


def test_a_measurement_tells_the_first_text_and_the_memory():
    class Graph:
        def execute(self):
            return []

    engine = FakeEngine("a", sleep_s=0.05, graphs={"encoder": Graph(), "step": Graph()})
    plain = measure(engine, Job(CLIP.waveform, GREEDY))
    assert 0.05 <= plain.first_text_s <= plain.seconds < 5
    assert plain.host_peak_bytes > 10 * 2**20
    assert plain.graphs == {}
    metered = measure(engine, Job(CLIP.waveform, GREEDY, 8, vad=False), is_metered=True)
    assert {name: each.count for name, each in metered.graphs.items()} == {"encoder": 1, "step": 1}
    assert engine.modes == [(None, None), (8, False)]
    measure(engine, Job(CLIP.waveform, GREEDY))
    assert metered.graphs["step"].count == 1, "the meters are off again"


@pytest.fixture
def isolated(monkeypatch):
    """isolated(*names): contestants in processes of their own, ended after the test."""
    started = []

    def load(*names):
        started.extend(harness.load_contestants([Entrant(name) for name in names], Model("demo")))
        return started

    registry = fake_engines.ENGINES | fake_engines.TROUBLED
    monkeypatch.setattr("maxwhisper.engine.ENGINES", registry)
    yield load
    harness.close(started)


def test_engines_run_in_processes_of_their_own(isolated, tmp_path, monkeypatch):
    """One that is fast, one slow, one whose first start prepares, one that dies, one missing."""
    monkeypatch.setenv("FAKE_PREPARED", str(tmp_path / "prepared"))
    contestants = isolated("quiet", "slow", "preparing", "dying", "missing")
    plan = Plan([MODEL], [MODE, BATCHED], [CLIP], rounds=1, warmups=1, aa=False)
    record = harness.run(plan, lambda _: contestants)
    quick, slow, prepared, dead, missing = record.runs[:5]
    assert quick.median_s < fake_engines.SLOW_S <= slow.median_s < 5 * fake_engines.SLOW_S
    assert (quick.prepare_s, quick.load_s >= 0) == (None, True)
    assert prepared.prepare_s > 0
    assert prepared.load_s < fake_engines.SLOW_S, "the second start has nothing to prepare"
    assert dead.error == "the engine's process ended with code 1"
    assert missing.error.startswith("loading failed: EngineUnavailable: missing cannot run")
    assert quick.cold_s > 0
    assert record.runs[5].cold_s is None, "the second cell is not cold"
    assert quick.host_peak_bytes > 10 * 2**20


def test_a_refusal_and_a_failure_cross_the_pipe(isolated):
    contestants = isolated("failing", "sequential")
    plan = Plan([MODEL], [BATCHED], [CLIP], rounds=1, warmups=1, aa=False)
    failing, refusing = harness.run(plan, lambda _: contestants).runs
    assert failing.error == "RuntimeError: CUDA failed"
    assert refusing.unsupported == "sequential has no batches"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda r: r.pop("machine"), "machine"),
        (lambda r: r.update(schema=99), "schema"),
        (lambda r: r.update(runs=[]), "at least one run"),
        (lambda r: r["clips"]["jfk"].pop("decode_s"), "decode_s"),
        (lambda r: r["models"]["fake"].pop("source"), "source"),
        (lambda r: r["runs"][0].pop("wer"), "wer"),
        (lambda r: r["runs"][0].update(clip="other"), "clip: expected one of jfk"),
        (lambda r: r["runs"][0].update(rtfx="fast"), "rtfx"),
        (lambda r: r["runs"][0].update(rtfx=1e6), "rtfx"),
        (lambda r: r["runs"][0].update(median_s=0.0), "median_s"),
        (lambda r: r["runs"][0].update(iqr_s=0.5), "iqr_s"),
        (lambda r: r["runs"][0]["seconds"].pop(), "seconds"),
        (lambda r: r["runs"][0].update(text="retouched"), "text_sha256"),
        (lambda r: r["runs"][0].update(error="but it has seconds"), "no seconds"),
        (lambda r: r["aa"].update(verdict="quiet"), "verdict"),
        (lambda r: r["aa"]["cells"][0].update(apart=0.0), "apart"),
    ],
)
def test_validate_refuses_a_retouched_record(change, complaint):
    record = race(contestant("a", [0.2, 0.21, 0.21, 0.2, 0.2, 0.21]), aa=True)
    changed = json.loads(json.dumps(record.to_dict()))
    change(changed)
    with pytest.raises(ValueError, match=complaint):
        BenchRecord.from_dict(changed)


def test_records_are_read_back_or_refused(tmp_path):
    record = race(contestant("a"))
    (tmp_path / "one.json").write_text(json.dumps(record.to_dict()))
    assert BenchRecord.load_all(tmp_path) == [record]
    with pytest.raises(RecordError, match="is no benchmark record"):
        BenchRecord.load(tmp_path / "none.json")
    (tmp_path / "old.json").write_text('{"schema": 1}')
    with pytest.raises(RecordError, match="expected schema 2, got 1"):
        BenchRecord.load(tmp_path / "old.json")


def test_a_contestant_that_did_not_load_keeps_its_error():
    (run,) = race(Contestant(Entrant("gone"), None, "loading failed: no such file")).runs
    assert (run.error, run.info, run.load_s) == (
        "loading failed: no such file",
        None,
        None,
    )


@pytest.mark.parametrize(
    ("listing", "used_bytes"),
    [("512\n1024", 1536 * 2**20), ("[N/A]", None), ("512\n[N/A]", None), (None, None)],
    ids=["two", "shared memory", "one of two tells", "none"],
)
def test_memory_on_gpus_is_what_the_driver_tells(listing, used_bytes, monkeypatch):
    monkeypatch.setattr(machine, "_run", lambda *command: listing)
    assert machine.gpu_used_bytes() == used_bytes


def test_the_machine_describes_itself():
    described = machine.describe()
    assert described["versions"]["numpy"] == np.__version__
    assert described["versions"]["maxwhisper"]
    assert described["threads"] >= 1
    assert described["commit"] is None or len(described["commit"].rstrip("+")) == 40
