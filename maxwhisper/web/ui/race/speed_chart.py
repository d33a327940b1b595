"""The bar chart of a race's times. Imports no Gradio and no engine."""

from collections.abc import Sequence

import plotly.graph_objects as go

from maxwhisper.engine import OURS
from maxwhisper.engines.verdict import Factor
from maxwhisper.palette import ERROR_BAR, FIGURE_LAYOUT, GRID, colour
from maxwhisper.web.ui.race.verdict import Score

BAR_HEIGHT_PX = 52
FRAME_HEIGHT_PX = 76  # axis and margins
LABEL_WIDTH_PX = 112  # of "123.45 s  12.3×", which Plotly ignores when it chooses a range


def speed_chart(scores: Sequence[Score], factor: Factor | None) -> go.Figure:
    """Median seconds per engine, the fastest on top. Whiskers show the range of the rounds, the
    label of our engine has the `factor` of the race. The page's CSS sets the text colour, for both
    themes."""
    ranked = sorted(scores, key=lambda s: s.result.median_s, reverse=True)  # Plotly draws upwards
    medians = [s.result.median_s for s in ranked]
    figure = go.Figure(
        go.Bar(
            x=medians,
            y=[s.engine for s in ranked],
            orientation="h",
            marker_color=[colour(s.engine) for s in ranked],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [max(s.result.seconds) - s.result.median_s for s in ranked],
                "arrayminus": [s.result.median_s - min(s.result.seconds) for s in ranked],
                "visible": any(len(s.result.seconds) > 1 for s in ranked),
                "color": ERROR_BAR,
            },
            hovertemplate="%{y}: %{x:.3f} s<extra></extra>",
        )
    )
    for s in ranked:
        label = f"<b>{s.result.median_s:.2f} s</b>"
        label += f"  {factor.text}" if factor and s.engine == OURS else ""
        figure.add_annotation(
            x=max(s.result.seconds),
            y=s.engine,
            text=label,
            showarrow=False,
            xanchor="left",
            xshift=10,
        )
    figure.update_layout(
        **FIGURE_LAYOUT,
        height=FRAME_HEIGHT_PX + BAR_HEIGHT_PX * len(ranked),  # autosize would collapse to zero
        margin={"l": 8, "r": LABEL_WIDTH_PX, "t": 8, "b": 44},
        bargap=0.35,
    )
    widest = max(max(s.result.seconds) for s in ranked)
    figure.update_xaxes(
        range=[0, widest],
        title_text="seconds",
        gridcolor=GRID,
        zeroline=False,
        fixedrange=True,
        nticks=4,  # more would overlap on a phone
        tickangle=0,
    )
    figure.update_yaxes(automargin=True, ticksuffix="  ", fixedrange=True)
    return figure
