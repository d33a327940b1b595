"""The Race tab: the last result, a recording to choose, three lanes; below them replay and links.

Builds components and connects them. A page opens with a recorded race, which is part of the page as
it is sent: nothing moves when it appears. The form is `inputs`, the race itself `runner`; results
are drawn by `engine_panel`, `speed_chart`, `replay` and `share_links`.
"""

import contextlib
import dataclasses
import functools
import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr
import msgspec

from maxwhisper.engine import ENGINES
from maxwhisper.errors import EngineUnavailable, MaxWhisperError
from maxwhisper.web.server.run import Run
from maxwhisper.web.server.run_store import RunNotFound
from maxwhisper.web.ui.errors import problem_html, public_message, shown_errors
from maxwhisper.web.ui.events import QUIET
from maxwhisper.web.ui.examples import Example
from maxwhisper.web.ui.lazy_tabs import Open
from maxwhisper.web.ui.race import replay, share_links
from maxwhisper.web.ui.race.engine_panel import EnginePanel, panel_html
from maxwhisper.web.ui.race.inputs import Inputs, race_inputs, request_from, run_button
from maxwhisper.web.ui.race.model_hint import wire_model_hint
from maxwhisper.web.ui.race.request import Request, Source
from maxwhisper.web.ui.race.result_view import View, view_of
from maxwhisper.web.ui.race.runner import Runner
from maxwhisper.web.ui.race.verdict import NOT_MEASURED, identical
from maxwhisper.web.ui.stop_button import run_and_stop
from maxwhisper.web.ui.templates import page_source, render
from maxwhisper.web.ui.weights import ShownWeights

log = logging.getLogger(__name__)

# Gradio hears of what was typed a moment after the field is left: the field itself is asked.
_TYPED_JS = (
    "(...told) => [...told.slice(0, -1), document.querySelector('#reference textarea').value]"
)
_ASK_JS = """(run, raced) =>
  [run, raced, confirm('Delete this race, its transcripts and its recording for everybody?')]"""


@dataclasses.dataclass(frozen=True)
class Results:
    """The components that show a race, in the order in which `_draw` fills them."""

    banner: gr.HTML
    panels: list[gr.HTML]
    verdict: gr.HTML
    chart: gr.HTML
    replay: gr.HTML
    share_links: gr.HTML
    delete: gr.Button
    run_id: gr.State
    raced: gr.State  # the source of a race that was run here; None for one opened by its link

    @property
    def all(self) -> list[Any]:
        shown = (getattr(self, field.name) for field in dataclasses.fields(self))
        return [c for item in shown for c in (item if isinstance(item, list) else [item])]


def race_tab(
    runner: Runner, examples: Sequence[Example], run_id: gr.State, weights: ShownWeights
) -> Open:
    """Build the tab inside the current `gr.Blocks`. `run_id` is set when a race ends or is opened
    by its link. Returns a function that wires another tab's button to open a
    stored race."""
    recorded = runner.runs.recorded()
    landing = _landing(runner, recorded)
    banner, verdict, chart, shown = _band(landing)
    inputs = race_inputs(runner.uploads, runner.pool, examples)
    wire_model_hint(weights, inputs)
    with gr.Row(elem_classes="engine-panels"):
        panels = [
            gr.HTML(
                panel_html(panel),
                js_on_load=page_source("race/lane.js", "race/engine_panel.js"),
                elem_id=f"panel-{name}",
            )
            for name, panel in landing.panels.items()
        ]
    links = gr.HTML("", js_on_load=page_source("race/share_links.js"), elem_id="share-links")
    delete = gr.Button(
        "Delete this race and its recording", size="sm", visible=False, elem_id="delete"
    )
    raced = gr.State(None)
    results = Results(banner, panels, verdict, chart, shown, links, delete, run_id, raced)
    _wire_run(runner, inputs, results)

    def open_run(button: gr.Button, run: Run) -> None:
        button.click(functools.partial(_opened, runner, run.id), None, results.all, **QUIET)

    for button, run in zip(_recorded_buttons(recorded), recorded, strict=True):
        open_run(button, run)
    _wire_finished(runner, inputs, results)
    return open_run


def _landing(runner: Runner, recorded: Sequence[Run]) -> View:
    """What a new visitor sees: the longest recorded race, if the page came with one."""
    with contextlib.suppress(EngineUnavailable):  # scoring needs a package: see `view_of`
        for run in recorded[:1]:
            return view_of(run, runner.pool.names, is_recorded=True)
    return _empty_view(runner)


