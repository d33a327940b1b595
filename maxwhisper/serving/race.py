"""The fair race: one waveform through every engine, one after the other, as a stream of events.

In: a pool, a waveform, options, a number of rounds. Out: events for whoever draws them, and one
`LaneResult` per engine. Must not know the page.
"""

import queue
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from maxwhisper.engine import Waveform
from maxwhisper.errors import EngineUnavailable
from maxwhisper.options import TranscribeOptions
from maxwhisper.serving.pool import EnginePool
from maxwhisper.serving.status import RunCancelled
from maxwhisper.transcript import Segment, Transcript

HEARTBEAT_S = 0.5  # an event at least this often, so that a reader who left is noticed
STOP_S = 3.0  # an engine looks up between segments; who stopped it need not wait longer than this


@dataclass(frozen=True)
class LaneResult:
    """One engine's transcript and the seconds of each round, all by the worker's clock."""

    engine: str
    transcript: Transcript
    seconds: tuple[float, ...]
    disturbed_by: tuple[str, ...] = ()  # engines that were loading meanwhile: not a fair time
    spoken_s: tuple[float, ...] = ()  # since it began its first round: when each segment was known

    @property
    def median_s(self) -> float:
        return statistics.median(self.seconds)

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
    """Yield events as they happen. Closing the iterator cancels the run.

    A run that is stopped ends within `STOP_S`, though its engine may hold the device longer. The
    work is done in a thread of its own, so that events (and heartbeats) flow while an engine
    computes; the engines themselves run in their own processes.
    """
    events: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()
    thread = threading.Thread(
        target=_work, args=(pool, race, cancelled, events.put), name="race", daemon=True
    )
    thread.start()
    stopped_s: float | None = None
    try:
        while True:
            try:
                event = events.get(timeout=HEARTBEAT_S)
            except queue.Empty:
                event = Waiting()
            if cancelled.is_set():
                stopped_s = stopped_s or time.monotonic()
                if time.monotonic() - stopped_s > STOP_S:
                    yield Stopped()
                    return
            if event is None:
                return
            if isinstance(event, BaseException):
                raise event
            yield event
    finally:
        cancelled.set()


def _work(
    pool: EnginePool,
    race: Race,
    cancelled: threading.Event,
    emit: Callable[[Event | BaseException | None], None],
) -> None:
    try:
        pool.use_model(race.model, cancelled.is_set)
        with pool.device(cancelled.is_set):
            _run_rounds(pool, race, cancelled, emit)
    except RunCancelled:
        emit(Stopped())
    except BaseException as error:  # carried to the reader, who knows how to show or log it
        emit(error)
    finally:
        emit(None)


def _run_rounds(
    pool: EnginePool, race: Race, cancelled: threading.Event, emit: Callable[[Event], None]
) -> None:
    results: dict[str, LaneResult] = {}
    refused: set[str] = set()
    for round_index in range(race.rounds):
        for name in _rotated(pool.names, race.offset + round_index):
            if name in refused:
                continue
            emit(Started(name, round_index))
            try:
                results[name] = _run_lane(pool, race, name, results.get(name), cancelled, emit)
                emit(Finished(results[name]))
            except EngineUnavailable as error:
                refused.add(name)
                emit(Refused(name, str(error)))


def _run_lane(
    pool: EnginePool,
    race: Race,
    name: str,
    earlier: LaneResult | None,
    cancelled: threading.Event,
    emit: Callable[[Event], None],
) -> LaneResult:
    """One engine, one round. Only the first round's text is shown as it comes."""

    def on_segment(segment: Segment) -> None:
        if earlier is None:
            emit(Spoke(name, segment))

    loading = pool.still_loading()
    timed = pool.transcribe(name, race.waveform, race.options, on_segment, cancelled.is_set)
    return LaneResult(
        engine=name,
        transcript=earlier.transcript if earlier else timed.transcript,
        seconds=(*(earlier.seconds if earlier else ()), timed.seconds),
        disturbed_by=tuple({*loading, *(earlier.disturbed_by if earlier else ())} - {name}),
        spoken_s=earlier.spoken_s if earlier else timed.spoken_s,
    )


def _rotated(names: tuple[str, ...], offset: int) -> tuple[str, ...]:
    turn = offset % len(names)
    return names[turn:] + names[:turn]
