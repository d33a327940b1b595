"""One engine's lane as HTML: its state, its text as it comes, its figures.

In: a `Lane`. Out: a string with every piece of engine output escaped. No gradio.
"""

import html
import statistics
from dataclasses import dataclass, field
from typing import Literal

from maxwhisper.palette import colour
from maxwhisper.serving.status import Status
from maxwhisper.ui.scores import Score

Phase = Literal["idle", "waiting", "running", "done", "refused", "stopped"]
_MAX_SHOWN_CHARACTERS = 20_000  # of text per lane: ten minutes of fast speech is 12 000


@dataclass
class Lane:
    """What one lane shows now; the race handler owns and changes it."""

    engine: str
    phase: Phase = "idle"
    note: str = ""
    texts: list[tuple[float, str]] = field(default_factory=list)  # start in seconds, text
    seconds: tuple[float, ...] = ()
    score: Score | None = None


def lane_html(lane: Lane) -> str:
    """The whole lane."""
    return (
        f'<section class="lane {lane.phase}" data-engine="{html.escape(lane.engine)}"'
        f' style="--lane: {colour(lane.engine)}">'
        f"<header><h3>{html.escape(lane.engine)}</h3>"
        f'<span class="state">{html.escape(lane.note)}</span></header>'
        f"{_figures(lane)}"
        f'<div class="words" tabindex="0" aria-label="transcript of {html.escape(lane.engine)}">'
        f"{_text(lane)}</div></section>"
    )


def status_note(status: Status) -> str:
    """An engine's state in a few words, for lanes and the header."""
    if status.phase == "ready":
        return "ready"
    if status.phase == "unavailable":
        return f"unavailable: {status.detail}"
    if status.phase == "crashed":
        return status.detail
    return f"{status.phase}: {status.detail}" if status.detail else status.phase


def _text(lane: Lane) -> str:
    if not lane.texts:
        empty = {"idle": "the transcript appears here", "done": "no speech found"}.get(
            lane.phase, ""
        )
        return f'<p class="empty">{empty}</p>'
    shown, budget = [], _MAX_SHOWN_CHARACTERS
    for start_s, text in lane.texts:
        shown.append(f"<p><time>{_clock(start_s)}</time> {html.escape(text.strip()[:budget])}</p>")
        budget -= len(text)
        if budget <= 0:
            shown.append('<p class="empty">the rest is not shown</p>')
            break
    return "".join(shown)


def _figures(lane: Lane) -> str:
    """Seconds, RTFx, tokens per second, word errors or agreement: a dash until known."""
    score = lane.score
    cells = [("seconds", _seconds(lane.seconds))]
    cells.append(("RTFx", f"{score.result.rtfx:.1f}" if score else "–"))
    cells.append(("tokens/s", f"{score.result.tokens_per_s:.0f}" if score else "–"))
    if score and score.wer is not None:
        cells.append(("WER", f"{score.wer:.1%}"))
    elif score and score.agreement is not None:
        cells.append(("agreement", f"{score.agreement:.0%}"))
    else:
        cells.append(("WER", "–"))
    return (
        "<dl>"
        + "".join(
            f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd></div>" for name, value in cells
        )
        + "</dl>"
    )


def _seconds(seconds: tuple[float, ...]) -> str:
    if not seconds:
        return "–"
    spread = f" ({min(seconds):.2f}–{max(seconds):.2f})" if len(seconds) > 1 else ""
    return f"{statistics.median(seconds):.2f}{spread}"


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"
