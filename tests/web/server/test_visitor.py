"""One person is one visitor, from whichever address; only what no proxy passed on is local."""

import pytest

from maxwhisper.web.server.visitor import LOCALHOST, UNKNOWN, visitor_name, visitor_of


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.0.0.1", LOCALHOST),
        ("127.8.8.8", LOCALHOST),
        ("::1", LOCALHOST),
        ("::ffff:127.0.0.1", LOCALHOST),
        ("", UNKNOWN),
        ("visitor.example", UNKNOWN),
        ("203.0.113.7, 203.0.113.8", UNKNOWN),
        ("9" * 5000, UNKNOWN),
    ],
)
def test_the_name_of_an_address(address, name):
    assert visitor_name(address) == name


@pytest.mark.parametrize("header", [b"x-forwarded-for", b"X-Forwarded-For", b"forwarded", b"via"])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_a_forwarded_request_is_never_from_this_machine(host, header):
    direct = {"client": (host, 1), "headers": [(b"host", b"x")]}
    assert visitor_of(direct) == LOCALHOST
    forwarded = visitor_of({**direct, "headers": [(header, b"x")]})
    assert forwarded == visitor_of({"client": ("127.0.0.1", 1), "headers": [(header, b"x")]})
    assert forwarded != LOCALHOST


def test_a_request_without_an_address_is_nobody_in_particular():
    assert visitor_of({"client": None, "headers": []}) == UNKNOWN
