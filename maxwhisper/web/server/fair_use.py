"""Each visitor's share of the page, so that there is room for the next one.

In: a visitor and a request. Out: nothing, or `LimitExceeded` with a sentence that says when to come
back. Owns the last hour of every visitor. The machine itself is never limited. Must not know the
page, nor how a visitor is told from another.
"""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields

from maxwhisper.errors import MaxWhisperError, OptionError
from maxwhisper.web.server.visitor import LOCALHOST

HOUR_S = 3600.0
MINUTE_S = 60.0
MIN_RACE_S = 30.0  # counted for each race: a rush of tiny ones would take everybody's places
PREFIX = "MAXWHISPER_MAX_"


class LimitExceeded(MaxWhisperError):
    """A visitor asks for more than one share of the page. `retry_s`: when there is room again, None
    where that is not known."""

    def __init__(self, message: str, retry_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_s = retry_s


@dataclass(frozen=True)
class Limits:
    """Limits for one visitor; 0 means no limit. The environment variable of each is `PREFIX` and
    its name in capitals."""

    waiting: float = 2  # races and checks in the queue, besides the running one
    minutes: float = 30  # of the device for races per hour; each race counts at least `MIN_RACE_S`
    check_minutes: float = 10  # of the device for component checks and layer maps per hour
    uploads: float = 30  # recordings per hour
    kept: float = 20  # races saved under a link at one time
    pages: float = 100  # opened per hour; the server keeps the state of each
    clicks: float = 1800  # requests per minute that change something; an idle page sends none

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Limits":
        """Raises `OptionError` for a variable that is not a finite number from 0."""
        texts = {f.name: environment.get(f"{PREFIX}{f.name.upper()}") for f in fields(cls)}
        return cls(**{name: _limit(name, text) for name, text in texts.items() if text})


def _limit(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise OptionError(f"expected {PREFIX}{name.upper()} as a number from 0 on, got {text!r}")
    return value


@dataclass(frozen=True)
class Share:
    """Something that is counted: the field of `Limits` that bounds it, and its name in messages."""

    limit: str
    what: str
    window_s: float = HOUR_S
    min_s: float = 0.0  # of the device, counted for each turn


RACES = Share("minutes", "minutes of races", min_s=MIN_RACE_S)
CHECKS = Share("check_minutes", "minutes of component checks", min_s=1.0)
_UPLOADS = Share("uploads", "recordings")
_PAGES = Share("pages", "pages")
_CLICKS = Share("clicks", "clicks", window_s=MINUTE_S)


class FairUse:
    """The last hour of every visitor, held to `limits`; `clock` is in seconds."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._used: dict[tuple[str, Share], list[tuple[float, float]]] = {}  # (time, amount)
        self._pages: dict[tuple[str, str], float] = {}  # (visitor, session): when it was last used
        self._forgotten_s = clock()

    def check_waiting(self, visitor: str, n_waiting: int) -> None:
        """Allow one more place in the queue for `visitor`, who has `n_waiting`. Raises
        `LimitExceeded`."""
        limit = self.limits.waiting
        if limit and n_waiting >= limit and visitor != LOCALHOST:
            raise LimitExceeded(
                f"You already have {n_waiting} waiting in the queue; each visitor may have "
                f"{limit:g}. Wait until one is done."
            )

    def check_turn(self, visitor: str, share: Share) -> None:
        """Raise `LimitExceeded` if nothing of `share` is left for one more turn on the device."""
        self._use(visitor, share, share.min_s / 60, is_counted=False)

    def is_limited(self, visitor: str, share: Share) -> bool:
        """False for the machine itself, and where the operator set no limit."""
        return visitor != LOCALHOST and getattr(self.limits, share.limit) > 0

    @contextmanager
    def turn(self, visitor: str, share: Share) -> Iterator[None]:
        """Count the seconds of the block, a turn on the device. What it needs is not known before,
        so the last turn of an hour may exceed the share. Raises `LimitExceeded` if nothing is
        left."""
        self.check_turn(visitor, share)
        started_s = self._clock()
        try:
            yield
        finally:
            self.count_turn(visitor, share, self._clock() - started_s)

    def count_turn(self, visitor: str, share: Share, seconds: float) -> None:
        """Count a turn on the device of that many seconds."""
        if self.is_limited(visitor, share):
            with self._lock:
                minutes = max(share.min_s, seconds) / 60
                self._past(visitor, share).append((self._clock(), minutes))

    def use_upload(self, visitor: str) -> None:
        """Count one more recording. Raises `LimitExceeded`."""
        self._use(visitor, _UPLOADS, 1)

    def use_click(self, visitor: str) -> None:
        """Count one more request that changes something. Raises `LimitExceeded`."""
        self._use(visitor, _CLICKS, 1)

    def use_page(self, visitor: str, session: str) -> None:
        """Count the page `session`, once while it is used. Raises `LimitExceeded`."""
        if not self.is_limited(visitor, _PAGES):
            return
        with self._lock:
            is_new = (visitor, session) not in self._pages
        if is_new:
            self._use(visitor, _PAGES, 1)
        with self._lock:
            self._pages[visitor, session] = self._clock()

    def _use(self, visitor: str, share: Share, amount: float, *, is_counted: bool = True) -> None:
        if not self.is_limited(visitor, share):
            return
        limit, now = getattr(self.limits, share.limit), self._clock()
        with self._lock:
            self._forget(now)
            past = self._past(visitor, share)
            past[:] = [each for each in past if each[0] > now - share.window_s]
            used = sum(each for _, each in past)
            # The first request of an hour may exceed the limit: the page allows it in itself.
            if past and used + amount > limit:
                wait_s = _free_at(past, used + amount - limit, share.window_s) - now
                raise LimitExceeded(_refusal(share, limit, (used, amount), wait_s), wait_s)
            if is_counted:
                past.append((now, amount))

    def _past(self, visitor: str, share: Share) -> list[tuple[float, float]]:
        return self._used.setdefault((visitor, share), [])

    def _forget(self, now: float) -> None:
        """Once a minute, drop visitors and pages without a request in the last hour."""
        if now - self._forgotten_s < MINUTE_S:
            return
        self._forgotten_s = now
        for key, past in list(self._used.items()):
            if not past or past[-1][0] <= now - HOUR_S:
                del self._used[key]
        for page, seen_s in list(self._pages.items()):
            if seen_s <= now - HOUR_S:
                del self._pages[page]


def _refusal(share: Share, limit: float, amounts: tuple[float, float], wait_s: float) -> str:
    """Why a visitor has to wait; `amounts` are those used and needed."""
    if share.window_s < HOUR_S:
        return (
            f"Each visitor may send {limit:g} {share.what} per minute. Wait "
            f"{math.ceil(wait_s)} seconds."
        )
    used, amount = amounts
    at_least = "at least " if share.min_s else ""
    return (
        f"Each visitor may use {limit:g} {share.what} per hour. You have used {used:.3g} and this "
        f"needs {at_least}{amount:.3g} more. Come back in {math.ceil(wait_s / 60)} minutes, or run "
        "it on your own machine: the tab “Use it” shows how."
    )


def _free_at(past: Sequence[tuple[float, float]], excess: float, window_s: float) -> float:
    """When the oldest entries that add up to `excess` leave the window; at the latest, all of
    them."""
    for when, amount in past:
        excess -= amount
        if excess <= 0:
            return when + window_s
    return past[-1][0] + window_s
