"""Whose race is next: first come, first served, and whoever waits may leave.

Owns the line. In: visitors who want a race. Out: their places in it. The queue of the web framework
would keep order too, but lets nobody leave. Must not know what a race is.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from maxwhisper.serving.fair_use import FairUse, TooMuch
from maxwhisper.serving.status import Cancelled, RunCancelled

MAX_WAITING = 8  # races of all visitors; the next visitor is told to come back
LOOK_S = 0.25  # how often who waits is told the place in line, and may stop


class Turns:
    """The line before the engines: its first race runs, the others wait."""

    def __init__(self, fair: FairUse) -> None:
        self._fair = fair
        self._line: list[Place] = []
        self._moved = threading.Condition()

    @property
    def n_waiting(self) -> int:
        return max(0, len(self._line) - 1)

    @contextmanager
    def line_up(self, visitor: str) -> Iterator["Place"]:
        """A place at the end of the line, given up at the end. Raises `TooMuch` when `visitor`, or
        everybody together, has too many races there."""
        with self._moved:
            self._fair.wait(visitor, sum(place.visitor == visitor for place in self._line[1:]))
            if self.n_waiting >= MAX_WAITING:
                raise TooMuch(f"{MAX_WAITING} races wait already: come back in a few minutes")
            place = Place(visitor, self._line, self._moved)
            self._line.append(place)
        try:
            yield place
        finally:
            with self._moved:
                self._line.remove(place)
                self._moved.notify_all()


class Place:
    """One race in the line."""

    def __init__(self, visitor: str, line: "list[Place]", moved: threading.Condition) -> None:
        self.visitor = visitor
        self._line, self._moved = line, moved

    def wait(self, cancelled: Cancelled) -> Iterator[int]:
        """How many races are before this one, every `LOOK_S` at least, until there is none. Raises
        `RunCancelled` when stopped."""
        while n_ahead := self._n_ahead():
            yield n_ahead
            with self._moved:
                self._moved.wait(LOOK_S)
            if cancelled():
                raise RunCancelled

    def _n_ahead(self) -> int:
        with self._moved:
            return self._line.index(self)
