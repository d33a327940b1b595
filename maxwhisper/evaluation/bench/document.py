"""Benchmark records in this project's documents: all tables and the goals for docs, a summary for
the README.

Input: a document with marked parts, and records. Output: the document with those parts rewritten.
Nothing between the marks is written by hand.
"""

from collections.abc import Callable, Sequence

from maxwhisper.engine import OURS
from maxwhisper.errors import RecordError
from maxwhisper.evaluation.bench.record import NOISY, BenchRecord, MeasuredRun
from maxwhisper.evaluation.bench.summary import Ratio, cells, main_clip, ratios
from maxwhisper.evaluation.bench.tables import markdown
from maxwhisper.evaluation.records import hardware_line, markdown_table

TABLES = "<!-- begin: written by `python -m maxwhisper bench --report`, do not edit -->"
SUMMARY = "<!-- begin: a summary by `python -m maxwhisper bench --report`, do not edit -->"
GOALS = "<!-- begin: goals by `python -m maxwhisper bench --report`, do not edit -->"
END = "<!-- end -->"


def rewritten(page: str, records: Sequence[BenchRecord], goals: str = "") -> str:
    """The document `page`, with its parts between `TABLES`, `SUMMARY` or `GOALS` and `END`
    rewritten; `goals` is the text of the last. Raises `RecordError` if it has no such part."""
    writers: dict[str, Callable[[], str]] = {
        TABLES: lambda: markdown(records),
        SUMMARY: lambda: summary(records),
        GOALS: lambda: goals,
    }
    is_changed = False
    for begin, write in writers.items():
        before, found, rest = page.partition(begin)
        _, end, after = rest.partition(END)
        if found and end:
            page, is_changed = f"{before}{begin}\n\n{write()}\n{END}{after}", True
    if not is_changed:
        raise RecordError(
            f"expected the lines {TABLES!r} or {SUMMARY!r}, and {END!r} in the page, found none"
        )
    return page


def summary(records: Sequence[BenchRecord]) -> str:
    """A line for each model and mode, small networks first, on the clip with the most runs: our
    time, and our speed relative to each baseline."""
    compared = [(record, found) for record in records if (found := ratios(record))]
    compared.sort(key=lambda pair: _width(pair[0]))
    labels = list(dict.fromkeys(row.baseline for _, found in compared for row in found))
    rows = [row for record, found in compared for row in _rows(record, found, labels)]
    if not rows:
        return "Nothing has been measured yet: there is no record.\n"
    head = ("weights", "audio", "mode", "maxwhisper", "× real time", *labels)
    machines = dict.fromkeys(hardware_line(record.machine) for record, _ in compared)
    noisy = any(record.aa.verdict == NOISY for record, _ in compared)
    notes = [
        f"Measured on {' and on '.join(machines)}. × is a baseline's median over ours, of rounds "
        "in turns, same weights and options; *even* where the ranges of the rounds meet.",
        *(["The machine was noisy by the harness's own A/A check."] if noisy else []),
    ]
    return "\n".join([*markdown_table([head, *rows]), "", " ".join(notes)]) + "\n"


def _width(record: BenchRecord) -> int:
    """Of the smallest network that was loaded."""
    return min(model.dims["n_audio_state"] for model in record.models.values() if model.dims)


def _rows(
    record: BenchRecord, found: Sequence[Ratio], labels: Sequence[str]
) -> list[Sequence[str]]:
    compared = {(row.model, row.mode, row.clip, row.baseline): row for row in found}
    clip = main_clip(record.runs)
    rows: list[Sequence[str]] = []
    for (model, mode, name), runs in cells(record):
        cell = [compared.get((model, mode, name, label)) for label in labels]
        if name == clip and any(cell):
            ours = [run for run in runs if isinstance(run, MeasuredRun) and run.engine == OURS]
            rows.append((*_ours(ours[0]), *map(_speed, cell)))
    return rows


def _ours(run: MeasuredRun) -> tuple[str, ...]:
    seconds = f"{run.audio_s:.1f} s", run.mode, f"{run.median_s:.2f} s"
    return run.model, *seconds, f"{run.rtfx:.0f}"


def _speed(row: Ratio | None) -> str:
    if row is None:
        return "–"
    said = {"faster": "", "even": ", *even*", "slower": ", **we lose**"}[row.verdict]
    return f"{row.speed:.2f}×{said}"