def _band(landing: View) -> tuple[gr.HTML, gr.HTML, gr.HTML, gr.HTML]:
    """The result on top: where it comes from, the verdict, the chart, and the replay below."""
    with gr.Column(elem_classes="band"):
        drawn = _banner(landing)
        banner = gr.HTML(drawn, js_on_load=share_links.SCROLL_JS, elem_id="banner")
        with gr.Row(elem_classes="result"):
            with gr.Column(scale=3, min_width=280):
                drawn = _verdict_html(landing, is_landing=True)
                verdict = gr.HTML(
                    drawn, js_on_load=page_source("race/verdict.js"), elem_id="verdict"
                )
            with gr.Column(scale=2, min_width=280, elem_classes="band-chart"):
                chart = gr.HTML(landing.chart, elem_id="chart")
        played = replay.replay_html(landing.run)
        shown = gr.HTML(played, js_on_load=page_source("race/replay.js"), elem_id="replay")
    return banner, verdict, chart, shown


def _recorded_buttons(recorded: Sequence[Run]) -> list[gr.Button]:
    """One button for each race that comes with the page: they need no time, GPU or network."""
    if not recorded:
        return []
    with gr.Row(elem_classes="recorded-races", elem_id="recorded-races"):
        gr.HTML(render("race/recorded_races.html"))
        return [
            gr.Button(share_links.recorded_name(run), size="sm", min_width=240) for run in recorded
        ]


