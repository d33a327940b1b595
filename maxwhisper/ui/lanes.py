"""One engine's lane as HTML: its state, its text as it comes, its figures.

In: a `Lane`. Out: a string with every piece of engine output escaped. No gradio.
"""

import html
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from maxwhisper.palette import colour
from maxwhisper.serving.status import Status
from maxwhisper.ui.scores import Score
from maxwhisper.ui.sound import clock

Phase = Literal["idle", "waiting", "running", "done", "refused", "stopped"]
_UNKNOWN = "–"
_EMPTY = {
    "idle": "The transcript appears here.",
    "waiting": "Engines take turns: this one has not begun.",
    "running": "Listening. Text comes a window at a time, up to 30 s of sound each.",
    "done": "No speech found.",
    "stopped": "Stopped before there was any text.",
    "refused": "No result: the reason is above. The other engines are not affected.",
}
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
        return f'<p class="empty">{_EMPTY[lane.phase]}</p>'
    shown, budget = [], _MAX_SHOWN_CHARACTERS
    for start_s, text in lane.texts:
        shown.append(f"<p><time>{clock(start_s)}</time> {html.escape(text.strip()[:budget])}</p>")
        budget -= len(text)
        if budget <= 0:
            shown.append('<p class="empty">the rest is not shown</p>')
            break
    return "".join(shown)


def _figures(lane: Lane) -> str:
    """Figures, and a dash for each that is not known."""
    result = lane.score.result if lane.score else None
    first_s = result.first_text_s if result else None
    leading = (
        ("seconds", f"{statistics.median(lane.seconds):.2f}" if lane.seconds else _UNKNOWN),
        ("RTFx", _times(result.rtfx) if result else _UNKNOWN),
        _words_right(lane.score),
    )
    others = (
        ("first text", f"{first_s:.2f} s" if first_s is not None else _UNKNOWN),
        ("tokens/s", f"{result.tokens_per_s:.0f}" if result else _UNKNOWN),
        ("rounds", _rounds(lane.seconds)),
    )
    return (
        f"<dl>{_cells(leading, 'lead')}{_cells(others, '')}</dl>"
        f'<p class="fine">{_word_errors(lane.score)}</p>'
    )


def _cells(cells: Sequence[tuple[str, str]], kind: str) -> str:
    return "".join(
        f'<div class="{kind}"><dt>{name}</dt><dd>{value}</dd></div>' for name, value in cells
    )


def _times(factor: float) -> str:
    """A tenth says something below a hundred; above, there is no room for it."""
    return f"{factor:.1f}" if factor < 99.95 else f"{factor:.0f}"


def _rounds(seconds: Sequence[float]) -> str:
    """How many, and the range of their seconds."""
    if len(seconds) < 2:
        return str(len(seconds) or _UNKNOWN)
    return f"{len(seconds)} <small>{min(seconds):.2f}–{max(seconds):.2f} s</small>"


def _words_right(score: Score | None) -> tuple[str, str]:
    """The error rate where it is known what was said, words where nothing was, else the
    agreement."""
    if score and score.invented is not None:
        return "invented", str(score.invented)
    if score and score.errors and score.wer is not None:
        return score.errors.rate_name, f"{score.wer:.1%}"
    if score and score.agreement is not None:
        return "agreement", f"{score.agreement:.0%}"
    return "WER", _UNKNOWN


def _word_errors(score: Score | None) -> str:
    """What the error rate is made of."""
    if score is None or score.errors is None:
        return ""
    errors = score.errors
    if errors.wer is None:
        plural = "" if errors.insertions == 1 else "s"
        return f"{errors.insertions} {errors.unit}{plural} where nobody speaks"
    return (
        f"{errors.substitutions} substituted, {errors.deletions} deleted, "
        f"{errors.insertions} inserted, of {errors.n_words} {errors.unit}s"
    )
