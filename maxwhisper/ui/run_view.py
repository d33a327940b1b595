"""A finished race as the Race tab shows it, whether it ended just now or was opened by its link.

In: a `Run`. Out: a `View`: lanes with scores, chart, verdict, all plain data; and the chart as a
page of its own, for the ZIP. No gradio.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

from maxwhisper.checkpoint import about, available
from maxwhisper.serving.run import Run
from maxwhisper.ui.charts import speed_chart
from maxwhisper.ui.lanes import Lane
from maxwhisper.ui.recorded import moment
from maxwhisper.ui.scores import Score, score, verdict
from maxwhisper.ui.words import text_language


@dataclass
class View:
    """The tab's changing part at one moment. `run` is None until the race is over; `problem` is
    what went wrong, in words, and beside a `run` why that one is not kept; `n_ahead` are races that
    come first; `is_recorded` says that nothing of it was measured now."""

    lanes: dict[str, Lane]
    chart: go.Figure | None = None
    sentences: list[str] = field(default_factory=list)
    run: Run | None = None
    problem: str = ""
    n_ahead: int = 0
    is_stopping: bool = False
    is_over: bool = False
    is_recorded: bool = False


def view_of(run: Run, names: Sequence[str], *, is_recorded: bool = False) -> View:
    """`run` in the lanes called `names`. Raises `EngineUnavailable` where texts cannot be scored
    because the normaliser is missing."""
    scores = scores_of(run)
    lanes = {name: _lane(run, name) for name in names}
    for lane_score in scores:
        if lane_score.engine in lanes:
            lanes[lane_score.engine].score = lane_score
    return View(
        lanes=lanes,
        chart=speed_chart(scores) if scores else None,
        sentences=sentences_of(run, scores),
        run=run,
        is_over=True,
        is_recorded=is_recorded,
    )


def scores_of(run: Run) -> list[Score]:
    """Word errors and agreement of every lane, in the language that the first is written in."""
    language = text_language(run.results[0].transcript, run.options) if run.results else "en"
    return score(run.results, run.reference, language)


def sentences_of(run: Run, scores: Sequence[Score]) -> list[str]:
    """The verdict, with what the weights are good for where this version knows them."""
    devices = {name: f"{info.device} {info.dtype}" for name, info in run.engines.items()}
    is_known = run.model in {row.name for row in available()}
    said = verdict(scores, devices, about(run.model) if is_known else "")
    if any(len(s.result.seconds) < run.rounds for s in scores) or _without_result(run):
        said.append("The run ended before every engine had all its rounds.")
    return said


def chart_page(run: Run) -> str:
    """The chart with the verdict above it, as one HTML file that needs no network."""
    scores = scores_of(run)
    lead, *rest = [html.escape(sentence) for sentence in sentences_of(run, scores)]
    chart = speed_chart(scores).to_html(full_html=False, include_plotlyjs=True) if scores else ""
    items = "".join(f"<li>{sentence}</li>" for sentence in rest)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>maxwhisper: a race</title>'
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;"
        "padding:0 1rem}</style>"
        f"<h1>{lead}</h1><p><bdi>{html.escape(run.audio_name)}</bdi>, {run.audio_s:.1f} s, "
        f"raced on {moment(run.when)}</p>{chart}<ul>{items}</ul></html>"
    )


def _without_result(run: Run) -> set[str]:
    """Engines that were ready and yet neither gave a result nor refused: stopped."""
    return set(run.engines) - {r.engine for r in run.results} - set(run.refused)


def _lane(run: Run, name: str) -> Lane:
    result = next((r for r in run.results if r.engine == name), None)
    if name in run.refused:
        lane = Lane(name, "refused", run.refused[name])
    elif result is not None:
        lane = Lane(name, "done", "done")
    elif name in run.engines:
        lane = Lane(name, "stopped", "stopped")
    else:
        lane = Lane(name, "idle", "not part of this run")
    if result is not None:
        lane.texts = [(segment.start, segment.text) for segment in result.transcript.segments]
        lane.seconds = result.seconds
    return lane
