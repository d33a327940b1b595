"""Transcripts as words: split, compared without case and punctuation, placed in time.

In: texts and segments. Out: plain words. Knows nothing of the page.
"""

import re
from dataclasses import dataclass
from itertools import accumulate, pairwise

from maxwhisper.languages import UNSPACED_LANGUAGES
from maxwhisper.options import TranscribeOptions
from maxwhisper.transcript import Segment, Transcript

_NOT_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class SpokenWord:
    """A word and when it is said, seconds from the start of the recording."""

    text: str
    start: float
    end: float


def text_language(transcript: Transcript, options: TranscribeOptions) -> str:
    """The language that a transcript is written in: English, where it was to be translated."""
    return "en" if options.task == "translate" else transcript.language


def split_words(text: str, language: str) -> list[str]:
    """Words as written; single characters where the language does not put spaces between words."""
    return list("".join(text.split())) if language in UNSPACED_LANGUAGES else text.split()


def joiner(language: str) -> str:
    """What stands between two words."""
    return "" if language in UNSPACED_LANGUAGES else " "


def word_key(word: str) -> str:
    """What two words must share to count as the same: no case, no punctuation. A word that is
    nothing but punctuation is its own key."""
    return _NOT_WORD.sub("", word.casefold()) or word


def spoken_words(segment: Segment, language: str) -> list[SpokenWord]:
    """The segment's words with their times. Where the engine gave none, the segment's time is
    shared out by letters: an estimate, and `has_word_times` says so."""
    if segment.words:
        return [SpokenWord(word.word.strip(), word.start, word.end) for word in segment.words]
    words = split_words(segment.text, language)
    duration_s = max(0.0, segment.end - segment.start)
    letters = list(accumulate(map(len, words), initial=0))
    borders = [segment.start + duration_s * count / max(1, letters[-1]) for count in letters]
    return [
        SpokenWord(word, start, end)
        for word, (start, end) in zip(words, pairwise(borders), strict=True)
    ]


def has_word_times(segments: tuple[Segment, ...]) -> bool:
    """True if every segment with text came with the times of its words."""
    return all(segment.words for segment in segments if segment.text.strip())
