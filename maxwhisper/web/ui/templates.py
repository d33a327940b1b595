"""HTML of the page: Jinja2 templates, which escape every value.

A template lies beside the module that renders it. Input: its path from `web/ui`, and values.
Output: HTML that Gradio shows as it is.
"""

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


_ENVIRONMENT = environment(Path(__file__).parent)
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
