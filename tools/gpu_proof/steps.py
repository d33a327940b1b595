"""The steps: is the device correct, and how fast is it?

In: a `Proof`, which loads engines. Out: the entry of each step, with a `status`. Results are
reported after each part, and a part that raises does not affect the others. Engines are used
through their protocol, except maxwhisper, whose graphs and captured step are inspected.
"""

import functools
import importlib
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from maxwhisper import checkpoint
from maxwhisper.cli.bench import BATCH_SIZE, TOKENS
from maxwhisper.cli.output import json_text, progress, write_file
from maxwhisper.engine import ENGINES, OURS, load_engine
from maxwhisper.evaluation.bench import cases, harness
from maxwhisper.evaluation.bench.entry import Entrant
from maxwhisper.evaluation.bench.record import BenchRecord
from maxwhisper.evaluation.parity.compare import TOLERANCES
from maxwhisper.evaluation.profiling.breakdown import against_ceilings, profile
from maxwhisper.evaluation.records import to_dict
from maxwhisper.evaluation.selftest.checks import run_checks
from maxwhisper.options import GREEDY
from maxwhisper.runtime.compiled import is_ready
from maxwhisper.runtime.cublas import open_cublas
from maxwhisper.runtime.device import CUBLAS, choose
from maxwhisper.runtime.greedy import NO_CAPTURE
from maxwhisper.runtime.model import load_network
from maxwhisper.transcript import Transcript
from tools.gpu_proof.goals import GOALS
from tools.gpu_proof.proof import Proof, Step, attempt, status, status_of

DTYPES = ("float32", "bfloat16", "float16")
OPTIONS = GREEDY.changed({"language": "en"})


def environment(proof: Proof) -> Mapping[str, Any]:
    """Check what the other steps need: the device in MAX, cuBLAS, the engines' packages, and
    compiled graphs. This finds missing parts before they cost time."""
    placement = choose(proof.device)
    engines = {name: attempt(functools.partial(_import, name)) for name in ENGINES}
    graphs = {}
    for name in proof.models if proof.device != "cpu" else ():
        dims = cases.find_model(name, TOKENS).dims or checkpoint.load(name).dims
        for dtype in DTYPES if name == checkpoint.DEFAULT_MODEL else ("auto",):
            chosen = choose(proof.device, dtype)
            graphs[f"{name}, {chosen.dtype_name}"] = is_ready(dims, chosen, proof.cache_dir)
    missing = [name for name, is_there in graphs.items() if not is_there]
    return {
        "status": status(not missing and status_of(engines.values()) == "passed"),
        "why": f"to be compiled here: {'; '.join(missing)}" if missing else "",
        "device": placement.label,
        "target": placement.target,
        "precision": placement.dtype_name,
        "cublas": [path.name for path in open_cublas(CUBLAS)],
        "engines": engines,
        "graphs": graphs,
    }


def _import(name: str) -> Mapping[str, Any]:
    importlib.import_module(ENGINES[name].partition(":")[0])
    return {"status": "passed"}


def components(proof: Proof) -> Mapping[str, Any]:
    """Run every component check in every precision of the device."""
    by_dtype: dict[str, Any] = {}
    for dtype in DTYPES:
        by_dtype[dtype] = attempt(functools.partial(_components, proof, dtype))
        proof.report({"dtypes": by_dtype})
    return {"status": status_of(by_dtype.values()), "dtypes": by_dtype}


def _components(proof: Proof, dtype: str) -> Mapping[str, Any]:
    results = [result.to_dict() for result in run_checks(proof.load(OURS, proof.device, dtype))]
    return {"status": status_of(results), "checks": results}


