"""The guards around a server: hosts, origins, headers and connections, before anything else.

In: the configuration of a server that has not started, the hosts of the page, its
Content-Security-Policy and the limits of connections. Both servers, with the page and without it,
have the same guards.
"""

from typing import Any

import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from maxwhisper.web.server.connections import ConnectionLimits, bound_connections
from maxwhisper.web.server.headers import SecurityHeaders
from maxwhisper.web.server.origins import Origins, OwnHosts


def guard(config: uvicorn.Config, own: OwnHosts, policy: str, limits: ConnectionLimits) -> None:
    """Put the guards around the application of `config`. Uvicorn's middleware reads client and
    scheme from the headers of trusted proxies (`FORWARDED_ALLOW_IPS`) behind them."""
    inner: Any = config.app
    app: Any = ProxyHeadersMiddleware(inner, config.forwarded_allow_ips)
    is_proxy = app.trusted_hosts.__contains__
    config.app = SecurityHeaders(Origins(app, own, is_proxy), policy)
    bound_connections(config, limits, is_proxy)
    config.proxy_headers = config.server_header = False
