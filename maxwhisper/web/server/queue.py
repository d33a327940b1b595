"""The queue of visitors who want the device: first come, first served; who waits may leave.

Owns the order of races, component checks and layer maps. In: visitors. Out: their places, and a
turn on the device that counts for their share. Gradio's own queue keeps order too, but lets nobody
leave. Must not know what a turn is used for.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from maxwhisper.engines.status import Cancelled, RunCancelled
from maxwhisper.web.server.fair_use import FairUse, LimitExceeded, Share

MAX_WAITING = 100  # of all visitors together
POLL_S = 0.25  # how often a waiting visitor checks for a stop
# A place is told at least this often per visitor ahead: each time costs CPU during a race, so those
# far behind hear less often, and all of a full queue together about 20 times a second.
TELL_S = 0.2
MIN_TELL_S, MAX_TELL_S = 0.5, 10.0


class QueueFull(LimitExceeded):
    """All places of all visitors are taken."""


class VisitorQueue:
    """The first visitor in the queue has the turn, the others wait."""

    def __init__(self, fair: FairUse) -> None:
        self.fair = fair
        self.places: list[Place] = []
        self.moved = threading.Condition()

    @property
    def n_waiting(self) -> int:
        return max(0, len(self.places) - 1)

    @contextmanager
    def join(self, visitor: str, share: Share | None = None) -> Iterator["Place"]:
        """A place at the end of the queue, given up when the context ends. Its turn counts for
        `share`. Raises `LimitExceeded` when `visitor`, or all visitors together, wait too often,
        and when nothing of the share is left."""
        if share is not None:
            self.fair.check_turn(visitor, share)
        with self.moved:
            n_own = sum(place.visitor == visitor for place in self.places[1:])
            self.fair.check_waiting(visitor, n_own)
            if self.n_waiting >= MAX_WAITING:
                raise QueueFull(
                    f"The queue is full: {MAX_WAITING} are waiting. Try again in a few minutes."
                )
            place = Place(visitor, share, self)
            self.places.append(place)
        try:
            yield place
        finally:
            with self.moved:
                self.places.remove(place)
                self.moved.notify_all()


class Place:
    """One visitor in the queue. Who has the turn may set `left_s`, which returns about how many
    seconds it will still take, or None while that is not known."""

    def __init__(self, visitor: str, share: Share | None, queue: VisitorQueue) -> None:
        self.visitor = visitor
        self.left_s: Callable[[], float | None] = lambda: None
        self._share, self._queue = share, queue

    def wait(self, cancelled: Cancelled) -> Iterator[int]:
        """Yield the number of visitors ahead now and then, until there is none. Raises
        `RunCancelled` when stopped."""
        while n_ahead := self._n_ahead():
            yield n_ahead
            self._rest(min(max(MIN_TELL_S, n_ahead * TELL_S), MAX_TELL_S), cancelled)

    def first_left_s(self) -> float | None:
        """`left_s` of the visitor who has the turn."""
        with self._queue.moved:
            first = self._queue.places[0]
        return first.left_s()

    def turn(self) -> AbstractContextManager[None]:
        """Count the seconds of the block, which uses the device. Raises `LimitExceeded`."""
        if self._share is None:
            return nullcontext()
        return self._queue.fair.turn(self.visitor, self._share)

    def check(self) -> None:
        """Raise `LimitExceeded` if nothing of the share is left."""
        if self._share is not None:
            self._queue.fair.check_turn(self.visitor, self._share)

    def count(self, seconds: float) -> None:
        """Count a turn, or a part in one, of that many seconds on the device."""
        if self._share is not None:
            self._queue.fair.count_turn(self.visitor, self._share, seconds)

    def _rest(self, seconds: float, cancelled: Cancelled) -> None:
        """Sleep, but not beyond the moment when nobody is ahead."""
        until_s = time.monotonic() + seconds
        with self._queue.moved:
            while self._queue.places[0] is not self and (left_s := until_s - time.monotonic()) > 0:
                self._queue.moved.wait(min(left_s, POLL_S))
                if cancelled():
                    raise RunCancelled

    def _n_ahead(self) -> int:
        with self._queue.moved:
            return self._queue.places.index(self)
