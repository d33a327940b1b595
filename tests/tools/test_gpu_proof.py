"""The proof on a device: what is wrong there fails, what raises is written down, nothing is left
out."""

import sys
import time
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from maxwhisper.audio.load import decode
from maxwhisper.engine import OURS
from maxwhisper.evaluation.bench.record import MeasuredRun
from maxwhisper.evaluation.selftest.result import CheckResult
from tests.fakes.runs import transcript
from tools.gpu_proof import process, steps
from tools.gpu_proof.__main__ import EXAMPLES, summary
from tools.gpu_proof.goals import GOALS
from tools.gpu_proof.proof import Proof, ProofRecord, run
from tools.gpu_proof.steps import DTYPES

SAID = ("the quick brown fox", "jumps over it")


class Reader:
    """Says the same of every recording."""

    def __init__(self, texts):
        self.texts = texts

    def transcribe(self, samples, options):
        return transcript(self.texts)


def proof(tmp_path, texts_of=None, device="gpu", clips=None):
    """`texts_of`: (engine, device, precision) -> what is heard there instead of `SAID`."""
    return Proof(
        device,
        lambda *lane: Reader((texts_of or {}).get(lane, SAID)),
        clips or [("A clip", np.zeros(16_000, np.float32), " ".join(SAID))],
        ("demo",),
        rounds=1,
        folder=tmp_path,
    )


def failed(entry):
    return [
        (r["engine"], r["device"], r["dtype"]) for r in entry["rows"] if r["status"] != "passed"
    ]


def test_equal_texts_pass(tmp_path):
    entry = steps.texts(proof(tmp_path))
    assert entry["status"] == "passed"
    lanes = {(row["engine"], row["device"], row["dtype"]) for row in entry["rows"]}
    assert {(OURS, "cpu", "float32"), *((OURS, "gpu", dtype) for dtype in DTYPES)} < lanes
    assert {engine for engine, *_ in lanes} == {OURS, "openai-whisper", "faster-whisper"}


@pytest.mark.parametrize(
    ("lane", "texts", "is_right"),
    [
        ((OURS, "cpu", "float32"), ("the quick fox", "jumps over it"), False),
        (("openai-whisper", "gpu", "float32"), ("the quick brown",), False),
        (("faster-whisper", "gpu", "float32"), ("a quick brown fox", "jumps over it"), False),
        (("faster-whisper", "gpu", "float32"), (" ".join(SAID),), True),  # other segments
        ((OURS, "gpu", "bfloat16"), ("the quick brown",), True),
        ((OURS, "gpu", "float16"), (), False),  # no text at all
    ],
)
def test_another_text_fails_where_it_must_not_be(tmp_path, lane, texts, is_right):
    entry = steps.texts(proof(tmp_path, {lane: texts}))
    assert failed(entry) == ([] if is_right else [lane])
    assert (entry["status"] == "passed") is is_right


def test_no_words_are_asked_for_where_nobody_speaks(tmp_path):
    silent = [("Silence", np.zeros(16_000, np.float32), "")]
    lanes = {(OURS, "gpu", "float16"): ()}
    assert steps.texts(proof(tmp_path, lanes, clips=silent))["status"] == "passed"


def run_here(here, todo, minutes):
    """The steps in this process."""
    limits = []

    def do(name, limit_s):
        limits.append(limit_s)
        return here.attempt(todo[name])

    return run("gpu", here.folder, todo, minutes, do), limits


def broken(step):
    step.report({"found": "so far"})
    raise RuntimeError("no such device")


TWO = {"first": broken, "second": lambda _: {"status": "passed"}}


