"""What the page says of its weights: the line in the header, and the hints beside Run.

In: the better weights and the pool. Out: HTML, kept up to date with the header; the model
that visitors race while they have chosen none.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from maxwhisper.checkpoint import DEFAULT_MODEL, about
from maxwhisper.checkpoint.registry import OFFICIAL_MODELS
from maxwhisper.engines.pool import EnginePool
from maxwhisper.web.server.better_weights import BetterWeights, Standing
from maxwhisper.web.ui.events import QUIET
from maxwhisper.web.ui.templates import page_source, render

_NOTICE = f"{DEFAULT_MODEL} is a small English Whisper trained on synthesised speech"
_OTHER_MODELS = ": choose another for human voices"


@dataclass(frozen=True)
class Moment:
    """What is known of the better weights, and the engines that refused a model: name, model,
    reason."""

    standing: Standing
    refused: tuple[tuple[str, str, str], ...] = ()


class ShownWeights:
    """The better weights on one page, for all its visitors."""

    def __init__(self, weights: BetterWeights, pool: EnginePool) -> None:
        self.weights, self.pool = weights, pool
        # Of one visitor: what the page last heard. A change of it is the event of all that follows.
        self.default = gr.State(pool.default_model)
        self.news = gr.State(Moment(Standing("off")))

    def build(self) -> list[Any]:
        """Build the header's line; returns the components that `now` fills."""
        line = gr.HTML(self._line(), js_on_load=page_source("weights.js"), elem_id="weights")
        line.click(self._ask, None, [line], **QUIET)
        return [line, self.default, self.news]

    def now(self) -> tuple[str, str, Moment]:
        """The line, the default model, and what the hints are said of."""
        return self._line(), self.pool.default_model, self.moment()

    def moment(self) -> Moment:
        """What the hints are said of, now."""
        statuses = self.pool.statuses().items()
        refused = tuple((n, s.model, s.detail) for n, s in statuses if s.phase == "unavailable")
        return Moment(self.weights.standing, refused)

    def hints(self, model: str, is_own: bool, heard: Moment) -> str:
        """What a visitor is to know before racing `model`: the engines that cannot run it, and what
        the default model makes of a recording that `is_own`. They are said of what the page has
        `heard`: it hears of every change after that, so that none of them stays for ever."""
        html = refusals_html(heard.refused, model)
        if is_own:
            html += model_hint_html(heard.standing, model, len(self.pool.models))
        return html

    def _line(self) -> str:
        return line_html(self.weights.standing)

    def _ask(self) -> str:
        self.weights.ask()
        return self._line()


def line_html(standing: Standing) -> str:
    """The header's line; "" where nothing is to be said."""
    return render("weights.html", standing=standing, **_facts(standing))


def model_hint_html(standing: Standing, model: str, n_models: int) -> str:
    """Notice beside Run for visitors using their own recording, about to race `model` of `n_models`
    on offer; "" unless it is the default model."""
    if model != DEFAULT_MODEL:
        return ""
    return render(
        "race/model_hint.html",
        standing=standing,
        has_others=n_models > 1,
        **_facts(standing),
    )


def refusals_html(refused: Iterable[tuple[str, str, str]], model: str) -> str:
    """Each engine that has refused `model`, with its reason; "" if none has."""
    reasons = {
        engine: reason for engine, refused_model, reason in refused if refused_model == model
    }
    return render("race/refusals.html", model=model, reasons=reasons) if reasons else ""


def notice_html(model: str, n_models: int) -> str:
    """What the default model was trained on, in one line; "" for any other model."""
    if model != DEFAULT_MODEL:
        return ""
    note = f"{_NOTICE}{_OTHER_MODELS if n_models > 1 else ''}."
    return render("race/weights.html", note=note, about=about(model))


def _facts(standing: Standing) -> dict[str, Any]:
    """What is known of the better weights, for a template."""
    model = OFFICIAL_MODELS.get(standing.model)
    ability = ""
    if model is not None:
        languages = f"human voices in {model.dims.num_languages} languages"
        ability = languages if model.dims.is_multilingual else "human voices in English"
    progress, percent = standing.progress, None
    if progress is not None and progress.total_bytes:
        percent = min(100, 100 * progress.done_bytes // progress.total_bytes)
    return {"demo": DEFAULT_MODEL, "ability": ability, "percent": percent}
