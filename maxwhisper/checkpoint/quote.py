"""Values of a stranger's file in the text of an error: one short line, whatever they are.

Knows no format. Nothing here walks a whole value: lists that contain lists can stand for more
elements than memory holds.
"""

import reprlib
from collections.abc import Iterable

N_LISTED = 3
_PLAIN = (bool, float, type(None))


class _Short(reprlib.Repr):
    """`repr` of the first elements; objects by their type, because their own `repr` may be long."""

    def __init__(self, max_text: int) -> None:
        super().__init__()
        self.maxlevel = 2
        self.maxdict = self.maxlist = self.maxset = N_LISTED
        self.maxtuple = 4  # the axes of a shape
        self.maxstring = max_text

    def repr_instance(self, x: object, level: int) -> str:
        return repr(x) if isinstance(x, _PLAIN) else f"a {type(x).__name__}"


def quoted(value: object, max_text: int = 60) -> str:
    """Return `value` as `repr` writes it, in at most twice `max_text` characters."""
    return _Short(max_text).repr(value)[: 2 * max_text]


def plain(name: str) -> str:
    """Return a name as it is, or quoted and shortened if it is long or would not print."""
    return name if len(name) <= 60 and name.isprintable() else quoted(name)


def listed(names: Iterable[object]) -> str:
    """Return three names and the number of the others: "'a', 'b', 'c' and 7 more"."""
    every = list(names)
    more = f" and {len(every) - N_LISTED} more" if len(every) > N_LISTED else ""
    return (", ".join(quoted(name, 30) for name in every[:N_LISTED]) or "none") + more
