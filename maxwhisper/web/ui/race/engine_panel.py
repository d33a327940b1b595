"""One engine's panel in the race: its state, figures and transcript.

Input: an `EnginePanel`. Output: HTML. Imports no Gradio.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from maxwhisper.engines.verdict import Factor
from maxwhisper.options import FASTER, OPENAI, TranscribeOptions
from maxwhisper.web.ui.race.verdict import Score
from maxwhisper.web.ui.templates import render
from maxwhisper.web.ui.wording import FIGURES, ordinal

Phase = Literal["idle", "waiting", "running", "done", "refused", "stopped"]
_UNKNOWN = "–"
_PLACEHOLDERS = {  # instead of a transcript
    "idle": "The transcript appears here.",
    "waiting": "Waiting: engines run one at a time.",
    "running": "Transcribing…",
    "done": "No speech found.",
    "stopped": "Stopped before any text arrived.",
    "refused": "No result; the reason is above. The other engines are not affected.",
}
_MAX_SHOWN_CHARACTERS = 20_000  # per engine; ten minutes of fast speech have 12,000


@dataclass
class EnginePanel:
    """What one engine's panel shows now. The race's handler owns and changes it."""

    engine: str
    phase: Phase = "idle"
    note: str = ""
    rounds: int = 1  # to run
    place: int = 0  # in the order of first turns, from 1; 0: not known yet
    turn: int = 0  # that it runs, or ran last, from 1
    elapsed_s: float = 0.0  # since that turn began
    arrival: str = ""  # how its text comes: see `arrival`
    texts: list[tuple[float, str]] = field(default_factory=list)  # start in seconds, text
    partial: str = ""  # what follows, so far: it may still change
    seconds: tuple[float, ...] = ()
    score: Score | None = None
    files: dict[str, str] = field(default_factory=dict)  # the transcript, by format
    factor: Factor | None = None  # of the race, in the panel of our engine

    @property
    def progress(self) -> str:
        """What an engine that waits has done: "1 of 3 rounds", or that it waits."""
        if self.seconds:
            return f"{len(self.seconds)} of {self.rounds} rounds"
        return f"Waiting its turn: {ordinal(self.place)}" if self.place else "waiting"

    @property
    def said(self) -> str:
        """What screen readers are told at the end of the engine's last round; "" before it."""
        if self.phase == "done" and self.seconds:
            return f"{self.engine} is done: {statistics.median(self.seconds):.2f} seconds."
        if self.phase == "refused":
            return f"{self.engine} has no result: {self.note.removeprefix(f'{self.engine}: ')}"
        return ""

    def start(self, note: str) -> None:
        """Show that a turn of the engine has begun."""
        self.phase, self.note = "running", note
        self.turn, self.elapsed_s = self.turn + 1, 0.0


@dataclass(frozen=True)
class _Figure:
    name: str
    value: str = _UNKNOWN
    range: str = ""
    kind: str = ""  # which of several figures of this name it is, shown behind the value

    @property
    def meaning(self) -> str:
        return FIGURES[self.kind or self.name]

    @property
    def small(self) -> str:
        """What is shown behind the value."""
        return self.range or self.kind


def arrival(engine: str, options: TranscribeOptions) -> str:
    """How text comes from an engine while it runs, in one sentence: see `Engine.transcribe`."""
    n_rows = (options.best_of if any(options.temperatures) else options.beam_size) or 1
    if engine == FASTER or (engine == OPENAI and n_rows > 1):
        return "Text arrives segment by segment."
    return "Text arrives token by token."


def panel_html(panel: EnginePanel) -> str:
    """The whole panel."""
    texts, is_cut = _shortened(panel.texts)
    return render(
        "race/engine_panel.html",
        panel=panel,
        figures=_figures(panel),
        word_errors=_word_errors(panel.score),
        texts=texts,
        is_cut=is_cut,
        placeholder=_PLACEHOLDERS[panel.phase],
    )


def _shortened(texts: Sequence[tuple[float, str]]) -> tuple[list[tuple[float, str]], bool]:
    """At most `_MAX_SHOWN_CHARACTERS`, and whether that is not all."""
    shown, budget = [], _MAX_SHOWN_CHARACTERS
    for start_s, text in texts:
        shown.append((start_s, text.strip()[:budget]))
        budget -= len(text)
        if budget <= 0:
            return shown, True
    return shown, False


def _figures(panel: EnginePanel) -> list[_Figure]:
    """Three large figures, then three small ones; a dash for each that is not known."""
    seconds, score = panel.seconds, panel.score
    spread = f"{min(seconds):.2f}–{max(seconds):.2f} s" if len(seconds) > 1 else ""
    rounds = _Figure("rounds", str(len(seconds) or _UNKNOWN), spread)
    median = f"{statistics.median(seconds):.2f}" if seconds else _UNKNOWN
    lead = _Figure("seconds", median, panel.factor.text if panel.factor else "")
    if score is None:
        others = map(_Figure, ("RTFx", "accuracy", "first text", "tokens/s"))
        return [lead, *others, rounds]
    result, first_s = score.result, score.result.first_text_s
    first_text = f"{first_s:.2f} s" if first_s is not None else _UNKNOWN
    return [
        lead,
        # Three digits fit: above a hundred, a tenth would not, and says nothing.
        _Figure("RTFx", f"{result.rtfx:.1f}" if result.rtfx < 99.95 else f"{result.rtfx:.0f}"),
        _accuracy(score),
        _Figure("first text", first_text),
        _Figure("tokens/s", f"{result.tokens_per_s:.0f}"),
        rounds,
    ]


def _accuracy(score: Score) -> _Figure:
    """Invented words where nobody speaks, the error rate where the correct transcript is known,
    else the agreement with the engine that all are compared with."""
    if score.invented is not None:
        return _Figure("accuracy", str(score.invented), kind="invented")
    if score.errors and score.wer is not None:
        return _Figure("accuracy", f"{score.wer:.1%}", kind=score.errors.rate_name)
    if score.agreement is not None:
        return _Figure("accuracy", f"{score.agreement:.0%}", kind="agreement")
    return _Figure("accuracy")


def _word_errors(score: Score | None) -> str:
    """The counts behind the error rate."""
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
