"""Share one network: a transcription works in steps, and takes a turn on the network for each.

Owns the order of the callers. In: transcriptions as generators of steps, from any thread. Out:
their steps. Between two steps a transcription keeps nothing on the network, so callers may take
turns at every step. Knows no network.
"""

import os
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeVar

from maxwhisper.clock import StageClock
from maxwhisper.errors import FORKED, EngineUnavailable, NumericError
from maxwhisper.transcript import OnProgress, OnRecordingSegment, Segment, Transcript

T = TypeVar("T")

NESTED = (
    "this thread is decoding a window with this model already: `on_text` is called in the middle "
    "of it, so use the model after the call, or in `on_segment` or `progress`"
)


@dataclass(frozen=True)
class Step:
    """What one turn gave: final segments, each with the index of its recording.

    `done_s` of `total_s` seconds of audio are transcribed. The total grows while recordings are
    read. `ended` are the recordings that are done, or have failed, since the turn before.
    """

    found: Sequence[tuple[int, Segment]]
    done_s: float
    total_s: float
    ended: Sequence[tuple[int, Transcript | NumericError]] = ()


Steps = Generator[Step, None, T]
_Gate = SimpleQueue[None]  # has an item if its caller should look whether it is the first


class FairLock:
    """A lock that callers get in the order in which they asked for it."""

    def __init__(self) -> None:
        self._changing = threading.Lock()  # held for microseconds
        self._queue: deque[_Gate] = deque()  # a gate per caller; the first has its turn
        self._owner: int | None = None  # the thread that has the network
        self._process = os.getpid()
        self._closed = False

    @contextmanager
    def turn(self, clock: StageClock) -> Iterator[None]:
        """Wait for the callers before this one, which is timed as `waiting`, then have the network.

        Raises `EngineUnavailable` after `close`, and where it would wait for ever: in a thread that
        has a turn already, and in a process forked from the one that loaded the model, because
        MAX's threads are not in it.
        """
        if os.getpid() != self._process:
            raise EngineUnavailable(FORKED)
        self.require_none()
        gate: _Gate = SimpleQueue()
        interrupt: KeyboardInterrupt | None = None
        try:
            self._wait(gate, clock)
            yield
        finally:
            while True:  # Ctrl-C may arrive here too, and nobody else could end this turn
                try:
                    self._leave(gate)
                    break
                except KeyboardInterrupt as error:
                    interrupt = error
        if interrupt is not None:
            raise interrupt

    @contextmanager
    def released(self, clock: StageClock) -> Iterator[None]:
        """In a turn: let others have the network during the block, then wait for the next turn."""
        gate = self._queue[0]
        self._leave(gate)
        try:
            yield
        finally:
            self._wait(gate, clock)

    def require_none(self) -> None:
        """Raise `EngineUnavailable` if this thread has a turn: it would wait for itself."""
        if self._owner == threading.get_ident():
            raise EngineUnavailable(NESTED)

    def close(self) -> None:
        """Refuse all later turns."""
        self._closed = True

    def _wait(self, gate: _Gate, clock: StageClock) -> None:
        """Join the queue, and wait until the gate is the first one."""
        with self._changing:
            self._queue.append(gate)
        if self._queue[0] is not gate:
            with clock.stage("waiting"):
                while self._queue[0] is not gate:
                    gate.get()
        if self._closed:
            raise EngineUnavailable("this model is closed: load it again")
        self._owner = threading.get_ident()

    def _leave(self, gate: _Gate) -> None:
        """Leave the queue and wake the first caller in it, who may be awake. May be repeated."""
        with self._changing:
            if self._queue and self._queue[0] is gate:
                self._owner = None
            if gate in self._queue:
                self._queue.remove(gate)
            if self._queue:
                self._queue[0].put(None)


def in_turns(steps: Steps[T], lock: FairLock, clock: StageClock) -> Steps[T]:
    """The same steps, each in a turn of its own. The consumer of the steps is outside of it."""
    with closing(steps):
        while True:
            with lock.turn(clock):
                try:
                    step = next(steps)
                except StopIteration as end:
                    return end.value
            yield step


def found(
    steps: Steps[T], progress: OnProgress | None = None
) -> Generator[tuple[int, Segment], None, T]:
    """The segments of all steps with the indices of their recordings.

    `progress` is called after each step with the seconds done and the total.
    """
    with closing(steps):
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                return end.value
            yield from step.found
            if progress is not None:
                progress(step.done_s, step.total_s)


def segments_only(
    segments: Generator[tuple[int, Segment], None, T],
) -> Generator[Segment, None, T]:
    """The segments without the indices of their recordings."""
    with closing(segments):
        while True:
            try:
                _, segment = next(segments)
            except StopIteration as end:
                return end.value
            yield segment


def complete(
    segments: Generator[tuple[int, Segment], None, T], on_segment: OnRecordingSegment | None = None
) -> T:
    """Run a transcription to its end, and return its result."""
    with closing(segments):
        while True:
            try:
                index, segment = next(segments)
            except StopIteration as end:
                return end.value
            if on_segment is not None:
                on_segment(index, segment)
