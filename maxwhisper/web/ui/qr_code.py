"""The address of this page as a QR code, for phones.

Input: the request of a visitor. Output: a dialog as HTML, which `page.js` opens.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

import segno
from markupsafe import Markup

from maxwhisper.palette import INK, WHITE
from maxwhisper.web.ui.templates import render

MAX_ADDRESS_CHARACTERS = 300  # a code with more modules is hard to read from a screen
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


def address_of(headers: Mapping[str, str]) -> str:
    """Scheme, host and path of the page as the visitor's browser sent them, or ""."""
    parts = urlsplit(headers.get("referer", ""))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    address = f"{parts.scheme}://{parts.netloc}{parts.path}"
    return address if len(address) <= MAX_ADDRESS_CHARACTERS else ""


def share_html(address: str) -> str:
    """The dialog. For an empty address it says why there is no code."""
    code = ""
    if address:
        qr = segno.make(address, micro=False, error="m")
        svg = qr.svg_inline(border=3, dark=INK, light=WHITE, omitsize=True)
        code = Markup(svg.removeprefix("<svg"))  # paths and colours; the address is not in it
    is_local = urlsplit(address).hostname in _LOCAL_HOSTS
    return render("share.html", address=address, code=code, is_local=is_local)
