"""Who a visitor is: one name for all addresses that one person can send from.

In: an ASGI scope. Out: a name, by which every limit of the page counts. Must not know the limits.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

LOCALHOST = "127.0.0.1"  # the machine itself: its owner, or a visitor through the owner's tunnel
UNKNOWN = "unknown"  # all requests without an address together
IPV6_PREFIX = 64  # bits; a provider gives each customer that many, and 2**64 addresses in it
# A proxy adds one of these. The address of a forwarded request is what another host says, so it
# never names this machine.
_FORWARDED = {b"x-forwarded-for", b"forwarded", b"x-real-ip", b"x-forwarded-host", b"via"}


def visitor_of(scope: Mapping[str, Any]) -> str:
    """The visitor who sent the request; `LOCALHOST` only for one that no proxy passed on."""
    host, _port = scope.get("client") or ("", 0)
    is_forwarded = any(name.lower() in _FORWARDED for name, _ in scope.get("headers", ()))
    return visitor_name(host, is_forwarded=is_forwarded)


def visitor_name(host: str, *, is_forwarded: bool = False) -> str:
    """The name of the visitor at the address `host`: an IPv4 address, an IPv6 network of
    `IPV6_PREFIX` bits, `LOCALHOST`, or `UNKNOWN`."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])  # fe80::1%eth0
    except ValueError:
        return UNKNOWN
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_loopback:
        return "127.0.0.0/8" if is_forwarded else LOCALHOST
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))
