"""Committed benchmark records on the page: their figures, each with its date and machine.

In: a folder of records. Out: names to choose from, figures, and a badge with date and machine.
"""

from dataclasses import dataclass
from pathlib import Path

import plotly.graph_objects as go

from maxwhisper.checkpoint.places import RANDOM
from maxwhisper.errors import RecordError
from maxwhisper.evaluation.bench.figures import figures
from maxwhisper.evaluation.bench.record import AaCheck, BenchRecord
from maxwhisper.evaluation.records import device_name, machine_line
from maxwhisper.web.ui.dates import day
from maxwhisper.web.ui.templates import render

RESULTS = Path(__file__).parents[4] / "results"  # of the repository; a wheel has none
_COMMAND = "python -m maxwhisper bench --output results/NAME.json"
_FIRST = "against length"  # in the caption of the figure that is shown first


@dataclass(frozen=True)
class Figure:
    """One figure of a benchmark record."""

    caption: str
    drawing: go.Figure
    record: BenchRecord

    @property
    def name(self) -> str:
        """The name in the list; to the minute, because a day may have several records."""
        when = self.record.when[:16].replace("T", " ")
        return f"{self.caption} · {device_name(self.record.machine)}, {when}"

    @property
    def rank(self) -> tuple[bool, bool, bool]:
        """Sorts the figures by what they say to a visitor, the best first."""
        commit = self.record.machine.get("commit") or "+"
        is_random = self.caption.startswith(RANDOM)
        return is_random, commit.endswith("+"), _FIRST not in self.caption


class RecordedBenchmarks:
    """The figures of every record in a folder, read again each time the tab is drawn."""

    def __init__(self, folder: Path = RESULTS) -> None:
        self._folder = folder
        self._figures: dict[str, Figure] = {}

    def read(self) -> str:
        """Read the folder. Returns the section's heading, with the error if a record is broken."""
        try:
            records = BenchRecord.load_all(self._folder)
        except RecordError as error:
            self._figures = {}
            return _heading(str(error))
        found = [Figure(c, f, r) for r in records for c, f in figures(r)]
        self._figures = {figure.name: figure for figure in found}
        if not found:
            return _heading("There are none here yet. This command records one:", command=_COMMAND)
        return _heading("Each name gives machine and date.")

    @property
    def names(self) -> list[str]:
        """Names of all figures, the one to show first in front: of trained weights before random
        ones, of a commit before changed files."""
        return sorted(self._figures, key=lambda name: self._figures[name].rank)

    def find(self, name: str | None) -> Figure | None:
        """The figure with this name, or None."""
        return self._figures.get(name or "")


def badge_html(record: BenchRecord) -> str:
    """When, on what, and with how many rounds a record was measured."""
    facts = [
        machine_line(record.machine),
        f"median of {record.settings.rounds} rounds",
        _noise(record.aa),
    ]
    badge = f"measured on {day(record.when)}"
    return render("timings/measured.html", badge=badge, facts=facts)


def _noise(aa: AaCheck) -> str:
    """The difference between two measurements of the same engine: smaller differences between
    engines mean nothing."""
    if aa.worst is None:
        return "noise not measured"
    percent = f"{100 * aa.worst:.1f} %"
    if aa.worst < aa.limit:
        return f"one engine measured twice differed by up to {percent}"
    return f"noisy machine: ignore differences under {percent}"


def _heading(hint: str, **command: str) -> str:
    return render("timings/heading.html", title="Recorded benchmarks", hint=hint, **command)