def _wire_run(runner: Runner, inputs: Inputs, results: Results) -> None:
    """Connect Run and Stop. After a race, Run is enabled only if there is a recording: it may have
    been cleared meanwhile, and the next one may still be uploading."""

    def failed(error: Exception) -> tuple[Any, ...]:
        """Said once, in the banner, which stays."""
        if not isinstance(error, MaxWhisperError):
            log.error("internal error", exc_info=error)
        view = _empty_view(runner, problem=public_message(error))
        return (*_draw(runner, view, None), run_button(None), run_and_stop(is_over=True)[1])

    def views(session: str, wanted: Request) -> Iterator[tuple[Any, ...]]:
        """The race as values for `shown`; raises nothing."""
        try:
            for view in runner.run(session, wanted):
                racing_id = wanted.id if wanted.is_kept and not view.is_over else ""
                _, stop = run_and_stop(is_over=view.is_over, is_stopping=view.is_stopping)
                yield (*_draw(runner, view, wanted.source, racing_id), run_button(None), stop)
        except Exception as error:
            yield failed(error)

    @shown_errors
    def start(request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        session, visitor = str(request.session_hash), request.client.host
        try:
            wanted = dataclasses.replace(request_from(*values), visitor=visitor)
        except Exception as error:
            yield failed(error)
            return
        drawn = views(session, wanted)
        if wanted.is_kept:  # else it goes with its page
            drawn = runner.ongoing.begin(wanted.id, drawn, visitor=visitor, session=session)
        yield from drawn

    def start_heard(request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        """What was spoken is raced at once, unless it was refused."""
        if values[0] is not None:
            yield from start(request, *values)

    def halt(request: gr.Request) -> Any:
        is_stopping = runner.stop(runner.ongoing.starter(str(request.session_hash)))
        return run_and_stop(is_over=not is_stopping, is_stopping=is_stopping)[1]

    def again(source: Source | None) -> gr.Button:
        """A recording that could not be decoded was deleted."""
        is_there = source is not None and runner.uploads.is_available(source.path)
        return run_button(source if is_there else None)

    # No limit here: races wait in their own queue, which shows each its place and lets it stop.
    shown = [*results.all, inputs.run, inputs.stop]
    asked: dict[str, Any] = {"inputs": inputs.values, "outputs": shown, "concurrency_limit": None}
    inputs.heard.success(start_heard, **asked, **QUIET).then(
        again, [inputs.source], [inputs.run], **QUIET
    )
    raced = inputs.run.click(start, **asked, **QUIET)
    raced.then(again, [inputs.source], [inputs.run], **QUIET)
    inputs.stop.click(halt, None, [inputs.stop], **QUIET)
    banner = [results.banner]
    gr.on(inputs.chosen, None, banner, banner, js=share_links.CLEAR_JS, **QUIET)


@shown_errors
def _opened(runner: Runner, wanted: str) -> tuple[Any, ...]:
    """A stored race as values for `Results.all`, or the reason why there is none."""
    try:
        view = view_of(runner.runs.load(wanted), runner.pool.names, is_recorded=True)
    except RunNotFound as error:
        view = _empty_view(runner, problem=str(error))
    return _draw(runner, view, None)


def _wire_finished(runner: Runner, inputs: Inputs, results: Results) -> None:
    """Connect what a finished race offers: open it by its link, score it against a correct
    transcript, delete it."""

    def open_link(request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """A race of this visitor that still runs goes on here: his page was reloaded."""
        wanted, session = request.query_params.get("run", ""), str(request.session_hash)
        running = runner.ongoing.watch(wanted, visitor=request.client.host, session=session)
        if running is not None:
            yield from running
        else:
            opened = _opened(runner, wanted) if wanted else (gr.skip(),) * len(results.all)
            yield (*opened, gr.skip(), gr.skip())

    @shown_errors
    def rescore(
        run_id: str, raced: Source | None, source: Source | None, reference: str | None
    ) -> tuple[Any, ...]:
        if not run_id or raced != source:  # no race, or the text belongs to the next recording
            return (gr.skip(),) * len(results.all)
        run = msgspec.structs.replace(runner.runs.load(run_id), reference=reference or "")
        if raced is not None:  # a visitor who opened a link changes nothing for others
            runner.runs.update(run)
        view = view_of(run, runner.pool.names, is_recorded=raced is None)
        return _draw(runner, view, raced)

    @shown_errors
    def delete(run_id: str, raced: Source | None, is_sure: bool) -> tuple[Any, ...]:
        # A race opened by its link shows no such button: then the request is forged.
        if raced is None or not is_sure:
            return (gr.skip(),) * len(results.all)
        runner.runs.delete(run_id)
        _, *others = _draw(runner, _empty_view(runner), None)
        return (render("race/deleted.html"), *others)

    opened = [*results.all, inputs.run, inputs.stop]
    gr.on(None, open_link, None, opened, concurrency_limit=None, **QUIET)
    scored = [results.run_id, results.raced, inputs.source, inputs.reference]
    inputs.reference.blur(rescore, scored, results.all, js=_TYPED_JS, **QUIET)
    is_sure = gr.Checkbox(False, visible=False)
    told = [results.run_id, results.raced, is_sure]
    results.delete.click(delete, told, results.all, js=_ASK_JS, **QUIET)


def _empty_view(runner: Runner, problem: str = "") -> View:
    return View({name: EnginePanel(name) for name in runner.pool.names}, problem=problem)


def _draw(runner: Runner, view: View, raced: Source | None, racing_id: str = "") -> tuple[Any, ...]:
    """A view as values for `Results.all`; `racing_id` of a race that will have a link."""
    saved = view.run if view.run and view.run.results and not view.problem else None
    return (
        _banner(view),
        *[panel_html(panel) for panel in view.panels.values()],
        _verdict_html(view),
        view.chart,
        replay.replay_html(view.run),
        share_links.share_links_html(saved, runner.runs, racing_id),
        gr.Button(visible=saved is not None and not view.is_recorded),
        saved.id if saved else "",
        raced if view.run is not None else None,
    )


def _banner(view: View) -> str:
    if view.problem:
        return problem_html(view.problem)
    if view.run is not None and view.is_recorded:
        return share_links.recorded_html(view.run)
    if not view.n_ahead:
        return ""
    return render("race/queue.html", n_ahead=view.n_ahead, left_s=view.left_s)


def _verdict_html(view: View, *, is_landing: bool = False) -> str:
    """The first sentence large, the rest as a list, of which a landing page keeps only that the
    noise was not measured. While a race runs, what happens. A mark says that the texts are
    identical, and no sentence again."""
    lead, *rest = view.sentences or [""]
    is_racing = any(panel.phase in ("waiting", "running") for panel in view.panels.values())
    results = view.run.results if view.run else ()
    same = identical(len(results))
    return render(
        "race/verdict.html",
        lead=[part for part in re.split(f"({'|'.join(ENGINES)})", lead) if part],
        rest=[each for each in rest if each == NOT_MEASURED or not (is_landing or each == same)],
        engines=ENGINES,
        is_landing=is_landing,
        is_racing=is_racing and not view.is_over,
        factor=next((p.factor for p in view.panels.values() if p.factor), None),
        is_identical=same in rest,
    )
