"""The Race tab: choose a recording, run all engines on it, read and compare.

In: a `Runner`, the bundled clips, the checkpoint names on offer. Builds components and wires them;
what a run does is `race_run`.
"""

import functools
import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from maxwhisper.checkpoint import DEFAULT_MODEL, about, available
from maxwhisper.languages import LANGUAGES
from maxwhisper.options import TranscribeOptions
from maxwhisper.ui.errors import shown_errors
from maxwhisper.ui.examples import Example
from maxwhisper.ui.lanes import Lane, lane_html
from maxwhisper.ui.race_run import MAX_ROUNDS, Request, Runner, Source, View

_INTRO = "Record yourself, upload a file, or take one of these clips."
_INSECURE_NOTE = (
    "Browsers give a microphone only to pages served over https or from this machine itself: "
    "here, upload a file or take a clip."
)
_OTHER_MODELS = "For other speech choose an official model, under the settings below."


def race_tab(runner: Runner, examples: Sequence[Example], run_id: gr.State) -> None:
    """Build the tab inside the current `gr.Blocks`; `run_id` is set when a race is over."""
    models = runner.pool.models
    source = gr.State(None)
    if models[0] == DEFAULT_MODEL:
        note = f"{about(DEFAULT_MODEL)} {_OTHER_MODELS if len(models) > 1 else ''}"
        gr.HTML(f'<p class="notice"><strong>Weights:</strong> {html.escape(note)}</p>')
    with gr.Row(elem_classes="inputs"):
        with gr.Column(scale=5, min_width=300):
            audio = gr.Audio(
                sources=["upload", "microphone"],
                type="filepath",  # with format=None: the untouched file, decoded by us alone
                format=None,
                editable=False,
                buttons=[],
                waveform_options=gr.WaveformOptions(
                    waveform_color="#9a9488", waveform_progress_color="#0b7a55"
                ),
                label="Recording (up to 10 minutes)",
                elem_id="recording",
            )
        with gr.Column(scale=4, min_width=300):
            buttons = _clip_buttons(examples)
    reference = gr.Textbox(
        label="What was said (optional: gives the word error rate)",
        placeholder="Paste the exact words here",
        lines=1,
        max_lines=4,
        elem_id="reference",
    )
    settings = _settings(models)
    with gr.Row(elem_classes="actions"):
        run = gr.Button("Run all three", variant="primary", interactive=False, elem_id="run")
        stop = gr.Button("Stop", variant="stop", interactive=False, elem_id="stop")
    with gr.Row(elem_classes="lanes"):
        lanes = [
            gr.HTML(lane_html(Lane(name)), elem_id=f"lane-{name}") for name in runner.pool.names
        ]
    sentences = gr.HTML(_verdict_html([]), elem_id="verdict")
    chart = gr.Plot(show_label=False, container=False, visible=False, elem_id="chart")

    _wire_choice(runner, examples, buttons, audio, [source, reference, run])
    outputs = [*lanes, sentences, chart, run_id, run, stop]
    _wire_run(runner, [source, reference, *settings], outputs)


def _clip_buttons(examples: Sequence[Example]) -> list[gr.Button]:
    gr.HTML(
        f'<p class="hint">{_INTRO}</p><p class="hint insecure-only">{_INSECURE_NOTE}</p>',
        elem_id="intro",
    )
    buttons = []
    with gr.Row(elem_classes="clips"):
        for example in examples:
            label = f"{example.title} · {example.duration_s:.0f} s"
            buttons.append(gr.Button(label, size="sm", min_width=140))
    return buttons


def _settings(models: Sequence[str]) -> list[gr.components.Component]:
    """The settings that every engine honours, in the order `_request` takes them."""
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
            rounds = gr.Slider(1, MAX_ROUNDS, value=1, step=1, label="Rounds", elem_id="rounds")
        with gr.Row():
            timestamps = gr.Checkbox(True, label="Timestamps")
            condition = gr.Checkbox(True, label="Condition on previous text")
        prompt = gr.Textbox(label="Initial prompt", placeholder="Names and spellings to expect")
    return [model, language, task, rounds, timestamps, condition, prompt]


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


def _wire_choice(
    runner: Runner,
    examples: Sequence[Example],
    buttons: Sequence[gr.Button],
    audio: gr.Audio,
    outputs: list[Any],
) -> None:
    """Let an upload, a recording or a clip become the source; outputs: source, reference, run."""

    @shown_errors
    def receive(path: str | None) -> tuple[Source | None, str, Any]:
        if path is None:
            return None, "", gr.Button(interactive=False)
        checked = runner.uploads.check_inside(path)
        return Source(checked, is_upload=True), "", gr.Button(interactive=True)

    def choose(example: Example) -> tuple[str, Source, str, Any]:
        chosen = Source(Path(example.path), is_upload=False)
        return str(example.path), chosen, example.text, gr.Button(interactive=True)

    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    gr.on([audio.upload, audio.stop_recording, audio.clear], receive, [audio], outputs, **quiet)
    for button, example in zip(buttons, examples, strict=True):
        button.click(functools.partial(choose, example), None, [audio, *outputs], **quiet)


def _wire_run(runner: Runner, inputs: list[Any], outputs: list[Any]) -> None:
    """Run and Stop; outputs are the lanes, verdict, chart, run id, run, stop."""
    run, stop = outputs[-2:]

    @shown_errors
    def start(request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        try:
            for view in runner.run(str(request.session_hash), _request(*values)):
                yield _draw(view)
        except Exception:  # an error message alone would leave Run greyed out
            yield (*[gr.skip()] * (len(outputs) - 2), *_buttons(is_over=True))
            raise

    def halt(request: gr.Request) -> None:
        runner.stop(str(request.session_hash))

    run.click(start, inputs, outputs, show_progress="hidden", api_visibility="private")
    stop.click(halt, None, None, show_progress="hidden", api_visibility="private")


def _request(
    source: Source,
    reference: str | None,  # gradio sends None for a text box nobody touched
    model: str,
    language: str,
    task: str,
    rounds: float,
    timestamps: bool,
    condition: bool,
    prompt: str | None,
) -> Request:
    options = TranscribeOptions(
        temperature=0.0,  # nothing random: equal work for every engine
        language=language or None,
        task=task,
        without_timestamps=not timestamps,
        condition_on_previous_text=condition,
        initial_prompt=(prompt or "").strip() or None,
    )
    return Request(source, model, options, reference or "", int(rounds))


def _draw(view: View) -> tuple[Any, ...]:
    """A view as values for lanes, verdict, chart, run id, run, stop."""
    chart = gr.Plot(view.chart, visible=True) if view.chart is not None else gr.Plot(visible=False)
    return (
        *[lane_html(lane) for lane in view.lanes.values()],
        _verdict_html(view.sentences),
        chart,
        view.run_id,
        *_buttons(view.is_over),
    )


def _buttons(is_over: bool) -> tuple[Any, Any]:
    return gr.Button(interactive=is_over), gr.Button(interactive=not is_over)


def _verdict_html(sentences: Sequence[str]) -> str:
    if not sentences:
        return '<div class="verdict" aria-live="polite"></div>'
    first, *rest = [html.escape(sentence) for sentence in sentences]
    return (
        f'<div class="verdict" aria-live="polite"><p class="lead">{first}</p>'
        f"<ul>{''.join(f'<li>{sentence}</li>' for sentence in rest)}</ul></div>"
    )
