"""Pieces of a slide as HTML. Everything that is not ours is escaped here, and every number is made
here: it keeps its exact value beside what is shown, so that a test can find it in the record.
"""

import html
from collections.abc import Iterable, Sequence


def text(words: object) -> str:
    return html.escape(str(words))


def number(value: float, shown: str) -> str:
    """A number from a record: `value` as it is there, `shown` as people read it."""
    return f'<data value="{value!r}">{text(shown)}</data>'


def times(value: float) -> str:
    return number(value, f"{value:.2f}×" if value < 10 else f"{value:.0f}×")


def percent(share: float, digits: int = 1) -> str:
    return number(share, f"{100 * share:.{digits}f} %")


def seconds(value: float) -> str:
    return number(value, f"{value:.3g} s" if value < 100 else f"{value:.0f} s")


def count(value: int) -> str:
    return number(value, str(value))


def slide(title: str, *parts: str, kind: str = "") -> str:
    """One slide. `title` is a sentence, and HTML like `parts`."""
    return f'<section class="{kind}"><h2>{title}</h2>{"".join(parts)}</section>'


def points(items: Iterable[str], kind: str = "") -> str:
    return f'<ul class="{kind}">{"".join(f"<li>{item}</li>" for item in items)}</ul>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML; the first of a row is its heading."""
    heads = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:])
        for row in rows
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def command(line: str, why: str) -> str:
    """What to type to get what a slide has not got."""
    return f'<p class="missing">{text(why)}</p><pre><code>{text(line)}</code></pre>'
