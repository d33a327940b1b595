"""Words of transcripts: which words are equal, and when each is spoken."""

import pytest

from maxwhisper.text.words import has_word_times, joiner, split_words, spoken_words, word_key
from maxwhisper.transcript import Segment, Word


def segment(text, start=2.0, end=4.0, words=()):
    return Segment(0, 0, start, end, text, (1,), 0.0, -0.1, 1.0, 0.0, words)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [("Hello,", "hello", True), ("don't", "dont", True), ("ÉTÉ", "été", True), ("–", "...", False)],
)
def test_case_and_punctuation_do_not_count(a, b, same):
    assert (word_key(a) == word_key(b)) is same


def test_languages_without_spaces_are_split_at_characters():
    assert split_words("今日 は", "ja") == ["今", "日", "は"]
    assert split_words(" two  words\n", "en") == ["two", "words"]
    assert (joiner("ja"), joiner("en")) == ("", " ")


def test_words_keep_the_times_of_their_engine():
    (word,) = spoken_words(segment(" hi", words=(Word(" hi", 2.5, 2.75, 0.9),)), "en")
    assert (word.text, word.start, word.end) == ("hi", 2.5, 2.75)


def test_without_times_the_segment_is_shared_out_by_letters():
    words = spoken_words(segment(" a abc"), "en")
    assert [(w.text, w.start, w.end) for w in words] == [("a", 2.0, 2.5), ("abc", 2.5, 4.0)]


@pytest.mark.parametrize("text", ["", "  ", " one"])
def test_estimates_survive_empty_text_and_reversed_times(text):
    words = spoken_words(segment(text, start=3.0, end=1.0), "en")
    assert [(w.start, w.end) for w in words] == [(3.0, 3.0)] * len(text.split())


def test_times_are_known_only_if_every_segment_with_text_has_them():
    timed = segment(" hi", words=(Word(" hi", 0, 1, 1),))
    assert has_word_times((timed, segment(" ")))
    assert not has_word_times((timed, segment(" there")))
