"""Texts word under word: columns, counts, and HTML that needs no colour."""

import random
import re

import pytest

from maxwhisper.text.wer import word_error_rate
from maxwhisper.web.ui.listen.diff import Column, Counts, align, count, diff_html

EVIL = "<script>alert('\"')</script>"


def rows(*texts):
    return [text.split() for text in texts]


def test_three_texts_share_columns():
    columns = align(rows("ask not what", "ask what", "asked not what you"))
    assert [column.words for column in columns] == [
        ("ask", "ask", "asked"),
        ("not", None, "not"),
        ("what", "what", "what"),
        (None, None, "you"),
    ]
    assert [column.agrees for column in columns] == [False, False, True, False]


def test_words_that_two_rows_add_stand_together():
    columns = align(rows("a b", "a x b", "a x y b"))
    assert [column.words for column in columns[1:3]] == [(None, "x", "x"), (None, None, "y")]


@pytest.mark.parametrize("first", ["", "one two"])
@pytest.mark.parametrize("other", ["", "one three two"])
def test_empty_texts_align(first, other):
    columns = align(rows(first, other))
    assert [w for w in (c.words[0] for c in columns) if w] == first.split()
    assert [w for w in (c.words[1] for c in columns) if w] == other.split()


def test_no_word_is_lost_and_the_distance_is_the_least():
    chance = random.Random(1)
    for _ in range(30):
        texts = [" ".join(chance.choices("abcde", k=chance.randrange(1, 20))) for _ in range(3)]
        columns = align(rows(*texts))
        for row, text in enumerate(texts):
            assert " ".join(c.words[row] for c in columns if c.words[row]) == text
        errors = word_error_rate(texts[0], texts[1], "de")  # the basic rules keep single letters
        assert count(columns, 1).total == round(errors.wer * errors.n_words)


def test_counts():
    columns = align(rows("ask not what", "ask what", "asked Not what you"))
    assert count(columns, 1) == Counts(replaced=0, missing=1, extra=0)
    assert count(columns, 2) == Counts(replaced=1, missing=0, extra=1)
    assert Column(("a", "A")).agrees


def test_a_difference_is_named_and_underlined_and_said():
    names = ["openai-whisper", "faster-whisper", "maxwhisper"]
    page = diff_html(names, align(rows("so ask not", "so asked not", "so ask")), " ")
    assert page.startswith('<p class="diff">so <span class="differ">')
    assert "[openai-whisper: ask not; faster-whisper: asked not; maxwhisper: ask]" in page
    assert '<span class="odd row1">asked</span><span class="same">not</span><b>faster</b>' in page
    assert '<span class="same">ask</span><span class="odd row2">–</span><b>maxwhisper</b>' in page


def test_rows_that_do_not_deviate_are_not_repeated():
    page = diff_html(["one", "two", "three"], align(rows("a b", "a c", "a b")), " ")
    assert "<b>two</b>" in page
    assert "<b>three</b>" not in page


def test_rows_that_deviate_alike_share_a_line():
    said, *names = ["what was said", "openai-whisper", "faster-whisper", "maxwhisper"]
    page = diff_html([said, *names], align(rows("a b", "a c", "a c", "a d")), " ")
    assert re.findall(r"<b>([^<]+)</b>", page) == ["openai, faster", "maxwhisper"]
    page = diff_html([said, *names], align(rows("a b", "a c", "a c", "a c")), " ")
    assert re.findall(r"<b>([^<]+)</b>", page) == ["all 3"]


def test_long_differences_wrap():
    page = diff_html(["one", "two"], align(rows("a b c d e f", "u v w x y z")), " ")
    assert re.findall(r"--columns: (\d)", page) == ["3", "3"]


def test_words_and_names_are_no_markup():
    page = diff_html([EVIL, "two"], align(rows(f"a {EVIL} same", f"b {EVIL}x same")), " ")
    assert "<script" not in page
    assert "'" not in page.replace("&#39;", "")
