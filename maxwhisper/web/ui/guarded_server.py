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
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from maxwhisper.web.server.connections import ConnectionLimits, bound_connections
from maxwhisper.web.server.headers import SecurityHeaders
from maxwhisper.web.server.origins import Origins, OwnHosts


@contextlib.contextmanager
def guarded_server(own: OwnHosts, policy: str, limits: ConnectionLimits) -> Iterator[None]:
    """While open, a server that gradio starts checks hosts and origins before anything else, and
    all its answers have our headers. Uvicorn's middleware reads client and scheme from the headers
    of trusted proxies (`FORWARDED_ALLOW_IPS`) after that."""
    plain = http_server.Server

    class GuardedServer(plain):  # type: ignore[misc, valid-type]
        def __init__(self, config: uvicorn.Config, *arguments: Any, **named: Any) -> None:
            super().__init__(config, *arguments, **named)
            inner: Any = config.app
            app: Any = ProxyHeadersMiddleware(inner, config.forwarded_allow_ips)
            is_proxy = app.trusted_hosts.__contains__
            config.app = SecurityHeaders(Origins(app, own, is_proxy), policy)
            bound_connections(config, limits, is_proxy)
            config.proxy_headers = config.server_header = False

    http_server.Server = GuardedServer  # type: ignore[misc]
    try:
        yield
    finally:
        http_server.Server = plain  # type: ignore[misc]
