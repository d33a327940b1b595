"""Figures of benchmark records, drawn with plotly from the JSON alone; no engine, no page.

In: records. Out: figures, and one HTML file that holds them all with plotly itself, so that it
opens anywhere. Each figure shows one model; engines keep their colours, modes have a row each.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import plotly.io

from maxwhisper.bench_report import has_numbers
from maxwhisper.bench_summary import Run
from maxwhisper.palette import colour, stage_colour
from maxwhisper.records import machine_line

ROW_PX = 34
FRAME_PX = 110  # axis, legend and margins
PLOT_PX = 420  # height of the figures without rows
_GRID = "rgba(128, 128, 128, 0.25)"
_REST = "other"  # time in no stage, or of an engine that does not tell its stages

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>maxwhisper, measured</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 system-ui; }}
figure {{ margin: 2.5rem 0; }}
figcaption {{ font-weight: 600; }}
.js-plotly-plot text {{ fill: CanvasText !important; }}
</style></head><body><h1>maxwhisper, measured</h1>
{body}
</body></html>
"""


def page(records: Sequence[Mapping[str, Any]]) -> str:
    """One self-contained HTML document with the figures of all records."""
    parts: list[str] = []
    library = True  # plotly's own code, once
    for record in records:
        parts.append(
            f"<p>{html.escape(machine_line(record['machine']))} · {record['when'][:10]}</p>"
        )
        for caption, figure in figures(record):
            drawn = plotly.io.to_html(
                figure,
                full_html=False,
                include_plotlyjs=library,
                config={"displayModeBar": False, "responsive": True},
            )
            library = False
            parts.append(f"<figure><figcaption>{html.escape(caption)}</figcaption>{drawn}</figure>")
    return _PAGE.format(body="\n".join(parts or ["<p>Nothing has been measured yet.</p>"]))


def figures(record: Mapping[str, Any]) -> Iterator[tuple[str, go.Figure]]:
    """(caption, figure) of everything a record can show, model by model."""
    for model in record["models"]:
        runs = [run for run in record["runs"] if run["model"] == model and has_numbers(run)]
        if not runs:
            continue
        clip = _main_clip(runs)
        on_clip = [run for run in runs if run["clip"] == clip]
        yield f"{model}, {clip}: times real time, range over the rounds", speed_figure(on_clip)
        yield f"{model}, {clip}: where the time goes", stage_figure(on_clip)
        heard = [run for run in runs if run["wer"] is not None]
        if heard:
            yield f"{model}: speed against word error rate", accuracy_figure(heard)
        if len({run["audio_s"] for run in runs}) > 1:
            yield f"{model}: time against length of the audio", length_figure(runs)


def speed_figure(runs: Sequence[Run]) -> go.Figure:
    """RTFx of each engine and mode on one clip; whiskers from the slowest to the fastest round."""
    ranked = sorted(runs, key=lambda run: run["rtfx"])  # plotly draws upwards
    rates = [[run["audio_s"] / s for s in run["seconds"]] for run in ranked]
    bars = go.Bar(
        x=[run["rtfx"] for run in ranked],
        y=[_lane(run) for run in ranked],
        orientation="h",
        marker_color=[colour(run["engine"]) for run in ranked],
        text=[f"{run['rtfx']:.1f}×" for run in ranked],
        textposition="inside",
        insidetextanchor="start",
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [max(r) - run["rtfx"] for r, run in zip(rates, ranked, strict=True)],
            "arrayminus": [run["rtfx"] - min(r) for r, run in zip(rates, ranked, strict=True)],
            "color": "#808080",
        },
        hovertemplate="%{y}: %{x:.1f}×<extra></extra>",
    )
    figure = _framed(go.Figure(bars), FRAME_PX + ROW_PX * len(ranked))
    return figure.update_xaxes(title_text="times real time (RTFx)", rangemode="tozero")


