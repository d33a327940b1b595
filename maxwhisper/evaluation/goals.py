"""The goals of speed and memory, and what the records say of each: met, even or missed.

In: benchmark records and profiles. Out: markdown. No other file decides about these goals, and
nobody types a figure of one. "Even": the goal lies within the rounds, or a figure without rounds
keeps it by less than 2 %, so another run may turn it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET

from maxwhisper.engine import OURS
from maxwhisper.evaluation.bench.record import BenchRecord, MeasuredRun
from maxwhisper.evaluation.bench.summary import (
    FLAT_WITHIN,
    LINEAR_WITHIN,
    MEMORY_LIMIT,
    Ratio,
    ratios,
    scaling,
)
from maxwhisper.evaluation.profiling.record import Profile, RooflineEntry
from maxwhisper.evaluation.records import machine_line, markdown_table

SEQUENTIAL, BATCHED, TALK, SHORT = "sequential greedy", "batched 8", "talk.flac", "11s"
FASTER = "faster-whisper"
STEP_MS = 5.0  # of one row
EIGHT_ROWS = 2.5  # times a step of one row
OUTSIDE_GRAPHS = 0.03  # of a transcription
FEWEST_ROUNDS = 5
EDGE = 0.02  # of a bound: as far as a figure without rounds differs from run to run
HEAD = ("goal", "weights", "measured", "rounds from – to", "")
MB = 1_000_000  # as bytes a second are counted


@dataclass(frozen=True)
class SpeedGoal:
    """At least so many times as fast as a baseline, in one mode on one clip."""

    at_least: float
    baseline: str
    mode: str
    clip: str = TALK
    weights: tuple[str, ...] = ("demo", "random:tiny", "random:base")

    def __str__(self) -> str:
        return f"≥ {self.at_least:g}× {self.baseline}, {self.clip}, {self.mode}"

    def is_about(self, row: Ratio) -> bool:
        asked = (self.baseline, self.mode, self.clip)
        return (row.baseline, row.mode, row.clip) == asked and row.model in self.weights


SPEED_GOALS = (
    SpeedGoal(2.0, "openai-whisper", SEQUENTIAL),
    SpeedGoal(1.3, FASTER, SEQUENTIAL),
    SpeedGoal(1.0, "faster-whisper int8", SEQUENTIAL),
    SpeedGoal(1.3, FASTER, BATCHED),
    SpeedGoal(1.2, FASTER, SEQUENTIAL, SHORT, ("random:small",)),
)


def goals(records: Sequence[BenchRecord], profiles: Sequence[Profile]) -> str:
    """A row for each goal and each network that was measured, as markdown; then what encoder and
    step reach of what the device can do, and the records that nobody should rely on."""
    rows = [*_speeds(records), *_memory(records), *_steps(records, profiles)]
    rows += [*_outside(records), *_lengths(records)]
    notes = [*_ceilings(profiles), *_doubts(records, profiles)]
    return "\n".join([*markdown_table([HEAD, *rows]), "", *(f"* {note}" for note in notes)]) + "\n"


def standing(low: float, high: float, bound: float, *, at_least: bool) -> str:
    """What rounds from `low` to `high` say of a goal."""
    if at_least:
        return "met" if low >= bound else "**missed**" if high < bound else "even"
    return "met" if high <= bound else "**missed**" if low > bound else "even"


def _compared(records: Iterable[BenchRecord]) -> list[Ratio]:
    return [row for record in records for row in ratios(record)]


def _speeds(records: Sequence[BenchRecord]) -> Iterator[Sequence[str]]:
    for goal in SPEED_GOALS:
        for row in filter(goal.is_about, _compared(records)):
            said = standing(row.slowest, row.fastest, goal.at_least, at_least=True)
            spread = f"{row.slowest:.2f}× – {row.fastest:.2f}×"
            yield str(goal), row.model, f"{row.speed:.2f}×", spread, said


def _memory(records: Sequence[BenchRecord]) -> Iterator[Sequence[str]]:
    for row in _compared(records):
        if row.baseline == FASTER and row.memory is not None:
            goal = f"memory ≤ {MEMORY_LIMIT}× {FASTER}'s, {row.clip}, {row.mode}"
            yield _once(goal, row.model, row.memory, MEMORY_LIMIT, f"{row.memory:.2f}×")


def _steps(records: Sequence[BenchRecord], profiles: Sequence[Profile]) -> Iterator[Sequence[str]]:
    """Steps are counted where the number of tokens is fixed; a profile times them apart."""
    steps = {
        (run.model, run.mode): run.step_ms
        for run in _ours(records)
        if run.clip == TALK and run.step_ms is not None
    }
    for (model, mode), step_ms in steps.items():
        if mode == SEQUENTIAL and model == "random:tiny":
            yield _once(f"a step ≤ {STEP_MS:g} ms", model, step_ms, STEP_MS, f"{step_ms:.1f} ms")
    eight = f"a step of eight rows ≤ {EIGHT_ROWS}× one of one row"
    for (model, mode), step_ms in steps.items():
        if mode == BATCHED and (model, SEQUENTIAL) in steps:
            times = step_ms / steps[model, SEQUENTIAL]
            yield _once(eight, model, times, EIGHT_ROWS, f"{times:.2f}×")
    for profile in profiles:
        timed = _roofline(profile)
        if ("decoder step", 1) in timed and ("decoder step", 8) in timed:
            times = timed["decoder step", 8].seconds / timed["decoder step", 1].seconds
            yield _once(eight, f"{profile.model}, profile", times, EIGHT_ROWS, f"{times:.2f}×")


def _outside(records: Sequence[BenchRecord]) -> Iterator[Sequence[str]]:
    for run in _ours(records):
        if (share := run.outside_graphs) is not None:
            goal = f"≤ {OUTSIDE_GRAPHS:.0%} outside graphs, {run.clip}, {run.mode}"
            yield _once(goal, run.model, share, OUTSIDE_GRAPHS, f"{share:.1%}")


def _lengths(records: Sequence[BenchRecord]) -> Iterator[Sequence[str]]:
    for row in (row for record in records for row in scaling(record) if row.label == OURS):
        clips = f"{row.clips[0]} to {row.clips[-1]}, {row.mode}"
        linear = f"time linear to {LINEAR_WITHIN:.0%}, {clips}"
        yield _once(linear, row.model, row.uneven, LINEAR_WITHIN, f"{row.uneven:.1%}")
        if row.growth is not None:
            flat = f"memory flat to {FLAT_WITHIN:.0%}, {clips}"
            yield _once(flat, row.model, row.growth, FLAT_WITHIN, f"{row.growth:+.0%}")


def _once(goal: str, weights: str, value: float, bound: float, text: str) -> Sequence[str]:
    """A row of a figure that has an upper bound and no rounds."""
    said = standing(value, value + EDGE * bound, bound, at_least=False)
    return goal, weights, text, "–", said


def _ours(records: Iterable[BenchRecord]) -> list[MeasuredRun]:
    return [run for record in records for run in record.measured if run.engine == OURS]


def _roofline(profile: Profile) -> dict[tuple[str, int], RooflineEntry]:
    entries = () if profile.roofline is UNSET else profile.roofline
    return {(entry.graph, entry.batch): entry for entry in entries}


def _ceilings(profiles: Iterable[Profile]) -> Iterator[str]:
    for profile in profiles:
        for (graph, batch), entry in _roofline(profile).items():
            done = f", {entry.work / MB:.0f} MB read" if entry.bound_by == "bytes" else ""
            unit = "bytes" if entry.bound_by == "bytes" else "operations of numpy's BLAS"
            yield (
                f"{profile.model}: {graph}, {batch} {'row' if batch == 1 else 'rows'}: "
                f"{entry.share:.0%} of the {unit} per second measured on this machine{done}"
            )


def _doubts(records: Iterable[BenchRecord], profiles: Iterable[Profile]) -> Iterator[str]:
    """A line for each record with too few rounds, or of code that no commit has."""
    for record in records:
        rounds = record.settings.rounds
        doubts = [f"{rounds} rounds, fewer than {FEWEST_ROUNDS}"] if rounds < FEWEST_ROUNDS else []
        names = f"{', '.join(record.models)} on {', '.join(record.clips)}"
        yield from _again(names, record.machine, doubts)
    for profile in profiles:
        named = [each for each in (profile.model, profile.clip, profile.mode) if each is not UNSET]
        yield from _again(f"profile of {', '.join(named)}", profile.machine, [])


def _again(names: str, described: Mapping[str, Any], doubts: Sequence[str]) -> Iterator[str]:
    """The line of one record, if there is a doubt about it or its code is no commit's."""
    commit = described.get("commit") or ""
    changed = ["not of a commit as it is"] if not commit or commit.endswith("+") else []
    if said := "; ".join([*doubts, *changed]):
        yield f"To be measured again: {names}, {machine_line(described)}: {said}"
