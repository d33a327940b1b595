"""Sentences: writing and speech agree, the split is stable, and the rules allow every token."""

import random
import re

import pytest

from maxwhisper.text.wer import normalize
from tools.train_demo import text
from tools.train_demo.everyday import not_quoting
from tools.train_demo.phrases import fill, number_words, ordinal_words, phrases, year_words
from tools.train_demo.scenes import LECTURE, SCENES, SLOTS, read_rules, scenes


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("the dog slept on the porch", "The dog slept on the porch."),
        ("  he  isn't here, is he? ", "He isn't here, is he?"),
        ("a well-known writer of English novels", "A well-known writer of English novels."),
        ("Dr. Brown lives in the old house", "Dr. Brown lives in the old house."),
    ],
)
def test_clean_writes_as_whisper_does(raw, expected):
    assert text.clean(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [
        "in 1954 the war ended",  # digits are read in several ways
        "cats, dogs, etc. and so on",  # abbreviations
        "(trademark) a kind of glue",  # brackets
        "the NATO treaty was signed",  # capitals may be spelled or read
        "he said: come here at once",
        "the hrmph of an old man",  # no vowel
        "too short",
        "far " * 40,
        "naïve people of the world",
    ],
)
def test_clean_refuses_what_could_be_read_in_several_ways(raw):
    assert text.clean(raw) is None


def test_split_is_stable_disjoint_and_blind_to_casing():
    pairs = [(f"Sentence {'abcdefghij'[i % 10]}{i}.", "") for i in range(1000)]
    sentences = text.split(pairs, share=0.1)
    held_out = {s.text for s in sentences if s.held_out}
    assert 70 <= len(held_out) <= 130  # a share by hash: three standard deviations around 100
    assert len(sentences) == 1000
    again = text.split([*reversed(pairs), (pairs[0][0].upper(), "")], share=0.1)
    assert {s.text.lower() for s in again if s.held_out} == {t.lower() for t in held_out}
    assert len(again) == 1000


def test_a_sentence_stays_on_its_side_whatever_the_list():
    pairs = [(f"Sentence number {i}.", "") for i in range(1000)]
    whole = {s.text: s.held_out for s in text.split(pairs, share=0.1)}
    part = {s.text: s.held_out for s in text.split(pairs[::7], share=0.1)}
    assert part.items() <= whole.items()


def test_sentences_survive_the_file(tmp_path):
    sentences = text.split(
        [("One two three.", "One two three."), ("It is 12.", "It is twelve.")], share=0.5
    )
    text.write(sentences, tmp_path / "s.jsonl")
    assert text.read(tmp_path / "s.jsonl") == sentences


def test_rare_tokens_are_not_trained(tokenizer):
    pairs = [("The dog sat.", "")] * 3 + [("The aardvark sat.", "")]
    assert text.familiar(pairs, tokenizer, min_count=2) == pairs[:3]


def test_rare_words_are_not_trained():
    pairs = [("The dog sat.", ""), ("Sat the dog?", ""), ("The dog, the aardvark sat.", "")]
    assert text.common_words(pairs, min_count=2) == pairs[:2]


@pytest.mark.parametrize(
    ("n", "words"),
    [(7, "seven"), (40, "forty"), (206, "two hundred and six"), (12_000, "twelve thousand")],
)
def test_number_words(n, words):
    assert number_words(n, "and ") == words
    assert normalize(words) == str(n)  # Whisper's normaliser reads it back


@pytest.mark.parametrize(
    ("year", "words"),
    [(1905, "nineteen oh five"), (1900, "nineteen hundred"), (2006, "two thousand six")],
)
def test_year_words(year, words):
    assert year_words(year) == words


def test_ordinal_words():
    assert [ordinal_words(n) for n in (1, 12, 20, 31)] == [
        "first",
        "twelfth",
        "twentieth",
        "thirty first",
    ]


def test_what_is_written_and_what_is_said():
    written, said = fill("{money} or {percent}?", random.Random(1))
    assert written[0] == "$"
    assert written.endswith("%?")
    assert "dollars" in said
    assert not any(character.isdigit() for character in said)


def test_phrases_hold_no_token_that_decoding_suppresses(tokenizer):
    suppressed = set(tokenizer.non_speech_tokens)
    for written, said in phrases(random.Random(0), 2000):
        assert not suppressed & set(tokenizer.encode(" " + written)), written
        assert not any(character.isdigit() for character in said), said
        assert "{" not in written + said


def test_no_sentence_quotes_an_example_clip():
    said = "The kettle was already singing when she opened the kitchen door."
    pairs = [
        (said, ""),
        ("When she OPENED the kitchen, he left.", ""),
        ("She opened the door.", ""),
    ]
    assert not_quoting(pairs, [said], text.QUOTED) == [pairs[2]]
    assert said in " ".join(text.clip_texts())


@pytest.mark.parametrize("grammar", [SCENES, LECTURE], ids=lambda path: path.stem)
def test_every_rule_of_a_grammar_is_there_and_is_used(grammar):
    rules = read_rules(grammar)
    used = set(re.findall(r"\{(\w+)\}", str(rules)))
    assert (used | {"sentence"}) - SLOTS == set(rules)


@pytest.mark.parametrize("grammar", [SCENES, LECTURE], ids=lambda path: path.stem)
def test_scenes_are_sentences_and_repeat_for_a_seed(grammar):
    told = list(scenes(random.Random(0), 500, grammar))
    assert told == list(scenes(random.Random(0), 500, grammar))
    assert len(set(told)) > 450
    for written, spoken in told:
        assert spoken[0].isupper()
        assert written[0].isdigit() or written[0].isupper()
        for sentence in (written, spoken):
            assert sentence[-1] in ".?"
            assert "{" not in sentence
            assert not re.search(r"\b[Aa] [aeiou]", sentence)
        assert not re.search(r"\d", spoken)


def test_a_lecture_writes_numbers_as_digits_and_says_them():
    told = list(scenes(random.Random(0), 500, LECTURE))
    assert all((written != spoken) == bool(re.search(r"\d", written)) for written, spoken in told)
    assert any(written != spoken for written, spoken in told)
    assert all(written == spoken for written, spoken in scenes(random.Random(0), 500))


def test_plurals_of_things_are_spelled():
    texts = " ".join(written for written, _ in phrases(random.Random(0), 3000))
    assert "countries" in texts
    assert "boxes" in texts
    assert not re.search(r"countrys|boxs|glasss|storys", texts)
