"""Benchmark records in this project's pages: every table for docs, a summary for the README.

In: a page with marked parts, and records. Out: the page, those parts written anew. Nothing between
the marks is written by hand.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from maxwhisper.bench_report import NOISY
from maxwhisper.bench_summary import Ratio, Run, cells, main_clip, ratios
from maxwhisper.bench_tables import markdown
from maxwhisper.engine import OURS
from maxwhisper.errors import RecordError
from maxwhisper.records import hardware_line, markdown_table

Record = Mapping[str, Any]

TABLES = "<!-- begin: written by `python -m maxwhisper bench --report`, do not edit -->"
SUMMARY = "<!-- begin: a summary by `python -m maxwhisper bench --report`, do not edit -->"
END = "<!-- end -->"


def rewritten(page: str, records: Sequence[Record]) -> str:
    """A page with what follows its mark `TABLES` or `SUMMARY`, up to `END`, written anew. Raises
    `RecordError` if it has no such part."""
    write: Callable[[Sequence[Record]], str]
    for begin, write in ((TABLES, markdown), (SUMMARY, summary)):
        before, found, rest = page.partition(begin)
        _, end, after = rest.partition(END)
        if found and end:
            return f"{before}{begin}\n\n{write(records)}\n{END}{after}"
    raise RecordError(
        f"expected the lines {TABLES!r} or {SUMMARY!r}, and {END!r} in the page, found none"
    )


def summary(records: Sequence[Record]) -> str:
    """A line for each model and mode, small networks first, on the clip that most was measured on:
    our time, and by how much we are faster than each baseline."""
    compared = [(record, found) for record in records if (found := ratios(record))]
    compared.sort(key=lambda pair: _width(pair[0]))
    labels = list(dict.fromkeys(row.baseline for _, found in compared for row in found))
    rows = [row for record, found in compared for row in _rows(record, found, labels)]
    if not rows:
        return "Nothing has been measured yet: there is no record.\n"
    head = ("weights", "audio", "mode", "maxwhisper", "× real time", *labels)
    machines = dict.fromkeys(hardware_line(record["machine"]) for record, _ in compared)
    noisy = any(record["aa"]["verdict"] == NOISY for record, _ in compared)
    notes = [
        f"Measured on {' and on '.join(machines)}. × is a baseline's median over ours, of rounds "
        "in turns, same weights and options; *even* where the ranges of the rounds meet.",
        *(["The machine was noisy by the harness's own A/A check."] if noisy else []),
    ]
    return "\n".join([*markdown_table([head, *rows]), "", " ".join(notes)]) + "\n"


def _width(record: Record) -> int:
    return min(model["dims"]["n_audio_state"] for model in record["models"].values())


def _rows(record: Record, found: Sequence[Ratio], labels: Sequence[str]) -> list[Sequence[str]]:
    compared = {(row.model, row.mode, row.clip, row.baseline): row for row in found}
    clip = main_clip(record["runs"])
    rows: list[Sequence[str]] = []
    for (model, mode, name), runs in cells(record):
        cell = [compared.get((model, mode, name, label)) for label in labels]
        if name == clip and any(cell):
            ours = next(run for run in runs if run["engine"] == OURS)
            rows.append((*_ours(ours), *map(_speed, cell)))
    return rows


def _ours(run: Run) -> tuple[str, ...]:
    seconds = f"{run['audio_s']:.1f} s", run["mode"], f"{run['median_s']:.2f} s"
    return run["model"], *seconds, f"{run['rtfx']:.0f}"


def _speed(row: Ratio | None) -> str:
    if row is None:
        return "–"
    said = {"faster": "", "even": ", *even*", "slower": ", **we lose**"}[row.verdict]
    return f"{row.speed:.2f}×{said}"
