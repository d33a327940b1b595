"""What the page says of its weights: the line in the header, and the hints beside Run.

In: the better weights and the pool. Out: HTML, kept up to date with the header; the model
that visitors race while they have chosen none.
"""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from maxwhisper.checkpoint import DEFAULT_MODEL, about
from maxwhisper.checkpoint.registry import OFFICIAL_MODELS
from maxwhisper.engines.pool import EnginePool
from maxwhisper.engines.status import Status
from maxwhisper.web.server.better_weights import BetterWeights, Standing
from maxwhisper.web.ui.events import QUIET
from maxwhisper.web.ui.templates import page_source, render

_NOTICE = f"{DEFAULT_MODEL} is a small English Whisper trained on synthesised speech"
_OTHER_MODELS = ": choose another for human voices"


class ShownWeights:
    """The better weights on one page, for all its visitors."""

    def __init__(self, weights: BetterWeights, pool: EnginePool) -> None:
        self.weights, self.pool = weights, pool
        # Of one visitor: what the page last heard. A change of it is the event of all that follows.
        self.default = gr.State(pool.default_model)
        self.news = gr.State("")

    def build(self) -> list[Any]:
        """Build the header's line; returns the components that `now` fills."""
        line = gr.HTML(self._line(), js_on_load=page_source("weights.js"), elem_id="weights")
        line.click(self._ask, None, [line], **QUIET)
        return [line, self.default, self.news]

    def now(self) -> tuple[str, str, str]:
        """The line, the default model, and what distinguishes this moment for the hints."""
        moment = _moment(self.weights.standing, self._refused())
        return self._line(), self.pool.default_model, moment

    def hints(self, model: str, is_own: bool) -> tuple[str, str]:
        """What a visitor is to know before racing `model`: the engines that cannot run it, and what
        the default model makes of a recording that `is_own`. Then the moment that this was said of,
        for `news`: a page that has heard of another one asks again."""
        standing, refused = self.weights.standing, self._refused()
        html = refusals_html(refused, model)
        if is_own:
            html += model_hint_html(standing, model, len(self.pool.models))
        return html, _moment(standing, refused)

    def _refused(self) -> dict[str, Status]:
        statuses = self.pool.statuses().items()
        return {name: status for name, status in statuses if status.phase == "unavailable"}

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


def refusals_html(refused: Mapping[str, Status], model: str) -> str:
    """Each engine that has refused `model`, with its reason; "" if none has."""
    reasons = {name: status.detail for name, status in refused.items() if status.model == model}
    return render("race/refusals.html", model=model, reasons=reasons) if reasons else ""


def _moment(standing: Standing, refused: Mapping[str, Status]) -> str:
    return str((standing, {name: (s.model, s.detail) for name, s in refused.items()}))


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
