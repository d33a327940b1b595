"""Everyday sentences: enough of them, apart from training text, example clips and each other."""

from itertools import combinations

import pytest

from tools.train_demo import everyday, text
from tools.train_demo.everyday import IN_A_ROW, in_a_row

EVERYDAY = {name: everyday.read(name) for name in everyday.NAMES}
OF_WORDNET = ("grammar", "dictionary")


def quotations(forms, sentences):
    """Return every four words in a row that a form shares with a sentence, with the form."""
    there = {words for sentence in sentences for words in in_a_row(sentence, IN_A_ROW)}
    shared = ((form, there & in_a_row(form, IN_A_ROW)) for form in forms)
    return {" ".join(words): form for form, found in shared for words in found}


@pytest.mark.parametrize(("name", "at_least"), [("test", 200), ("validation", 60)])
def test_there_are_enough_sentences_of_5_to_18_words(name, at_least):
    assert len(set(EVERYDAY[name])) == len(EVERYDAY[name]) >= at_least
    for sentence in EVERYDAY[name]:
        assert 5 <= len(sentence.split()) <= 18, sentence
        assert sentence[0].isupper()
        assert sentence[-1] in ".?!"
        assert not any(character.isdigit() for character in sentence), sentence


def test_sentences_share_no_four_words_with_each_other():
    every = [sentence for sentences in EVERYDAY.values() for sentence in sentences]
    for one, other in combinations(every, 2):
        assert not quotations([one], [other]), (one, other)


@pytest.mark.parametrize("name", EVERYDAY)
@pytest.mark.parametrize("source", text.SOURCES)
def test_no_source_of_training_text_quotes_them(source, name):
    """All that a source says, before rare words are dropped, as it is written and as spoken."""
    if source in OF_WORDNET and not (text.WORDNET / "data.noun").is_file():
        pytest.skip("wordnet-base is not installed: apt-get install wordnet-base")
    forms = {form for pair in text.SOURCES[source]() for form in pair}
    assert len(forms) > 20_000
    assert quotations(forms, EVERYDAY[name]) == {}


@pytest.mark.parametrize("name", EVERYDAY)
def test_no_example_clip_quotes_them(name):
    assert quotations(text.clip_texts(), EVERYDAY[name]) == {}


@pytest.mark.parametrize("name", EVERYDAY)
def test_a_quotation_is_found_and_kept_out_of_training(name):
    words = " ".join(EVERYDAY[name][0].split()[1:5])
    quoting, plain = f"Then {words.upper()} again.", ("The dog sat.", "The dog sat.")
    assert quotations([quoting, *plain], EVERYDAY[name]) == {
        words.lower().replace(",", ""): quoting
    }
    pairs = [(quoting, "Room twelve."), ("Room 12.", quoting), plain]
    assert everyday.not_quoting(pairs, EVERYDAY[name], IN_A_ROW) == [plain]
