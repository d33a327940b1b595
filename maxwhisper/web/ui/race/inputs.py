"""The form of a race: a recording, its correct transcript, model and settings.

Input: the clips, the checkpoint names, the folder of uploads. Output: components, wired so that
what a visitor speaks, uploads or chooses becomes the source.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from maxwhisper.checkpoint import available, dims_of
from maxwhisper.engines.pool import EnginePool
from maxwhisper.options import FALLBACK, TranscribeOptions
from maxwhisper.options.info import Option
from maxwhisper.text.languages import LANGUAGES
from maxwhisper.web.server.uploads import MAX_AUDIO_S, MAX_FILE_MB, Uploads
from maxwhisper.web.ui.errors import shown_errors
from maxwhisper.web.ui.events import QUIET
from maxwhisper.web.ui.examples import Example
from maxwhisper.web.ui.race.request import (
    MAX_BEAM_SIZE,
    MAX_ROUNDS,
    RACE_MODE,
    RACE_OPTIONS,
    Request,
    Source,
)
from maxwhisper.web.ui.recorder import Recorder, recorder, taken
from maxwhisper.web.ui.templates import page_source, render
from maxwhisper.web.ui.weights import notice_html

# Choices of options that are numbers. A beam size of 1 stands for greedy decoding, a
# batch size of 1 for none.
_CHOICES: dict[str, list[tuple[str, float]]] = {
    "beam_size": [("1: greedy", 1), *((str(n), n) for n in range(2, MAX_BEAM_SIZE + 1))],
    "batch_size": [("1: one after another", 1), *((str(n), n) for n in (4, 8, 16))],
    "temperature": [("0: deterministic", 0.0), *((str(t), t) for t in FALLBACK[1:])],
}
_LABELS = {"vad": "Voice activity detection"}
AUTOMATIC = "automatic"  # rounds
_SPEAK = "Say a sentence: the race begins when you pause."
_SPOKEN = "My recording"
_OFF_JS = "() => ({__type__: 'update', interactive: false})"


@dataclass(frozen=True)
class Inputs:
    """The components that a race reads."""

    source: gr.State
    reference: gr.Textbox
    rounds: gr.Radio
    keep: gr.Checkbox
    has_kept: gr.State  # the visitor chose whether the race is kept
    model: gr.Dropdown
    language: gr.Dropdown
    settings: list[gr.components.Component]  # after the language
    audio: gr.Audio
    speak: gr.HTML
    heard: Any  # the event's dependency: what was spoken is the source now
    notice: gr.HTML  # about the default model
    model_hint: gr.HTML  # offers an official model for human speech
    run: gr.Button
    stop: gr.Button
    chosen: list[Any]  # events: the recording changed

    @property
    def values(self) -> list[gr.components.Component]:
        """The components whose values `request_from` takes, in its order."""
        first = [self.source, self.reference, self.rounds, self.keep, self.has_kept]
        return [*first, self.model, self.language, *self.settings]


def race_inputs(uploads: Uploads, pool: EnginePool, examples: Sequence[Example]) -> Inputs:
    """Build the inputs inside the current `gr.Blocks`."""
    source = gr.State(None)
    with gr.Row(elem_classes="entries"):
        idle = render("race/speak.html", idle=_SPEAK)
        speak = gr.HTML(
            idle, js_on_load=page_source("microphone.js", "race/speak.js"), elem_id="speak"
        )
        limits = {"max_min": f"{MAX_AUDIO_S / 60:.0f}", "max_mb": MAX_FILE_MB}
        gr.HTML(
            render("race/upload.html", **limits),
            js_on_load=page_source("race/upload.js"),
            elem_id="upload",
        )
        clips = _clip_buttons(examples)
    with gr.Row(elem_classes="actions"):
        with gr.Column(elem_classes="given", min_width=0):
            chosen = gr.HTML(
                _chosen_html(), js_on_load=page_source("race/chosen.js"), elem_id="chosen"
            )
            given = recorder("Recording", "recording", has_microphone=False)
        run = gr.Button("Run all three", variant="primary", interactive=False, elem_id="run")
        stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop")
    options = "Options: model and settings, the same for every engine"
    with gr.Row(elem_classes="settings"):
        notice = gr.HTML(notice_html(pool.default_model, len(pool.models)), elem_id="notice")
        with gr.Accordion(options, open=False, elem_id="options"):
            reference, rounds, keep = _race_options()
            (model, language), settings = _settings(pool)
    model_hint = gr.HTML("", js_on_load=page_source("weights.js"), elem_id="model-hint")
    has_kept = gr.State(False)
    wiring = _Wiring(uploads, given, source, reference, run, keep, has_kept, chosen)
    events, heard = wiring.connect(speak, list(zip(clips, examples, strict=True)))
    return Inputs(
        source,
        reference,
        rounds,
        keep,
        has_kept,
        model,
        language,
        settings,
        given.audio,
        speak,
        heard,
        notice,
        model_hint,
        run,
        stop,
        events,
    )


def _race_options() -> tuple[gr.Textbox, gr.Radio, gr.Checkbox]:
    """The correct transcript, the rounds, and whether the race is kept."""
    reference = gr.Textbox(
        label="Correct transcript (optional, adds word error rate)",
        placeholder="Paste the exact words, before or after the race",
        lines=1,
        max_lines=4,
        elem_id="reference",
    )
    with gr.Row():
        rounds = gr.Radio(
            [("Automatic", AUTOMATIC), *((str(n), n) for n in range(1, MAX_ROUNDS + 1, 2))],
            value=AUTOMATIC,
            label="Rounds",
            info="Automatic: 3 up to a minute of sound, else 1.",
            elem_id="rounds",
            min_width=220,
        )
        keep = gr.Checkbox(
            True,
            label="Save with a share link",
            info="Otherwise deleted when you close this page. Your voice is saved only if you ask.",
            elem_id="keep",
            min_width=220,
        )
    return reference, rounds, keep


def request_from(
    source: Source | None,
    reference: str | None,  # gradio sends None for a text box nobody touched
    rounds: int | str,
    *settings: Any,
) -> Request:
    """The values of `Inputs.values` as a request. `settings`: keep, whether the visitor
    chose that, model, language, `RACE_OPTIONS`, `RACE_MODE`. A browser sends what it likes: a value
    of another type stays as it is, and `validate` refuses it.

    A recording of a voice is kept only if the visitor chose that, whatever the box shows: it may
    still show the answer for the clip before."""
    keep, has_kept, model, language, *values = settings
    if source is not None and source.is_spoken and not has_kept:
        keep = False
    chosen = dict(zip((*RACE_OPTIONS, *RACE_MODE), values, strict=True))
    mode = {name: chosen.pop(name) for name in RACE_MODE}
    mode["batch_size"] = None if mode["batch_size"] == 1 else mode["batch_size"]
    temperature, prompt = chosen["temperature"], chosen["initial_prompt"]
    chosen |= {
        "beam_size": None if chosen["beam_size"] == 1 else chosen["beam_size"],
        # the browser sends 0.0 as 0
        "temperature": 0.0 if type(temperature) is int and temperature == 0 else temperature,
        "initial_prompt": prompt.strip() or None if isinstance(prompt, str) else prompt,
    }
    options = TranscribeOptions(language=None if language == "" else language, **chosen)
    wanted: Any = None if rounds == AUTOMATIC else rounds
    text = "" if reference is None else reference
    return Request(source, model, options, text, wanted, keep, **mode)


def run_button(source: Source | None) -> gr.Button:
    """The Run button, enabled if there is a recording."""
    return gr.Button(interactive=source is not None)


def _clip_buttons(examples: Sequence[Example]) -> list[gr.Button]:
    with gr.Column(elem_classes="entry", min_width=0):
        gr.HTML(render("race/clips.html"))
        with gr.Row(elem_classes="clips", elem_id="clips"):
            return [
                gr.Button(f"{clip.title} · {clip.duration_s:.0f} s", size="sm", min_width=0)
                for clip in examples
            ]


def _chosen_html(name: str = "", what: str = "", clip: int | None = None) -> str:
    """What is about to be raced; `clip` is the index of a bundled one."""
    return render("race/chosen.html", name=name, what=what, clip=clip)


def _settings(
    pool: EnginePool,
) -> tuple[tuple[gr.Dropdown, gr.Dropdown], list[gr.components.Component]]:
    """Controls of the model, the language and every one of `RACE_OPTIONS` and `RACE_MODE`, in that
    order."""
    with gr.Row():
        model = gr.Dropdown(
            model_choices(pool.models),
            value=pool.default_model,
            label="Model",
            elem_id="model",
        )
        language = gr.Dropdown(
            languages_of(pool.default_model),
            value=usual_language(pool.default_model),
            label="Language",
            elem_id="language",
            interactive=len(languages_of(pool.default_model)) > 1,
        )
    controls = []
    for _, options in itertools.groupby(RACE_OPTIONS.values(), lambda each: each.kind is bool):
        with gr.Row():  # check boxes have a row of their own
            controls += [_control(option, pool.default_model) for option in options]
    with gr.Row():
        controls += [_control(option, pool.default_model) for option in RACE_MODE.values()]
    _limit(model, language, controls[0])
    return (model, language), controls


def _limit(model: gr.Dropdown, language: gr.Dropdown, task: gr.components.Component) -> None:
    """Offer only what the chosen weights can do."""
    model.change(_offered, [model, language, task], [language, task], **QUIET)


def _control(option: Option, model: str) -> gr.components.Component:
    """The control that fits the option's type, for these weights."""
    described: dict[str, Any] = {
        "label": _LABELS.get(option.name, option.name.replace("_", " ").capitalize()),
        "info": option.info.help[0].upper() + option.info.help[1:],  # "English" keeps its capital
        "elem_id": option.name.replace("_", "-"),
    }
    if option.name in _CHOICES:
        choices = _CHOICES[option.name]
        return gr.Dropdown(choices, value=choices[0][1], **described)
    if option.name == "task":
        tasks = tasks_of(model)
        return gr.Dropdown(tasks, value=tasks[0], interactive=len(tasks) > 1, **described)
    if option.info.allowed.choices:
        return gr.Dropdown(list(option.info.allowed.choices), value=option.default, **described)
    if option.kind is bool:
        return gr.Checkbox(option.default, **described)
    return gr.Textbox(**described)


