"""The fair race: one waveform through every engine, one after the other, as a stream of events.

In: a pool, a waveform, options, a number of rounds. Out: events for whoever draws them, and one
`LaneResult` per engine. Must not know the page.
"""

import statistics
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from maxwhisper.engine import Waveform
from maxwhisper.errors import EngineUnavailable
from maxwhisper.options import TranscribeOptions
from maxwhisper.serving.beside import beside
from maxwhisper.serving.pool import EnginePool
from maxwhisper.serving.status import RunCancelled, TimedTranscript
from maxwhisper.transcript import Segment, Transcript


@dataclass(frozen=True)
class LaneResult:
    """One engine's seconds of each round, all by the worker's clock, and the transcript of the
    middle one, of an even number the faster of the two."""

    engine: str
    transcript: Transcript
    seconds: tuple[float, ...]
    disturbed_by: tuple[str, ...] = ()  # engines that were loading meanwhile: not a fair time
    spoken_s: tuple[float, ...] = ()  # since that round began: when each segment was known

    @property
    def median_s(self) -> float:
        return statistics.median(self.seconds)

    @property
    def shown_s(self) -> float:
        """Seconds of the round whose transcript this is."""
        return statistics.median_low(self.seconds)

    @property
    def first_text_s(self) -> float | None:
        """Seconds until the first segment was known; None where there was none."""
        return self.spoken_s[0] if self.spoken_s else None

    @property
    def rtfx(self) -> float:
        """Seconds of audio per second of work."""
        return self.transcript.duration / self.median_s

    @property
    def tokens_per_s(self) -> float:
        return self.transcript.n_tokens / self.median_s


@dataclass(frozen=True)
class Waiting:
    """Nothing to show but time: in the queue for the device, or engines changing model."""


@dataclass(frozen=True)
class Started:
    engine: str
    round: int


@dataclass(frozen=True)
class Spoke:
    engine: str
    segment: Segment


@dataclass(frozen=True)
class Finished:
    result: LaneResult


@dataclass(frozen=True)
class Refused:
    engine: str
    reason: str


@dataclass(frozen=True)
class Stopped:
    """The run was stopped; engines without a `Finished` or `Refused` have no result."""


Event = Waiting | Started | Spoke | Finished | Refused | Stopped


@dataclass(frozen=True)
class Race:
    """What to run. `offset` rotates the order of engines, so that no engine is always first."""

    waveform: Waveform
    options: TranscribeOptions
    model: str
    rounds: int = 1
    offset: int = 0


def run_race(pool: EnginePool, race: Race, cancelled: threading.Event) -> Iterator[Event]:
    """Yield events as they happen, `Waiting` when nothing does. Closing the iterator cancels the
    run; one that is stopped ends soon, though its engine may hold the device longer."""
    try:
        for event in beside(partial(_work, pool, race, cancelled), cancelled):
            yield event or Waiting()
    except RunCancelled:
        yield Stopped()


def _work(
    pool: EnginePool, race: Race, cancelled: threading.Event, emit: Callable[[Event], None]
) -> None:
    pool.use_model(race.model, cancelled.is_set)
    with pool.device(cancelled.is_set):
        _run_rounds(pool, race, cancelled, emit)


def _run_rounds(
    pool: EnginePool, race: Race, cancelled: threading.Event, emit: Callable[[Event], None]
) -> None:
    heard: dict[str, list[TimedTranscript]] = defaultdict(list)
    disturbed_by: dict[str, set[str]] = defaultdict(set)
    refused: set[str] = set()
    for round_index in range(race.rounds):
        for name in _rotated(pool.names, race.offset + round_index):
            if name in refused:
                continue
            emit(Started(name, round_index))
            try:
                disturbed_by[name] |= set(pool.still_loading()) - {name}
                tell = _ignore if heard[name] else emit
                heard[name].append(_run_lane(pool, race, name, cancelled, tell))
                emit(Finished(_result(name, heard[name], disturbed_by[name])))
            except EngineUnavailable as error:
                refused.add(name)
                emit(Refused(name, str(error)))


def _ignore(event: Event) -> None:
    """Only the first round's text is shown as it comes."""


def _run_lane(
    pool: EnginePool,
    race: Race,
    name: str,
    cancelled: threading.Event,
    tell: Callable[[Event], None],
) -> TimedTranscript:
    def on_segment(segment: Segment) -> None:
        tell(Spoke(name, segment))

    return pool.transcribe(name, race.waveform, race.options, on_segment, cancelled.is_set)


def _result(
    name: str, rounds: Sequence[TimedTranscript], disturbed_by: Collection[str]
) -> LaneResult:
    seconds = tuple(each.seconds for each in rounds)
    shown = rounds[seconds.index(statistics.median_low(seconds))]
    return LaneResult(name, shown.transcript, seconds, tuple(disturbed_by), shown.spoken_s)


def _rotated(names: tuple[str, ...], offset: int) -> tuple[str, ...]:
    turn = offset % len(names)
    return names[turn:] + names[:turn]
