"""Records: JSON files that this project writes, reads back and checks.

Input: a JSON document or file. Output: a `Record`, a msgspec struct whose fields are typed and
checked, or an error that names the field. Also text that all records need: machine and weights in
one line each, and tables. The JSON schemas in results/schema are written by
`python -m tools.record_schemas`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec

from maxwhisper.checkpoint import bundled
from maxwhisper.errors import RecordError

Machine = Mapping[str, Any]  # what `maxwhisper.machine.describe()` returns


class Part(msgspec.Struct, forbid_unknown_fields=True):
    """An object inside a record. Unknown and missing fields are errors."""


class Record(Part):
    """A whole document. A subclass with a format number has the field `schema` first, with that
    number as its default."""

    KIND: ClassVar[str]  # as in "FILE is no benchmark record"
    REMEDY: ClassVar[str]  # how to get a record that can be read

    @classmethod
    def load(cls, path: Path) -> Self:
        """The record in a JSON file. Raises `RecordError` that says what is wrong."""
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise RecordError(f"{path} is no {cls.KIND}: {error}; {cls.REMEDY}") from error

    @classmethod
    def load_all(cls, folder: Path) -> list[Self]:
        """Every record (*.json) of a folder, in the order of file names. Raises `RecordError`."""
        return [cls.load(path) for path in sorted(folder.glob("*.json"))]

    @classmethod
    def from_dict(cls, document: object) -> Self:
        """The record in a JSON document. Raises `ValueError` for another schema number, a missing,
        unknown or mistyped field, and a record that contradicts itself."""
        version = next((f.default for f in msgspec.structs.fields(cls) if f.name == "schema"), None)
        if version is not None:
            found = msgspec.convert(document, _Numbered).schema
            if found != version:
                raise ValueError(f"expected schema {version}, got {found}")
        record = msgspec.convert(document, cls)
        record.check()
        return record

    def to_dict(self) -> dict[str, Any]:
        """The JSON document."""
        return to_dict(self)

    def check(self) -> None:
        """Raise `ValueError` that names the first field that contradicts another one."""


class _Numbered(msgspec.Struct):
    """The format number of any document."""

    schema: int


def to_dict(value: object) -> dict[str, Any]:
    """A struct or dataclass as plain JSON types; numpy's numbers become Python's."""
    return msgspec.to_builtins(value, enc_hook=lambda number: number.item())


def weights_line(name: str, source: str) -> str:
    """Where the weights `name` come from, as recorded. The error rates of the bundled network are
    those of its latest evaluation, because a record quotes the evaluation of its day."""
    return f"{name}: {bundled.limits() if name == bundled.NAME else source}"


def machine_line(machine: Machine) -> str:
    """A machine in one line, for headings: processor, GPUs, commit."""
    commit = machine.get("commit") or "unknown"
    commit = commit[:8] + ("+ changes" if commit.endswith("+") else "")
    return f"{hardware_line(machine)} · commit {commit}"


def hardware_line(machine: Machine) -> str:
    """Processor and GPUs."""
    gpus = ", ".join(gpu["name"] for gpu in machine.get("gpus", [])) or "no GPU"
    return f"{machine.get('cpu')}, {machine.get('threads')} threads, {gpus}"


def device_name(machine: Machine) -> str:
    """The device that the network ran on: the GPUs, or the processor."""
    gpus = [gpu["name"] for gpu in machine.get("gpus", ())]
    return ", ".join(gpus) or machine.get("cpu") or "unknown machine"


def stages_of(timings: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each stage that an engine reports, without their total."""
    return {name: seconds for name, seconds in timings.items() if name != "total"}


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a plain-text table: first column left-aligned, the others right-aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def markdown_table(rows: Sequence[Sequence[str]], n_text: int = 1) -> list[str]:
    """Lines of a markdown table; the first row is the heading. The first `n_text` columns are
    aligned to the left, the others are numbers."""
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return [head, "|---" * n_text + "|---:" * (len(rows[0]) - n_text) + "|", *body]


def written_below(mark: str, page: str, tables: str) -> str:
    """A page with `tables` instead of everything below the line `mark`. Raises `ValueError` for a
    page without it."""
    head, found, _ = page.partition(mark)
    if not found:
        raise ValueError(f"expected the line {mark} in the page")
    return f"{head}{mark}\n\n{tables}"
