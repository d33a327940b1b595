"""Slides as HTML: Jinja2 templates, and numbers from records.

Every number keeps its exact value beside the text that is shown, so that a test can find it in the
record.
"""

import re
from pathlib import Path
from typing import Any

from markupsafe import Markup

from maxwhisper.engine import OURS
from maxwhisper.evaluation.bench.record import NOISY
from maxwhisper.evaluation.html import environment
from maxwhisper.evaluation.records import machine_line


def render(template: str, **values: Any) -> Markup:
    """HTML of a template, on one line. Raises `UndefinedError` for a missing value."""
    html = _TEMPLATES.get_template(template).render(values).strip()
    # A line break between tags is indentation, any other one a space.
    return Markup(re.sub(r"\s*\n\s*", " ", re.sub(r">\s*\n\s*<", "><", html)))


def document(template: str, **values: Any) -> str:
    """HTML of a whole document, line by line as in its template."""
    return _TEMPLATES.get_template(template).render(values) + "\n"


def number(value: float, shown: str) -> Markup:
    """A number from a record: `value` as it is there, `shown` as people read it."""
    return render("number.html", value=repr(value), shown=shown)


def times(value: float) -> Markup:
    return number(value, f"{value:.2f}×" if value < 10 else f"{value:.0f}×")


def percent(share: float) -> Markup:
    return number(share, f"{100 * share:.1f} %")


def seconds(value: float) -> Markup:
    return number(value, f"{value:.3g} s" if value < 100 else f"{value:.0f} s")


def milliseconds(value: float) -> Markup:
    return number(value, f"{value:.1f} ms")


def count(value: int) -> Markup:
    return number(value, str(value))


def css_percent(share: float) -> str:
    """A length in CSS."""
    return f"{share:.2%}"


_TEMPLATES = environment(Path(__file__).parent / "templates")
_TEMPLATES.globals |= {"OURS": OURS, "NOISY": NOISY}
_TEMPLATES.filters |= {
    "count": count,
    "css_percent": css_percent,
    "machine_line": machine_line,
    "milliseconds": milliseconds,
    "percent": percent,
    "seconds": seconds,
    "times": times,
}
