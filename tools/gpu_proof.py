"""All that is claimed of a device, in one go and one record: is it right there, and how fast?

In: a device, the bundled clips, the models to time. Out: proof.json, one entry for each step
(components, texts, capture, timings, profile), written after every step, and bench.json, the
record of the harness. A step that fails says why and the next one runs; none is left out in
silence. Engines are known through their protocol, but for the captured step, which is ours.

`python -m tools.gpu_proof --device gpu --output results/proof-h100 --minutes 20`
"""

import argparse
import functools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app import EXAMPLES
from maxwhisper import audio, bench, bench_cases, bench_report, bench_summary, checkpoint, machine
from maxwhisper.bench_lane import Entrant
from maxwhisper.cli.bench import BATCH_SIZE, TOKENS
from maxwhisper.cli.output import json_text, progress, write_file
from maxwhisper.engine import ENGINES, OURS, Engine, load_engine
from maxwhisper.options import GREEDY
from maxwhisper.parity.compare import TOLERANCES
from maxwhisper.profile import profile
from maxwhisper.runtime.greedy import NO_CAPTURE
from maxwhisper.selftest.checks import run_checks
from maxwhisper.transcript import Transcript
from maxwhisper.ui.examples import load_examples

SCHEMA = 1
DTYPES = ("float32", "bfloat16", "float16")
MODELS = ("demo", "random:tiny", "random:small", "random:large-v3-turbo")
OPTIONS = GREEDY.changed({"language": "en"})

Load = Callable[[str, str, str], Engine]  # engine, device, precision
Step = Callable[["Proof"], Mapping[str, Any]]


