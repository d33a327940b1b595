"""Words of transcripts: split, compared without case and punctuation, with their times.

Input: texts and segments. Output: plain words. Knows nothing of the page.
"""

import re
from dataclasses import dataclass
from itertools import accumulate, pairwise

from maxwhisper.options import TranscribeOptions
from maxwhisper.text.languages import UNSPACED_LANGUAGES
from maxwhisper.transcript import Segment, Transcript

_NOT_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class SpokenWord:
    """A word and its time, in seconds from the start of the recording."""

    text: str
    start: float
    end: float


def text_language(transcript: Transcript, options: TranscribeOptions) -> str:
    """The language of a transcript's text: English for a translation."""
    return "en" if options.task == "translate" else transcript.language


def split_words(text: str, language: str) -> list[str]:
    """Words as written; single characters in languages without spaces between words."""
    return list("".join(text.split())) if language in UNSPACED_LANGUAGES else text.split()


def joiner(language: str) -> str:
    """The text between two words."""
    return "" if language in UNSPACED_LANGUAGES else " "


def word_key(word: str) -> str:
    """`word` without case and punctuation; words with equal keys count as the same. A word of
    nothing but punctuation is its own key."""
    return _NOT_WORD.sub("", word.casefold()) or word


def spoken_words(segment: Segment, language: str) -> list[SpokenWord]:
    """The segment's words with their times. If the engine gave none, the segment's time is divided
    by numbers of letters; `has_word_times` then returns False."""
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
    """True if every segment with text has word times."""
    return all(segment.words for segment in segments if segment.text.strip())
