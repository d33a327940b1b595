"""What is asked before a race: a recording, what was said in it, model and settings.

In: the clips, the checkpoint names on offer, the folder of uploads. Out: components, wired so that
an upload, a recording or a clip becomes the source.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from maxwhisper.checkpoint import available
from maxwhisper.languages import LANGUAGES
from maxwhisper.options import FALLBACK, TranscribeOptions
from maxwhisper.serving.uploads import MAX_AUDIO_S, MAX_FILE_MB, Uploads
from maxwhisper.ui.errors import shown_errors
from maxwhisper.ui.events import QUIET
from maxwhisper.ui.examples import Example
from maxwhisper.ui.race_run import MAX_BEAM_SIZE, MAX_ROUNDS, Request, Source
from maxwhisper.ui.recorder import recorder, taken

_INTRO = "Record yourself, upload a file, or take one of these clips."
_INSECURE_NOTE = (
    "Browsers give a microphone only to pages served over https or from this machine itself: "
    "here, upload a file or take a clip."
)
_OFF_JS = "() => ({__type__: 'update', interactive: false})"


@dataclass(frozen=True)
class Inputs:
    """The components a race reads; `values` in the order that `request_from` takes them."""

    source: gr.State
    reference: gr.Textbox
    rounds: gr.Radio
    keep: gr.Checkbox
    settings: list[gr.components.Component]
    run: gr.Button
    stop: gr.Button
    chosen: list[Any]  # events: there is another recording, or none

    @property
    def values(self) -> list[gr.components.Component]:
        return [self.source, self.reference, self.rounds, self.keep, *self.settings]


def race_inputs(uploads: Uploads, models: Sequence[str], examples: Sequence[Example]) -> Inputs:
    """Build them inside the current `gr.Blocks`."""
    source = gr.State(None)
    with gr.Row(elem_classes="inputs"):
        with gr.Column(scale=5, min_width=300):
            given = recorder(
                f"Sound or video, up to {MAX_AUDIO_S / 60:.0f} min, {MAX_FILE_MB} MB", "recording"
            )
        with gr.Column(scale=5, min_width=300):
            clips = _clip_buttons(examples)
    reference = gr.Textbox(
        label="What was said (optional: gives the error rate, also after the race)",
        placeholder="Paste the exact words here",
        lines=1,
        max_lines=4,
        elem_id="reference",
    )
    settings = _settings(models)
    with gr.Row(elem_classes="actions"):
        run = gr.Button("Run all three", variant="primary", interactive=False, elem_id="run")
        stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop")
        rounds = gr.Radio(
            list(range(1, MAX_ROUNDS + 1)), value=1, label="Rounds", elem_id="rounds", min_width=220
        )
        keep = gr.Checkbox(
            True,
            label="Keep it under a link",
            info="Else it is deleted when you close the page.",
            elem_id="keep",
            min_width=220,
        )
    outputs = [source, reference, run, given.refused]
    chosen = _wire(uploads, given.audio, list(zip(clips, examples, strict=True)), outputs)
    return Inputs(source, reference, rounds, keep, settings, run, stop, chosen)


def request_from(
    source: Source | None,
    reference: str | None,  # gradio sends None for a text box nobody touched
    rounds: float,
    keep: bool,
    model: str,
    language: str,
    task: str,
    beam_size: float,  # 1 is greedy
    temperature: float,
    timestamps: bool,
    word_timestamps: bool,
    condition: bool,
    prompt: str | None,
) -> Request:
    """The values of `Inputs.values` as a request. One temperature, never a fallback: every engine
    decodes each window once."""
    options = TranscribeOptions(
        language=language or None,
        task=task,
        beam_size=None if beam_size == 1 else int(beam_size),
        temperature=float(temperature),
        without_timestamps=not timestamps,
        word_timestamps=word_timestamps,
        condition_on_previous_text=condition,
        initial_prompt=(prompt or "").strip() or None,
    )
    return Request(source, model, options, reference or "", int(rounds), keep)


def run_button(source: Source | None) -> gr.Button:
    """Run can be pressed where there is a recording to run."""
    return gr.Button(interactive=source is not None)


def _clip_buttons(examples: Sequence[Example]) -> list[gr.Button]:
    gr.HTML(
        f'<p class="hint">{_INTRO}</p><p class="hint insecure-only">{_INSECURE_NOTE}</p>',
        elem_id="intro",
    )
    with gr.Row(elem_classes="clips"):
        return [
            gr.Button(f"{clip.title}\n{clip.duration_s:.0f} s · {clip.description}", min_width=140)
            for clip in examples
        ]


def _settings(models: Sequence[str]) -> list[gr.components.Component]:
    """The settings that every engine honours, in the order `request_from` takes them."""
    languages = [(name.title(), code) for code, name in LANGUAGES.items()]
    with gr.Accordion("Model and settings, the same for every engine", open=False):
        with gr.Row():
            model = gr.Dropdown(
                _model_choices(models), value=models[0], label="Model", elem_id="model"
            )
            language = gr.Dropdown(
                [("Detect", ""), *languages], value="en", label="Language", elem_id="language"
            )
            task = gr.Dropdown(["transcribe", "translate"], value="transcribe", label="Task")
        with gr.Row():
            beams = [("1: greedy", 1), *((str(n), n) for n in range(2, MAX_BEAM_SIZE + 1))]
            beam_size = gr.Dropdown(beams, value=1, label="Beam size", elem_id="beam-size")
            temperatures = [("0: nothing is random", 0.0), *((str(t), t) for t in FALLBACK[1:])]
            temperature = gr.Dropdown(
                temperatures, value=0.0, label="Temperature", elem_id="temperature"
            )
        with gr.Row():
            timestamps = gr.Checkbox(True, label="Timestamps")
            words = gr.Checkbox(False, label="Times of words")
            condition = gr.Checkbox(True, label="Condition on previous text")
        prompt = gr.Textbox(label="Initial prompt", placeholder="Names and spellings to expect")
    return [model, language, task, beam_size, temperature, timestamps, words, condition, prompt]


def _model_choices(models: Sequence[str]) -> list[tuple[str, str]]:
    """(label, name): size, and whether the first use fetches it."""
    known = {row.name: row for row in available()}
    choices = []
    for name in models:
        label = name
        if name in known:
            label += f" · {known[name].parameters / 1e6:.0f} M parameters"
            label += "" if known[name].on_disk else ", fetched on first use"
        choices.append((label, name))
    return choices


def _wire(
    uploads: Uploads,
    audio: gr.Audio,
    clips: Sequence[tuple[gr.Button, Example]],
    outputs: list[Any],
) -> list[Any]:
    """Let an upload, a recording or a clip become the source; returns the events by which it
    changes. Outputs: source, reference, run, what is wrong with the file."""
    *_, run, _ = outputs

    def accept(path: str | None, name: str) -> tuple[Any, Source | None, str, Any, str]:
        player, own, problem = taken(uploads, path)
        chosen = Source(own, is_upload=True, name=name or own.name) if own else None
        return player, chosen, "", run_button(chosen), problem

    @shown_errors
    def receive(path: str | None) -> tuple[Any, ...]:
        return accept(path, "")

    @shown_errors
    def hear(path: str | None) -> tuple[Any, ...]:
        return accept(path, "Microphone recording")

    def choose(clip: Example) -> tuple[Any, ...]:
        chosen = Source(Path(clip.path), is_upload=False, name=clip.title)
        return str(clip.path), chosen, clip.reference, run_button(chosen), ""

    # The next recording may begin to come before the server hears that the last one is gone, and
    # be there before it has answered: what it then holds is asked once more, not ignored.
    gr.on([audio.clear, audio.start_recording], None, None, [run], js=_OFF_JS, **QUIET)
    given, shown = [audio.upload, audio.clear], [audio, *outputs]
    gr.on(given, receive, [audio], shown, trigger_mode="always_last", **QUIET)
    audio.stop_recording(hear, [audio], shown, **QUIET)
    for button, clip in clips:
        button.click(functools.partial(choose, clip), None, shown, **QUIET)
    own = [audio.upload, audio.clear, audio.start_recording, audio.stop_recording]
    return [*own, *(button.click for button, _ in clips)]
