"""The model of a race: the visitor's own choice, or the page's default, which gets better.

Also the door beside Run: it tells a visitor who records or uploads that `demo` has heard only
synthesised speech, and leads to the weights that understand people.
"""

from typing import Any

import gradio as gr

from maxwhisper.web.ui.events import QUIET
from maxwhisper.web.ui.race.inputs import Inputs, model_choices
from maxwhisper.web.ui.race.request import Source
from maxwhisper.web.ui.weights import ShownWeights, door_html, notice_html


def wire_door(weights: ShownWeights, inputs: Inputs, notice: gr.HTML) -> None:
    """Connect the model's control, the door and the `notice` about the default model."""
    pool, better = weights.pool, weights.weights
    is_own = gr.State(False)  # the recording is, or is about to be, the visitor's own
    is_chosen = gr.State(False)  # he chose the model himself: it is never changed for him

    def door(is_own: bool, model: str) -> str:
        return door_html(better.standing, model, len(pool.models)) if is_own else ""

    def follow(is_own: bool, is_chosen: bool, model: str) -> tuple[Any, str, str]:
        """Race the new default, if the visitor made no choice."""
        default = pool.default_model
        model = model if is_chosen else default
        control = gr.Dropdown(model_choices(pool.models), value=model)
        return control, notice_html(default, len(pool.models)), door(is_own, model)

    def enter(model: str) -> tuple[Any, bool, str]:
        """Race the better weights: now, or as soon as they are the default."""
        better.ask()
        standing = better.standing
        model = standing.model if standing.phase == "ready" else model
        return gr.skip() if standing.phase != "ready" else model, False, door(True, model)

    def begin(model: str) -> tuple[bool, str]:
        return True, door(True, model)

    def receive(source: Source | None, model: str) -> tuple[bool, str]:
        is_own = source is not None and source.is_upload
        return is_own, door(is_own, model)

    seen = [is_own, inputs.model]
    gr.on([weights.news.change, inputs.model.change], door, seen, [inputs.door], **QUIET)
    inputs.audio.start_recording(begin, [inputs.model], [is_own, inputs.door], **QUIET)
    inputs.source.change(receive, [inputs.source, inputs.model], [is_own, inputs.door], **QUIET)
    inputs.model.input(lambda: True, None, [is_chosen], **QUIET)
    inputs.door.click(enter, [inputs.model], [inputs.model, is_chosen, inputs.door], **QUIET)
    weights.default.change(
        follow,
        [is_own, is_chosen, inputs.model],
        [inputs.model, notice, inputs.door],
        **QUIET,
    )
