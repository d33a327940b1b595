"""Only pages of this server may use it: its own names, its own origins, its own proxies.

In: a request. Out: the request without the headers that only a proxy may set, or a refusal.

* **Host.** Another site can let its own name point to this machine (DNS rebinding); its script then
  has the same origin as the page. So a request must name a host that is ours. An address cannot be
  rebound, because no name is resolved: on a public interface every address is accepted, on
  localhost only those of localhost.
* **Origin.** A browser sends `Origin` with every request of another site that could change or read
  something, and `Sec-Fetch-Site` with every request. Both must say that the request comes from the
  page itself. Programs like curl send neither; they carry nobody's cookies, so they can do no more
  than they could without a victim.
* **Proxies.** `X-Forwarded-Host` and its relatives change the address that gradio writes into the
  page. They are dropped, unless a trusted proxy sends them.
"""

import ipaddress
import re
import socket
from collections.abc import Callable, Collection, Mapping
from urllib.parse import urlsplit

from maxwhisper.web.server.asgi import App, Receive, Refusal, Scope, Send, header, refuse

HOSTS = "MAXWHISPER_HOSTS"  # environment: more names of this page, separated by commas
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
# They change the address in the page, or would change the route. `X-Forwarded-For` and its kind
# stay, whoever sends them: they change nothing, and tell that a request was passed on.
_ADDRESS_HEADERS = re.compile(
    rb"x-forwarded-(?!for$).*|x-original-.*|x-rewrite-.*|x-host|x-gradio-server"
)
_FROM_TRUSTED_PROXIES = {b"x-forwarded-proto", b"x-forwarded-host"}
# What another site may open: the page and the files of a saved race, by a link.
_LINKED = re.compile(r"/|/runs/[^/]+/[^/]+")


class OwnHosts:
    """The hosts of this page. `listening` is the address that the server listens on."""

    def __init__(self, listening: str, names: Collection[str] = ()) -> None:
        self._is_public = not _is_loopback(listening)
        self._names = {name.lower() for name in names}
        if self._is_public:
            self._names |= {listening.lower(), *_machine_names()}

    @classmethod
    def from_environment(cls, listening: str, environment: Mapping[str, str]) -> "OwnHosts":
        """The names of a Space, and those in the variable `HOSTS`."""
        names = f"{environment.get('SPACE_HOST', '')},{environment.get(HOSTS, '')}"
        return cls(listening, [name.strip() for name in names.split(",") if name.strip()])

    def add(self, name: str) -> None:
        """Accept one more name: that of a tunnel, which is known after the server has started."""
        self._names.add(name.lower())

    def include(self, authority: str) -> bool:
        """True for a host of this page, with or without a port."""
        found = _AUTHORITY.fullmatch(authority.lower())
        if found is None:
            return False
        host = found[1].strip("[]")
        if host in self._names or _is_loopback(host):
            return True
        return self._is_public and _is_address(host)


class Origins:
    """ASGI middleware around `app`, outside of everything that answers. `is_trusted` says whether
    the address of a client is that of a proxy whose headers count."""

    def __init__(self, app: App, own: OwnHosts, is_trusted: Callable[[str], bool]) -> None:
        self._app = app
        self._own = own
        self._is_trusted = is_trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # the page uses none
            await send({"type": "websocket.close"})
            return
        if scope["type"] == "http":
            try:
                self._check(scope)
            except Refusal as refusal:
                await refuse(scope, send, refusal)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        """Raise `Refusal` for another host or origin; drop the headers of unknown proxies."""
        host = header(scope, b"host") or ""
        if not self._own.include(host):
            raise Refusal(
                421,
                "This page has another address. Its operator can add this one: "
                f"the environment variable {HOSTS} has its names.",
            )
        self._drop_proxy_headers(scope)
        forwarded = header(scope, b"x-forwarded-host")
        origin = header(scope, b"origin")
        if origin is not None and not _is_same(origin, {host, forwarded or host}, scope):
            raise Refusal(403, "Another site's page may not use this one. Open this page itself.")
        site = header(scope, b"sec-fetch-site")
        if site not in (None, "same-origin", "none") and not _is_link(scope):
            raise Refusal(403, "Another site's page may not use this one. Open this page itself.")

    def _drop_proxy_headers(self, scope: Scope) -> None:
        """Keep the headers of trusted proxies, and of `X-Forwarded-Host` only our own hosts."""
        client = (scope.get("client") or ("", 0))[0]
        kept = _FROM_TRUSTED_PROXIES if self._is_trusted(client) else frozenset[bytes]()
        scope["headers"] = [
            (name, value)
            for name, value in scope["headers"]
            if not _ADDRESS_HEADERS.fullmatch(name)
            or (
                name in kept
                and (name != b"x-forwarded-host" or self._own.include(value.decode("latin-1")))
            )
        ]


def _is_same(origin: str, hosts: Collection[str], scope: Scope) -> bool:
    """True if a page at `origin` is one of ours. A proxy may have ended the encryption."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    schemes = ("https",) if scope.get("scheme") == "https" else ("http", "https")
    plain = f"{parts.scheme}://{parts.netloc}" == origin and parts.scheme in schemes
    return plain and any(
        _without_default_port(parts.netloc) == _without_default_port(host.lower()) for host in hosts
    )


def _without_default_port(authority: str) -> str:
    return re.sub(r":(?:80|443)$", "", authority)


def _is_link(scope: Scope) -> bool:
    """True if a visitor follows a link here, or a page shows this one in a frame."""
    is_navigation = header(scope, b"sec-fetch-mode") == "navigate"
    return (
        is_navigation
        and scope["method"] in ("GET", "HEAD")
        and bool(_LINKED.fullmatch(scope["path"]))
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _machine_names() -> set[str]:
    """Names of this machine in its own network, which nobody outside can register."""
    name = socket.gethostname().lower()
    return {name, f"{name.partition('.')[0]}.local"}
