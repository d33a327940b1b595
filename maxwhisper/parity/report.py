"""Parity records, checked and printed. In: what `run.run` returns, or its JSON file.

schema       SCHEMA
runs         [{when, machine}]: a record may be made in several, at several commits
settings     tolerances, nudges, and the options that all option sets begin from
clips        {name: {audio_s, sha256 of the file}}
left_out     {name: why}: recordings that were found and not compared
checkpoints  {name: see `CHECKPOINT_FIELDS`}
cases        one for each that was compared, see `CASE_FIELDS`; the others were not run
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maxwhisper.errors import RecordError
from maxwhisper.parity.plan import not_run
from maxwhisper.parity.run import SCHEMA
from maxwhisper.records import Types, check_fields, columns, machine_line

NoneType = type(None)
STATUSES = ("identical", "different", "refused", "failed")

RECORD_FIELDS: dict[str, Types] = {
    "schema": (int,),
    "runs": (list,),
    "settings": (dict,),
    "clips": (dict,),
    "left_out": (dict,),
    "checkpoints": (dict,),
    "cases": (list,),
}
RUN_FIELDS: dict[str, Types] = {"when": (str,), "machine": (dict,)}
CLIP_FIELDS: dict[str, Types] = {"audio_s": (float,), "sha256": (str, NoneType)}
CHECKPOINT_FIELDS: dict[str, Types] = {
    "source": (str,),
    "digest": (str,),  # of dims and weights
    "dims": (dict,),
    "engines": (list,),  # ours and the reference, each as its `EngineInfo` says
    "option_sets": (dict,),  # {name: {option: value}} where it differs from `settings.options`
}
CASE_FIELDS: dict[str, Types] = {
    "checkpoint": (str,),
    "clip": (str,),
    "option_set": (str,),
    "run": (int,),  # index into `runs`
    "status": (str,),  # one of `STATUSES`
    "cause": (str, NoneType),  # of what is not identical; null: none but us
    "message": (str, NoneType),
    "difference": (dict, NoneType),
    "n_differences": (int,),
    "n_tokens": (int,),
    "worst_errors": (dict,),  # {field: largest absolute error}
}
DIFFERENCE_FIELDS: dict[str, Types] = {
    "where": (str,),
    "ours": (str, int, float, NoneType),
    "theirs": (str, int, float, NoneType),
}

Case = Mapping[str, Any]


def load(path: Path) -> dict[str, Any]:
    """A record from its JSON file, validated. Raises `RecordError` saying what is wrong."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        validate(record)
    except (OSError, ValueError) as error:
        raise RecordError(
            f"{path} is no parity record: {error}; compare again with `parity --output`"
        ) from error
    return record


def validate(record: Mapping[str, Any]) -> None:
    """Raise `ValueError` naming the first field that is missing, mistyped or contradictory."""
    check_fields("record", record, {"schema": (int,)})
    if record["schema"] != SCHEMA:
        raise ValueError(f"expected schema {SCHEMA}, got {record['schema']}: compare again")
    check_fields("record", record, RECORD_FIELDS)
    for number, run in enumerate(record["runs"]):
        check_fields(f"runs[{number}]", run, RUN_FIELDS)
    for name, clip in record["clips"].items():
        check_fields(f"clips.{name}", clip, CLIP_FIELDS)
    for name, checkpoint in record["checkpoints"].items():
        check_fields(f"checkpoints.{name}", checkpoint, CHECKPOINT_FIELDS)
    if not record["cases"]:
        raise ValueError("expected at least one case, got none")
    seen = set()
    for number, case in enumerate(record["cases"]):
        where = f"cases[{number}]"
        check_fields(where, case, CASE_FIELDS)
        _check_names(where, case, record)
        _check_status(where, case)
        if (key := (case["checkpoint"], case["clip"], case["option_set"])) in seen:
            raise ValueError(f"{where}: {' · '.join(key)} is in the record twice")
        seen.add(key)


def _check_names(where: str, case: Case, record: Mapping[str, Any]) -> None:
    checkpoint = record["checkpoints"].get(case["checkpoint"], {"option_sets": {}})
    if case["option_set"] not in checkpoint["option_sets"]:
        raise ValueError(f"{where}: no such checkpoint or option set in the record")
    if case["clip"] not in record["clips"] or case["run"] not in range(len(record["runs"])):
        raise ValueError(f"{where}: no such clip or run in the record")