def texts(proof: Proof) -> Mapping[str, Any]:
    """Transcribe the clips on the device in every precision, on the CPU, and with the other
    engines.

    In float32 the text must equal that of our CPU and of openai-whisper token by token, and that of
    faster-whisper word by word. A lower precision may give another text, which is recorded. An
    empty text for speech is a failure of any engine.
    """
    lanes = [(OURS, "cpu", "float32"), *((OURS, proof.device, dtype) for dtype in DTYPES)]
    lanes += [(name, proof.device, "float32") for name in ENGINES if name != OURS]
    ours: list[Transcript] = []  # those that the others are compared with: of the CPU, if need be
    rows: list[dict[str, Any]] = []
    for lane in (lanes[1], lanes[0], *lanes[2:]):
        try:
            heard = _heard(proof, *lane)
        except Exception as error:  # whatever its libraries raise: the other lanes still run
            rows.append(_row(lane, status="error", why=f"{type(error).__name__}: {error}"))
        else:
            ours = ours or heard
            rows += [
                _compared(lane, title, said, mine, transcript)
                for (title, _, said), mine, transcript in zip(proof.clips, ours, heard, strict=True)
            ]
        proof.report({"rows": rows})
    return {"status": status_of(rows), "rows": rows}


def _heard(proof: Proof, name: str, device: str, dtype: str) -> list[Transcript]:
    engine = proof.load(name, device, dtype)
    return [engine.transcribe(samples, OPTIONS) for _, samples, _ in proof.clips]


def _compared(
    lane: tuple[str, str, str], title: str, said: str, mine: Transcript, transcript: Transcript
) -> dict[str, Any]:
    """Compare an engine's text of a clip with ours."""
    name, _, dtype = lane
    same_tokens = tokens(mine) == tokens(transcript)
    same_words = mine.text.split() == transcript.text.split()
    is_equal = same_words if name == "faster-whisper" else same_tokens
    is_empty = bool(said) and not transcript.text.strip()
    apart = logprobs_apart(mine, transcript) if same_tokens else None
    is_near = apart is None or apart <= TOLERANCES["avg_logprob"]
    is_right = dtype != "float32" or (is_equal and is_near)
    return _row(
        lane,
        clip=title,
        text=transcript.text,
        equal=is_equal,
        logprobs_apart=apart,
        status=status(is_right and not is_empty),
    )


def _row(lane: tuple[str, str, str], **found: Any) -> dict[str, Any]:
    return {**dict(zip(("engine", "device", "dtype"), lane, strict=True)), **found}


def tokens(transcript: Transcript) -> list[tuple[int, ...]]:
    return [segment.tokens for segment in transcript.segments]


def logprobs_apart(one: Transcript, other: Transcript) -> float:
    """Return the largest difference of two segments' mean log-probabilities, if the segments are
    equal."""
    pairs = zip(one.segments, other.segments, strict=True)
    return max((abs(a.avg_logprob - b.avg_logprob) for a, b in pairs), default=0.0)


def capture(proof: Proof) -> Mapping[str, Any]:
    """Compare the captured step with the executed one in every precision: launches, tokens, and
    time."""
    if proof.device == "cpu":
        return {"status": "not run", "why": "on a CPU no step is captured"}
    title, samples, _ = max(proof.clips, key=lambda clip: len(clip[1]))
    by_dtype: dict[str, Any] = {}
    for dtype in DTYPES:
        by_dtype[dtype] = attempt(functools.partial(_capture, proof, dtype, samples))
        proof.report({"clip": title, "dtypes": by_dtype})
    return {"status": status_of(by_dtype.values()), "clip": title, "dtypes": by_dtype}


def _capture(proof: Proof, dtype: str, samples: Any) -> Mapping[str, Any]:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        replaying, (fast, fast_s) = _timed(proof, dtype, samples)
    verified = attempt(lambda: {"captured": replaying.network.verify_capture()})
    os.environ[NO_CAPTURE] = "1"
    try:
        _, (slow, slow_s) = _timed(proof, dtype, samples)
    finally:
        del os.environ[NO_CAPTURE]
    is_equal = tokens(fast) == tokens(slow)
    return {
        **verified,
        "status": status(is_equal and verified.get("captured", False)),
        "warnings": [str(warning.message) for warning in warned],
        "equal": is_equal,
        "replayed_s": fast_s,
        "executed_s": slow_s,
    }


