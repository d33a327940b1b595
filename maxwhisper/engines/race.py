"""The fair race: engines take turns on one recording, and none runs beside another.

Owns the order of turns, for the page and the benchmark. For the page also the race itself: in, a
pool, a waveform, options, a number of rounds; out, a stream of events and one `EngineResult` per
engine. Must not know the page or the benchmark.
"""

import statistics
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from maxwhisper.audio.waveform import Waveform
from maxwhisper.engine import OURS
from maxwhisper.engines.background import in_background
from maxwhisper.engines.load import Load, total
from maxwhisper.engines.pool import Device, EnginePool
from maxwhisper.engines.status import RunCancelled
from maxwhisper.engines.timing import TimedTranscript
from maxwhisper.errors import EngineUnavailable
from maxwhisper.options import TranscribeOptions
from maxwhisper.transcript import Segment, Transcript


class Entry(Protocol):
    """One engine in a race."""

    @property
    def is_running(self) -> bool:
        """False once it has failed or refused: it gets no more turns."""
        ...


E = TypeVar("E", bound=Entry)


def turns(
    entries: Sequence[E], rounds: int, *, warmups: int = 0, offset: int = 0, twin: E | None = None
) -> Iterator[tuple[E, int]]:
    """Whose turn it is: pairs of an entry and the number of its round.

    First each entry has its warm-ups, with round numbers -warmups..-1. Then, in rounds 0..rounds-1,
    each has one turn; the order moves up by one place from round to round, `offset` places before
    the first, so that no engine is always first. A `twin` is the first engine entered again, to see
    how much the machine's noise is: it has no warm-ups and stands half-way round, so that neither
    of the two always follows the other. Entries that are not running by then are skipped.
    """
    order, middle = list(entries), len(entries) // 2 + 1
    order[middle:middle] = [twin] if twin is not None else []
    warming = [(entry, number) for entry in entries for number in range(-warmups, 0)]
    timed = [
        (order[(offset + number + place) % len(order)], number)
        for number in range(rounds)
        for place in range(len(order))
    ]
    for entry, number in (*warming, *timed):
        if entry.is_running:
            yield entry, number


@dataclass(frozen=True)
class EngineResult:
    """One engine's seconds of each round, all by the worker's clock, and the transcript of the
    middle round, of an even number the faster of the two."""

    engine: str
    transcript: Transcript
    seconds: tuple[float, ...]
    disturbed_by: tuple[str, ...] = ()  # engines that were loading meanwhile: not a fair time
    spoken_s: tuple[float, ...] = ()  # since that round began: when each segment was known
    again: tuple[float, ...] = ()  # seconds of a second turn in each round, to measure the noise
    load: Load | None = None  # of others, over all its turns; None where that is not known

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
    """Only time has passed: in the queue for the device, or engines are changing model."""


@dataclass(frozen=True)
class Started:
    engine: str
    round: int
    is_again: bool = False  # a second time in the same round


@dataclass(frozen=True)
class Spoke:
    engine: str
    segment: Segment


@dataclass(frozen=True)
class Heard:
    """The text so far of the window that the engine is decoding: it may still change."""

    engine: str
    text: str


@dataclass(frozen=True)
class Finished:
    result: EngineResult  # of the turns so far
    is_last: bool = True  # the engine has had all its turns


@dataclass(frozen=True)
class Refused:
    engine: str
    reason: str


@dataclass(frozen=True)
class Stopped:
    """The run was stopped; engines without a `Finished` or `Refused` have no result."""


Event = Waiting | Started | Spoke | Heard | Finished | Refused | Stopped
Emit = Callable[[Event], None]


@dataclass(frozen=True)
class Race:
    """What to run. `offset` rotates the order of engines."""

    waveform: Waveform  # (n,) float32, mono, 16 kHz
    options: TranscribeOptions
    model: str
    rounds: int = 1
    offset: int = 0
    mode: Mapping[str, Any] = field(default_factory=dict)  # batches, of `Engine.transcribe`

    def planned(self, names: Sequence[str]) -> list[str]:
        """The engine of each turn, in their order, if none drops out."""
        return [entry.engine for entry, _ in self.line_up(names)]

    def line_up(self, names: Sequence[str]) -> Iterator[tuple["_Entry", int]]:
        """The turns of the race with their rounds, see `turns`.

        Our engine has two turns a round, half a round apart: the difference of the two is noise, as
        in the benchmark. Ours, because it costs the least: the others are slower as a rule.
        """
        entries = [_Entry(name, self.rounds) for name in sorted(names, key=OURS.__ne__)]
        twin = entries[0] if entries[0].engine == OURS and len(entries) > 1 else None
        if twin is not None:
            twin.n_left += self.rounds
        return turns(entries, self.rounds, offset=self.offset, twin=twin)


def run_race(pool: EnginePool, race: Race, cancelled: threading.Event) -> Iterator[Event]:
    """Yield events as they happen, `Waiting` when nothing does. Closing the iterator cancels the
    run; a stopped run ends soon, though its engine may hold the device longer."""
    try:
        for event in in_background(partial(_work, pool, race, cancelled), cancelled):
            yield event or Waiting()
    except RunCancelled:
        yield Stopped()


def _work(pool: EnginePool, race: Race, cancelled: threading.Event, emit: Emit) -> None:
    pool.use_model(race.model, cancelled.is_set)
    with pool.device(cancelled.is_set) as device:
        for entry, number in race.line_up(pool.names):
            is_again = len(entry.rounds) > number
            emit(Started(entry.engine, number, is_again))
            entry.take_turn(device, race, emit, pool.still_loading, is_again=is_again)


@dataclass
class _Entry:
    """What one engine has done in a race so far."""

    engine: str
    n_left: int  # turns
    rounds: list[TimedTranscript] = field(default_factory=list)
    again: list[TimedTranscript] = field(default_factory=list)
    disturbed_by: set[str] = field(default_factory=set)
    is_running: bool = True

    def take_turn(
        self,
        device: Device,
        race: Race,
        emit: Emit,
        still_loading: Callable[[], Sequence[str]],
        *,
        is_again: bool,
    ) -> None:
        """Run once; only the first round's text is emitted as it comes, so the others do nothing
        but compute. Engines that load at the beginning disturb it, and so do those that load at the
        end: one may restart meanwhile."""
        is_first = not self.rounds
        self.disturbed_by |= set(still_loading()) - {self.engine}

        def on_segment(segment: Segment) -> None:
            if is_first:
                emit(Spoke(self.engine, segment))

        def on_text(text: str) -> None:
            emit(Heard(self.engine, text))

        try:
            done = device.transcribe(
                self.engine,
                race.waveform,
                race.options,
                on_segment,
                on_text if is_first else None,
                mode=race.mode,
            )
        except EngineUnavailable as error:
            self.is_running = False
            emit(Refused(self.engine, str(error)))
        else:
            self.disturbed_by |= set(still_loading()) - {self.engine}
            self.n_left -= 1
            (self.again if is_again else self.rounds).append(done)
            emit(Finished(self._result(), is_last=self.n_left == 0))

    def _result(self) -> EngineResult:
        seconds = tuple(each.seconds for each in self.rounds)
        shown = self.rounds[seconds.index(statistics.median_low(seconds))]
        return EngineResult(
            self.engine,
            shown.transcript,
            seconds,
            tuple(self.disturbed_by),
            shown.spoken_s,
            tuple(each.seconds for each in self.again),
            total(each.load for each in (*self.rounds, *self.again)),
        )