def test_a_step_that_raises_is_written_down_and_the_next_one_runs(tmp_path):
    record, limits = run_here(proof(tmp_path), TWO, minutes=1)
    assert record.steps["first"]["why"] == "RuntimeError: no such device"
    assert record.steps["first"]["found"] == "so far"
    assert [entry["status"] for entry in record.steps.values()] == ["error", "passed"]
    assert ProofRecord.load(tmp_path / "proof.json") == record
    assert all(50 < limit_s <= 60 for limit_s in limits)
    late, _ = run_here(proof(tmp_path / "late"), TWO, minutes=0)
    assert {entry["status"] for entry in late.steps.values()} == {"not run"}
    assert "not run" in "\n".join(summary(late))


def test_no_step_may_use_up_the_time_of_the_others(tmp_path):
    many = dict.fromkeys("abcdef", TWO["second"])
    _, limits = run_here(proof(tmp_path), many, minutes=1)
    assert limits[0] <= 60 / 3
    assert limits[-1] > 50


def test_what_was_found_before_is_kept_until_it_is_found_again(tmp_path):
    run_here(proof(tmp_path), TWO, minutes=1)
    again = {"first": lambda _: {"status": "passed"}}
    record, _ = run_here(proof(tmp_path), again, minutes=1)
    assert [entry["status"] for entry in record.steps.values()] == ["passed", "passed"]
    late, _ = run_here(proof(tmp_path), TWO, minutes=0)
    assert late.steps == record.steps
    other = run("cpu", tmp_path, ["second"], 1, lambda *_: {"status": "passed"})
    assert list(other.steps) == ["second"], "of another device"


CHILD = """
import sys, os, time, signal
from pathlib import Path
from tools.gpu_proof.process import keep
keep(Path(sys.argv[-1]), {"found": "so far"})
"""


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("sys.exit(3)", "ended with exit code 3"),
        ("time.sleep(600)", "stopped after 5 s"),
    ],
)
def test_a_step_that_dies_or_hangs_keeps_what_it_had_found(end, why):
    start_s = time.monotonic()
    entry = process.do([sys.executable, "-c", CHILD + end], limit_s=5)
    assert (entry["status"], entry["found"]) == ("error", "so far")
    assert why in entry["why"]
    assert time.monotonic() - start_s < 60


def test_a_step_that_ends_well_is_taken_at_its_word():
    end = 'keep(Path(sys.argv[-1]), {"status": "failed", "found": "all"})'
    entry = process.do([sys.executable, "-c", CHILD + end], limit_s=60)
    assert entry == {"status": "failed", "found": "all"}


def test_an_engine_that_is_not_there_costs_no_other(tmp_path):
    def load(name, device, dtype):
        if (name, dtype) in (("faster-whisper", "float32"), (OURS, "bfloat16")):
            raise RuntimeError("libcublas.so.12 is not found")
        return Reader(SAID)

    here = Proof("gpu", load, proof(tmp_path).clips, (), rounds=1, folder=tmp_path)
    entry = steps.texts(here)
    assert failed(entry) == [(OURS, "gpu", "bfloat16"), ("faster-whisper", "gpu", "float32")]
    assert sum(row["status"] == "passed" for row in entry["rows"]) == 4
    assert "libcublas" in entry["rows"][-1]["why"]


def test_what_is_missing_is_said_before_it_costs_time(tmp_path, monkeypatch):
    there = {"float32", "float16"}
    monkeypatch.setattr(steps, "ENGINES", {OURS: "json:loads", "faster-whisper": "no_such:engine"})
    monkeypatch.setattr(steps, "is_ready", lambda dims, chosen, folder: chosen.dtype_name in there)
    monkeypatch.setattr(steps, "choose", FakePlacement)
    entry = steps.environment(proof(tmp_path))
    assert entry["status"] == "failed"
    assert entry["why"] == "to be compiled here: demo, bfloat16"
    assert entry["engines"][OURS] == {"status": "passed"}
    assert "no_such" in entry["engines"]["faster-whisper"]["why"]


class FakePlacement:
    label, target = "gpu:0", "cuda-sm_90a"

    def __init__(self, device, dtype="auto"):
        self.dtype_name = "float16" if dtype == "auto" else dtype


