"""The record of a proof: run the steps in order, and write the record after each.

In: steps by name, the function that runs one, and the inputs of each. Out: proof.json. A failed
step records its reason, and the next one runs. No step is skipped silently. Results of an earlier
run stay until they are replaced. Knows no step.
"""

import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from maxwhisper import machine
from maxwhisper.cli.output import json_text, progress, write_file
from maxwhisper.engine import Engine
from maxwhisper.errors import RecordError
from maxwhisper.evaluation.records import Record

RECORD = "proof.json"
MAX_SHARES = 2  # of the remaining time per step: a step may take this many equal shares

Entry = dict[str, Any]
Load = Callable[[str, str, str], Engine]  # engine, device, precision
Report = Callable[[Mapping[str, Any]], None]
Step = Callable[["Proof"], Mapping[str, Any]]
Do = Callable[[str, float], Entry]  # a step's name and the seconds it may take


@dataclass(frozen=True)
class Proof:
    """The inputs of every step. `report` stores the results of a step so far, so a crash does not
    lose them."""

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


class ProofRecord(Record, kw_only=True):
    """The steps, each with its status and what it found; what that is depends on the step."""

    KIND: ClassVar[str] = "proof"
    REMEDY: ClassVar[str] = "run the proof again"

    schema: int = 2
    when: str  # ISO 8601, UTC
    device: str
    machine: dict[str, Any]
    steps: dict[str, dict[str, Any]]


def run(device: str, folder: Path, names: Iterable[str], minutes: float, do: Do) -> ProofRecord:
    """Do the steps in order within `minutes`, and write the record into `folder` after each."""
    end_s = time.monotonic() + 60 * minutes
    record = ProofRecord(
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        device=device,
        machine=machine.describe(),
        steps={},
    )
    record.steps = _earlier(folder, record)
    todo = list(names)
    for number, name in enumerate(todo):
        begun_s = time.monotonic()
        left_s = end_s - begun_s
        if left_s <= 0:
            missed = {"status": "not run", "why": f"{minutes:g} minutes are over", "seconds": 0.0}
            record.steps.setdefault(name, missed)
        else:
            progress(name)
            entry = do(name, min(left_s, MAX_SHARES * left_s / (len(todo) - number)))
            record.steps[name] = entry | {"seconds": round(time.monotonic() - begun_s, 3)}
        write_file(folder / RECORD, json_text(record.to_dict()))
    return record


def _earlier(folder: Path, record: ProofRecord) -> dict[str, Entry]:
    """The steps of an earlier record in the folder, if it is of the same device and commit."""
    try:
        found = ProofRecord.load(folder / RECORD)
    except RecordError:
        return {}
    ran_on = [(each.device, each.machine.get("commit")) for each in (found, record)]
    return found.steps if ran_on[0] == ran_on[1] else {}


def attempt(step: Callable[[], Mapping[str, Any]]) -> Entry:
    """The step's entry; one that raises is an "error" with its reason."""
    try:
        return dict(step())
    except Exception as error:  # whatever a device's libraries raise: the other steps still run
        return {"status": "error", "why": f"{type(error).__name__}: {error}"}


def status(is_right: bool) -> str:
    return "passed" if is_right else "failed"


def status_of(entries: Iterable[Mapping[str, Any]]) -> str:
    """Return "passed" only if there are entries and all of them passed."""
    found = [entry["status"] == "passed" for entry in entries]
    return status(bool(found) and all(found))