def usual_language(model: str) -> str:
    """The language of a visitor who chose none: detected, if the model knows more than English."""
    dims = dims_of(model)
    return "" if dims is not None and dims.is_multilingual else "en"


def languages_of(model: str) -> list[tuple[str, str]]:
    """(name, code) of each language that the weights can hear; English alone for those that know no
    other."""
    dims = dims_of(model)
    if dims is not None and not dims.is_multilingual:
        return [("English", "en")]
    n_languages = dims.num_languages if dims is not None else None
    names = itertools.islice(LANGUAGES.items(), n_languages)
    return [("Detect", ""), *((name.title(), code) for code, name in names)]


def tasks_of(model: str) -> list[str]:
    """The tasks that the weights can do."""
    dims = dims_of(model)
    tasks = RACE_OPTIONS["task"].info.allowed.choices
    return [task for task in tasks if task != "translate" or dims is None or dims.can_translate]


def language_control(model: str) -> gr.Dropdown:
    """The control of the language for a visitor of these weights who chose none."""
    languages = languages_of(model)
    return gr.Dropdown(languages, value=usual_language(model), interactive=len(languages) > 1)


def _offered(model: str, language: str, task: str) -> tuple[Any, Any]:
    """The controls of language and task after another model was chosen. What it can do stays as it
    is, even if it was changed meanwhile."""
    languages, tasks = languages_of(model), tasks_of(model)
    is_known = language in {code for _, code in languages}
    kept_language: dict[str, Any] = {} if is_known else {"value": usual_language(model)}
    kept_task: dict[str, Any] = {} if task in tasks else {"value": tasks[0]}
    return (
        gr.update(choices=languages, interactive=len(languages) > 1, **kept_language),
        gr.update(choices=tasks, interactive=len(tasks) > 1, **kept_task),
    )


