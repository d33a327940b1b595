"""Bounds on connections: how many there are, and how long each may take to send or to read.

Uvicorn closes a connection only between two requests. One that never ends its header, drips its
body or does not read its answer stays open, without a bound on their number. In: a protocol class
of uvicorn's. Out: the same with deadlines, which one sweep a second enforces. A stream of events
may last: its client reads.
"""

import asyncio
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import h11
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from maxwhisper.web.server.asgi import RETRY_AFTER_S
from maxwhisper.web.server.headers import PLAIN_HEADERS
from maxwhisper.web.server.visitor import LOCALHOST, visitor_name

_RESERVED_FILES = 256  # open files of this process that are no connections


@dataclass(frozen=True)
class ConnectionLimits:
    """Seconds, bytes per second and numbers."""

    header_s: float = 10.0  # from the connection, or the last answer, to the end of a header
    body_window_s: float = 20.0  # each such time of a body brings at least ...
    body_bytes_per_s: float = 1024.0  # ... this many: a slow phone sends ten times as many
    body_s: float = 1800.0  # for a whole body: 25 MB at 14 kB/s
    reading_s: float = 60.0  # for the next 48 KiB of an answer
    closing_s: float = 10.0  # for a refused body, and for the last bytes of an answer
    total: int = 1000
    per_visitor: int = 400  # a hall of 100 people behind one address opens three streams each


