"""The model of a race: the visitor's own choice, or the page's default, which gets better.

Also the hints beside Run. They tell visitors which engines refuse the model. They tell those who
record or upload that `demo` was trained only on synthesised speech, and offer an official model for
human speech.
"""

from typing import Any

import gradio as gr

from maxwhisper.web.ui.events import QUIET
from maxwhisper.web.ui.race.inputs import Inputs, language_control, model_choices
from maxwhisper.web.ui.race.request import Source
from maxwhisper.web.ui.weights import Moment, ShownWeights, notice_html


def wire_model_hint(weights: ShownWeights, inputs: Inputs) -> None:
    """Connect the model's control, the hint and the notice about the default model."""
    pool, better = weights.pool, weights.weights
    is_own = gr.State(False)  # the recording is, or is about to be, the visitor's own
    # Their own choice is never replaced.
    has_model, has_language = gr.State(False), gr.State(False)

    def hint(is_own: bool, model: str, heard: Moment) -> str:
        return weights.hints(model, is_own, heard)

    def language(model: str, has_language: bool) -> Any:
        return gr.skip() if has_language else language_control(model)

    def follow(
        is_own: bool, has_model: bool, has_language: bool, model: str, heard: Moment
    ) -> tuple[Any, ...]:
        """Race the new default, if the visitor made no choice."""
        default = pool.default_model
        model = model if has_model else default
        return (
            gr.Dropdown(model_choices(pool.models), value=model),
            language(model, has_language),
            notice_html(default, len(pool.models)),
            hint(is_own, model, heard),
        )

    def enter(has_language: bool, model: str) -> tuple[Any, ...]:
        """Race the better weights: now, or as soon as they are the default."""
        better.ask()
        heard = weights.moment()
        if better.standing.phase != "ready":
            return gr.skip(), gr.skip(), False, hint(True, model, heard), heard
        model = better.standing.model
        return model, language(model, has_language), False, hint(True, model, heard), heard

    def begin(model: str, heard: Moment) -> tuple[bool, str]:
        return True, hint(True, model, heard)

    def receive(source: Source | None, model: str, heard: Moment) -> tuple[bool, str]:
        is_own = source is not None and source.is_upload
        return is_own, hint(is_own, model, heard)

    model, network = inputs.model, [inputs.model, inputs.language]
    shown, heard = inputs.model_hint, weights.news
    gr.on([heard.change, model.change], hint, [is_own, model, heard], [shown], **QUIET)
    inputs.speak.start_recording(begin, [model, heard], [is_own, shown], **QUIET)
    inputs.source.change(receive, [inputs.source, model, heard], [is_own, shown], **QUIET)
    model.input(lambda: True, None, [has_model], **QUIET)
    inputs.language.input(lambda: True, None, [has_language], **QUIET)
    entered = [*network, has_model, shown, heard]
    shown.click(enter, [has_language, model], entered, **QUIET)
    seen = [is_own, has_model, has_language, model, heard]
    weights.default.change(follow, seen, [*network, inputs.notice, shown], **QUIET)
