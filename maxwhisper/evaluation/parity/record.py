"""Parity records: the types, and which values contradict each other.

A record may be made in several runs, at several commits. Cases that it lacks were not run.
"""

from typing import Any, ClassVar, Literal, get_args

from maxwhisper.engine import EngineInfo
from maxwhisper.evaluation.records import Part, Record

Status = Literal["identical", "different", "refused", "failed"]
STATUSES: tuple[Status, ...] = get_args(Status)


class Run(Part):
    """One run of the comparison."""

    when: str  # ISO 8601, UTC
    machine: dict[str, Any]


class Settings(Part):
    tolerances: dict[str, float]  # {field: largest absolute error}
    nudges: list[float]  # factors on the samples, by which ties are found
    options: dict[str, Any]  # the options that all option sets begin from


class ClipEntry(Part):
    audio_s: float
    sha256: str | None  # of the file; None for samples that came from no file


class CheckpointEntry(Part):
    source: str
    digest: str  # of dims and weights
    dims: dict[str, int]
    engines: list[EngineInfo]  # ours, then the reference
    option_sets: dict[str, dict[str, Any]]  # of each set what differs from `Settings.options`


class Difference(Part):
    where: str  # for example "segments[2].tokens[17]"
    ours: str | int | float | None
    theirs: str | int | float | None


class Case(Part):
    """One clip with one option set on one checkpoint, through both engines."""

    checkpoint: str
    clip: str
    option_set: str
    run: int  # index into `ParityRecord.runs`
    status: Status
    cause: str | None  # why it is not identical; None: not explained
    message: str | None  # of the exception, where an engine raised one
    difference: Difference | None  # the first one
    n_differences: int
    n_tokens: int
    worst_errors: dict[str, float]  # {field: largest absolute error}

    @property
    def is_unexplained(self) -> bool:
        return self.status != "identical" and self.cause is None

    @property
    def is_silent(self) -> bool:
        """True if neither engine says a word: that two silences agree proves little."""
        return self.status == "identical" and self.n_tokens == 0

    @property
    def counts(self) -> bool:
        """True if the case is evidence: both engines were asked, and one of them said something."""
        return self.status != "refused" and not self.is_silent


class ParityRecord(Record, kw_only=True):
    KIND: ClassVar[str] = "parity record"
    REMEDY: ClassVar[str] = "compare again with `parity --output`"

    schema: int = 2
    runs: list[Run]
    settings: Settings
    clips: dict[str, ClipEntry]
    left_out: dict[str, str]  # {name: why} of recordings that were found and not compared
    checkpoints: dict[str, CheckpointEntry]
    cases: list[Case]

    @property
    def failed(self) -> bool:
        """True if any case is not identical and nothing explains why."""
        return any(case.is_unexplained for case in self.cases)

    def check(self) -> None:
        if not self.cases:
            raise ValueError("expected at least one case, got none")
        seen = set()
        for number, case in enumerate(self.cases):
            where = f"cases[{number}]"
            self._check_names(where, case)
            _check_status(where, case)
            if (key := (case.checkpoint, case.clip, case.option_set)) in seen:
                raise ValueError(f"{where}: {' · '.join(key)} is in the record twice")
            seen.add(key)

    def _check_names(self, where: str, case: Case) -> None:
        checkpoint = self.checkpoints.get(case.checkpoint)
        if checkpoint is None or case.option_set not in checkpoint.option_sets:
            raise ValueError(f"{where}: no such checkpoint or option set in the record")
        if case.clip not in self.clips or case.run not in range(len(self.runs)):
            raise ValueError(f"{where}: no such clip or run in the record")


def _check_status(where: str, case: Case) -> None:
    if (case.difference is not None) != (case.n_differences > 0):
        raise ValueError(f"{where}: difference and n_differences contradict each other")
    is_identical = case.status == "identical"
    if is_identical != (case.difference is None and case.message is None):
        raise ValueError(f"{where}: a case is identical where it has no difference and no message")
