"""What is asked of a device: is it right there, and how fast?

In: a `Proof`, which loads engines. Out: the entry of each step, with a `status`. Engines are known
through their protocol, but for the captured step, which is ours.
"""

import functools
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maxwhisper import bench, bench_cases, bench_report
from maxwhisper.bench_lane import Entrant
from maxwhisper.cli.bench import BATCH_SIZE, TOKENS
from maxwhisper.cli.output import json_text, progress, write_file
from maxwhisper.engine import ENGINES, OURS, load_engine
from maxwhisper.options import GREEDY
from maxwhisper.parity.compare import TOLERANCES
from maxwhisper.profile import profile
from maxwhisper.runtime.greedy import NO_CAPTURE
from maxwhisper.selftest.checks import run_checks
from maxwhisper.transcript import Transcript
from tools.gpu_proof.goals import GOALS
from tools.gpu_proof.proof import Proof, Step, attempt, status

DTYPES = ("float32", "bfloat16", "float16")
OPTIONS = GREEDY.changed({"language": "en"})


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
