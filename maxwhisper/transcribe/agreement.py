"""Compare two hypotheses of the same audio: how far they agree, and which words they share.

In: words with times in seconds. Out: numbers of words. Pure functions. Source of the commit rule
(LocalAgreement-2): Macháček, Dabre, Bojar, "Turning Whisper into Real-Time Transcription System",
2023, section 2.
"""

from collections.abc import Sequence

from maxwhisper.transcribe.word_times import SENTENCE_END_MARKS
from maxwhisper.transcript import Word


def agreed(before: Sequence[Word], now: Sequence[Word]) -> int:
    """Number of words at the beginning that are equal in two successive hypotheses.

    Punctuation and case count, with one exception: the end of the audio looks like the end of a
    sentence, so the mark after the last earlier word does not count once another word follows it.
    """
    n_words = 0
    for earlier, later in zip(before, now, strict=False):
        if earlier.word != later.word:
            is_followed = n_words == len(before) - 1 and n_words < len(now) - 1
            return n_words + (is_followed and unfinished(earlier.word) == later.word)
        n_words += 1
    return n_words


def unfinished(text: str) -> str:
    """`text` without the marks at its end that end a sentence."""
    return text.rstrip(SENTENCE_END_MARKS)


def covered(committed: Sequence[Word], words: Sequence[Word]) -> int:
    """Number of words at the beginning of `words` that repeat `committed`, perhaps misspelled.

    It is the number with the smallest word edit distance to `committed`. A tie goes to a number
    that ends with the same word, then to the nearest end time. Punctuation and case do not count.
    """
    if not committed or not words:
        return 0
    keys = [_key(word) for word in words]
    distances = list(range(len(words) + 1))  # of the committed words so far to words[:n], by n
    committed_keys = [_key(word) for word in committed]
    for key in committed_keys:
        before, distances = distances, [distances[0] + 1]
        for n, other in enumerate(keys):
            substituted = before[n] + (key != other)
            distances.append(min(substituted, before[n + 1] + 1, distances[n] + 1))
    is_other_word = [True, *(key != committed_keys[-1] for key in keys)]
    ends = [words[0].start, *(word.end for word in words)]
    gaps = [abs(end - committed[-1].end) for end in ends]
    return min(range(len(ends)), key=lambda n: (distances[n], is_other_word[n], gaps[n]))


def _key(word: Word) -> str:
    """Letters and digits of a word in lower case; the word itself if it has none."""
    return "".join(filter(str.isalnum, word.word.casefold())) or word.word
