"""Gradio's server inside of our guards.

Gradio adds its own middleware outside of what `launch` takes, and answers some requests there; its
server names itself in every answer. In: the hosts of the page, its Content-Security-Policy and the
limits of connections.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import uvicorn
from gradio import http_server

from maxwhisper.web.server.connections import ConnectionLimits
from maxwhisper.web.server.guards import guard
from maxwhisper.web.server.origins import OwnHosts


@contextlib.contextmanager
def guarded_server(own: OwnHosts, policy: str, limits: ConnectionLimits) -> Iterator[None]:
    """While open, a server that gradio starts has our guards."""
    plain = http_server.Server

    class GuardedServer(plain):  # type: ignore[misc, valid-type]
        def __init__(self, config: uvicorn.Config, *arguments: Any, **named: Any) -> None:
            super().__init__(config, *arguments, **named)
            guard(config, own, policy, limits)

    http_server.Server = GuardedServer  # type: ignore[misc]
    try:
        yield
    finally:
        http_server.Server = plain  # type: ignore[misc]