def model_choices(models: Sequence[str]) -> list[tuple[str, str]]:
    """(label, name) of each model; the label has its size and whether it is downloaded first."""
    known = {row.name: row for row in available(is_verified=False)}
    choices = []
    for name in models:
        label = name
        if name in known:
            label += f" · {known[name].parameters / 1e6:.0f} M parameters"
            label += "" if known[name].place else ", downloaded on first use"
        choices.append((label, name))
    return choices


@dataclass(frozen=True)
class _Wiring:
    """Makes what is spoken, uploaded or chosen the source."""

    uploads: Uploads
    given: Recorder
    source: gr.State
    reference: gr.Textbox
    run: gr.Button
    keep: gr.Checkbox
    has_kept: gr.State
    chosen: gr.HTML

    def connect(
        self, speak: gr.HTML, clips: Sequence[tuple[gr.Button, Example]]
    ) -> tuple[list[Any], Any]:
        """Returns the events that change the source, and the dependency that follows speech."""
        audio, run = self.given.audio, self.run
        self.keep.input(lambda: True, None, [self.has_kept], **QUIET)
        # Whether a recording is kept changes with it, in the same event.
        shown = [audio, self.source, self.reference, run, self.given.refused, self.chosen]
        shown.append(self.keep)
        # The next recording may start, and even arrive, before the server has answered that the
        # last one is gone. `always_last` asks once more then, instead of ignoring the event.
        gone = [audio.clear, speak.stop_recording, speak.edit]
        gr.on(gone, None, None, [run], js=_OFF_JS, **QUIET)
        brought = [audio.upload, audio.clear]
        given = [audio, self.has_kept]
        gr.on(brought, self.receive, given, shown, trigger_mode="always_last", **QUIET)
        speak.edit(self.hear, [self.has_kept], shown, **QUIET)
        heard = speak.stop_recording(self.hear, [self.has_kept], shown, **QUIET)
        for index, (button, clip) in enumerate(clips):
            choose = functools.partial(self.choose, index, clip)
            button.click(choose, [self.has_kept], shown, **QUIET)
        others = [*brought, *(button.click for button, _ in clips)]
        return [*others, speak.start_recording, speak.edit], heard

    @shown_errors
    def receive(self, path: str | None, has_kept: bool) -> tuple[Any, ...]:
        """An upload, or None where it was removed."""
        player, own, problem = taken(self.uploads, path)
        source = Source(own, is_upload=True, name=own.name) if own else None
        shown = (player, source, "", run_button(source), problem, _named(source))
        return *shown, _kept(has_kept, usual=True)

    @shown_errors
    def hear(self, has_kept: bool, event: gr.EventData) -> tuple[Any, ...]:
        """What a visitor spoke. It is kept only if he asks."""
        path = str(event.path)
        player, own, problem = taken(self.uploads, path)
        source = Source(own, is_upload=True, name=_SPOKEN, is_spoken=True) if own else None
        shown = (path if own else player, source, "", run_button(source), problem)
        return *shown, _named(source), _kept(has_kept, usual=False)

    def choose(self, index: int, clip: Example, has_kept: bool) -> tuple[Any, ...]:
        source = Source(Path(clip.path), is_upload=False, name=clip.title)
        named = _chosen_html(clip.title, f"{clip.duration_s:.0f} s · {clip.description}", index)
        shown = (str(clip.path), source, clip.reference, run_button(source), "", named)
        return *shown, _kept(has_kept, usual=True)


def _kept(has_kept: bool, *, usual: bool) -> Any:
    """The box "Save with a share link": its usual value, unless the visitor made a choice."""
    return gr.skip() if has_kept else usual


def _named(source: Source | None) -> str:
    return _chosen_html(source.name if source else "")
