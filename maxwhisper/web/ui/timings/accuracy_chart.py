"""Speed against errors in one figure: up is faster, left is more accurate. Knows no gradio."""

from collections.abc import Sequence

import plotly.graph_objects as go

from maxwhisper.palette import FIGURE_LAYOUT, GRID, colour
from maxwhisper.text.wer import RATE_NAMES
from maxwhisper.web.ui.race.verdict import Score, unit_of_scores

HEIGHT_PX = 340
_MARK_PX = 16
_MARKS = ("circle", "square", "diamond", "cross")  # a shape for each engine, besides its colour


def accuracy_chart(scores: Sequence[Score]) -> go.Figure | None:
    """RTFx over the error rate, one point per engine; None if no error rate is known."""
    known = [(score, score.wer) for score in scores if score.wer is not None]
    if not known:
        return None
    unit = unit_of_scores(scores)
    figure = go.Figure()
    for i, (score, wer) in enumerate(known):
        figure.add_scatter(
            x=[100 * wer],
            y=[score.result.rtfx],
            mode="markers",
            cliponaxis=False,  # do not cut a mark at 0 %
            name=score.engine,
            marker={
                "size": _MARK_PX,
                "symbol": _MARKS[i % len(_MARKS)],
                "color": colour(score.engine),
            },
            hovertemplate=f"%{{x:.1f}} % {RATE_NAMES[unit]}, RTFx %{{y:.1f}}",
        )
    figure.update_layout(
        **FIGURE_LAYOUT,
        height=HEIGHT_PX,
        margin={"l": 64, "r": 16, "t": 72, "b": 52},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    )
    worst = max(wer for _, wer in known)
    fastest = max(score.result.rtfx for score, _ in known)
    axis = {"gridcolor": GRID, "zeroline": False, "fixedrange": True, "rangemode": "tozero"}
    width = max(10.0, 115 * worst)
    figure.update_xaxes(title_text=f"{unit} error rate, %", range=[0, width], **axis)
    figure.update_yaxes(title_text="RTFx", range=[0, 1.15 * fastest], **axis)
    figure.update_yaxes(ticklabelstandoff=_MARK_PX // 2)  # a mark at 0 % must not cover the numbers
    return figure
