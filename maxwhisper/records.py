"""What all records of this project share: checked fields, a machine in one line, stages, tables.

In: JSON-ready mappings. Out: an error that names the field, or text.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Types = tuple[type, ...]


def check_fields(where: str, mapping: Mapping[str, Any], fields: Mapping[str, Types]) -> None:
    """Raise `ValueError` naming the first of `fields` that is missing or of another type."""
    if not isinstance(mapping, Mapping):
        raise ValueError(f"{where}: expected an object, got {mapping!r:.80}")
    for name, types in fields.items():
        if name not in mapping:
            raise ValueError(f"{where}: expected a field {name!r}, found none")
        if not isinstance(mapping[name], types):
            names = " or ".join(t.__name__ for t in types)
            raise ValueError(f"{where}.{name}: expected {names}, got {mapping[name]!r}")


def machine_line(machine: Mapping[str, Any]) -> str:
    """What `machine.describe` says, as far as it fits into a heading."""
    commit = machine.get("commit") or "unknown"
    commit = commit[:8] + ("+ changes" if commit.endswith("+") else "")
    return f"{hardware_line(machine)} · commit {commit}"


def hardware_line(machine: Mapping[str, Any]) -> str:
    """Its processor and its GPUs."""
    gpus = ", ".join(gpu["name"] for gpu in machine.get("gpus", [])) or "no GPU"
    return f"{machine.get('cpu')}, {machine.get('threads')} threads, {gpus}"


def device_name(machine: Mapping[str, Any]) -> str:
    """What the network ran on: the GPUs, or the processor."""
    gpus = [gpu["name"] for gpu in machine.get("gpus", ())]
    return ", ".join(gpus) or machine.get("cpu") or "unknown machine"


def stages_of(timings: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each stage that an engine tells, without their total."""
    return {name: seconds for name, seconds in timings.items() if name != "total"}


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """One line a row: the first column to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table whose first row names the columns; numbers to the right, as above."""
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return [head, "|---" + "|---:" * (len(rows[0]) - 1) + "|", *body]
