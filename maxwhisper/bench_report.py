"""Benchmark records: their schema, checked. In: what `bench.run` returns, or its JSON file.

Owns what a record is; `bench_summary` compares, `bench_tables` prints, `bench_figures` draws.
Every derived number follows from the seconds beside it, and `validate` holds it to that. Seconds
are wall clock, memory is bytes, shares lie in 0..1, and null is "not known" or "does not apply".

    schema    SCHEMA
    when      ISO time, UTC
    machine   what `machine.describe` says: processor, GPUs with driver, versions, commit
    settings  rounds, warmups, order, modes {name: {options, batch_size, vad}}
    models    {name: {source, dims, tokens_per_window}}; null tokens: decoded until the text ends
    clips     {name: {audio_s, source, decode_seconds, decode_s}}: reading the file, median
    runs      one for every engine x mode x model x clip, see `RUN_FIELDS`
    aa        the A/A check, see `AA_FIELDS`
"""

import hashlib
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maxwhisper.errors import RecordError
from maxwhisper.records import Types, check_fields

SCHEMA = 2

# Two medians of one engine further apart than this: the machine is too noisy to compare engines.
AA_LIMIT = 0.02
QUIET, NOISY, UNCHECKED = "quiet", "too noisy", "not checked"

NoneType = type(None)
Number = (int, float)
MaybeNumber = (*Number, NoneType)

RECORD_FIELDS: dict[str, Types] = {
    "schema": (int,),
    "when": (str,),
    "machine": (dict,),
    "settings": (dict,),
    "models": (dict,),
    "clips": (dict,),
    "runs": (list,),
    "aa": (dict,),
}
MODEL_FIELDS: dict[str, Types] = {
    "source": (str,),
    "dims": (dict, NoneType),  # null where no engine could load it
    "tokens_per_window": (int, NoneType),
}
CLIP_FIELDS: dict[str, Types] = {
    "audio_s": Number,
    "source": (str,),
    "decode_seconds": (list,),  # one a round; empty where there is no file
    "decode_s": MaybeNumber,
}
RUN_FIELDS: dict[str, Types] = {
    "engine": (str,),  # a key of `engine.ENGINES`
    "label": (str,),  # the engine, and its precision where one was asked for
    "mode": (str,),  # a key of settings.modes
    "model": (str,),  # a key of models
    "clip": (str,),  # a key of clips
    "audio_s": Number,
    "info": (dict, NoneType),  # `EngineInfo`: version, device, dtype
    "error": (str, NoneType),  # what went wrong; such a run has no numbers
    "unsupported": (str, NoneType),  # the engine has no such mode; no numbers, and no failure
    "load_s": MaybeNumber,  # from weights in memory to ready, nothing compiled or converted
    "prepare_s": MaybeNumber,  # compiling and converting, where the first start had to
    "cold_s": MaybeNumber,  # the first call after loading, in the run that made it
    "seconds": (list,),  # samples in, text out: one a round
    "median_s": MaybeNumber,
    "iqr_s": MaybeNumber,  # between the quartiles of `seconds`
    "rtfx": MaybeNumber,  # audio_s / median_s
    "file_s": MaybeNumber,  # median_s and the clip's decode_s: file in, text out
    "first_text_s": MaybeNumber,  # median time of the first segment reported
    "n_tokens": (int, NoneType),  # of the transcript
    "tokens_per_s": MaybeNumber,
    "step_ms": MaybeNumber,  # stage `decode` / steps, where their number is fixed
    "stages": (dict,),  # seconds of each, as the engine names them, in the round nearest the median
    "graphs": (dict,),  # {graph: {count, seconds}} of the last warm-up, where the engine shows them
    "outside_graphs": MaybeNumber,  # share of that warm-up spent in no graph
    "host_peak_bytes": (int, NoneType),  # of the engine's process, samples included
    "device_bytes": (int, NoneType),  # what the engine's process holds on the GPU afterwards
    "wer": MaybeNumber,
    "text": (str, NoneType),  # null too for random weights and for clips over `TEXT_KEPT_S`
    "text_sha256": (str, NoneType),
    "same_text_every_round": (bool, NoneType),
}
AA_FIELDS: dict[str, Types] = {
    "limit": Number,  # AA_LIMIT
    "worst": MaybeNumber,  # largest `apart`
    "verdict": (str,),  # QUIET, NOISY or UNCHECKED
    "cells": (list,),  # {label, mode, model, clip, seconds: [[…], […]], apart}
}
TEXT_KEPT_S = 600  # texts of longer clips would be most of a record


