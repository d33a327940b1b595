"""Speed against errors in one figure, as SVG: up is faster, left is more accurate. Knows no
gradio."""

from collections.abc import Sequence

from maxwhisper.text.wer import RATE_NAMES
from maxwhisper.web.ui.axes import linear_axis
from maxwhisper.web.ui.race.verdict import Score, unit_of_scores
from maxwhisper.web.ui.templates import render

ROOM = 1.15  # of an axis above its largest value
LEAST_PERCENT = 10.0  # of errors that the figure shows, so that a small difference looks small


def accuracy_chart(scores: Sequence[Score]) -> str:
    """RTFx over the error rate, one mark per engine; "" if no error rate is known. A shape, a
    colour and a line of text tell the engines apart."""
    known = [(s.engine, 100 * s.wer, s.result.rtfx) for s in scores if s.wer is not None]
    if not known:
        return ""
    unit = unit_of_scores(scores)
    worst = max(percent for _, percent, _ in known)
    fastest = max(rtfx for *_, rtfx in known)
    return render(
        "timings/accuracy_chart.html",
        points=known,
        rate=RATE_NAMES[unit],
        x=linear_axis(f"{unit} error rate, %", max(LEAST_PERCENT, ROOM * worst)),
        y=linear_axis("RTFx", ROOM * fastest),
    )
