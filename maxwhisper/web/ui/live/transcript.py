"""The text of the Live tab: what is shown while somebody speaks, and what can be saved of it.

In: the `LiveView`s of one page, in order. Out: HTML, plain text, subtitles. Imports no Gradio.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from maxwhisper.options import LineOptions, TranscribeOptions
from maxwhisper.text import writers
from maxwhisper.transcribe.word_times import SENTENCE_END_MARKS
from maxwhisper.transcript import Segment, Transcript, Word
from maxwhisper.web.server.live_session import LivePhase, LiveView
from maxwhisper.web.ui.templates import render
from maxwhisper.web.ui.wording import ordinal

MAX_LAG_S = 10.0  # a full lag meter
LINE_WIDTH = 42  # characters of a line of subtitles, which have two
PAUSE_S = 1.0  # begins a new subtitle
_SENTENCE_ENDS = tuple(SENTENCE_END_MARKS)
_SUBTITLES = LineOptions(max_line_width=LINE_WIDTH)
_WITH_WORDS = TranscribeOptions(word_timestamps=True)

_PHASES: dict[LivePhase, str] = {
    "in line": "◌ in line",
    "opening": "○ starting",
    "listening": "● listening",
    "waiting": "◌ waiting for a race",
    "finishing": "○ finishing",
    "over": "■ ended",
}


def live_html(view: LiveView | None, earlier: Sequence[LiveView] = ()) -> str:
    """The transcript so far, below that of `earlier` sessions, and the meters; None before the
    first session."""
    if view is None:
        return render("live/transcript.html", view=None)
    return render(
        "live/transcript.html",
        view=view,
        figures=_figures(view),
        note=_place(view) if view.phase == "in line" else view.note,
        max_lag_s=MAX_LAG_S,
        earlier=[each.committed.strip() for each in earlier],
        committed=view.committed.strip(),
        tentative=view.tentative.strip(),
    )


def _figures(view: LiveView) -> dict[str, str]:
    left = f"{int(view.left_s // 60)}:{int(view.left_s % 60):02d}"
    state = {"state": _PHASES[view.phase]}
    if view.phase == "in line":
        return state | {"place": ordinal(view.place), "your turn in at most": left}
    final = "–" if view.delay_s is None else f"{view.delay_s:.1f} s"
    return state | {
        "not final yet": f"{view.lag_s:.1f} s",
        "words final after": final,
        "time left": left,
    }


def _place(view: LiveView) -> str:
    return (
        f"You are {ordinal(view.place)} in line; free in at most {view.left_s:.0f} s. "
        "You start automatically. Stop leaves the line."
    )


def saved_html(views: Sequence[LiveView]) -> str:
    """The text of all sessions and its subtitles, for the buttons Copy, txt and srt."""
    return render("live/saved.html", txt=text(views), srt=subtitles(views))


def text(views: Sequence[LiveView]) -> str:
    """One paragraph for each session; a paragraph is a line."""
    return "".join(f"{said}\n" for view in views if (said := view.committed.strip()))


def subtitles(views: Sequence[LiveView]) -> str:
    """The sessions as one srt file: each begins where the one before ended."""
    segments: list[Segment] = []
    start_s = 0.0
    for view in views:
        for words in _phrases(view.words):
            segments.append(_segment(len(segments), words, start_s))
        start_s += view.received_s
    said = "".join(segment.text for segment in segments)
    transcript = Transcript(said, "en", tuple(segments), start_s)
    return writers.render(transcript, "srt", _WITH_WORDS, _SUBTITLES)


def _phrases(words: Sequence[Word]) -> Iterator[list[Word]]:
    """The words of each subtitle. It ends with a sentence, before a pause, or when it is full."""
    phrase: list[Word] = []
    for word in words:
        if phrase and (
            phrase[-1].word.endswith(_SENTENCE_ENDS)
            or word.start - phrase[-1].end >= PAUSE_S
            or sum(len(each.word) for each in (*phrase, word)) > 2 * LINE_WIDTH
        ):
            yield phrase
            phrase = []
        phrase.append(word)
    if phrase:
        yield phrase


def _segment(number: int, words: Sequence[Word], start_s: float) -> Segment:
    """Words as a segment, `start_s` later."""
    moved = tuple(replace(w, start=w.start + start_s, end=w.end + start_s) for w in words)
    said = "".join(word.word for word in moved)
    times = (moved[0].start, moved[-1].end)
    return Segment(number, 0, *times, said, (), 0.0, 0.0, 0.0, 0.0, moved)
