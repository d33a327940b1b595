"""The Where the time goes tab: stages of the run at hand, cold and warm, and benchmarks of before.

In: the pool, the store of runs, the committed records. Out: HTML and figures, drawn when the tab is
opened. Whatever was not measured now says when and where it was.
"""

import html
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from maxwhisper.palette import colour
from maxwhisper.records import machine_line
from maxwhisper.scoring import Unit
from maxwhisper.serving.pool import EnginePool
from maxwhisper.serving.run import Run
from maxwhisper.serving.runs import RunStore
from maxwhisper.serving.status import Status
from maxwhisper.ui.accuracy_chart import accuracy_chart
from maxwhisper.ui.events import QUIET
from maxwhisper.ui.recorded import Records, badge_html, day
from maxwhisper.ui.run_view import scores_of
from maxwhisper.ui.scores import unit_of_scores
from maxwhisper.ui.stages import stages_html, work_of
from maxwhisper.ui.when_seen import LOADING, draw_when_seen

BEFORE = (
    "Race a recording first: here you then see which stages each engine’s seconds went into, and "
    "speed against word errors."
)
JUST_NOW = timedelta(minutes=15)  # older runs are told from those of now, whoever looks at them
_NO_WER = "For this the words must be known: paste what was said on the Race tab, and race again."
_NO_WORDS = "Nobody speaks in this recording: there are no words to be wrong."


def timings_tab(tab: gr.Tab, pool: EnginePool, store: RunStore, run_id: gr.State) -> None:
    """Build the tab inside the current `gr.Tab`."""
    records = Records()

    def draw(run: Run | None) -> tuple[Any, ...]:
        starts, about_records = starts_html(pool.statuses()), records.read()
        chooser = gr.Dropdown(
            records.names, value=next(iter(records.names), None), visible=bool(records.names)
        )
        if run is None:
            return f'<p class="before">{BEFORE}</p>{starts}', _plot(None), about_records, chooser
        scores = scores_of(run)
        figure = accuracy_chart(scores)
        note = _NO_WORDS if any(s.invented is not None for s in scores) else _NO_WER
        note = "" if figure is not None else note
        above = run_html(run) + starts + accuracy_heading(unit_of_scores(scores), note)
        return above, _plot(figure), about_records, chooser

    def choose(name: str | None) -> tuple[Any, str]:
        figure = records.find(name)
        if figure is None:
            return _plot(None), ""
        return _plot(figure.drawing), badge_html(figure.record)

    area = gr.HTML(LOADING, elem_id="timings")
    scatter = gr.Plot(show_label=False, container=False, visible=False, elem_id="accuracy")
    with gr.Column(elem_id="records"):
        heading = gr.HTML("")
        chooser = gr.Dropdown([], label="Figure", visible=False, interactive=True)
        badge = gr.HTML("")
        recorded = gr.Plot(show_label=False, container=False, visible=False)
    chooser.change(choose, [chooser], [recorded, badge], **QUIET)
    draw_when_seen(tab, store, run_id, draw, [area, scatter, heading, chooser])


def _plot(figure: go.Figure | None) -> Any:
    return gr.Plot(figure, visible=True) if figure is not None else gr.Plot(visible=False)


def run_html(run: Run) -> str:
    """Stages of every engine in the run's middle round, whose transcript is the one shown."""
    works = [work_of(r.engine, r.transcript.timings, r.shown_s) for r in run.results]
    blind = [work.engine for work in works if set(work.seconds) == {"whole"}]
    note = f" {' and '.join(blind)} cannot be looked into: one bar each." if blind else ""
    rounds = "the middle one of its rounds" if run.rounds > 1 else "its one round"
    return (
        f"<h3>Stages</h3>{measured_html(run, datetime.now(UTC))}"
        f'<p class="hint"><bdi>{html.escape(run.audio_name)}</bdi>, {run.audio_s:.1f} s of audio, '
        f"{html.escape(run.model)}. Seconds of each stage in {rounds}, by the engine’s own clock."
        f"{html.escape(note)}</p>{stages_html(works)}"
    )


def starts_html(statuses: Mapping[str, Status]) -> str:
    """Each engine's first inference after loading beside its second, for those that have both."""
    rows = "".join(
        f'<tr><th scope="row" style="--lane: {colour(name)}">{html.escape(name)}</th>'
        f"<td>{status.cold_s:.2f} s</td><td>{status.warm_s:.2f} s</td>"
        f"<td>{status.cold_s / status.warm_s:.1f}×</td></tr>"
        for name, status in statuses.items()
        if status.cold_s is not None and status.warm_s
    )
    if not rows:
        return ""
    return (
        '<h3>Cold and warm</h3><p class="hint">One second of silence, right after the engines of '
        "this page were loaded, and once more. Races begin warm.</p>"
        '<div class="wide starts"><table><thead><tr><th scope="col">engine</th>'
        '<th scope="col">first run</th><th scope="col">second</th><th scope="col">ratio</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def measured_html(run: Run, now: datetime) -> str:
    """When and where the run was measured; a badge says so if that is a while ago."""
    when = datetime.fromisoformat(run.when)
    is_old = now - when > JUST_NOW
    badge = f"measured on {day(run.when)}, not now" if is_old else "measured just now"
    machine = html.escape(machine_line(run.machine))
    return f'<p class="measured"><strong>{badge}</strong> on {machine}</p>'


def accuracy_heading(unit: Unit, note: str = "") -> str:
    """Above the figure of speed and errors; `note` says why there is none."""
    hint = f'<p class="hint">{note}</p>' if note else ""
    return f"<h3>Speed against {unit} errors</h3>{hint}"
