"""The record of planted defects, and the table of docs/defects.md."""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

from maxwhisper.evaluation.records import Part, Record, machine_line, markdown_table
from tools.defects.catalog import Defect


class Result(Part):
    name: str
    area: str
    about: str
    file: str
    digest: str  # `Defect.digest` of what was tried
    verdict: Literal["caught", "survived"]
    caught_by: list[str]  # ids of the tests that failed; the run ends at the first
    seconds: float


class DefectsRecord(Record, kw_only=True):
    """One run of the defects of an area."""

    KIND: ClassVar[str] = "record of planted defects"
    REMEDY: ClassVar[str] = "run `python -m tools.defects AREA --keep` again"

    schema: int = 2
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


def report(records: Iterable[DefectsRecord], defects: Sequence[Defect]) -> str:
    """Markdown: how many of the defects were caught, then a table for each area. A defect that was
    edited since it was tried counts as not tried."""
    record_of = {record.area: record for record in records}
    found = {
        (result.name, result.digest): result
        for record in record_of.values()
        for result in record.results
    }
    n_caught = sum(
        (each.name, each.digest) in found and found[each.name, each.digest].verdict == "caught"
        for each in defects
    )
    lines = [f"**{n_caught} of {len(defects)} caught.**"]
    for area in sorted({each.area for each in defects}):
        lines += ["", f"## {area}", ""]
        if area in record_of:
            lines += [f"Tried on {machine_line(record_of[area].machine)}.", ""]
        rows = [["defect", "planted in", "verdict", "by", "s"]]
        rows += [
            _row(each, found.get((each.name, each.digest))) for each in defects if each.area == area
        ]
        lines += markdown_table(rows, n_text=4)
    return "\n".join(lines) + "\n"


def _row(defect: Defect, result: Result | None) -> list[str]:
    cells = [defect.about, f"`{defect.file}`"]
    if result is None:
        return [*cells, "**not tried**", "–", "–"]
    tests = ", ".join(
        f"`{test.rpartition('::')[2].partition('[')[0]}`" for test in result.caught_by
    )
    verdict = result.verdict if result.verdict == "caught" else f"**{result.verdict}**"
    return [*cells, verdict, tests or "–", f"{result.seconds:.1f}"]
