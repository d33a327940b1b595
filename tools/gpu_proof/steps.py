"""What is asked of a device: is it right there, and how fast?

In: a `Proof`, which loads engines. Out: the entry of each step, with a `status`; what it has found
so far is reported after each part, and a part that raises costs no other. Engines are known through
their protocol, but for ours, whose graphs and captured step are looked at.
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

from maxwhisper import bench, bench_cases, bench_report, checkpoint
from maxwhisper.bench_lane import Entrant
from maxwhisper.cli.bench import BATCH_SIZE, TOKENS
from maxwhisper.cli.output import json_text, progress, write_file
from maxwhisper.cublas import open_cublas
from maxwhisper.engine import ENGINES, OURS, load_engine
from maxwhisper.options import GREEDY
from maxwhisper.parity.compare import TOLERANCES
from maxwhisper.profile import against_ceilings, profile
from maxwhisper.runtime.compiled import is_ready
from maxwhisper.runtime.device import CUBLAS, choose
from maxwhisper.runtime.greedy import NO_CAPTURE
from maxwhisper.runtime.model import load_network
from maxwhisper.selftest.checks import run_checks
from maxwhisper.transcript import Transcript
from tools.gpu_proof.goals import GOALS
from tools.gpu_proof.proof import Proof, Step, attempt, status, status_of

DTYPES = ("float32", "bfloat16", "float16")
OPTIONS = GREEDY.changed({"language": "en"})


def environment(proof: Proof) -> Mapping[str, Any]:
    """What the other steps will need: the device as MAX sees it, cuBLAS, the engines' packages, and
    compiled graphs. What is missing is said before it costs time."""
    placement = choose(proof.device)
    engines = {name: attempt(functools.partial(_import, name)) for name in ENGINES}
    graphs = {}
    for name in proof.models if proof.device != "cpu" else ():
        dims = bench_cases.find_model(name, TOKENS).dims or checkpoint.load(name).dims
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
    """Every component check, in every precision of the device."""
    by_dtype: dict[str, Any] = {}
    for dtype in DTYPES:
        by_dtype[dtype] = attempt(functools.partial(_components, proof, dtype))
        proof.report({"dtypes": by_dtype})
    return {"status": status_of(by_dtype.values()), "dtypes": by_dtype}


def _components(proof: Proof, dtype: str) -> Mapping[str, Any]:
    results = [result.to_dict() for result in run_checks(proof.load(OURS, proof.device, dtype))]
    return {"status": status_of(results), "checks": results}


def texts(proof: Proof) -> Mapping[str, Any]:
    """The clips on the device in every precision, on the CPU, and through the other engines.

    In float32 our text must be that of our CPU and of openai-whisper, token by token, and that of
    faster-whisper, word by word; a lower precision may say something else, which is recorded. No
    text where somebody speaks is a failure, whoever produced it.
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
    """What a lane heard in a clip, beside what we heard."""
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
    """Largest difference of two segments' mean log-probabilities; the segments are the same."""
    pairs = zip(one.segments, other.segments, strict=True)
    return max((abs(a.avg_logprob - b.avg_logprob) for a, b in pairs), default=0.0)


def capture(proof: Proof) -> Mapping[str, Any]:
    """The captured step against the executed one, in every precision: its launches, the tokens, and
    the time."""
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
    """A fresh engine, and its second reading of the samples with the seconds of its steps."""
    engine = proof.load(OURS, proof.device, dtype)
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
    plan = bench.Plan(
        [bench_cases.find_model(name, TOKENS) for name in proof.models],
        [bench_cases.find_mode(key, "en", BATCH_SIZE) for key in ("greedy", "batched")],
        [talk()],
        proof.rounds,
    )
    entrants = [Entrant(name, "auto") for name in ENGINES]

    def kept(record: Mapping[str, Any]) -> None:
        bench_report.validate(record)
        write_file(proof.folder / "bench.json", json_text(record))
        proof.report(_judged(record))

    record = bench.run(
        plan,
        lambda model: bench.load_contestants(entrants, model, proof.device, proof.cache_dir),
        progress=progress,
        on_model=kept,
    )
    return {"status": status(not bench_report.failed(record)), **_judged(record)}


def _judged(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "models": list(record["models"]),
        "noise": record["aa"]["verdict"],
        "errors": {
            f"{run['label']}, {run['model']}, {run['mode']}": run["error"]
            for run in record["runs"]
            if run["error"] is not None
        },
        "goals": [goal.judge(record) for goal in GOALS],
    }


def profiles(proof: Proof) -> Mapping[str, Any]:
    """Where our time goes, model by model, sequential and batched; and how near that is to what the
    device can do."""
    found: dict[str, Any] = {}
    for name in proof.models:
        for key, part in _profiles_of(proof, name).items():
            found[f"{name}, {key}"] = attempt(part)
            proof.report({"profiles": found})
    return {"status": status_of(found.values()), "profiles": found}


def _profiles_of(proof: Proof, name: str) -> dict[str, Callable[[], Mapping[str, Any]]]:
    model = bench_cases.find_model(name, TOKENS)

    @functools.cache
    def engine() -> Any:
        weights = model.load(proof.cache_dir)
        return load_engine(OURS, weights, device=proof.device, cache_dir=proof.cache_dir)

    def in_mode(key: str) -> Mapping[str, Any]:
        job = bench_cases.make_job(bench_cases.find_mode(key, "en", BATCH_SIZE), model, talk())
        return {"status": "passed", **profile(engine(), job)}

    return {
        "greedy": functools.partial(in_mode, "greedy"),
        "batched": functools.partial(in_mode, "batched"),
        "ceilings": lambda: {"status": "passed", **against_ceilings(engine())},
    }


def cold_start(proof: Proof) -> Mapping[str, Any]:
    """Seconds from weights in memory to an engine: with graphs that are there, and compiled, into
    an empty cache."""
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
