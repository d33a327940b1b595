"""The proof on a device: what is wrong there fails, what raises is written down, nothing is left
out."""

import json

import numpy as np
import pytest
from fake_runs import transcript

from maxwhisper.audio import decode
from maxwhisper.engine import OURS
from maxwhisper.selftest.result import CheckResult
from tools.gpu_proof import steps
from tools.gpu_proof.__main__ import EXAMPLES, summary
from tools.gpu_proof.goals import GOALS
from tools.gpu_proof.proof import Proof
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


def test_a_step_that_raises_is_written_down_and_the_next_one_runs(tmp_path):
    def broken(_):
        raise RuntimeError("no such device")

    two = {"first": broken, "second": lambda _: {"status": "passed"}}
    record = proof(tmp_path).run(two, minutes=1)
    assert record["steps"]["first"]["why"] == "RuntimeError: no such device"
    assert [entry["status"] for entry in record["steps"].values()] == ["error", "passed"]
    assert json.loads((tmp_path / "proof.json").read_text()) == record
    late = proof(tmp_path).run(two, minutes=0)
    assert {entry["status"] for entry in late["steps"].values()} == {"not run"}
    assert "not run" in "\n".join(summary(late))


def run_of(**changes):
    return {
        "label": OURS,
        "model": "random:tiny",
        "mode": "batched 8",
        "clip": "talk.flac",
        "seconds": [0.02],
        "median_s": 0.02,
        "step_ms": 0.5,
        "rtfx": 8000.0,
        "error": None,
        "unsupported": None,
        **changes,
    }


def test_goals_are_judged_from_the_record():
    record = {"runs": [run_of(), run_of(label="faster-whisper", median_s=0.03)]}
    judged = {goal.what: goal.judge(record) for goal in GOALS}
    assert judged["tiny, batched, seconds for the talk"]["met"] is True
    assert judged["tiny, batched, times faster-whisper"]["value"] == pytest.approx(1.5)
    assert judged["tiny, batched, times faster-whisper"]["met"] is False
    assert judged["tiny, one step, ms"]["met"] is None
    slow = {"runs": [run_of(mode="sequential greedy")]}
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
    record = here.run({"texts": steps.texts, "capture": steps.capture}, minutes=10)
    assert record["steps"]["texts"]["status"] == "passed"
    assert record["steps"]["capture"]["status"] == "not run"
    assert record["steps"]["capture"]["equal"] is True
