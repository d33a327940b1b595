"""The record of a robustness suite, and the tables of docs/reliability.md."""

from collections.abc import Iterable
from typing import Any, ClassVar

from maxwhisper.evaluation.records import Part, Record, machine_line


class Group(Part):
    name: str
    n_cases: int
    n_passed: int


class Failure(Part):
    group: str
    case: str
    problem: str  # expected and got


class RobustnessRecord(Record, kw_only=True):
    """One run of one suite. The bar is met when every case passed and the run was not short."""

    KIND: ClassVar[str] = "robustness record"
    REMEDY: ClassVar[str] = "run `python -m tools.robustness SUITE --output FILE` again"

    schema: int = 1
    suite: str
    bar: str
    is_short: bool
    machine: dict[str, Any]
    groups: list[Group]
    failures: list[Failure]
    measured: dict[str, float]  # the largest value of each measurement
    seconds: float

    @property
    def n_cases(self) -> int:
        return sum(group.n_cases for group in self.groups)

    @property
    def n_passed(self) -> int:
        return sum(group.n_passed for group in self.groups)

    @property
    def is_met(self) -> bool:
        return not self.is_short and self.n_cases > 0 and self.n_passed == self.n_cases

    def check(self) -> None:
        """Raise `ValueError` when the failures are not those that the groups count."""
        missing = self.n_cases - self.n_passed
        if missing != len(self.failures):
            raise ValueError(f"expected {missing} failures, got {len(self.failures)}")


def report(records: Iterable[RobustnessRecord]) -> str:
    """Markdown: a table with a row for each suite, then groups, figures and failures of each."""
    records = sorted(records, key=lambda record: record.suite)
    lines = ["| suite | bar | cases | passed | bar met |", "|---|---|---:|---:|---|"]
    for record in records:
        met = "yes" if record.is_met else "**no**"
        lines.append(
            f"| {record.suite} | {record.bar} | {record.n_cases} | {record.n_passed} | {met} |"
        )
    for record in records:
        lines += ["", f"### {record.suite}", ""]
        short = "a short form, " if record.is_short else ""
        lines += [f"Measured on {machine_line(record.machine)}: {short}{record.seconds:.0f} s.", ""]
        lines += ["| group | cases | passed |", "|---|---:|---:|"]
        lines += [f"| {g.name} | {g.n_cases} | {g.n_passed} |" for g in record.groups]
        if record.measured:
            lines += ["", "| measured, the largest | |", "|---|---:|"]
            lines += [f"| {name} | {value:g} |" for name, value in record.measured.items()]
        if record.failures:
            lines += ["", "Failed:", ""]
            lines += [f"* {f.group}: {f.case}: {_cell(f.problem)}" for f in record.failures]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Text on one line that markdown shows as it is."""
    return "`" + " ".join(text.replace("`", "'").split()) + "`"
