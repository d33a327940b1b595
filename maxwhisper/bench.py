"""The one benchmark harness: every published number is a record that `run` made.

In: engines behind the `Engine` protocol, clips already decoded. Out: one JSON-ready record. Engines
take turns and never run at the same time, each in its own process; every engine gets the same
array and the same options; loading and warm-up are outside the clock. The clock goes round
`Engine.transcribe`, which returns text on the host, so a device has finished when it stops. Knows
no engine by its module. `bench_report` checks and prints records.
"""

import hashlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from maxwhisper import machine, scoring
from maxwhisper.bench_process import IsolatedEngine, one_line
from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.engine import Engine, Progress, Waveform
from maxwhisper.options import GREEDY, TranscribeOptions
from maxwhisper.transcript import Transcript

SCHEMA = 1
MODE = "sequential greedy"  # window after window, temperature 0, no beams, no fallback

Clock = Callable[[], float]


@dataclass(frozen=True)
class Clip:
    """A decoded recording; `reference` is what is said in it, where that is known."""

    name: str
    waveform: Waveform
    reference: str | None = None

    @property
    def audio_s(self) -> float:
        return len(self.waveform) / SAMPLE_RATE


@dataclass(frozen=True)
class Contestant:
    """An engine as it stands at the start line; `engine` is None where loading failed."""

    name: str
    engine: Engine | None
    load_s: float | None
    error: str | None = None


@dataclass(frozen=True)
class Settings:
    """`rounds` timed runs of each engine on each clip, after `warmups` untimed ones on it."""

    rounds: int = 3
    warmups: int = 2
    options: TranscribeOptions = GREEDY


@dataclass
class _Lane:
    """What one contestant has done with one clip so far."""

    contestant: Contestant
    error: str | None
    seconds: list[float] = field(default_factory=list)
    transcripts: list[Transcript] = field(default_factory=list)


def load_contestants(
    names: Sequence[str],
    model: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    cache_dir: Path | None = None,
) -> list[Contestant]:
    """Load the engines one after the other, each in a process of its own; `load_s` does not count
    the reading of the weights. One that fails keeps its error."""
    contestants = []
    for name in names:
        try:
            engine = IsolatedEngine(name, model, device, dtype, cache_dir)
        except Exception as error:  # whatever its libraries raise: the others still run
            contestants.append(Contestant(name, None, None, f"loading failed: {one_line(error)}"))
        else:
            contestants.append(Contestant(name, engine, engine.load_s))
    return contestants


def close(contestants: Sequence[Contestant]) -> None:
    """End the processes that `load_contestants` started."""
    for contestant in contestants:
        if isinstance(contestant.engine, IsolatedEngine):
            contestant.engine.close()


def with_a_a_check(contestants: Sequence[Contestant]) -> list[Contestant]:
    """Every engine twice, once under another name: what differs between the two is noise."""
    twins = [replace(contestant, name=f"{contestant.name} (A/A)") for contestant in contestants]
    return [*contestants, *twins]


def run(
    contestants: Sequence[Contestant],
    clips: Sequence[Clip],
    model: str,
    settings: Settings | None = None,
    *,
    progress: Progress = lambda line: None,
    clock: Clock = time.perf_counter,
) -> dict[str, Any]:
    """Time every contestant on every clip; return a record that `bench_report.validate` accepts.

    An engine that fails, or that returns no text for speech, gives a run whose `error` says so.
    """
    settings = settings or Settings()
    if settings.rounds < 1 or settings.warmups < 1:
        raise ValueError(f"rounds and warmups must be at least 1, got {settings}")
    runs = [
        entry
        for clip in clips
        for entry in _bench_clip(contestants, clip, model, settings, progress, clock)
    ]
    return {
        "schema": SCHEMA,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "settings": {
            "mode": MODE,
            "rounds": settings.rounds,
            "warmups": settings.warmups,
            "order": "rotated each round",
            "options": settings.options.to_dict(),
        },
        "runs": runs,
    }


