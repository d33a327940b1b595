"""The bar chart of a race's times, as SVG. Imports no Gradio and no engine."""

from collections.abc import Sequence

from maxwhisper.engine import OURS
from maxwhisper.engines.verdict import Factor
from maxwhisper.web.ui.race.verdict import Score
from maxwhisper.web.ui.templates import render

ROW_PX = 36


def speed_chart(scores: Sequence[Score], factor: Factor | None) -> str:
    """Median seconds per engine, the fastest on top; "" without scores. Whiskers show the range of
    the rounds, the label of our engine has the `factor` of the race. Needs speed_chart.css, and no
    script."""
    if not scores:
        return ""
    ranked = sorted(scores, key=lambda s: s.result.median_s)
    bars = [
        {
            "engine": s.engine,
            "middle_px": ROW_PX * row + ROW_PX // 2,
            "seconds": s.result.median_s,
            "range_s": (min(s.result.seconds), max(s.result.seconds)),
            "factor": factor if s.engine == OURS else None,
        }
        for row, s in enumerate(ranked)
    ]
    widest_s = max(max(s.result.seconds) for s in ranked) or 1.0
    height_px = ROW_PX * len(bars)
    return render("race/speed_chart.html", bars=bars, widest_s=widest_s, height_px=height_px)
