"""Word error rate and agreement: counts worked out by hand, the normaliser against its original."""

import subprocess
import sys

import pytest

from maxwhisper.text.wer import NOTHING_SAID, agreement, normalize, word_error_rate


def test_counts_of_each_kind_of_error():
    errors = word_error_rate(
        "the cat sat on the mat near a door", "the bat sat on mat near a red door"
    )
    assert (errors.substitutions, errors.deletions, errors.insertions) == (1, 1, 1)
    assert (errors.hits, errors.n_words) == (7, 9)
    assert errors.wer == pytest.approx(3 / 9)


@pytest.mark.parametrize(
    ("reference", "hypothesis"),
    [
        ("And so, my fellow Americans!", "and so my fellow americans"),
        ("We're paying twenty five dollars", "we are paying $25"),
        ("the colour of the theatre", "The color of the theater."),
        ("Mr. Quilter (laughs) is, um, here", "mister quilter is here"),
    ],
)
def test_what_the_english_normaliser_forgives(reference, hypothesis):
    errors = word_error_rate(reference, hypothesis)
    assert errors.wer == 0.0, (normalize(reference), normalize(hypothesis))


def test_other_languages_keep_their_words():
    assert normalize("um schon, ¡Niño!", language="de") == "um schon niño "
    assert "um" not in normalize("um schon").split()  # a hesitation in English


def test_characters_count_where_no_spaces_part_words():
    errors = word_error_rate("今日は良い天気です。", "今日は悪い天気です", language="ja")
    assert (errors.substitutions, errors.n_words) == (1, 9)
    assert (errors.rate_name, errors.to_dict()["wer"]) == ("CER", None)
    assert errors.to_dict()["cer"] == pytest.approx(1 / 9)
    words = word_error_rate("a good day", "a bad day")
    assert (words.rate_name, words.to_dict()["cer"]) == ("WER", None)
    assert words.to_dict()["wer"] == pytest.approx(1 / 3)
    assert word_error_rate(NOTHING_SAID, "ご視聴", language="ja").unit == "character"
    assert agreement("你好世界", "你好世間", language="zh") == 0.75


def test_that_nobody_speaks_leaves_no_words_in_any_language():
    for language in ("en", "de", "zh"):
        assert normalize(NOTHING_SAID, language).strip() == ""


def test_an_empty_reference_has_no_rate():
    errors = word_error_rate(" (laughs) ", "two words")
    assert errors.wer is None
    assert (errors.insertions, errors.n_words) == (2, 0)


def test_an_empty_hypothesis_loses_every_word():
    errors = word_error_rate("three words here", "")
    assert errors.wer == 1.0
    assert errors.deletions == 3


def test_a_hallucination_can_exceed_one():
    assert word_error_rate("yes", "no no no").wer == 3.0


def test_agreement_is_symmetric_and_bounded():
    a, b = "one small step for man", "one giant leap for all of mankind"
    assert agreement(a, b) == agreement(b, a)
    assert 0.0 <= agreement(a, b) < 1.0
    assert agreement(a, a.upper() + ".") == 1.0
    assert agreement("", "") == 1.0
    assert agreement("", "words") == agreement("words", "") == 0.0


def test_scoring_does_not_import_torch():
    code = (
        "import sys; from maxwhisper.text.wer import word_error_rate as w;"
        "assert w('two', '2').wer == 0.0;"
        "print([m for m in ('torch', 'max', 'whisper', 'gradio') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_normaliser_is_openai_whispers():
    original = pytest.importorskip("whisper.normalizers").EnglishTextNormalizer()
    text = "Dr. Smith paid £3.50, didn't he? It's the 21st, [noise] café — o'clock."
    assert normalize(text) == original(text)
