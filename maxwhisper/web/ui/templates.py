"""HTML, JavaScript and CSS of the page. Jinja2 templates escape every value.

A template or source file lies beside the module that uses it. Input: its path from `web/ui`, and
the values of a template. Output: text that Gradio shows or runs as it is. Files are read when they
are first used.
"""

import functools
from pathlib import Path
from typing import Any

from maxwhisper.evaluation.html import environment
from maxwhisper.web.ui.dates import about, clock, moment

_NO_BREAK = "\u00a0"  # no-break space


def _unbroken(text: str) -> str:
    """`text` without a line break before a percent sign or a middle dot."""
    return text.replace(" %", f"{_NO_BREAK}%").replace(" ·", f"{_NO_BREAK}·")


def _sentence(text: str) -> str:
    """`text` with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


_FOLDER = Path(__file__).parent
_ENVIRONMENT = environment(_FOLDER)
_ENVIRONMENT.filters |= {
    "about": about,  # of seconds
    "clock": clock,  # of seconds
    "moment": moment,  # of an ISO 8601 time
    "sentence": _sentence,
    "unbroken": _unbroken,
}


def render(template: str, **values: Any) -> str:
    """HTML of `template`, for example "race/engine_panel.html". Raises `UndefinedError` for a value
    that the template needs and was not given."""
    return _ENVIRONMENT.get_template(template).render(values).strip()


@functools.cache
def page_source(*names: str) -> str:
    """The text of JavaScript or CSS files, one after the other, for example "race/speak.js"."""
    return "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in names)


def stylesheets() -> list[str]:
    """The names of all CSS files, for `page_source`: page.css, header.css and those of the tabs."""
    return sorted(path.relative_to(_FOLDER).as_posix() for path in _FOLDER.rglob("*.css"))
