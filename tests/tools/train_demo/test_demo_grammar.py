"""Grammar: the forms of English words, and sentences with them, reproducible by seed."""

import random
import re

import pytest

from tools.train_demo.grammar import Grammar, gerund, inflect, past_tense, third_or_plural

UNWELCOME = re.compile("offensive")


@pytest.mark.parametrize(
    ("word", "expected"),
    [("cat", "cats"), ("box", "boxes"), ("city", "cities"), ("day", "days"), ("watch", "watches")],
)
def test_plural_and_third_person(word, expected):
    assert third_or_plural(word) == expected


@pytest.mark.parametrize(
    ("verb", "past", "ing"),
    [
        ("walk", "walked", "walking"),
        ("live", "lived", "living"),
        ("carry", "carried", "carrying"),
        ("play", "played", "playing"),
        ("die", "died", "dying"),
        ("agree", "agreed", "agreeing"),
        ("argue", "argued", "arguing"),
    ],
)
def test_regular_past_and_gerund(verb, past, ing):
    assert (past_tense(verb), gerund(verb)) == (past, ing)


@pytest.mark.parametrize(
    ("verb", "irregular", "forms"),
    [
        ("listen", [], ("listens", "listened", "listened", "listening")),
        ("write", ["writing", "written", "wrote"], ("writes", "wrote", "written", "writing")),
        ("go", ["goes", "going", "gone", "went"], ("goes", "went", "gone", "going")),
        ("stop", ["stopped", "stopping"], ("stops", "stopped", "stopped", "stopping")),
    ],
)
def test_irregular_forms_are_told_apart(verb, irregular, forms):
    found = inflect(verb, irregular)
    assert (found.third, found.past, found.participle, found.gerund) == forms


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory):
    """A dictionary of a few words in WordNet's file formats."""
    folder = tmp_path_factory.mktemp("wordnet")
    words = {
        "noun": ("1", ["mouse", "table", "London", "insult"]),
        "verb": ("2", ["go", "help", "be"]),
        "adj": ("3", ["old", "green"]),
        "adv": ("4", ["slowly", "not"]),
    }
    counts = ["rare%1:03:00:: 1 2"]
    for part, (number, chosen) in words.items():
        lines = ["  1 the licence stands in lines that begin with spaces"]
        for word in chosen:
            gloss = "an offensive word" if word == "insult" else "a thing"
            lines.append(f"00001740 03 n 01 {word} 0 000 | {gloss}")
            counts.append(f"{word}%{number}:03:00:: 1 50")
        (folder / f"data.{part}").write_text("\n".join(lines) + "\n")
    (folder / "cntlist.rev").write_text("\n".join(counts) + "\n")
    (folder / "noun.exc").write_text("mice mouse\n")
    (folder / "verb.exc").write_text("goes go\ngoing go\ngone go\nwent go\n")
    return folder


def test_words_are_common_harmless_and_no_names(wordnet):
    grammar = Grammar(wordnet, UNWELCOME, {})
    assert grammar.nouns == ["mouse", "table"]
    assert grammar.plurals == ["mice", "tables"]
    assert [verb.base for verb in grammar.verbs] == ["go", "help"]  # "be" is irregular
    assert grammar.adjectives == ["green", "old"]
    assert grammar.adverbs == ["slowly"]


def test_sentences_are_sentences_and_repeat_for_a_seed(wordnet):
    grammar = Grammar(wordnet, UNWELCOME, {})
    made = list(grammar.sentences(random.Random(0), 400))
    assert made == list(grammar.sentences(random.Random(0), 400))
    assert all(re.fullmatch(r"[A-Z][a-zA-Z', ]*[.?]", sentence) for sentence in made)
    assert not any(re.search(r"\ba [aeiou]|\ban [^aeiou]", sentence) for sentence in made)
    words = {word for sentence in made for word in re.findall(r"[a-z']+", sentence.lower())}
    assert {"mice", "went", "gone", "going", "helped", "helping", "slowly", "green"} <= words


def test_a_missing_dictionary_says_what_to_install(tmp_path):
    with pytest.raises(SystemExit, match="apt-get install wordnet-base"):
        Grammar(tmp_path, UNWELCOME)
