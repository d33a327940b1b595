"""Parity records as text: one row an option set, one line for each case that is not identical."""

from collections import Counter
from collections.abc import Sequence

from maxwhisper.evaluation.parity.plan import not_run
from maxwhisper.evaluation.parity.record import Case, ParityRecord
from maxwhisper.evaluation.records import columns, machine_line


def table(record: ParityRecord) -> str:
    """The record for people: a row for each option set, then every case that is not identical."""
    heading = "identical cases on each checkpoint, and their largest errors"
    machines = dict.fromkeys(machine_line(run.machine) for run in record.runs)
    blocks = ["\n".join([*machines, heading]), "\n".join(columns(set_rows(record)))]
    blocks += ["\n".join(lines)] if (lines := exceptions(record.cases)) else []
    return "\n\n".join([*blocks, summary(record)])


def set_rows(record: ParityRecord) -> list[list[str]]:
    """A heading, and a row for each option set: cases on each checkpoint, largest errors."""
    checkpoints = list(record.checkpoints)
    rows = [["option set", *checkpoints, "avg_logprob", "no_speech_prob", "word times s"]]
    for name in dict.fromkeys(case.option_set for case in record.cases):
        cases = [case for case in record.cases if case.option_set == name]
        rows.append([name, *(_share(cases, c) for c in checkpoints), *_worst(cases)])
    return rows


def summary(record: ParityRecord) -> str:
    """The number of cases of each status, in one line."""
    cases = [case for case in record.cases if case.counts]
    n_tokens = sum(case.n_tokens for case in cases)
    counts = Counter(case.status for case in cases)
    parts = [f"{counts['identical']} of {len(cases)} cases identical to openai-whisper"]
    parts += [f"{counts[status]} {status}" for status in ("different", "failed") if counts[status]]
    if n := len(refused_sets(record.cases)):
        parts.append(f"{n} option {'set' if n == 1 else 'sets'} refused")
    parts.append(f"{sum(case.is_unexplained for case in record.cases)} not explained")
    parts += [f"{n} not run"] if (n := len(not_run(record))) else []
    silent = sum(case.is_silent for case in record.cases)
    aside = f"; {silent} more, in which neither says a word, count for nothing" if silent else ""
    return f"{', '.join(parts)}; {n_tokens} tokens{aside}"


def refused_sets(cases: Sequence[Case]) -> set[str]:
    """The option sets that we refuse; each clip and checkpoint repeats the same refusal."""
    return {case.option_set for case in cases if case.status == "refused"}


def exceptions(cases: Sequence[Case]) -> list[str]:
    """A line for every case that differs, for every kind of failure, and for every refusal."""
    lines = [
        f"{case.checkpoint} · {case.clip} · {case.option_set}: {_difference(case)}"
        for case in cases
        if case.status == "different"
    ]
    alike = Counter(
        (case.status, case.option_set, case.message, case.cause)
        for case in cases
        if case.status in ("refused", "failed")
    )
    for (status, option_set, message, cause), count in alike.items():
        times = f" {count} ×" if status == "failed" else ""
        lines.append(f"{option_set}: {status}{times}: {message}{_because(cause, 'NOT EXPLAINED')}")
    return lines


def _share(cases: Sequence[Case], checkpoint: str) -> str:
    """For example "3/4": identical cases, of those on this checkpoint that count."""
    own = [case for case in cases if case.checkpoint == checkpoint]
    counted = [case for case in own if case.counts]
    if refused_sets(own):
        return "refused"
    return f"{sum(c.status == 'identical' for c in counted)}/{len(counted)}" if counted else "–"


def _worst(cases: Sequence[Case]) -> list[str]:
    """Largest errors of identical cases: in avg_logprob, no_speech_prob, word times in seconds."""
    cells = []
    for names in (("avg_logprob",), ("no_speech_prob",), ("word.start", "word.end")):
        errors = [
            case.worst_errors[name]
            for case in cases
            if case.status == "identical"
            for name in names
            if name in case.worst_errors
        ]
        cells.append(f"{max(errors):.0e}" if errors else "–")
    return cells


def _difference(case: Case) -> str:
    if (first := case.difference) is None:
        return f"{case.message}{_because(case.cause, 'NOT EXPLAINED')}"
    values = f"{first.ours!r}, {first.theirs!r} expected"
    cause = _because(case.cause, "NOT EXPLAINED")
    return f"{first.where} is {values} (1 of {case.n_differences}){cause}"


def _because(cause: str | None, without: str = "") -> str:
    text = cause or without
    return f" — {text}" if text else ""
