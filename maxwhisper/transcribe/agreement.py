"""Two hearings of the same audio, word by word: how far they agree, which words they share.

In: words with seconds. Out: counts of words. Pure functions. Source of the commit rule
(LocalAgreement-2): Macháček, Dabre, Bojar, "Turning Whisper into Real-Time Transcription System",
2023, section 2.
"""

from collections.abc import Sequence

from maxwhisper.transcript import Word


def agreed(before: Sequence[Word], now: Sequence[Word]) -> int:
    """Words at the beginning that two successive hearings write alike, marks and case included."""
    n_words = 0
    for earlier, later in zip(before, now, strict=False):
        if earlier.word != later.word:
            break
        n_words += 1
    return n_words


def covered(said: Sequence[Word], heard: Sequence[Word]) -> int:
    """How many words at the beginning of `heard` are `said` again, perhaps heard otherwise.

    The number with the smallest word edit distance to `said`; of equals one that ends with the same
    word, else at the nearest time. Marks and case do not count.
    """
    if not said or not heard:
        return 0
    heard_keys = [_key(word) for word in heard]
    distances = list(range(len(heard) + 1))  # of the words said so far to heard[:n], by n
    said_keys = [_key(word) for word in said]
    for key in said_keys:
        before, distances = distances, [distances[0] + 1]
        for n, other in enumerate(heard_keys):
            substituted = before[n] + (key != other)
            distances.append(min(substituted, before[n + 1] + 1, distances[n] + 1))
    is_other_word = [True, *(key != said_keys[-1] for key in heard_keys)]
    ends = [heard[0].start, *(word.end for word in heard)]
    gaps = [abs(end - said[-1].end) for end in ends]
    return min(range(len(ends)), key=lambda n: (distances[n], is_other_word[n], gaps[n]))


def _key(word: Word) -> str:
    """Letters and digits alone; a word that has none stays as it is."""
    return "".join(filter(str.isalnum, word.word.casefold())) or word.word
