"""What a suite is, and how it runs.

In: a module with `BAR` and `cases`. Out: a `RobustnessRecord`. A case passes unless its check
raises.
"""

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from maxwhisper import machine
from tools.robustness.record import Failure, Group, RobustnessRecord

MAX_TEXT = 400  # characters of a failure that are kept


class Unexpected(AssertionError):
    """A case that did not go as it must. The text says what was expected and what came instead."""


@dataclass(frozen=True)
class Case:
    """One thing that a stranger tries. `check` does it, and raises `Unexpected` when the project
    does something wrong; any other exception counts as a failure too."""

    group: str  # for example "flac, damaged in the middle"
    name: str  # unique within its group
    check: Callable[[], None]


@dataclass
class SuiteRun:
    """One run of a suite: what its cases may read, and what they report besides pass or fail."""

    is_short: bool = False  # a sample that takes seconds, for continuous integration
    measured: dict[str, float] = field(default_factory=dict)  # "seconds until ready": 4.2

    def measure(self, name: str, value: float) -> None:
        """Keep the largest `value` of this `name`."""
        self.measured[name] = max(value, self.measured.get(name, value))


class Suite(Protocol):
    """A module of this package."""

    BAR: str  # what has to hold, one sentence

    @staticmethod
    def cases(run: SuiteRun) -> Iterator[Case]:
        """Yield each case to be checked before the next one is asked for: a generator may hold a
        running page open around several cases."""


def run_suite(
    name: str, suite: Suite, run: SuiteRun, report: Callable[[str], None] = lambda line: None
) -> RobustnessRecord:
    """Check every case and count them by group; `report` receives a line for each failure."""
    started_s, described = time.perf_counter(), machine.describe()  # of the code that runs
    counts: dict[str, list[bool]] = {}
    failures: list[Failure] = []
    for case in suite.cases(run):
        problem = _problem(case)
        counts.setdefault(case.group, []).append(not problem)
        if problem:
            failures.append(Failure(case.group, case.name, problem))
            report(f"{case.group}: {case.name}: {problem}")
    return RobustnessRecord(
        suite=name,
        bar=suite.BAR,
        is_short=run.is_short,
        machine=described,
        groups=[Group(group, len(passed), sum(passed)) for group, passed in counts.items()],
        failures=failures,
        measured={key: round(value, 3) for key, value in run.measured.items()},
        seconds=round(time.perf_counter() - started_s, 1),
    )


def _problem(case: Case) -> str:
    """What went wrong, "" if nothing did."""
    try:
        case.check()
    except Unexpected as error:
        return str(error)[:MAX_TEXT] or "not as expected"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"[:MAX_TEXT]
    return ""
