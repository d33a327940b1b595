"""What two hypotheses share, on readable texts."""

import random

import jiwer
import pytest

from maxwhisper.transcribe.agreement import agreed, covered
from maxwhisper.transcript import Word


def words(text, start=0.0):
    """One word per second."""
    return [Word(f" {w}", start + i, start + i + 1, 0.9) for i, w in enumerate(text.split())]


@pytest.mark.parametrize(
    ("before", "now", "n"),
    [
        ("", "", 0),
        ("a b", "", 0),
        ("a b", "a b c", 2),
        ("a b c", "a x c", 1),
        ("a b.", "a b", 1),  # a mark may disappear again
        ("a b.", "a b c", 2),  # or was that of the end of the audio
        ("a b. c", "a b c d", 1),
        ("a b", "a b. c", 1),
        ("a b,", "a b c", 1),
        ("A b", "a b", 0),
    ],
)
def test_hearings_agree_up_to_the_first_difference(before, now, n):
    assert agreed(words(before), words(now)) == n


@pytest.mark.parametrize(
    ("said", "heard", "n"),
    [
        ("", "a b", 0),
        ("a b", "", 0),
        ("a b", "a b c d", 2),
        ("a b.", "A b, c", 2),  # punctuation and case do not count
        ("a b c", "a x c d", 3),  # transcribed differently
        ("a b c", "a c d", 2),  # one word fewer
        ("on monday 18", "on monday april 18 at", 4),  # one word more, before the last
        ("no no", "no no no no", 2),
        ("a b c d", "c d e", 2),
        ("a b", "c d e", 2),  # nothing in common: the nearest end time
    ],
)
def test_words_said_before_are_found_again(said, heard, n):
    assert covered(words(said), words(heard)) == n


def test_of_equals_the_time_decides():
    said = words("a b")
    assert covered(said, [*words("a"), *words("c d", 1.0)]) == 2, "b became c"
    assert covered(said, [*words("a"), *words("c d", 3.0)]) == 1, "b was dropped, c came later"


def test_no_other_beginning_is_nearer():
    chance = random.Random(5)
    for _ in range(200):
        said, heard = (
            words(" ".join(chance.choices("abcd", k=chance.randrange(1, 9)))) for _ in range(2)
        )
        n = covered(said, heard)
        distances = [distance(said, heard[:end]) for end in range(len(heard) + 1)]
        assert distances[n] == min(distances)


def distance(said, heard):
    if not heard:
        return len(said)
    one, other = (" ".join(word.word.strip() for word in part) for part in (said, heard))
    counts = jiwer.process_words(one, other)
    return counts.substitutions + counts.insertions + counts.deletions