def stage_figure(runs: Sequence[Run]) -> go.Figure:
    """Seconds of each engine and mode on one clip, by stage as far as the engine tells."""
    ranked = sorted(runs, key=lambda run: -run["median_s"])
    parts = [_stages(run) for run in ranked]
    names = dict.fromkeys(name for part in parts for name in part if name != _REST)
    figure = go.Figure(
        [
            go.Bar(
                name=name,
                x=[part.get(name, 0.0) for part in parts],
                y=[_lane(run) for run in ranked],
                orientation="h",
                marker_color=stage_colour(name),
                hovertemplate=f"%{{y}}, {name}: %{{x:.3f}} s<extra></extra>",
            )
            for name in [*names, _REST]
        ]
    )
    _framed(figure, FRAME_PX + ROW_PX * len(ranked))
    return figure.update_layout(barmode="stack").update_xaxes(title_text="seconds")


def accuracy_figure(runs: Sequence[Run]) -> go.Figure:
    """Speed against word error rate: up and to the left is better."""
    figure = go.Figure(
        [
            go.Scatter(
                name=_lane(run),
                x=[100 * run["wer"]],
                y=[run["rtfx"]],
                mode="markers",
                marker={"size": 12, "color": colour(run["engine"]), "symbol": symbol},
                hovertemplate=f"{run['clip']}: %{{x:.1f}} %, %{{y:.1f}}×",
            )
            for run, symbol in zip(runs, _symbols(runs), strict=True)
        ]
    )
    _framed(figure, PLOT_PX)
    figure.update_xaxes(title_text="word error rate, %", rangemode="tozero")
    return figure.update_yaxes(title_text="times real time (RTFx)", rangemode="tozero")


def length_figure(runs: Sequence[Run]) -> go.Figure:
    """Median seconds against seconds of audio, both logarithmic: linear time is a straight line of
    slope 1."""
    lanes: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run["audio_s"]):
        lanes.setdefault(_lane(run), []).append(run)
    firsts = [lane[0] for lane in lanes.values()]
    figure = go.Figure(
        [
            go.Scatter(
                name=name,
                x=[run["audio_s"] for run in lane],
                y=[run["median_s"] for run in lane],
                mode="lines+markers",
                line_color=colour(lane[0]["engine"]),
                marker={"size": 9, "symbol": symbol},
                hovertemplate="%{x:.0f} s of audio: %{y:.3f} s",
            )
            for (name, lane), symbol in zip(lanes.items(), _symbols(firsts), strict=True)
        ]
    )
    _framed(figure, PLOT_PX)
    figure.update_xaxes(title_text="seconds of audio", type="log")
    return figure.update_yaxes(title_text="seconds", type="log")


def _main_clip(runs: Sequence[Run]) -> str:
    """The clip that most engines and modes have done; of those the longest."""
    clips = [run["clip"] for run in runs]
    lengths = {run["clip"]: run["audio_s"] for run in runs}
    return max(lengths, key=lambda clip: (clips.count(clip), lengths[clip]))


def _stages(run: Run) -> dict[str, float]:
    """Seconds per stage, and what is left of the median."""
    told = {name: s for name, s in run["stages"].items() if name != "total"}
    return told | {_REST: max(0.0, run["median_s"] - sum(told.values()))}


def _lane(run: Run) -> str:
    return f"{run['label']} · {run['mode']}"


def _symbols(runs: Sequence[Run]) -> list[str]:
    """A marker for each mode and precision: colour alone says only which engine."""
    kinds = dict.fromkeys((run["mode"], run["label"] == run["engine"]) for run in runs)
    shapes = ("circle", "square", "diamond", "cross", "triangle-up", "star")
    of_kind = {kind: shapes[number % len(shapes)] for number, kind in enumerate(kinds)}
    return [of_kind[run["mode"], run["label"] == run["engine"]] for run in runs]


def _framed(figure: go.Figure, height_px: int) -> go.Figure:
    """Quiet axes, no background, text in whatever colour the page has."""
    figure.update_layout(
        template="none",
        height=height_px,
        margin={"l": 8, "r": 16, "t": 40, "b": 48},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 14},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
        bargap=0.3,
        dragmode=False,
    )
    figure.update_xaxes(gridcolor=_GRID, zeroline=False, automargin=True, fixedrange=True)
    figure.update_yaxes(gridcolor=_GRID, zeroline=False, automargin=True, fixedrange=True)
    return figure
