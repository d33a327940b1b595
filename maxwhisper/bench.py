"""The one benchmark harness: every published number is a record that `run` made.

In: a plan (models, modes, clips) and a way to load engines. Out: one JSON-ready record. Engines
take turns and never run at the same time, each in its own process; every engine gets the same array
and the same options; loading and warm-up are outside the clock. The first engine runs under two
names, and how far the two lie apart is the noise of the machine. Knows no engine by its module.
`bench_report` says what a record is.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from maxwhisper import audio, machine
from maxwhisper.bench_cases import Clip, Mode, Model, make_job
from maxwhisper.bench_lane import Cell, Contestant, Entrant, Lane, aa_cell, entry, judge
from maxwhisper.bench_process import IsolatedEngine, one_line
from maxwhisper.bench_report import SCHEMA, aa_verdict
from maxwhisper.engine import Progress


@dataclass(frozen=True)
class Plan:
    """`rounds` timed runs of each engine in every cell, after `warmups` untimed ones in it."""

    models: Sequence[Model]
    modes: Sequence[Mode]
    clips: Sequence[Clip]
    rounds: int = 5
    warmups: int = 2
    aa: bool = True  # the first engine twice


def load_contestants(
    entrants: Sequence[Entrant], model: Model, device: str = "auto", cache_dir: Path | None = None
) -> list[Contestant]:
    """Load the engines one after the other, each in a process of its own. One that fails keeps its
    error."""
    contestants = []
    for entrant in entrants:
        try:
            subject = IsolatedEngine(entrant.engine, model, device, entrant.dtype, cache_dir)
        except Exception as error:  # whatever its libraries raise: the others still run
            contestants.append(Contestant(entrant, None, f"loading failed: {one_line(error)}"))
        else:
            contestants.append(Contestant(entrant, subject))
    return contestants


def close(contestants: Sequence[Contestant]) -> None:
    """End the processes that `load_contestants` started."""
    for contestant in contestants:
        if contestant.subject is not None:
            contestant.subject.close()


def run(
    plan: Plan,
    load: Callable[[Model], Sequence[Contestant]],
    *,
    progress: Progress = lambda line: None,
    on_model: Callable[[dict[str, Any]], None] = lambda record: None,
) -> dict[str, Any]:
    """Time every contestant in every cell; return a record that `bench_report.validate` accepts.
    `on_model` is told the record so far, another such one, after each model.

    `load` gives the contestants of a model; they are closed before the next one's are loaded. An
    engine that fails, returns no text for speech, or decodes another number of tokens than it was
    told to, gives a run whose `error` says so.
    """
    if plan.rounds < 1 or plan.warmups < 1:
        raise ValueError(f"rounds and warmups must be at least 1, got {plan}")
    clips = {clip.name: _clip_entry(clip, plan.rounds) for clip in plan.clips}
    models: dict[str, Any] = {}
    runs: list[dict[str, Any]] = []
    twins: list[dict[str, Any]] = []
    for model in plan.models:
        progress(f"loading {model.name}")
        contestants = load(model)
        try:
            models[model.name] = _model_entry(model, contestants)
            for mode in plan.modes:
                for clip in plan.clips:
                    lanes, twin = _race(contestants, Cell(model, mode, clip), plan, progress)
                    runs += [entry(lane, clips[clip.name]["decode_s"]) for lane in lanes]
                    twins += [aa_cell(lanes[0], twin)] if twin else []
        finally:
            close(contestants)
        on_model(_record(plan, models, clips, runs, twins))
    return _record(plan, models, clips, runs, twins)


def _record(
    plan: Plan,
    models: dict[str, Any],
    clips: dict[str, Any],
    runs: Sequence[dict[str, Any]],
    twins: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "settings": {
            "rounds": plan.rounds,
            "warmups": plan.warmups,
            "order": "rotated each round",
            "modes": {mode.name: mode.to_dict() for mode in plan.modes},
        },
        "models": dict(models),
        "clips": clips,
        "runs": list(runs),
        "aa": aa_verdict(twins),
    }


def _race(
    contestants: Sequence[Contestant], cell: Cell, plan: Plan, progress: Progress
) -> tuple[list[Lane], Lane | None]:
    """One lane for each contestant, and that of the first one's twin where there is one."""
    job = make_job(cell.mode, cell.model, cell.clip)
    lanes = [Lane(contestant, cell, contestant.error) for contestant in contestants]
    twin = Lane(contestants[0], cell, contestants[0].error) if plan.aa else None
    # Half-way round, so that neither of the two always follows the other.
    order, middle = list(lanes), len(lanes) // 2 + 1
    order[middle:middle] = [twin] if twin else []
    for lane in lanes:
        for number in range(plan.warmups):
            if lane.is_running:
                progress(f"{cell.title}: {lane.label} warming up")
            done = lane.run(job, is_metered=number == plan.warmups - 1)
            lane.metered = done
            if done is not None and done.is_cold:
                lane.cold_s = done.seconds
    for number in range(plan.rounds):
        first = number % len(order)
        for lane in order[first:] + order[:first]:
            if lane.is_running:
                progress(f"{cell.title}: {lane.label}, round {number + 1}/{plan.rounds}")
            done = lane.run(job)
            if done is not None:
                lane.rounds.append(done)
    judge(lanes)
    is_pair = twin is not None and twin.is_running and lanes[0].is_running
    return lanes, twin if is_pair else None


def _clip_entry(clip: Clip, rounds: int) -> dict[str, Any]:
    """A clip of the record, its file read `rounds` times: by our decoder, for every engine."""
    seconds = [] if clip.file is None else [_decode_s(clip.file) for _ in range(rounds)]
    return {
        "audio_s": clip.audio_s,
        "source": clip.source,
        "decode_seconds": seconds,
        "decode_s": statistics.median(seconds) if seconds else None,
    }


def _model_entry(model: Model, contestants: Sequence[Contestant]) -> dict[str, Any]:
    """A model of the record, in the words of the first engine that has loaded it."""
    loaded = [c.subject for c in contestants if c.subject is not None]
    return {
        "source": loaded[0].source if loaded else "not loaded",
        "dims": loaded[0].dims.to_dict() if loaded else None,
        "tokens_per_window": model.tokens,
    }


def _decode_s(file: Path) -> float:
    start_s = time.perf_counter()
    audio.decode(file)
    return time.perf_counter() - start_s
