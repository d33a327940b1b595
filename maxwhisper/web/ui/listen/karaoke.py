"""One engine's transcript to follow by ear: each word carries its time, and `listen.js` highlights
the word that is spoken.

Input: a transcript and its options. Output: HTML.
"""

from maxwhisper.options import TranscribeOptions
from maxwhisper.text.words import has_word_times, joiner, spoken_words, text_language
from maxwhisper.transcript import Transcript
from maxwhisper.web.ui.listen.confidence import MEANINGS, flags_of
from maxwhisper.web.ui.templates import render

MEASURED = "word times from the engine"
ESTIMATED = "word times estimated from segment times"


def karaoke_html(engine: str, transcript: Transcript, options: TranscribeOptions) -> str:
    """One line per segment, with its time and its flags."""
    language = text_language(transcript, options)
    lines = [
        {
            "start_s": segment.start,
            "words": spoken_words(segment, language),
            "flags": flags_of(segment, options),
        }
        for segment in transcript.segments
    ]
    return render(
        "listen/karaoke.html",
        engine=engine,
        lines=lines if transcript.text.strip() else [],
        source=MEASURED if has_word_times(transcript.segments) else ESTIMATED,
        joiner=joiner(language),
        meanings=MEANINGS,
    )
