"""The API without the page: its own server, with the guards and limits that the page has.

In: what the API needs (`ApiParts`), host and port. Out: a running server. Needs no gradio.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware

from maxwhisper.engines.pool import EnginePool
from maxwhisper.web.api.metrics import Counted, Metrics
from maxwhisper.web.api.routes import Api, api_routes
from maxwhisper.web.api.settings import ApiSettings
from maxwhisper.web.server.connections import ConnectionLimits
from maxwhisper.web.server.guards import guard
from maxwhisper.web.server.open_requests import OpenRequests
from maxwhisper.web.server.origins import OwnHosts
from maxwhisper.web.server.perimeter import Perimeter
from maxwhisper.web.server.queue import VisitorQueue
from maxwhisper.web.server.readiness import ready_route
from maxwhisper.web.server.transcriber import Transcriber
from maxwhisper.web.server.uploads import Uploads

POLICY = "default-src 'none'; frame-ancestors 'none'"  # of a browser that opens an answer
BACKLOG = 128  # connections that wait to be accepted
START_S, STOP_S = 30.0, 10.0  # requests under way have so long to end
POLL_S = 0.01


@dataclass(frozen=True)
class ApiParts:
    """What the API uses."""

    pool: EnginePool
    uploads: Uploads
    queue: VisitorQueue  # for the device, with the limits per visitor
    api: ApiSettings = field(default_factory=ApiSettings)
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)


@contextmanager
def served_api(parts: ApiParts, *, host: str, port: int) -> Iterator[str]:
    """Serve until the block ends; yields the address. Raises `OSError` if the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    number = listener.getsockname()[1]
    config = uvicorn.Config(_application(parts), log_level="warning", timeout_graceful_shutdown=5)
    guard(config, OwnHosts.from_environment(host, os.environ), POLICY, parts.connections)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), name="api", daemon=True)
    thread.start()
    parts.uploads.start_sweeping()
    try:
        _await_start(server, thread)
        yield f"http://{f'[{host}]' if ':' in host else host}:{number}/"
    finally:
        server.should_exit = True
        thread.join(STOP_S)
        listener.close()


def _application(parts: ApiParts) -> Starlette:
    metrics = Metrics(parts.pool, parts.queue)
    transcriber = Transcriber(parts.pool, parts.uploads, parts.queue)
    return Starlette(
        routes=[*api_routes(Api(transcriber, parts.api, metrics)), ready_route(parts.pool)],
        middleware=[
            Middleware(Counted, metrics=metrics),
            Middleware(OpenRequests, per_visitor=parts.connections.per_visitor),
            Middleware(Perimeter, uploads=parts.uploads.root, fair=parts.queue.fair),
        ],
    )


def _await_start(server: uvicorn.Server, thread: threading.Thread) -> None:
    until_s = time.monotonic() + START_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > until_s:
            raise OSError("the server did not start: its log says why")
        time.sleep(POLL_S)
