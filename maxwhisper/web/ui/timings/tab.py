"""The Where the time goes tab: stages of the race, cold and warm starts, recorded benchmarks.

In: the pool, the run store, the committed benchmark records. Out: HTML and figures, drawn when the
tab is opened. Everything shows when and where it was measured.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import gradio as gr
from markupsafe import Markup

from maxwhisper.engines.pool import EnginePool
from maxwhisper.engines.status import Status
from maxwhisper.evaluation.records import machine_line
from maxwhisper.web.server.run import Run
from maxwhisper.web.server.run_store import RunStore
from maxwhisper.web.ui.dates import day
from maxwhisper.web.ui.events import QUIET
from maxwhisper.web.ui.lazy_tabs import Open, draw_when_seen, ways_to_a_run
from maxwhisper.web.ui.race.result_view import scores_of
from maxwhisper.web.ui.race.verdict import unit_of_scores
from maxwhisper.web.ui.templates import render
from maxwhisper.web.ui.timings.accuracy_chart import accuracy_chart
from maxwhisper.web.ui.timings.recorded_benchmarks import RESULTS, RecordedBenchmarks, badge_html
from maxwhisper.web.ui.timings.roofline_chart import roofline_html
from maxwhisper.web.ui.timings.stages import engine_stages, stages_html

JUST_NOW = timedelta(minutes=15)  # an older run shows its date
_NO_WER = (
    "Word errors need the correct transcript: paste it on the Race tab, before or after the race."
)
_NO_WORDS = "This recording has no speech, so there are no word errors."


def timings_tab(
    tab: gr.Tab, pool: EnginePool, store: RunStore, run_id: gr.State, open_run: Open
) -> None:
    """Build the tab inside the current `gr.Tab`."""
    benchmarks, roof = RecordedBenchmarks(), roofline_html(RESULTS / "profiles")

    def draw(run: Run | None) -> tuple[Any, ...]:
        starts, heading = starts_html(pool.statuses()), benchmarks.read()
        names = benchmarks.names
        chooser = gr.Dropdown(names, value=next(iter(names), None), visible=bool(names))
        explorer = gr.Accordion(visible=bool(names))
        shown = render("timings/no_run.html") if run is None else run_html(run)
        accuracy = "" if run is None else accuracy_html(run)
        ways = gr.Row(visible=run is None)
        return shown, ways, starts + accuracy + roof, heading, chooser, explorer

    def choose(name: str | None) -> tuple[Any, str]:
        figure = benchmarks.find(name)
        if figure is None:
            return gr.Plot(visible=False), ""
        return gr.Plot(figure.drawing, visible=True), badge_html(figure.record)

    with gr.Column(elem_id="timings"):
        area = gr.HTML(render("loading.html"))
        ways = ways_to_a_run(store, open_run)
        below = gr.HTML("")
    with gr.Column(elem_id="records"):
        heading = gr.HTML("")
        # The library that draws these figures is 4.6 MB: it comes when they are opened.
        with gr.Accordion("Explore the figures", open=False, visible=False) as explorer:
            chooser = gr.Dropdown([], label="Figure", interactive=True)
            badge = gr.HTML("")
            recorded = gr.Plot(show_label=False, container=False, visible=False)
    for listen in (chooser.input, explorer.expand):
        listen(choose, [chooser], [recorded, badge], **QUIET)
    draw_when_seen(tab, store, run_id, draw, [area, ways, below, heading, chooser, explorer])


def run_html(run: Run) -> str:
    """Stages of every engine in its median round, whose transcript is shown."""
    engines = [
        engine_stages(r.engine, r.transcript.timings, r.shown_s, r.transcript.n_tokens)
        for r in run.results
    ]
    return render(
        "timings/run.html",
        run=run,
        measured=Markup(measured_html(run, datetime.now(UTC))),
        stages=Markup(stages_html(engines)),
        whole=[stages.engine for stages in engines if not stages.has_stages],
    )


def starts_html(statuses: Mapping[str, Status]) -> str:
    """The first inference after loading beside the second, for engines that have measured both."""
    measured = {n: s for n, s in statuses.items() if s.cold_s is not None and s.warm_s}
    return render("timings/starts.html", measured=measured) if measured else ""


def measured_html(run: Run, now: datetime) -> str:
    """When and where the run was measured; the badge of an older run gives its date."""
    is_old = now - datetime.fromisoformat(run.when) > JUST_NOW
    badge = f"measured on {day(run.when)}" if is_old else "measured just now"
    return render("timings/measured.html", badge=badge, facts=[machine_line(run.machine)])


def accuracy_html(run: Run) -> str:
    """Speed against errors, or why there is no such figure."""
    scores = scores_of(run)
    figure = accuracy_chart(scores)
    note = _NO_WORDS if any(s.invented is not None for s in scores) else _NO_WER
    title = f"Speed against {unit_of_scores(scores)} errors"
    return render("timings/heading.html", title=title, hint="" if figure else note) + figure
