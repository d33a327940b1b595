"""What one visitor may ask of an open page, so that there is room for the next one.

In: an address and what it asks for. Out: nothing, or `TooMuch` in words, with when to come back.
Owns the last hour of every address. The machine itself is never limited. Must not know the page.
"""

import ipaddress
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

from maxwhisper.errors import MaxWhisperError, OptionError

HOUR_S = 3600.0
HERE = "127.0.0.1"  # this machine itself
PREFIX = "MAXWHISPER_MAX_"


class TooMuch(MaxWhisperError):
    """One visitor asks for more than a share of the page."""


@dataclass(frozen=True)
class Limits:
    """Of one visitor; 0 for none. Each is set by an environment variable: `PREFIX` and its name."""

    waiting: float = 2  # races in the queue, beside the one that runs
    minutes: float = 60  # of sound raced within an hour, times rounds
    uploads: float = 30  # recordings within an hour

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Limits":
        """Raises `OptionError` for a variable that is no number from 0 on."""
        values = {field.name: cls._read(field.name, environment) for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if value is not None})

    @staticmethod
    def _read(name: str, environment: Mapping[str, str]) -> float | None:
        variable = f"{PREFIX}{name.upper()}"
        text = environment.get(variable, "")
        try:
            value = float(text) if text else None
        except ValueError:
            value = -1.0
        if value is not None and not 0 <= value < math.inf:
            raise OptionError(f"expected {variable} as a number from 0 on, got {text!r}")
        return value


class FairUse:
    """The last hour of every visitor, held to `limits`; `clock` is in seconds."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._spent: dict[tuple[str, str], deque[tuple[float, float]]] = {}  # (when, how much)

    def wait(self, visitor: str, n_waiting: int) -> None:
        """One more race of `visitor`, who has `n_waiting` in the queue. Raises `TooMuch`."""
        most = self.limits.waiting
        if most and n_waiting >= most and not _is_here(visitor):
            raise TooMuch(
                f"{n_waiting} of your races wait in the queue already, and {most:g} is the most "
                "here: others want to race too. Wait for one of them."
            )

    def hear(self, visitor: str, seconds: float) -> None:
        """A race over so many seconds of sound, all its rounds together. Raises `TooMuch`."""
        self._spend(visitor, "minutes of sound", seconds / 60, self.limits.minutes)

    def upload(self, visitor: str) -> None:
        """One more recording. Raises `TooMuch`."""
        self._spend(visitor, "recordings", 1, self.limits.uploads)

    def _spend(self, visitor: str, what: str, amount: float, most: float) -> None:
        if not most or _is_here(visitor):
            return
        now = self._clock()
        with self._lock:
            self._forget(now - HOUR_S)
            spent = self._spent.setdefault((visitor, what), deque())
            used = sum(each for _, each in spent)
            # Whoever has spent nothing may ask for anything the page allows at all.
            if spent and used + amount > most:
                wait_minutes = math.ceil((_enough_at(spent, used + amount - most) - now) / 60)
                raise TooMuch(
                    f"This page is shared: {most:g} {what} an hour for each visitor. You had "
                    f"{used:.3g} and ask for {amount:.3g} more: come back in {wait_minutes} "
                    "minutes, or run it on your own machine, as the tab “Use it” shows."
                )
            spent.append((now, amount))

    def _forget(self, before: float) -> None:
        """What is older than an hour counts no more; addresses without anything are forgotten."""
        for key, spent in list(self._spent.items()):
            while spent and spent[0][0] <= before:
                spent.popleft()
            if not spent:
                del self._spent[key]


def _enough_at(spent: Sequence[tuple[float, float]], excess: float) -> float:
    """When so much of what was spent, the oldest first, is an hour old; all of it at the latest."""
    for when, amount in spent:
        excess -= amount
        if excess <= 0:
            return when + HOUR_S
    return spent[-1][0] + HOUR_S


def _is_here(visitor: str) -> bool:
    """True for this machine itself: its owner, or somebody at the end of a tunnel of theirs."""
    try:
        return ipaddress.ip_address(visitor).is_loopback
    except ValueError:  # no address: a stranger
        return False