def _check_status(where: str, case: Case) -> None:
    if case["status"] not in STATUSES:
        raise ValueError(f"{where}.status: expected one of {STATUSES}, got {case['status']!r}")
    if case["difference"] is not None:
        check_fields(f"{where}.difference", case["difference"], DIFFERENCE_FIELDS)
    if (case["difference"] is not None) != (case["n_differences"] > 0):
        raise ValueError(f"{where}: difference and n_differences contradict each other")
    is_identical = case["status"] == "identical"
    if is_identical != (case["difference"] is None and case["message"] is None):
        raise ValueError(f"{where}: a case is identical where it has no difference and no message")


def failed(record: Mapping[str, Any]) -> bool:
    """True if any case is not identical and nothing explains why."""
    return any(_is_unexplained(case) for case in record["cases"])


def table(record: Mapping[str, Any]) -> str:
    """The record for people: a row for each option set, then every case that is not identical."""
    heading = "identical cases on each checkpoint, and their largest errors"
    machines = dict.fromkeys(machine_line(run["machine"]) for run in record["runs"])
    blocks = ["\n".join([*machines, heading]), "\n".join(columns(set_rows(record)))]
    blocks += ["\n".join(lines)] if (lines := exceptions(record["cases"])) else []
    return "\n\n".join([*blocks, summary(record)])


def set_rows(record: Mapping[str, Any]) -> list[list[str]]:
    """A heading, and a row for each option set: cases on each checkpoint, worst errors."""
    checkpoints = list(record["checkpoints"])
    rows = [["option set", *checkpoints, "avg_logprob", "no_speech_prob", "word times s"]]
    for name in dict.fromkeys(case["option_set"] for case in record["cases"]):
        cases = [case for case in record["cases"] if case["option_set"] == name]
        rows.append([name, *(_share(cases, c) for c in checkpoints), *_worst(cases)])
    return rows


def summary(record: Mapping[str, Any]) -> str:
    """How many cases there are of each kind, in one line."""
    cases = record["cases"]
    n_tokens = sum(case["n_tokens"] for case in cases)
    counts = Counter(case["status"] for case in cases)
    parts = [f"{counts['identical']} of {len(cases)} cases identical to openai-whisper"]
    parts += [f"{counts[status]} {status}" for status in STATUSES[1:] if counts[status]]
    parts.append(f"{sum(map(_is_unexplained, cases))} not explained")
    parts += [f"{n} not run"] if (n := len(not_run(record))) else []
    return f"{', '.join(parts)}; {n_tokens} tokens"


def _is_unexplained(case: Case) -> bool:
    return case["status"] != "identical" and case["cause"] is None


def _share(cases: Sequence[Case], checkpoint: str) -> str:
    """ "3/4": identical ones of the cases on this checkpoint."""
    own = [case for case in cases if case["checkpoint"] == checkpoint]
    return f"{sum(case['status'] == 'identical' for case in own)}/{len(own)}" if own else "–"


def _worst(cases: Sequence[Case]) -> list[str]:
    """Largest errors of identical cases: in avg_logprob, no_speech_prob, word times in seconds."""
    cells = []
    for names in (("avg_logprob",), ("no_speech_prob",), ("word.start", "word.end")):
        errors = [
            case["worst_errors"][name]
            for case in cases
            if case["status"] == "identical"
            for name in names
            if name in case["worst_errors"]
        ]
        cells.append(f"{max(errors):.0e}" if errors else "–")
    return cells


def exceptions(cases: Sequence[Case]) -> list[str]:
    """A line for every case that differs; refusals and failures of the same kind share one."""
    lines = [
        f"{case['checkpoint']} · {case['clip']} · {case['option_set']}: {_what_differs(case)}"
        for case in cases
        if case["status"] == "different"
    ]
    alike = Counter(
        (case["status"], case["option_set"], case["message"], case["cause"])
        for case in cases
        if case["status"] in ("refused", "failed")
    )
    for (status, option_set, message, cause), count in alike.items():
        lines.append(f"{option_set}: {status} {count} ×: {message}{_because(cause)}")
    return lines


def _what_differs(case: Case) -> str:
    if (first := case["difference"]) is None:
        return f"{case['message']}{_because(case['cause'])}"
    values = f"{first['ours']!r}, {first['theirs']!r} expected"
    return (
        f"{first['where']} is {values} (1 of {case['n_differences']})"
        f"{_because(case['cause'], 'NOT EXPLAINED')}"
    )


def _because(cause: str | None, without: str = "") -> str:
    text = cause or without
    return f" — {text}" if text else ""