@dataclass(frozen=True)
class Goal:
    """A bound on one figure of our runs of `model` in `mode` on the talk."""

    what: str
    model: str
    mode: str
    figure: str  # of a run; or "speed-up", the median of faster-whisper over ours
    bound: float
    at_least: bool = False

    def judge(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """`met` is None where the record has no such figure."""
        value = self._value(record)
        is_met = None if value is None else (value >= self.bound) is self.at_least
        sign = "≥" if self.at_least else "≤"
        return {"goal": f"{self.what} {sign} {self.bound:g}", "value": value, "met": is_met}

    def _value(self, record: Mapping[str, Any]) -> float | None:
        runs = {
            run["label"]: run
            for run in record["runs"]
            if (run["model"], run["clip"]) == (self.model, bench_summary.TALK)
            and self.mode in run["mode"]
            and bench_report.has_numbers(run)
        }
        if OURS not in runs:
            return None
        if self.figure != "speed-up":
            value = runs[OURS][self.figure]
            return None if value is None else float(value)
        rival = runs.get("faster-whisper")
        return None if rival is None else float(rival["median_s"] / runs[OURS]["median_s"])


GOALS = (
    Goal("tiny, batched, seconds for the talk", "random:tiny", "batched", "median_s", 0.025),
    Goal("tiny, one step, ms", "random:tiny", "greedy", "step_ms", 0.31),
    Goal("tiny, batched, times faster-whisper", "random:tiny", "batched", "speed-up", 2, True),
    Goal("tiny, sequential, times real time", "random:tiny", "greedy", "rtfx", 400, True),
    Goal("turbo, batched, seconds for the talk", MODELS[-1], "batched", "median_s", 0.106),
)


@dataclass(frozen=True)
class Proof:
    """What every step is given."""

    device: str
    load: Load
    clips: Sequence[tuple[str, Any, str]]  # title, samples, what is said
    models: Sequence[str]
    rounds: int
    folder: Path  # where the records go
    cache_dir: Path | None = None

    def run(self, steps: Mapping[str, Step], minutes: float) -> dict[str, Any]:
        """Do the steps in order, none after `minutes`; the record so far is on disk after each."""
        started_s = time.monotonic()
        record: dict[str, Any] = {
            "schema": SCHEMA,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": self.device,
            "machine": machine.describe(),
            "steps": {},
        }
        for name, step in steps.items():
            begun_s = time.monotonic()
            if begun_s - started_s > 60 * minutes:
                entry: dict[str, Any] = {
                    "status": "not run",
                    "why": f"{minutes:g} minutes are over",
                }
            else:
                progress(name)
                entry = attempt(functools.partial(step, self))
            entry["seconds"] = round(time.monotonic() - begun_s, 3)
            record["steps"][name] = entry
            write_file(self.folder / "proof.json", json_text(record))
        return record


def attempt(step: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """The step's entry; one that raises is an "error" with its reason."""
    try:
        return dict(step())
    except Exception as error:  # whatever a device's libraries raise: the other steps still run
        return {"status": "error", "why": f"{type(error).__name__}: {error}"}


def status(is_right: bool) -> str:
    return "passed" if is_right else "failed"


def components(proof: Proof) -> Mapping[str, Any]:
    """Every component check, in every precision of the device."""
    by_dtype = {}
    for dtype in DTYPES:
        by_dtype[dtype] = attempt(functools.partial(_components, proof, dtype))
    return {
        "status": status(all(entry["status"] == "passed" for entry in by_dtype.values())),
        "dtypes": by_dtype,
    }


def _components(proof: Proof, dtype: str) -> Mapping[str, Any]:
    results = [result.to_dict() for result in run_checks(proof.load(OURS, proof.device, dtype))]
    passed = [result["status"] == "passed" for result in results]
    return {"status": status(bool(passed) and all(passed)), "checks": results}


def texts(proof: Proof) -> Mapping[str, Any]:
    """The clips on the device in every precision, on the CPU, and through the other engines.

    In float32 our text must be that of our CPU and of openai-whisper, token by token, and that of
    faster-whisper, word by word; a lower precision may say something else, which is recorded. No
    text where somebody speaks is a failure, whoever produced it.
    """
    lanes = [(OURS, "cpu", "float32"), *((OURS, proof.device, dtype) for dtype in DTYPES)]
    lanes += [(name, proof.device, "float32") for name in ENGINES if name != OURS]
    heard = {lane: _heard(proof, *lane) for lane in lanes}
    ours = heard[OURS, proof.device, "float32"]
    rows = []
    for name, device, dtype in lanes:
        for (title, _, said), mine, transcript in zip(
            proof.clips, ours, heard[name, device, dtype], strict=True
        ):
            same_tokens = tokens(mine) == tokens(transcript)
            same_words = mine.text.split() == transcript.text.split()
            is_equal = same_words if name == "faster-whisper" else same_tokens
            is_empty = bool(said) and not transcript.text.strip()
            apart = logprobs_apart(mine, transcript) if same_tokens else None
            is_near = apart is None or apart <= TOLERANCES["avg_logprob"]
            is_right = dtype != "float32" or (is_equal and is_near)
            rows.append(
                {
                    "engine": name,
                    "device": device,
                    "dtype": dtype,
                    "clip": title,
                    "text": transcript.text,
                    "equal": is_equal,
                    "logprobs_apart": apart,
                    "status": status(is_right and not is_empty),
                }
            )
    return {"status": status(all(row["status"] == "passed" for row in rows)), "rows": rows}


def _heard(proof: Proof, name: str, device: str, dtype: str) -> list[Transcript]:
    engine = proof.load(name, device, dtype)
    return [engine.transcribe(samples, OPTIONS) for _, samples, _ in proof.clips]


def tokens(transcript: Transcript) -> list[tuple[int, ...]]:
    return [segment.tokens for segment in transcript.segments]


def logprobs_apart(one: Transcript, other: Transcript) -> float:
    """Largest difference of two segments' mean log-probabilities; the segments are the same."""
    pairs = zip(one.segments, other.segments, strict=True)
    return max((abs(a.avg_logprob - b.avg_logprob) for a, b in pairs), default=0.0)


def capture(proof: Proof) -> Mapping[str, Any]:
    """The captured step against the executed one: its launches, the tokens, and the time."""
    title, samples, _ = max(proof.clips, key=lambda clip: len(clip[1]))
    replaying, (fast, fast_s) = _timed(proof, samples)
    is_captured = replaying.network.verify_capture()
    os.environ[NO_CAPTURE] = "1"
    try:
        _, (slow, slow_s) = _timed(proof, samples)
    finally:
        del os.environ[NO_CAPTURE]
    is_equal = tokens(fast) == tokens(slow)
    entry = {"clip": title, "equal": is_equal, "replayed_s": fast_s, "executed_s": slow_s}
    if proof.device == "cpu":
        return {"status": "not run", "why": "on a CPU no step is captured", **entry}
    return {"status": status(is_equal and is_captured), "captured": is_captured, **entry}


def _timed(proof: Proof, samples: Any) -> tuple[Any, tuple[Transcript, float]]:
    """A fresh engine, and its second reading of the samples with the seconds of its steps."""
    engine = proof.load(OURS, proof.device, "auto")
    engine.transcribe(samples, OPTIONS)
    transcript = engine.transcribe(samples, OPTIONS)
    return engine, (transcript, transcript.timings["decode"])


@functools.cache
def talk() -> bench_cases.Clip:
    """The project's standard clip; it is there, nothing is made in the folder."""
    with tempfile.TemporaryDirectory() as folder:
        return bench_cases.find_clip("talk", Path(folder))


def timings(proof: Proof) -> Mapping[str, Any]:
    """The harness, all engines, sequential and batched; the goals judged from its record."""
    clip = talk()
    plan = bench.Plan(
        [bench_cases.find_model(name, TOKENS) for name in proof.models],
        [bench_cases.find_mode(key, "en", BATCH_SIZE) for key in ("greedy", "batched")],
        [clip],
        proof.rounds,
    )
    entrants = [Entrant(name, "auto") for name in ENGINES]
    record = bench.run(
        plan,
        lambda model: bench.load_contestants(entrants, model, proof.device, proof.cache_dir),
        progress=progress,
    )
    bench_report.validate(record)
    write_file(proof.folder / "bench.json", json_text(record))
    return {
        "status": status(not bench_report.failed(record)),
        "noise": record["aa"]["verdict"],
        "goals": [goal.judge(record) for goal in GOALS],
    }


def profiles(proof: Proof) -> Mapping[str, Any]:
    """Where our time goes, model by model, sequential and batched."""
    clip = talk()
    found = {}
    for name in proof.models:
        model = bench_cases.find_model(name, TOKENS)
        engine = load_engine(
            OURS, model.load(proof.cache_dir), device=proof.device, cache_dir=proof.cache_dir
        )
        for key in ("greedy", "batched"):
            mode = bench_cases.find_mode(key, "en", BATCH_SIZE)
            job = bench_cases.make_job(mode, model, clip)
            found[f"{name}, {key}"] = profile(engine, job, with_ceilings=key == "greedy")
    return {"status": "passed", "profiles": found}


STEPS: dict[str, Step] = {
    "components": components,
    "texts": texts,
    "capture": capture,
    "timings": timings,
    "profiles": profiles,
}


def summary(record: Mapping[str, Any]) -> Iterator[str]:
    """A line for each step, and for each goal."""
    for name, entry in record["steps"].items():
        yield f"{entry['status']:8} {name:12} {entry['seconds']:8.1f} s  {entry.get('why', '')}"
        for goal in entry.get("goals", ()):
            word = {None: "not measured", True: "met", False: "MISSED"}[goal["met"]]
            yield f"         {goal['goal']}: {goal['value']}, {word}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="gpu")
    parser.add_argument("--output", type=Path, required=True, help="folder of the two records")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=20.0, help="no step begins after these")
    parser.add_argument("--cache_dir", type=Path, help="where compiled graphs are")
    options = parser.parse_args()

    loaded = checkpoint.load(checkpoint.DEFAULT_MODEL)

    def load(name: str, device: str, dtype: str) -> Engine:
        return load_engine(name, loaded, device=device, dtype=dtype, cache_dir=options.cache_dir)

    proof = Proof(
        options.device,
        load,
        [(clip.title, audio.decode(clip.path), clip.text) for clip in load_examples(EXAMPLES)],
        options.models,
        options.rounds,
        options.output,
        options.cache_dir,
    )
    record = proof.run({name: STEPS[name] for name in options.steps}, options.minutes)
    print("\n".join(summary(record)))
    sys.exit(any(entry["status"] != "passed" for entry in record["steps"].values()))


if __name__ == "__main__":
    main()