def allowed_total(total: int) -> int:
    """`total`, or fewer if this process may not open that many files. Raises its limit first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = total + _RESERVED_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    room = total if soft == resource.RLIM_INFINITY else soft - _RESERVED_FILES
    return max(16, min(total, room))


def bound_connections(
    config: Config, limits: ConnectionLimits, is_proxy: Callable[[str], bool]
) -> "Connections":
    """Hold the connections of a server that has not started to `limits`. `is_proxy` says whether an
    address is that of a trusted proxy."""

    def visitor_of(host: str) -> str | None:
        visitor = visitor_name(host)
        return None if is_proxy(host) or visitor == LOCALHOST else visitor

    connections = Connections(limits, visitor_of)
    config.http = connections.protocol  # type: ignore[assignment]
    return connections


class Connections:
    """The open connections of one server. `visitor_of` names the visitor at an address, or returns
    None for a proxy and for this machine, whose connections have only the bound in all."""

    def __init__(
        self,
        limits: ConnectionLimits = ConnectionLimits(),
        visitor_of: Callable[[str], str | None] = lambda host: host,
    ) -> None:
        self.limits = limits
        self._visitor_of = visitor_of
        self._total = allowed_total(limits.total)
        self._open: dict[BoundedConnection, str | None] = {}  # and the visitor
        self._sweeper: asyncio.TimerHandle | None = None
        shortest = min(limits.header_s, limits.body_window_s, limits.reading_s, limits.closing_s)
        self._sweep_every_s = min(1.0, shortest / 4)

    def __len__(self) -> int:
        return len(self._open)

    def protocol(self, *arguments: Any, **named: Any) -> "BoundedConnection":
        """A new connection, for `uvicorn.Config(http=...)`."""
        return BoundedConnection(self, *arguments, **named)

    def admit(self, connection: "BoundedConnection", host: str) -> HTTPStatus | None:
        """Count a new connection. Returns the status of its refusal, None if there is room. When
        all places are taken, the longest-idle connection is closed."""
        visitor = self._visitor_of(host)
        n_of_visitor = 0 if visitor is None else list(self._open.values()).count(visitor)
        if n_of_visitor >= self.limits.per_visitor:
            return HTTPStatus.TOO_MANY_REQUESTS
        if len(self._open) >= self._total:
            idle = min((c for c in self._open if c.is_idle), key=lambda c: c.since_s, default=None)
            if idle is None:
                return HTTPStatus.SERVICE_UNAVAILABLE
            idle.abort()
        self._open[connection] = visitor
        if self._sweeper is None:
            self._sweeper = connection.loop.call_later(self._sweep_every_s, self._sweep)
        return None

    def discard(self, connection: "BoundedConnection") -> None:
        """Forget a closed connection."""
        self._open.pop(connection, None)

    def _sweep(self) -> None:
        for connection in list(self._open):
            connection.enforce(time.monotonic())
        self._sweeper = None
        if self._open:
            loop = next(iter(self._open)).loop
            self._sweeper = loop.call_later(self._sweep_every_s, self._sweep)


class BoundedConnection(H11Protocol):
    """One connection of `all_open`."""

    def __init__(self, all_open: Connections, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._all_open = all_open
        self._n_bytes = 0  # received
        self._phase: tuple[Any, ...] = ()
        self._began_s = self.since_s = time.monotonic()  # the phase, and its last window
        self._n_bytes_then = 0
        self._stalled_at_s: float | None = None  # when the client had too much to read

    @property
    def is_idle(self) -> bool:
        """True between two requests, and while a header is incomplete."""
        return self.conn.their_state is h11.IDLE

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        status = self._all_open.admit(self, self.client[0] if self.client else "")
        if status is not None:
            self._end(status)

    def connection_lost(self, exc: Exception | None) -> None:
        self._all_open.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._n_bytes += len(data)
        super().data_received(data)

    def pause_writing(self) -> None:
        self._stalled_at_s = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stalled_at_s = None
        super().resume_writing()

    def abort(self) -> None:
        """Close at once, without what was not sent yet."""
        self._all_open.discard(self)
        self.transport.abort()

    def enforce(self, now_s: float) -> None:
        """Close the connection if it is over a limit."""
        limits, in_body = self._all_open.limits, self.conn.their_state is h11.SEND_BODY
        is_answered = self.cycle is not None and self.cycle.response_complete
        is_closing = self.transport.is_closing()
        phase = (self.cycle, self.conn.their_state, is_answered, is_closing)
        is_new = phase != self._phase
        if is_new:
            self._phase, self._began_s = phase, now_s
        if is_new or (in_body and self.flow.read_paused):  # paused: it is we who are slow
            self.since_s, self._n_bytes_then = now_s, self._n_bytes
        waited_s = now_s - self.since_s
        if self._stalled_at_s is not None and now_s - self._stalled_at_s >= limits.reading_s:
            self.abort()
        elif is_closing or (in_body and is_answered):
            if waited_s >= limits.closing_s:
                self.abort()
        elif self.is_idle:
            if waited_s >= limits.header_s:
                has_begun = bool(self.conn.trailing_data[0])
                self._end(HTTPStatus.REQUEST_TIMEOUT if has_begun else None)
        elif in_body and now_s - self._began_s >= limits.body_s:
            self._end(HTTPStatus.REQUEST_TIMEOUT)
        elif in_body and waited_s >= limits.body_window_s:
            if self._n_bytes - self._n_bytes_then < limits.body_bytes_per_s * waited_s:
                self._end(HTTPStatus.REQUEST_TIMEOUT)
            self.since_s, self._n_bytes_then = now_s, self._n_bytes

    def _end(self, status: HTTPStatus | None) -> None:
        """Close the connection, with an answer if `status` is given and none has begun."""
        has_begun = self.cycle is not None and (
            self.cycle.response_started and not self.cycle.response_complete
        )
        if status is not None and not has_begun:
            may_retry = status is not HTTPStatus.BAD_REQUEST
            advice = f"Try again in {RETRY_AFTER_S} seconds." if may_retry else "Send valid HTTP."
            text = f"{status.phrase}. {advice}"
            lines = (
                f"HTTP/1.1 {status.value} {status.phrase}",
                "Connection: close",
                "Content-Type: text/plain; charset=utf-8",
                f"Content-Length: {len(text)}",
                "Cache-Control: no-store",
                *((f"Retry-After: {RETRY_AFTER_S}",) if may_retry else ()),
                *(f"{name.decode()}: {value.decode()}" for name, value in PLAIN_HEADERS),
            )
            self.transport.write("\r\n".join((*lines, "", text)).encode())
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        self._end(HTTPStatus.BAD_REQUEST)

    def _should_upgrade(self) -> bool:
        return False  # to a WebSocket, which another protocol would own without these bounds
