"""The Race tab: choose a recording, run all engines on it, watch, read, replay, keep.

In: a `Runner`, the bundled clips. Builds components and wires them: what is asked is
`race_inputs`, what a run does is `race_run`, what is shown of it is `run_view` and `replay`.
"""

import dataclasses
import functools
import html
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from maxwhisper.checkpoint import DEFAULT_MODEL, about
from maxwhisper.engine import ENGINES
from maxwhisper.serving.run import Run
from maxwhisper.serving.runs import RunNotFound
from maxwhisper.ui import kept, replay
from maxwhisper.ui.errors import in_words, shown_errors
from maxwhisper.ui.events import QUIET
from maxwhisper.ui.examples import Example
from maxwhisper.ui.lanes import Lane, lane_html
from maxwhisper.ui.race_inputs import Inputs, race_inputs, request_from, run_button
from maxwhisper.ui.race_run import Runner, Source
from maxwhisper.ui.run_view import View, view_of
from maxwhisper.ui.stoppable import run_and_stop

_OTHER_MODELS = "For other speech choose an official model, under the settings below."


@dataclasses.dataclass(frozen=True)
class Results:
    """The components that show a race, in the order `_draw` fills them."""

    banner: gr.HTML
    lanes: list[gr.HTML]
    sentences: gr.HTML
    chart: gr.Plot
    replay: gr.HTML
    kept: gr.HTML
    forget: gr.Button
    run_id: gr.State
    raced: gr.State  # the source that was raced here; None when the race came by its link

    @property
    def all(self) -> list[Any]:
        shown = (getattr(self, field.name) for field in dataclasses.fields(self))
        return [c for item in shown for c in (item if isinstance(item, list) else [item])]


def race_tab(runner: Runner, examples: Sequence[Example], run_id: gr.State) -> None:
    """Build the tab inside the current `gr.Blocks`; `run_id` is set when a race is over, or opened
    by its link."""
    models = runner.pool.models
    if models[0] == DEFAULT_MODEL:
        note = f"{about(DEFAULT_MODEL)} {_OTHER_MODELS if len(models) > 1 else ''}"
        gr.HTML(f'<p class="notice"><strong>Weights:</strong> {_escaped(note)}</p>')
    inputs = race_inputs(runner.uploads, models, examples)
    recorded = _recorded_buttons(runner)
    results = _results(runner, run_id)
    _wire_run(runner, inputs, results)
    _wire_recorded(runner, recorded, results)
    _wire_kept(runner, inputs, results)


def _recorded_buttons(runner: Runner) -> list[tuple[gr.Button, Run]]:
    """One for each race that came with the page: a show goes on without time, GPU or network."""
    runs = runner.runs.recorded()
    if not runs:
        return []
    with gr.Row(elem_classes="recorded-races", elem_id="recorded-races"):
        gr.HTML('<p class="hint">Or see an earlier race, run on the machine and day named:</p>')
        return [(gr.Button(kept.recorded_name(run), size="sm", min_width=240), run) for run in runs]


def _results(runner: Runner, run_id: gr.State) -> Results:
    banner = gr.HTML("", js_on_load=kept.SHOW_JS, elem_id="banner")
    with gr.Row(elem_classes="lanes"):
        lanes = [gr.HTML(lane_html(Lane(n)), elem_id=f"lane-{n}") for n in runner.pool.names]
    sentences = gr.HTML(_verdict_html([]), elem_id="verdict")
    chart = gr.Plot(show_label=False, container=False, visible=False, elem_id="chart")
    shown = gr.HTML("", js_on_load=replay.JS, elem_id="replay")
    keep = gr.HTML("", js_on_load=kept.JS, elem_id="kept")
    forget = gr.Button(
        "Delete this race and its recording", size="sm", visible=False, elem_id="forget"
    )
    return Results(banner, lanes, sentences, chart, shown, keep, forget, run_id, gr.State(None))


