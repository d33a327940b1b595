"""The address of this page as a picture that a phone can read.

In: the address a visitor came by. Out: a dialog as HTML; `page.js` opens it.
"""

import html
from collections.abc import Mapping
from urllib.parse import urlsplit

import segno

MAX_ADDRESS_CHARACTERS = 300  # a code with more modules is hard to read from a screen
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


def address_of(headers: Mapping[str, str]) -> str:
    """Scheme, host and path as the visitor's browser has them, from its request; "" where it does
    not say."""
    parts = urlsplit(headers.get("referer", ""))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    address = f"{parts.scheme}://{parts.netloc}{parts.path}"
    return address if len(address) <= MAX_ADDRESS_CHARACTERS else ""


def share_html(address: str) -> str:
    """The dialog; without an address it says so."""
    if address:
        code = segno.make(address, micro=False, error="m")
        picture = code.svg_inline(border=3, dark="#1c1a17", light="#ffffff", omitsize=True)
        shown = html.escape(address)
        picture = picture.replace("<svg", f'<svg role="img" aria-label="QR code of {shown}"', 1)
        text = f'{picture}<p><a href="{shown}">{shown}</a></p>'
        if urlsplit(address).hostname in _THIS_MACHINE:
            text += "<p>This address works on this machine alone.</p>"
    else:
        text = "<p>Your browser does not say by which address you came.</p>"
    return (
        '<dialog id="share" class="sheet" aria-labelledby="share-title">'
        f'<h2 id="share-title">Open this page on a phone</h2>{text}'
        '<button type="button" data-do="close">Close</button></dialog>'
    )
