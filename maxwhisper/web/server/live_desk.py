"""Who is live: one visitor at a time, the others in line, first come, first served.

Owns the line, and the sessions of every open page, whose text the page shows until it is cleared
or closed. In: a ticket for each session. Out: `LiveSession`s, which begin by themselves when their
turn comes. Must not know the page.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from maxwhisper.engines.pool import EnginePool
from maxwhisper.errors import EngineUnavailable, MaxWhisperError
from maxwhisper.options import TranscribeOptions
from maxwhisper.web.server.fair_use import FairUse, LimitExceeded
from maxwhisper.web.server.live_session import (
    MAX_FINISH_S,
    MAX_LIVE_S,
    LiveSession,
    LiveView,
    Ticket,
    time_is_up,
)

MAX_LINE = 10  # visitors in line, who wait up to 20 minutes; each has a thread
MAX_KEPT = 10  # sessions of one page whose text is kept: 20 minutes of speech
MAX_PAGES = 200  # pages whose text is kept; the one used longest ago is forgotten
POLL_S = 0.1


class LiveDesk:
    """The sessions of all visitors, in line for one engine. `fair` limits those of one visitor."""

    def __init__(self, pool: EnginePool, fair: FairUse | None = None) -> None:
        self._pool, self._fair = pool, fair
        self._line: list[LiveSession] = []  # in order; the first has its turn
        self._pages: dict[str, list[LiveSession]] = {}  # by owner, each in order
        self._moved = threading.Condition()

    def open(self, ticket: Ticket, options: TranscribeOptions) -> LiveSession:
        """A new session at the end of the line; an earlier one of the same page ends. One that
        finds no place in line is over at once and says why. Raises `OptionError` for invalid
        options."""
        options.validate()
        with self._moved:
            for session in self._line:
                if session.ticket.owner == ticket.owner:
                    session.stop("")
            refusal = self._refusal(ticket.visitor)
            session = LiveSession(self._pool, options, ticket, partial(self._turn, refusal))
            if refusal is None:
                self._line.append(session)
            self._keep(session)
            return session

    def leave(self, owner: str) -> None:
        """The page was closed: end its session and forget its text."""
        with self._moved:
            for session in self._pages.pop(owner, ()):
                session.stop("")

    def clear(self, owner: str) -> None:
        """Forget the text of the page; a session that runs goes on."""
        with self._moved:
            sessions = self._pages.pop(owner, [])
            if sessions and not sessions[-1].is_over:
                self._pages[owner] = sessions[-1:]

    @property
    def is_live(self) -> bool:
        """True while a session runs or waits in line."""
        return any(not session.is_over for session in list(self._line))

    def by_token(self, token: str) -> LiveSession | None:
        """The session that was opened with this token, running or over."""
        with self._moved:
            known = [session for sessions in self._pages.values() for session in sessions]
        return next((s for s in known if token and s.ticket.token == token), None)

    def of(self, owner: str) -> LiveSession | None:
        """The last session of this page, running or over; None if there is none."""
        with self._moved:
            return self._pages[owner][-1] if owner in self._pages else None

    def earlier(self, owner: str) -> tuple[LiveView, ...]:
        """The sessions of this page before the last one, in order: those with text."""
        with self._moved:
            sessions = self._pages.get(owner, [])[:-1]
        return tuple(session.view for session in sessions if session.view.committed.strip())

    def _keep(self, session: LiveSession) -> None:
        owner = session.ticket.owner
        sessions = self._pages.pop(owner, [])
        sessions = [s for s in sessions if s is sessions[-1] or s.view.committed.strip()]
        self._pages[owner] = [*sessions[1 - MAX_KEPT :], session]
        over = [page for page, (*_, last) in self._pages.items() if last.is_over]
        for page in over[: max(0, len(self._pages) - MAX_PAGES)]:
            del self._pages[page]

    def _refusal(self, visitor: str) -> MaxWhisperError | None:
        """Why there is no place in line for one more session of `visitor`."""
        waiting = [session for session in self._line if not session.is_over][1:]
        if len(waiting) >= MAX_LINE:
            return EngineUnavailable(
                f"The line is full: {MAX_LINE} are waiting. Try again in a few minutes, or record "
                "on the Race tab."
            )
        if self._fair is not None:
            try:
                n_own = sum(session.ticket.visitor == visitor for session in waiting)
                self._fair.check_waiting(visitor, n_own)
            except LimitExceeded as error:
                return error
        return None

    @contextmanager
    def _turn(self, refusal: MaxWhisperError | None, session: LiveSession) -> Iterator[None]:
        """Wait until `session` is the first in line, and leave the line at the end. Raises
        `refusal`, if there is one, and `RunCancelled` for a session that ended in line."""
        if refusal is not None:
            raise refusal
        try:
            with self._moved:
                while self._line[0] is not session:
                    self._end_overtime()
                    ahead = [s for s in self._line[: self._line.index(session)] if not s.is_over]
                    if ahead:  # else the last one leaves the engine
                        left_s = ahead[0].view.left_s + MAX_LIVE_S * (len(ahead) - 1)
                        session.wait_in_line(len(ahead) + 1, left_s)
                    self._moved.wait(POLL_S)
            yield
        finally:
            with self._moved:
                self._line.remove(session)
                self._moved.notify_all()

    def _end_overtime(self) -> None:
        """End a session that waits for the device beyond all time while others wait for it."""
        if self._line[0].overtime_s >= MAX_FINISH_S:
            self._line[0].stop(time_is_up())