def _wire_run(runner: Runner, inputs: Inputs, results: Results) -> None:
    """Run and Stop. When a race is over, Run comes back only where there is a recording to run: it
    may have been cleared meanwhile, and the next one still be on its way."""

    @shown_errors
    def start(request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        asked = dataclasses.replace(request_from(*values), visitor=request.client.host)
        try:
            for view in runner.run(str(request.session_hash), asked):
                _, stop = run_and_stop(is_over=view.is_over, is_stopping=view.is_stopping)
                yield (*_draw(runner, view, asked.source), run_button(None), stop)
        except Exception as error:  # a message that fades would leave lanes and Run as they were
            idle = View({name: Lane(name) for name in runner.pool.names}, problem=in_words(error))
            yield (*_draw(runner, idle, None), run_button(None), run_and_stop(is_over=True)[1])
            raise

    def halt(request: gr.Request) -> Any:
        is_stopping = runner.stop(str(request.session_hash))
        return run_and_stop(is_over=not is_stopping, is_stopping=is_stopping)[1]

    def again(source: Source | None) -> gr.Button:
        """What could not be decoded is gone."""
        is_there = source is not None and runner.uploads.is_there(source.path)
        return run_button(source if is_there else None)

    # Races wait in a line of their own, where each is told its place and may be stopped.
    shown = [*results.all, inputs.run, inputs.stop]
    raced = inputs.run.click(start, inputs.values, shown, concurrency_limit=None, **QUIET)
    raced.then(again, [inputs.source], [inputs.run], **QUIET)
    inputs.stop.click(halt, None, [inputs.stop], **QUIET)
    banner = [results.banner]
    gr.on(inputs.chosen, None, banner, banner, js=kept.NEXT_JS, **QUIET)


def _wire_recorded(
    runner: Runner, recorded: Sequence[tuple[gr.Button, Run]], results: Results
) -> None:
    for button, run in recorded:
        button.click(functools.partial(_opened, runner, run.id), None, results.all, **QUIET)


@shown_errors
def _opened(runner: Runner, wanted: str) -> tuple[Any, ...]:
    """A stored race as values for `Results.all`, or why there is none."""
    try:
        view = view_of(runner.runs.load(wanted), runner.pool.names, is_recorded=True)
    except RunNotFound as error:
        view = View({name: Lane(name) for name in runner.pool.names}, problem=str(error))
    return _draw(runner, view, None)


def _wire_kept(runner: Runner, inputs: Inputs, results: Results) -> None:
    """What can be done with a race that is over: open it by its link, score it against what was
    said, forget it."""

    def open_link(request: gr.Request) -> tuple[Any, ...]:
        wanted = request.query_params.get("run", "")
        return _opened(runner, wanted) if wanted else (gr.skip(),) * len(results.all)

    @shown_errors
    def rescore(
        run_id: str, raced: Source | None, source: Source | None, reference: str | None
    ) -> tuple[Any, ...]:
        if not run_id or raced != source:  # nothing shown, or the words are of the next recording
            return (gr.skip(),) * len(results.all)
        run = dataclasses.replace(runner.runs.load(run_id), reference=reference or "")
        if raced is not None:  # who only opened a link changes nothing for others
            runner.runs.amend(run)
        view = view_of(run, runner.pool.names, is_recorded=raced is None)
        return _draw(runner, view, raced)

    @shown_errors
    def forget(run_id: str, raced: Source | None) -> tuple[Any, ...]:
        if raced is None:  # who only opened a link has no such button: a request made by hand
            return (gr.skip(),) * len(results.all)
        runner.runs.delete(run_id)
        return _draw(runner, View({name: Lane(name) for name in runner.pool.names}), None)

    gr.on(None, open_link, None, results.all, **QUIET)
    asked = [results.run_id, results.raced, inputs.source, inputs.reference]
    inputs.reference.blur(rescore, asked, results.all, **QUIET)
    results.forget.click(forget, [results.run_id, results.raced], results.all, **QUIET)


def _draw(runner: Runner, view: View, raced: Source | None) -> tuple[Any, ...]:
    """A view as values for `Results.all`."""
    chart = gr.Plot(view.chart, visible=True) if view.chart is not None else gr.Plot(visible=False)
    kept_run = view.run if view.run and view.run.results and not view.problem else None
    return (
        _banner(view),
        *[lane_html(lane) for lane in view.lanes.values()],
        _verdict_html(view.sentences),
        chart,
        replay.replay_html(view.run),
        kept.kept_html(kept_run, runner.runs),
        gr.Button(visible=kept_run is not None and not view.is_recorded),
        kept_run.id if kept_run else "",
        raced if view.run is not None else None,
    )


def _banner(view: View) -> str:
    if view.problem:
        return kept.problem_html(view.problem)
    if view.run is not None and view.is_recorded:
        return kept.recorded_html(view.run)
    if view.n_ahead:
        races = "one race" if view.n_ahead == 1 else f"{view.n_ahead} races"
        return (
            f'<p class="hint" role="status">Waiting: {races} before yours. One runs at a time, so '
            "that no engine is timed beside another.</p>"
        )
    return ""


def _verdict_html(sentences: Sequence[str]) -> str:
    if not sentences:
        return '<div class="verdict" aria-live="polite"></div>'
    first, *rest = [_escaped(sentence) for sentence in sentences]
    for name in ENGINES:  # a name is not broken at its hyphen
        first = first.replace(name, f'<span class="name">{name}</span>')
    return (
        f'<div class="verdict" aria-live="polite"><p class="lead">{first}</p>'
        f"<ul>{''.join(f'<li>{sentence}</li>' for sentence in rest)}</ul></div>"
    )


def _escaped(sentence: str) -> str:
    """No line ends between a number and its per cent sign."""
    return html.escape(sentence).replace(" %", "&nbsp;%")
