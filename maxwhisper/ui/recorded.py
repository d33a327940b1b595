"""Committed benchmark records on the page: which figures there are, and each with its provenance.

In: a folder of records. Out: names to choose from, figures, and a badge of where and when. Nothing
here is measured now, and everything shown says so.
"""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from maxwhisper import bench_figures, bench_report
from maxwhisper.errors import RecordError
from maxwhisper.records import device_name, machine_line

RESULTS = Path(__file__).parents[2] / "results"  # of the repository; a wheel has none
_COMMAND = "python -m maxwhisper bench --output results/NAME.json"
_NONE_YET = f"There is none here yet. This makes one: <code>{_COMMAND}</code>"
_PREFERRED = "against length"  # the figure shown first, if there is one


@dataclass(frozen=True)
class Figure:
    """One figure of a record, and what it was recorded on."""

    caption: str
    drawing: go.Figure
    record: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What a visitor chooses it by; to the minute, as a day may have several records."""
        when = self.record["when"][:16].replace("T", " ")
        return f"{self.caption} · {device_name(self.record['machine'])}, {when}"


class Records:
    """The figures of every record in a folder, read again whenever the tab is drawn."""

    def __init__(self, folder: Path = RESULTS) -> None:
        self._folder = folder
        self._figures: dict[str, Figure] = {}

    def read(self) -> str:
        """Read the folder; HTML that says what is there, or what is wrong with it."""
        try:
            records = bench_report.load_all(self._folder)
        except RecordError as error:
            self._figures = {}
            return _heading(html.escape(str(error)))
        figures = [Figure(c, f, r) for r in records for c, f in bench_figures.figures(r)]
        self._figures = {figure.name: figure for figure in figures}
        return _heading("" if figures else _NONE_YET)

    @property
    def names(self) -> list[str]:
        """Of all figures, the one to show first at the front."""
        return sorted(self._figures, key=lambda name: _PREFERRED not in name)

    def find(self, name: str | None) -> Figure | None:
        """The figure of that name, if it is there."""
        return self._figures.get(name or "")


def badge_html(record: Mapping[str, Any]) -> str:
    """When, on what, and with which settings a record was measured."""
    rounds = record["settings"]["rounds"]
    return (
        f'<p class="measured"><strong>measured on {day(record["when"])}, not now</strong> on '
        f"{html.escape(machine_line(record['machine']))} · median of {rounds} rounds · "
        f"{_noise(record['aa'])}</p>"
    )


def _noise(aa: Mapping[str, Any]) -> str:
    """How far the same engine lies from itself: differences below that say nothing."""
    if aa["worst"] is None:
        return "how noisy the machine was is not known"
    small = "" if aa["worst"] < aa["limit"] else ": a noisy machine, no smaller difference counts"
    return f"one engine, timed twice, differed by up to {aa['worst']:.1%}{small}"


def day(when: str) -> str:
    """The day of an ISO time, as people write it."""
    date = datetime.fromisoformat(when)
    return f"{date.day} {date:%B %Y}"


def moment(when: str) -> str:
    """The day and the minute of an ISO time in UTC."""
    return f"{day(when)}, {datetime.fromisoformat(when):%H:%M} UTC"


def _heading(note: str) -> str:
    hint = "Measured before, each on the machine and the day in its name. Choose a figure."
    return f'<h3>Earlier benchmarks</h3><p class="hint">{note or hint}</p>'
