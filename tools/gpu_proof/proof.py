"""The record of a proof: its steps one after the other, on disk after each.

In: steps by name, how one is done, and what each of them is given. Out: proof.json. A step that
fails says why and the next one runs; none is left out in silence, and what an earlier run found is
kept until it is found again. Knows no step.
"""

import functools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from maxwhisper import machine
from maxwhisper.cli.output import json_text, progress, write_file
from maxwhisper.engine import Engine

SCHEMA = 2
RECORD = "proof.json"
MOST = 2  # a step may take so many times its equal share of the time that is left

Entry = dict[str, Any]
Load = Callable[[str, str, str], Engine]  # engine, device, precision
Report = Callable[[Mapping[str, Any]], None]
Step = Callable[["Proof"], Mapping[str, Any]]
Do = Callable[[str, float], Entry]  # a step's name and the seconds it may take


@dataclass(frozen=True)
class Proof:
    """What every step is given. `report` takes what a step has found so far, which is then not lost
    with it."""

    device: str
    load: Load
    clips: Sequence[tuple[str, Any, str]]  # title, samples, what is said
    models: Sequence[str]
    rounds: int
    folder: Path  # where the records go
    cache_dir: Path | None = None
    report: Report = lambda entry: None

    def attempt(self, step: Step) -> Entry:
        """The step's entry; one that raises is an "error" with its reason, and what it had found
        before."""
        found: Entry = {}

        def report(entry: Mapping[str, Any]) -> None:
            found.update(entry)
            self.report(entry)

        return found | attempt(functools.partial(step, replace(self, report=report)))


def run(device: str, folder: Path, names: Iterable[str], minutes: float, do: Do) -> dict[str, Any]:
    """Do the steps in order within `minutes`, and write the record into `folder` after each."""
    end_s = time.monotonic() + 60 * minutes
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device,
        "machine": machine.describe(),
    }
    steps = record["steps"] = _earlier(folder, record)
    todo = list(names)
    for number, name in enumerate(todo):
        begun_s = time.monotonic()
        left_s = end_s - begun_s
        if left_s <= 0:
            missed = {"status": "not run", "why": f"{minutes:g} minutes are over", "seconds": 0.0}
            steps.setdefault(name, missed)
        else:
            progress(name)
            entry = do(name, min(left_s, MOST * left_s / (len(todo) - number)))
            steps[name] = entry | {"seconds": round(time.monotonic() - begun_s, 3)}
        write_file(folder / RECORD, json_text(record))
    return record


def _earlier(folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """The steps of a record that lies in the folder, if it is of the same device and commit."""
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        same = [(r["schema"], r["device"], r["machine"]["commit"]) for r in (found, record)]
        return dict(found["steps"]) if same[0] == same[1] else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def attempt(step: Callable[[], Mapping[str, Any]]) -> Entry:
    """The step's entry; one that raises is an "error" with its reason."""
    try:
        return dict(step())
    except Exception as error:  # whatever a device's libraries raise: the other steps still run
        return {"status": "error", "why": f"{type(error).__name__}: {error}"}


def status(is_right: bool) -> str:
    return "passed" if is_right else "failed"


def status_of(entries: Iterable[Mapping[str, Any]]) -> str:
    """All of them passed, and there are some."""
    found = [entry["status"] == "passed" for entry in entries]
    return status(bool(found) and all(found))
