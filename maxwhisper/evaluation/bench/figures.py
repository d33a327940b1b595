"""Figures of benchmark records, drawn with plotly from the records alone.

Input: records. Output: figures, and one HTML file with all of them and plotly itself, which opens
anywhere. Each figure shows one model; engines keep their colours, a requested precision is drawn
hollow, and modes, which do different work, are kept apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import plotly.graph_objects as go
import plotly.io
from markupsafe import Markup

from maxwhisper.evaluation.bench.record import BenchRecord, MeasuredRun
from maxwhisper.evaluation.bench.summary import UNTOLD, error_unit, main_clip, stages
from maxwhisper.evaluation.html import environment
from maxwhisper.evaluation.records import machine_line
from maxwhisper.palette import FIGURE_LAYOUT, GRID, MID_GREY, TRANSPARENT, colour, stage_colour
from maxwhisper.text.wer import Unit

ROW_PX = 46  # two lines of text
FRAME_PX = 110  # axis, legend and margins
PLOT_PX = 480  # height of the figures without rows
MODE_SYMBOLS = ("circle", "diamond", "square", "cross", "triangle-up", "star")

_TEMPLATES = environment(Path(__file__).parent)
_TEMPLATES.filters["machine_line"] = machine_line


def document(records: Sequence[BenchRecord]) -> str:
    """One self-contained HTML document with the figures of all records."""
    is_first = iter([True])  # plotly's own code is in the first figure only
    parts = [
        (
            record,
            [
                (caption, _drawn(figure, next(is_first, False)))
                for caption, figure in figures(record)
            ],
        )
        for record in records
    ]
    return _TEMPLATES.get_template("figures.html").render(parts=parts) + "\n"


def _drawn(figure: go.Figure, with_library: bool) -> Markup:
    config = {"displayModeBar": False, "responsive": True}
    return Markup(
        plotly.io.to_html(figure, full_html=False, include_plotlyjs=with_library, config=config)
    )


def figures(record: BenchRecord) -> Iterator[tuple[str, go.Figure]]:
    """(caption, figure) for everything that a record can show, model by model."""
    for model in record.models:
        runs = [run for run in record.measured if run.model == model]
        if not runs:
            continue
        clip = main_clip(runs)
        on_clip = [run for run in runs if run.clip == clip]
        yield f"{model}, {clip}: times real time, range over the rounds", speed_figure(on_clip)
        yield f"{model}, {clip}: where the time goes", stage_figure(on_clip)
        if heard := [run for run in on_clip if run.wer is not None]:
            unit = error_unit(record)
            yield f"{model}, {clip}: speed against {unit} error rate", accuracy_figure(heard, unit)
        if len({run.audio_s for run in runs}) > 1:
            yield f"{model}: time against length of the audio", length_figure(runs)


def speed_figure(runs: Sequence[MeasuredRun]) -> go.Figure:
    """RTFx of each engine on one clip, mode by mode; whiskers from the slowest to the fastest
    round."""
    ranked = _ranked(runs)
    rates = [[run.audio_s / s for s in run.seconds] for run in ranked]
    bars = go.Bar(
        x=[run.rtfx for run in ranked],
        y=[_title(run) for run in ranked],
        orientation="h",
        marker={"color": [_fill(run) for run in ranked], "line": {"width": 2}},
        marker_line_color=[colour(run.engine) for run in ranked],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [max(r) - run.rtfx for r, run in zip(rates, ranked, strict=True)],
            "arrayminus": [run.rtfx - min(r) for r, run in zip(rates, ranked, strict=True)],
            "color": MID_GREY,
        },
        hovertemplate="%{y}: %{x:.1f}×<extra></extra>",
    )
    figure = _framed(go.Figure(bars), FRAME_PX + ROW_PX * len(ranked))
    for run, of_rounds in zip(ranked, rates, strict=True):
        figure.add_annotation(
            x=max(of_rounds),
            y=_title(run),
            text=f"{run.rtfx:.1f}×",
            showarrow=False,
            xanchor="left",
            xshift=6,
        )
    # Room for the labels, which plotly does not count when it chooses a range.
    widest = max(rate for of_rounds in rates for rate in of_rounds)
    return figure.update_xaxes(title_text="times real time", range=[0, 1.3 * widest])


def stage_figure(runs: Sequence[MeasuredRun]) -> go.Figure:
    """Seconds of each engine on one clip, mode by mode, by stage where stages are known."""
    ranked = _ranked(runs)
    parts = [stages(run) for run in ranked]
    names = dict.fromkeys(name for part in parts for name in part if name != UNTOLD)
    figure = go.Figure(
        [
            go.Bar(
                name=name,
                x=[part.get(name, 0.0) for part in parts],
                y=[_title(run) for run in ranked],
                orientation="h",
                marker_color=stage_colour(name),
                hovertemplate=f"%{{y}}, {name}: %{{x:.3f}} s<extra></extra>",
            )
            for name in [*names, UNTOLD]
        ]
    )
    _framed(figure, FRAME_PX + ROW_PX * len(ranked))
    figure.update_layout(barmode="stack", legend_traceorder="normal")
    return figure.update_xaxes(title_text="seconds", nticks=6)


def accuracy_figure(runs: Sequence[MeasuredRun], unit: Unit) -> go.Figure:
    """Speed against the error rate on one clip: up and to the left is better."""
    figure = _framed(_keyed(runs), PLOT_PX)
    symbols = _symbols(runs)
    for run in runs:
        figure.add_scatter(
            x=[None if run.wer is None else 100 * run.wer],
            y=[run.rtfx],
            mode="markers",
            marker={"size": 13, "color": colour(run.engine), "symbol": _symbol(run, symbols)},
            name=f"{run.label} · {run.mode}",
            showlegend=False,
            hovertemplate="%{x:.1f} %, %{y:.1f}×",
        )
    figure.update_xaxes(title_text=f"{unit} error rate, %", rangemode="tozero")
    return figure.update_yaxes(title_text="times real time", rangemode="tozero")


def length_figure(runs: Sequence[MeasuredRun]) -> go.Figure:
    """Median seconds against seconds of audio, both logarithmic: linear time is a straight line of
    slope 1."""
    lines: dict[tuple[str, str], list[MeasuredRun]] = {}
    for run in sorted(runs, key=lambda run: run.audio_s):
        lines.setdefault((run.label, run.mode), []).append(run)
    figure = _framed(_keyed(runs), PLOT_PX)
    symbols = _symbols(runs)
    for (label, mode), line in lines.items():
        shape = _symbol(line[0], symbols)
        figure.add_scatter(
            x=[run.audio_s for run in line],
            y=[run.median_s for run in line],
            mode="lines+markers",
            marker={"size": 9, "color": colour(line[0].engine), "symbol": shape},
            line_dash="dot" if _is_hollow(line[0]) else "solid",
            name=f"{label} · {mode}",
            showlegend=False,
            hovertemplate="%{x:.0f} s of audio: %{y:.3f} s",
        )
    # On a logarithm's own ticks, 20 would be written as 2.
    ticks = [digit * 10.0**power for power in range(-3, 6) for digit in (1, 2, 5)]
    axis = {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
    figure.update_xaxes(title_text="seconds of audio", **axis)
    return figure.update_yaxes(title_text="seconds", **axis)


def _keyed(runs: Sequence[MeasuredRun]) -> go.Figure:
    """An empty figure whose legend has a colour for each engine and a symbol for each mode."""
    symbols = _symbols(runs)
    plain = dict.fromkeys(symbols, MODE_SYMBOLS[0])
    engines = {run.label: (colour(run.engine), _symbol(run, plain)) for run in runs}
    keys = engines | {mode: (MID_GREY, symbol) for mode, symbol in symbols.items()}
    figure = go.Figure()
    for name, (tint, symbol) in keys.items():
        marker = {"size": 11, "color": tint, "symbol": symbol}
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=name)
    return figure


def _ranked(runs: Sequence[MeasuredRun]) -> list[MeasuredRun]:
    """First mode on top, in each mode the fastest; plotly draws upwards."""
    modes = list(dict.fromkeys(run.mode for run in runs))
    return sorted(runs, key=lambda run: (-modes.index(run.mode), -run.median_s))


def _title(run: MeasuredRun) -> str:
    return f"{run.label}<br>{run.mode}"


def _symbols(runs: Sequence[MeasuredRun]) -> dict[str, str]:
    """A symbol for each mode: colour says only which engine."""
    modes = dict.fromkeys(run.mode for run in runs)
    return {m: MODE_SYMBOLS[i % len(MODE_SYMBOLS)] for i, m in enumerate(modes)}


def _symbol(run: MeasuredRun, symbols: Mapping[str, str]) -> str:
    return symbols[run.mode] + ("-open" if _is_hollow(run) else "")


def _is_hollow(run: MeasuredRun) -> bool:
    return run.label != run.engine  # in a requested precision


def _fill(run: MeasuredRun) -> str:
    return TRANSPARENT if _is_hollow(run) else colour(run.engine)


def _framed(figure: go.Figure, height_px: int) -> go.Figure:
    """Quiet axes, no background, text in whatever colour the page has."""
    figure.update_layout(
        **FIGURE_LAYOUT,
        height=height_px,
        margin={"l": 8, "r": 16, "t": 40, "b": 48},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
        bargap=0.3,
    )
    figure.update_xaxes(gridcolor=GRID, zeroline=False, automargin=True, fixedrange=True)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, automargin=True, fixedrange=True)
    figure.update_yaxes(ticklabelstandoff=6)
    return figure
