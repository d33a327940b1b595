"""The one benchmark harness: every published number is a record that `run` made.

Input: a plan (models, modes, clips) and a way to load engines. Output: a `BenchRecord`. Engines
take turns and never run at the same time, each in its own process; every engine gets the same array
and the same options; loading and warm-up are outside the clock. The first engine runs as two
entries, and the difference of the two is the noise of the machine. Knows no engine by its module.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from maxwhisper import machine
from maxwhisper.audio import load as audio
from maxwhisper.engine import Progress
from maxwhisper.engines.race import turns
from maxwhisper.evaluation.bench.cases import Clip, Mode, Model, make_job
from maxwhisper.evaluation.bench.entry import (
    BenchEntry,
    Cell,
    Contestant,
    Entrant,
    aa_cell,
    judge,
    run_record,
)
from maxwhisper.evaluation.bench.measure import IsolatedEngine, load_command, reason_of
from maxwhisper.evaluation.bench.record import (
    AaCell,
    AaCheck,
    BenchRecord,
    ClipEntry,
    ModelEntry,
    Run,
    Settings,
)


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
    entrants: Sequence[Entrant],
    model: Model,
    device: str = "auto",
    cache_dir: Path | None = None,
    progress: Progress = lambda line: None,
) -> list[Contestant]:
    """Load the engines one after the other, each in a process of its own. An engine that fails
    keeps its error."""
    contestants = []
    for entrant in entrants:
        command = load_command(model, device, entrant.dtype, cache_dir)
        try:
            subject = IsolatedEngine(entrant.engine, command, progress)
        except Exception as error:  # whatever its libraries raise: the others still run
            contestants.append(Contestant(entrant, None, f"loading failed: {reason_of(error)}"))
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
    on_model: Callable[[BenchRecord], None] = lambda record: None,
) -> BenchRecord:
    """Time every contestant in every cell; return the record.

    `on_model` is called with the record so far, another valid one, after each model. `load` returns
    the contestants of a model; they are closed before those of the next model are loaded. An engine
    that fails, returns no text for speech, or decodes a wrong number of tokens has a run whose
    `error` says so. Raises `ValueError` for a plan without rounds or warm-ups.
    """
    if plan.rounds < 1 or plan.warmups < 1:
        raise ValueError(f"rounds and warmups must be at least 1, got {plan}")
    settings = Settings(
        rounds=plan.rounds,
        warmups=plan.warmups,
        order="rotated each round",
        modes={mode.name: mode.to_record() for mode in plan.modes},
    )
    clips = {clip.name: _clip_entry(clip, plan.rounds) for clip in plan.clips}
    models: dict[str, ModelEntry] = {}
    runs: list[Run] = []
    twins: list[AaCell] = []

    def record() -> BenchRecord:
        made = BenchRecord(
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=machine.describe(),
            settings=settings,
            models=dict(models),
            clips=clips,
            runs=list(runs),
            aa=AaCheck.of(twins),
        )
        made.check()
        return made

    for model in plan.models:
        progress(f"loading {model.name}")
        contestants = load(model)
        try:
            models[model.name] = _model_entry(model, contestants)
            for mode in plan.modes:
                for clip in plan.clips:
                    entries, twin = _race(contestants, Cell(model, mode, clip), plan, progress)
                    runs += [run_record(entry, clips[clip.name].decode_s) for entry in entries]
                    twins += [aa_cell(entries[0], twin)] if twin else []
        finally:
            close(contestants)
        on_model(record())
    return record()


def _clip_entry(clip: Clip, rounds: int) -> ClipEntry:
    """A clip of the record; its file is read `rounds` times by our decoder, for every engine."""
    seconds = [] if clip.file is None else [_decode_s(clip.file) for _ in range(rounds)]
    return ClipEntry(
        audio_s=clip.audio_s,
        source=clip.source,
        decode_seconds=seconds,
        decode_s=statistics.median(seconds) if seconds else None,
    )


def _model_entry(model: Model, contestants: Sequence[Contestant]) -> ModelEntry:
    """A model of the record, as the first engine that has loaded it describes it."""
    loaded = [c.subject for c in contestants if c.subject is not None]
    return ModelEntry(
        source=loaded[0].source if loaded else "not loaded",
        dims=loaded[0].dims.to_dict() if loaded else None,
        tokens_per_window=model.tokens,
    )


def _race(
    contestants: Sequence[Contestant], cell: Cell, plan: Plan, progress: Progress
) -> tuple[list[BenchEntry], BenchEntry | None]:
    """One entry for each contestant, and that of the first one's twin where both have finished."""
    job = make_job(cell.mode, cell.model, cell.clip)
    entries = [BenchEntry(contestant, cell, contestant.error) for contestant in contestants]
    twin = BenchEntry(contestants[0], cell, contestants[0].error) if plan.aa else None
    for entry, number in turns(entries, plan.rounds, warmups=plan.warmups, twin=twin):
        now = "warming up" if number < 0 else f"round {number + 1}/{plan.rounds}"
        progress(f"{cell.title}: {entry.label}, {now}")
        entry.take_turn(job, number)
    judge(entries)
    is_pair = twin is not None and twin.is_running and entries[0].is_running
    return entries, twin if is_pair else None


def _decode_s(file: Path) -> float:
    start_s = time.perf_counter()
    audio.decode(file)
    return time.perf_counter() - start_s