def _timed(proof: Proof, dtype: str, samples: Any) -> tuple[Any, tuple[Transcript, float]]:
    """Return a fresh engine, and the second transcription of the samples with the seconds of its
    steps."""
    engine = proof.load(OURS, proof.device, dtype)
    engine.transcribe(samples, OPTIONS)
    transcript = engine.transcribe(samples, OPTIONS)
    return engine, (transcript, transcript.timings["decode"])


@functools.cache
def talk() -> cases.Clip:
    """Return the project's standard clip from the repository."""
    with tempfile.TemporaryDirectory() as folder:
        return cases.find_clip("talk", Path(folder))


def timings(proof: Proof) -> Mapping[str, Any]:
    """Run the benchmark harness with all engines, sequential and batched, and judge the goals from
    its record."""
    plan = harness.Plan(
        [cases.find_model(name, TOKENS) for name in proof.models],
        [cases.find_mode(key, "en", BATCH_SIZE) for key in ("greedy", "batched")],
        [talk()],
        proof.rounds,
    )
    entrants = [Entrant(name, "auto") for name in ENGINES]

    def keep(record: BenchRecord) -> None:
        write_file(proof.folder / "bench.json", json_text(record.to_dict()))
        proof.report(_judged(record))

    record = harness.run(
        plan,
        lambda model: harness.load_contestants(entrants, model, proof.device, proof.cache_dir),
        progress=progress,
        on_model=keep,
    )
    return {"status": status(not record.failed), **_judged(record)}


def _judged(record: BenchRecord) -> dict[str, Any]:
    return {
        "models": list(record.models),
        "noise": record.aa.verdict,
        "errors": {
            f"{run.label}, {run.model}, {run.mode}": run.error
            for run in record.runs
            if run.error is not None
        },
        "goals": [goal.judge(record) for goal in GOALS],
    }


def profiles(proof: Proof) -> Mapping[str, Any]:
    """Profile every model, sequential and batched, and compare with what the device can do."""
    found: dict[str, Any] = {}
    for name in proof.models:
        for key, part in _profiles_of(proof, name).items():
            found[f"{name}, {key}"] = attempt(part)
            proof.report({"profiles": found})
    return {"status": status_of(found.values()), "profiles": found}


def _profiles_of(proof: Proof, name: str) -> dict[str, Callable[[], Mapping[str, Any]]]:
    model = cases.find_model(name, TOKENS)

    @functools.cache
    def engine() -> Any:
        weights = model.load(proof.cache_dir)
        return load_engine(OURS, weights, device=proof.device, cache_dir=proof.cache_dir)

    def in_mode(key: str) -> Mapping[str, Any]:
        job = cases.make_job(cases.find_mode(key, "en", BATCH_SIZE), model, talk())
        return {"status": "passed", **profile(engine(), job).to_dict()}

    return {
        "greedy": functools.partial(in_mode, "greedy"),
        "batched": functools.partial(in_mode, "batched"),
        "ceilings": lambda: {"status": "passed", **to_dict(against_ceilings(engine()))},
    }


def cold_start(proof: Proof) -> Mapping[str, Any]:
    """Measure the seconds from weights in memory to an engine, with existing graphs and with
    compilation into an empty cache."""
    weights = checkpoint.load(checkpoint.DEFAULT_MODEL)
    begun_s = time.perf_counter()
    proof.load(OURS, proof.device, "auto")
    found = {"with_artifacts_s": time.perf_counter() - begun_s}
    proof.report(found)
    with tempfile.TemporaryDirectory() as empty:
        os.environ["MODULAR_CACHE_DIR"] = empty
        begun_s = time.perf_counter()
        load_network(weights, choose(proof.device), Path(empty), progress, sources=())
        return {"status": "passed", **found, "compiled_s": time.perf_counter() - begun_s}


STEPS: dict[str, Step] = {
    "environment": environment,
    "components": components,
    "texts": texts,
    "capture": capture,
    "timings": timings,
    "profiles": profiles,
    "cold_start": cold_start,
}