def run_of(**changes):
    """A run of the record with no more numbers than the goals need."""
    fields = dict.fromkeys(MeasuredRun.__struct_fields__) | {
        "label": OURS,
        "model": "random:tiny",
        "mode": "batched 8",
        "clip": "talk.flac",
        "seconds": [0.02],
        "median_s": 0.02,
        "step_ms": 0.5,
        "rtfx": 8000.0,
    }
    return MeasuredRun(**(fields | changes))


def test_goals_are_judged_from_the_record():
    rival = run_of(label="faster-whisper", median_s=0.03)
    record = SimpleNamespace(measured=[run_of(), rival])
    judged = {goal.what: goal.judge(record) for goal in GOALS}
    assert judged["tiny, batched, seconds for the talk"]["met"] is True
    assert judged["tiny, batched, times faster-whisper"]["value"] == pytest.approx(1.5)
    assert judged["tiny, batched, times faster-whisper"]["met"] is False
    assert judged["tiny, one step, ms"]["met"] is None
    slow = SimpleNamespace(measured=[run_of(mode="sequential greedy")])
    assert {goal.what: goal.judge(slow)["met"] for goal in GOALS} == {
        "tiny, batched, seconds for the talk": None,
        "tiny, one step, ms": False,
        "tiny, batched, times faster-whisper": None,
        "tiny, sequential, times real time": True,
        "turbo, batched, seconds for the talk": None,
    }


def test_components_fail_where_one_check_in_one_precision_does(tmp_path, monkeypatch):
    def checks(dtype):
        statuses = ("passed", "failed" if dtype == "float16" else "passed")
        return [CheckResult("a", "b", status, None, None, 1.0, "gpu:0") for status in statuses]

    monkeypatch.setattr(steps, "run_checks", checks)
    here = Proof("gpu", lambda name, device, dtype: dtype, [], (), rounds=1, folder=tmp_path)
    entry = steps.components(here)
    found = {dtype: part["status"] for dtype, part in entry["dtypes"].items()}
    assert found == {"float32": "passed", "bfloat16": "passed", "float16": "failed"}
    assert entry["status"] == "failed"


def test_on_the_cpu_texts_are_equal_and_no_step_is_captured(engine, tmp_path, monkeypatch):
    """The real engine, its text against itself."""
    monkeypatch.setattr(steps, "DTYPES", ("float32",))
    clip = ("Plain speech", decode(EXAMPLES / "plain.flac"), "")
    here = Proof("cpu", lambda *_: engine, [clip], (), rounds=1, folder=tmp_path)
    assert steps.texts(here)["status"] == "passed"
    assert steps.capture(here)["status"] == "not run"


@pytest.mark.filterwarnings("ignore:could not be captured")
def test_captured_and_executed_steps_are_compared_in_every_precision(tmp_path, monkeypatch):
    """float16 is not captured, and says why."""

    class Captured(Reader):
        def __init__(self, dtype):
            super().__init__(SAID)
            self.network, self.dtype = self, dtype

        def transcribe(self, samples, options):
            if self.dtype == "float16":
                warnings.warn("could not be captured (cuBLAS)", stacklevel=2)
            return replace(super().transcribe(samples, options), timings={"decode": 1.0})

        def verify_capture(self):
            if self.dtype == "bfloat16":
                raise RuntimeError("launch trace mismatch")
            return self.dtype == "float32"

    here = replace(proof(tmp_path), load=lambda name, device, dtype: Captured(dtype))
    entry = steps.capture(here)
    found = {dtype: part["status"] for dtype, part in entry["dtypes"].items()}
    assert found == {"float32": "passed", "bfloat16": "failed", "float16": "failed"}
    assert "mismatch" in entry["dtypes"]["bfloat16"]["why"]
    assert "cuBLAS" in entry["dtypes"]["float16"]["warnings"][0]
    assert entry["status"] == "failed"