def _bench_clip(
    contestants: Sequence[Contestant],
    clip: Clip,
    model: str,
    settings: Settings,
    progress: Progress,
    clock: Clock,
) -> list[dict[str, Any]]:
    lanes = [_Lane(contestant, contestant.error) for contestant in contestants]
    for lane in lanes:
        for _ in range(settings.warmups):
            progress(f"{clip.name}: {lane.contestant.name} warming up")
            _transcribe(lane, clip, settings.options, time.perf_counter)
    for number in range(settings.rounds):
        first = number % max(len(lanes), 1)
        for lane in lanes[first:] + lanes[:first]:
            progress(f"{clip.name}: {lane.contestant.name}, round {number + 1}/{settings.rounds}")
            timed = _transcribe(lane, clip, settings.options, clock)
            if timed is not None:
                lane.transcripts.append(timed[0])
                lane.seconds.append(timed[1])
    _refuse_empty_texts(lanes, clip)
    return [_entry(lane, clip, model, settings.options) for lane in lanes]


def _transcribe(
    lane: _Lane, clip: Clip, options: TranscribeOptions, clock: Clock
) -> tuple[Transcript, float] | None:
    """One inference and its seconds; None, with the reason in the lane, once the engine has failed
    on this clip. An engine in its own process is timed there."""
    engine = lane.contestant.engine
    if lane.error is not None or engine is None:
        return None
    try:
        if isinstance(engine, IsolatedEngine):
            return engine.timed(clip.waveform, options)
        start_s = clock()
        return engine.transcribe(clip.waveform, options), clock() - start_s
    except Exception as error:  # whatever its libraries raise: the others still run
        lane.error = one_line(error)
        return None


def _refuse_empty_texts(lanes: Sequence[_Lane], clip: Clip) -> None:
    """No text for speech is a failure, not a fast result: CTranslate2 with an old GPU driver has
    been reported to do that silently. A reference says whether there is speech; without one, there
    is if another engine heard any.
    """
    if clip.reference is not None:
        is_speech = bool(clip.reference.strip())
    else:
        is_speech = any(t.text.strip() for lane in lanes for t in lane.transcripts)
    if is_speech:
        for lane in lanes:
            if lane.error is None and not all(t.text.strip() for t in lane.transcripts):
                lane.error = "returned an empty text for speech"


def _entry(lane: _Lane, clip: Clip, model: str, options: TranscribeOptions) -> dict[str, Any]:
    """One run of the record. A failed one keeps its name and its error, and has no numbers."""
    engine = lane.contestant.engine
    entry: dict[str, Any] = {
        "engine": lane.contestant.name,
        "mode": MODE,
        "model": model,
        "clip": clip.name,
        "audio_s": clip.audio_s,
        "info": engine.info.to_dict() if engine is not None else None,
        "load_s": lane.contestant.load_s,
        "error": lane.error,
        "seconds": [],
        "median_s": None,
        "rtfx": None,
        "wer": None,
        "stages": {},
        "text": None,
        "text_sha256": None,
        "same_text_every_round": None,
    }
    if lane.error is not None:
        return entry
    median_s = statistics.median(lane.seconds)
    # The round nearest the median speaks for the stages: medians of stages would not add up.
    typical = min(range(len(lane.seconds)), key=lambda i: abs(lane.seconds[i] - median_s))
    transcript = lane.transcripts[typical]
    return entry | {
        "seconds": lane.seconds,
        "median_s": median_s,
        "rtfx": clip.audio_s / median_s,
        "wer": _word_error_rate(clip, transcript, options),
        "stages": dict(transcript.timings),
        "text": transcript.text,
        "text_sha256": hashlib.sha256(transcript.text.encode()).hexdigest(),
        "same_text_every_round": len({t.text for t in lane.transcripts}) == 1,
    }


def _word_error_rate(
    clip: Clip, transcript: Transcript, options: TranscribeOptions
) -> float | None:
    if clip.reference is None:
        return None
    language = options.language or transcript.language
    return scoring.word_error_rate(clip.reference, transcript.text, language).wer
