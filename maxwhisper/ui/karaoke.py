"""One engine's words, to be followed with the ear: each carries its time, `listen.js` lights it up.

In: a transcript and its options. Out: a lane as HTML, everything an engine said escaped.
"""

import html

from maxwhisper.options import TranscribeOptions
from maxwhisper.palette import colour
from maxwhisper.transcript import Segment, Transcript
from maxwhisper.ui.doubts import doubts, flags_html
from maxwhisper.ui.sound import clock
from maxwhisper.ui.words import has_word_times, joiner, spoken_words, text_language

MEASURED = "word times from the engine"
ESTIMATED = "word times estimated: each segment’s time, shared out by letters"


def karaoke_html(engine: str, transcript: Transcript, options: TranscribeOptions) -> str:
    """The lane of one engine: a line for each segment, with its time and its flags."""
    name = html.escape(engine)
    language = text_language(transcript, options)
    lines = "".join(_line(segment, language, options) for segment in transcript.segments)
    if not transcript.text.strip():
        return (
            f'<section class="voice" style="--lane: {colour(engine)}"><h3>{name}</h3>'
            '<p class="empty">no speech found</p></section>'
        )
    source = MEASURED if has_word_times(transcript.segments) else ESTIMATED
    return (
        f'<section class="voice" data-engine="{name}" style="--lane: {colour(engine)}">'
        f'<h3>{name}</h3><p class="source">{source}</p>'
        f'<div class="words" tabindex="0" role="group" '
        f'aria-label="words of {name}: arrow keys go from word to word">{lines}</div></section>'
    )


def _line(segment: Segment, language: str, options: TranscribeOptions) -> str:
    words = joiner(language).join(
        f'<span class="w" data-from="{word.start:.2f}" data-to="{word.end:.2f}">'
        f"{html.escape(word.text)}</span>"
        for word in spoken_words(segment, language)
    )
    return (
        f'<p><button type="button" class="seek" data-from="{segment.start:.2f}" '
        f'aria-label="play from {clock(segment.start)}">{clock(segment.start)}</button> '
        f"{words} {flags_html(doubts(segment, options))}</p>"
    )
