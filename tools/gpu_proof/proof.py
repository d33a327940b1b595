"""The record of a proof: its steps one after the other, on disk after each.

In: steps by name, and what each of them is given. Out: proof.json. A step that fails says why and
the next one runs; none is left out in silence. Knows no step.
"""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from maxwhisper import machine
from maxwhisper.cli.output import json_text, progress, write_file
from maxwhisper.engine import Engine

SCHEMA = 1

Load = Callable[[str, str, str], Engine]  # engine, device, precision
Step = Callable[["Proof"], Mapping[str, Any]]


@dataclass(frozen=True)
class Proof:
    """What every step is given."""

    device: str
    load: Load
    clips: Sequence[tuple[str, Any, str]]  # title, samples, what is said
    models: Sequence[str]
    rounds: int
    folder: Path  # where the records go
    cache_dir: Path | None = None

    def run(self, steps: Mapping[str, Step], minutes: float) -> dict[str, Any]:
        """Do the steps in order, none after `minutes`; the record so far is on disk after each."""
        started_s = time.monotonic()
        record: dict[str, Any] = {
            "schema": SCHEMA,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": self.device,
            "machine": machine.describe(),
            "steps": {},
        }
        for name, step in steps.items():
            begun_s = time.monotonic()
            if begun_s - started_s > 60 * minutes:
                entry: dict[str, Any] = {
                    "status": "not run",
                    "why": f"{minutes:g} minutes are over",
                }
            else:
                progress(name)
                entry = attempt(functools.partial(step, self))
            entry["seconds"] = round(time.monotonic() - begun_s, 3)
            record["steps"][name] = entry
            write_file(self.folder / "proof.json", json_text(record))
        return record


def attempt(step: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """The step's entry; one that raises is an "error" with its reason."""
    try:
        return dict(step())
    except Exception as error:  # whatever a device's libraries raise: the other steps still run
        return {"status": "error", "why": f"{type(error).__name__}: {error}"}


def status(is_right: bool) -> str:
    return "passed" if is_right else "failed"
