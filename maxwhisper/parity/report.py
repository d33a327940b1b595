"""Parity records, checked and printed. In: what `run.run` returns, or its JSON file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from maxwhisper.parity.run import SCHEMA
from maxwhisper.records import Types, check_fields, columns, machine_line

NoneType = type(None)
STATUSES = ("identical", "different", "refused", "failed")

RECORD_FIELDS: dict[str, Types] = {
    "schema": (int,),
    "when": (str,),
    "machine": (dict,),
    "settings": (dict,),
    "checkpoints": (list,),
    "cases": (list,),
}
CHECKPOINT_FIELDS: dict[str, Types] = {
    "name": (str,),
    "source": (str,),
    "dims": (dict,),
    "engines": (list,),
    "option_sets": (dict,),
}
CASE_FIELDS: dict[str, Types] = {
    "checkpoint": (str,),
    "clip": (str,),
    "option_set": (str,),
    "status": (str,),
    "cause": (str, NoneType),
    "message": (str, NoneType),
    "difference": (dict, NoneType),
    "n_differences": (int,),
    "n_tokens": (int,),
    "worst_errors": (dict,),
    "seconds": (dict,),
}
DIFFERENCE_FIELDS: dict[str, Types] = {
    "where": (str,),
    "ours": (str, int, float, NoneType),
    "theirs": (str, int, float, NoneType),
}

Case = Mapping[str, Any]


def validate(record: Mapping[str, Any]) -> None:
    """Raise `ValueError` naming the first field that is missing, mistyped or contradictory."""
    check_fields("record", record, RECORD_FIELDS)
    if record["schema"] != SCHEMA:
        raise ValueError(f"expected schema {SCHEMA}, got {record['schema']}: compare again")
    if not record["cases"]:
        raise ValueError("expected at least one case, got none")
    sets = {}
    for number, checkpoint in enumerate(record["checkpoints"]):
        check_fields(f"checkpoints[{number}]", checkpoint, CHECKPOINT_FIELDS)
        sets[checkpoint["name"]] = checkpoint["option_sets"]
    for number, case in enumerate(record["cases"]):
        where = f"cases[{number}]"
        check_fields(where, case, CASE_FIELDS)
        if case["option_set"] not in sets.get(case["checkpoint"], {}):
            raise ValueError(f"{where}: no such checkpoint or option set in the record")
        _check_status(where, case)


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
    checkpoints = [checkpoint["name"] for checkpoint in record["checkpoints"]]
    names = dict.fromkeys(case["option_set"] for case in record["cases"])
    rows = [["option set", *checkpoints, "avg_logprob", "no_speech_prob", "word times s"]]
    for name in names:
        cases = [case for case in record["cases"] if case["option_set"] == name]
        rows.append([name, *(_share(cases, c) for c in checkpoints), *_worst(cases)])
    blocks = [f"{machine_line(record['machine'])}\n{heading}", "\n".join(columns(rows))]
    blocks += ["\n".join(lines)] if (lines := _exceptions(record["cases"])) else []
    return "\n\n".join([*blocks, summary(record)])


def summary(record: Mapping[str, Any]) -> str:
    """How many cases there are of each kind, in one line."""
    cases = record["cases"]
    n_tokens = sum(case["n_tokens"] for case in cases)
    counts = Counter(case["status"] for case in cases)
    parts = [f"{counts['identical']} of {len(cases)} cases identical to openai-whisper"]
    parts += [f"{counts[status]} {status}" for status in STATUSES[1:] if counts[status]]
    n_unexplained = sum(map(_is_unexplained, cases))
    return ", ".join([*parts, f"{n_unexplained} not explained; {n_tokens} tokens"])


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


def _exceptions(cases: Sequence[Case]) -> list[str]:
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
