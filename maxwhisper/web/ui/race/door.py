"""The model of a race: the visitor's own choice, or the page's default, which gets better.

Also the door beside Run: it tells a visitor who records or uploads that `demo` was trained
only on synthesised speech, and leads to the weights that understand people.
"""

from typing import Any

import gradio as gr

from maxwhisper.web.ui.events import QUIET
from maxwhisper.web.ui.race.inputs import Inputs, language_control, model_choices
from maxwhisper.web.ui.race.request import Source
from maxwhisper.web.ui.weights import ShownWeights, door_html, notice_html


def wire_door(weights: ShownWeights, inputs: Inputs) -> None:
    """Connect the model's control, the door and the notice about the default model."""
    pool, better = weights.pool, weights.weights
    is_own = gr.State(False)  # the recording is, or is about to be, the visitor's own
    # What visitors chose themselves is never changed for them.
    has_model, has_language = gr.State(False), gr.State(False)

    def door(is_own: bool, model: str) -> str:
        return door_html(better.standing, model, len(pool.models)) if is_own else ""

    def language(model: str, has_language: bool) -> Any:
        return gr.skip() if has_language else language_control(model)

    def follow(is_own: bool, has_model: bool, has_language: bool, model: str) -> tuple[Any, ...]:
        """Race the new default, if the visitor made no choice."""
        default = pool.default_model
        model = model if has_model else default
        return (
            gr.Dropdown(model_choices(pool.models), value=model),
            language(model, has_language),
            notice_html(default, len(pool.models)),
            door(is_own, model),
        )

    def enter(has_language: bool, model: str) -> tuple[Any, ...]:
        """Race the better weights: now, or as soon as they are the default."""
        better.ask()
        if better.standing.phase != "ready":
            return gr.skip(), gr.skip(), False, door(True, model)
        model = better.standing.model
        return model, language(model, has_language), False, door(True, model)

    def begin(model: str) -> tuple[bool, str]:
        return True, door(True, model)

    def receive(source: Source | None, model: str) -> tuple[bool, str]:
        is_own = source is not None and source.is_upload
        return is_own, door(is_own, model)

    model, network = inputs.model, [inputs.model, inputs.language]
    gr.on([weights.news.change, model.change], door, [is_own, model], [inputs.door], **QUIET)
    inputs.speak.start_recording(begin, [model], [is_own, inputs.door], **QUIET)
    inputs.source.change(receive, [inputs.source, model], [is_own, inputs.door], **QUIET)
    model.input(lambda: True, None, [has_model], **QUIET)
    inputs.language.input(lambda: True, None, [has_language], **QUIET)
    entered = [*network, has_model, inputs.door]
    inputs.door.click(enter, [has_language, model], entered, **QUIET)
    seen, shown = [is_own, has_model, has_language, model], [*network, inputs.notice, inputs.door]
    weights.default.change(follow, seen, shown, **QUIET)
