"""The record of planted defects, and the table of docs/defects.md."""

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from maxwhisper.evaluation.records import Part, Record, machine_line, markdown_table


class Result(Part):
    name: str
    area: str
    about: str
    file: str
    verdict: Literal["caught", "survived"]
    caught_by: list[str]  # ids of the tests that failed; the run ends at the first
    seconds: float


class DefectsRecord(Record, kw_only=True):
    """One run of the defects of an area."""

    KIND: ClassVar[str] = "record of planted defects"
    REMEDY: ClassVar[str] = "run `python -m tools.defects AREA --output FILE` again"

    schema: int = 1
    area: str
    machine: dict[str, Any]
    results: list[Result]

    def check(self) -> None:
        """Raise `ValueError` for a verdict without its test, and for another area's defect."""
        for result in self.results:
            if (result.verdict == "caught") != bool(result.caught_by):
                raise ValueError(f"{result.name}: {result.verdict} by {result.caught_by}")
            if result.area != self.area:
                raise ValueError(f"expected area {self.area}, got {result.area} of {result.name}")


def report(records: Iterable[DefectsRecord]) -> str:
    """Markdown: how many were caught, then a table for each area."""
    records = sorted(records, key=lambda record: record.area)
    results = [result for record in records for result in record.results]
    n_caught = sum(result.verdict == "caught" for result in results)
    lines = [f"**{n_caught} of {len(results)} caught.**"]
    for record in records:
        lines += ["", f"## {record.area}", "", f"Tried on {machine_line(record.machine)}.", ""]
        rows = [["defect", "planted in", "verdict", "by", "s"]]
        rows += [_row(result) for result in record.results]
        lines += markdown_table(rows)
    return "\n".join(lines) + "\n"


def _row(result: Result) -> list[str]:
    tests = ", ".join(
        f"`{test.rpartition('::')[2].partition('[')[0]}`" for test in result.caught_by
    )
    verdict = result.verdict if result.verdict == "caught" else f"**{result.verdict}**"
    return [result.about, f"`{result.file}`", verdict, tests or "–", f"{result.seconds:.1f}"]