def load(path: Path | str) -> dict[str, Any]:
    """A record from its JSON file, validated. Raises `RecordError` saying what is wrong."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        validate(record)
    except (OSError, ValueError) as error:
        raise RecordError(
            f"{path} is no benchmark record: {error}; measure again with `bench --output`"
        ) from error
    return record


def load_all(folder: Path | str) -> list[dict[str, Any]]:
    """Every record (*.json) of a folder, in the order of file names."""
    return [load(path) for path in sorted(Path(folder).glob("*.json"))]


def validate(record: Mapping[str, Any]) -> None:
    """Raise `ValueError` naming the first field that is missing, mistyped or contradictory."""
    check_fields("record", record, {"schema": (int,)})
    if record["schema"] != SCHEMA:
        raise ValueError(f"expected schema {SCHEMA}, got {record['schema']}: measure again")
    check_fields("record", record, RECORD_FIELDS)
    for name, model in record["models"].items():
        check_fields(f"models.{name}", model, MODEL_FIELDS)
    for name, clip in record["clips"].items():
        check_fields(f"clips.{name}", clip, CLIP_FIELDS)
    if not record["runs"]:
        raise ValueError("expected at least one run, got none")
    for number, run in enumerate(record["runs"]):
        _check_run(f"runs[{number}]", run, record)
    check_fields("aa", record["aa"], AA_FIELDS)
    _check_aa(record["aa"])


def failed(record: Mapping[str, Any]) -> bool:
    """True if any run of the record is an error."""
    return any(run["error"] is not None for run in record["runs"])


def has_numbers(run: Mapping[str, Any]) -> bool:
    return run["error"] is None and run["unsupported"] is None


def derived(
    seconds: Sequence[float], audio_s: float, decode_s: float | None, n_tokens: int
) -> dict[str, float | None]:
    """The numbers of a run that follow from the seconds of its rounds."""
    median_s = statistics.median(seconds)
    return {
        "median_s": median_s,
        "iqr_s": interquartile_range(seconds),
        "rtfx": audio_s / median_s,
        "file_s": None if decode_s is None else median_s + decode_s,
        "tokens_per_s": n_tokens / median_s,
    }


def interquartile_range(seconds: Sequence[float]) -> float:
    if len(seconds) < 2:
        return 0.0
    first, _, third = statistics.quantiles(seconds, n=4, method="inclusive")
    return third - first


def apart(first: Sequence[float], second: Sequence[float]) -> float:
    """How far two medians lie apart, as a share of the smaller one."""
    low, high = sorted((statistics.median(first), statistics.median(second)))
    return high / low - 1


def aa_verdict(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The field `aa` of a record, from its cells."""
    worst = max((cell["apart"] for cell in cells), default=None)
    verdict = UNCHECKED if worst is None else QUIET if worst < AA_LIMIT else NOISY
    return {"limit": AA_LIMIT, "worst": worst, "verdict": verdict, "cells": list(cells)}


def _check_run(where: str, run: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    check_fields(where, run, RUN_FIELDS)
    known = (
        ("mode", record["settings"]["modes"]),
        *((n, record[f"{n}s"]) for n in ("model", "clip")),
    )
    for name, names in known:
        if run[name] not in names:
            raise ValueError(f"{where}.{name}: expected one of {', '.join(names)}, got {run[name]}")
    if has_numbers(run):
        _check_numbers(where, run, record)
    elif run["seconds"]:
        raise ValueError(f"{where}: a run with an error must have no seconds")


def _check_numbers(where: str, run: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """The derived numbers of a run must follow from its seconds and its text."""
    seconds, rounds = run["seconds"], record["settings"]["rounds"]
    if len(seconds) != rounds or not all(s > 0 for s in seconds):
        raise ValueError(f"{where}.seconds: expected {rounds} positive numbers, got {seconds}")
    decode_s = record["clips"][run["clip"]]["decode_s"]
    expected = derived(seconds, run["audio_s"], decode_s, run["n_tokens"])
    for name, value in expected.items():
        if not _equal(run[name], value):
            raise ValueError(f"{where}.{name}: expected {value} from its seconds, got {run[name]}")
    text = run["text"]
    if text is not None and hashlib.sha256(text.encode()).hexdigest() != run["text_sha256"]:
        raise ValueError(f"{where}.text_sha256 is not the hash of its text")


def _check_aa(aa: Mapping[str, Any]) -> None:
    for number, cell in enumerate(aa["cells"]):
        if not _equal(cell["apart"], apart(*cell["seconds"])):
            raise ValueError(f"aa.cells[{number}].apart does not follow from its seconds")
    if (expected := aa_verdict(aa["cells"])["verdict"]) != aa["verdict"]:
        raise ValueError(f"aa.verdict: expected {expected!r} from its cells, got {aa['verdict']!r}")


def _equal(value: float | None, expected: float | None) -> bool:
    if value is None or expected is None:
        return value is expected
    return math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-12)
