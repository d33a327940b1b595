"""Generate sentences of the most frequent English words in all their forms. They need no meaning,
only sound.

A dictionary contains "an animal that hunts", but rarely "she says", "we were listening" or "thank
you for coming". These sentences give every common noun, verb, adjective and adverb in its inflected
forms, among the function words of speech. In: WordNet's counts of senses in running text
(cntlist.rev), its irregular forms (*.exc) and its data files. Out: texts, the same for a seed.
"""

import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MIN_COUNT = 45  # occurrences of a word in WordNet's tagged texts; gives about 900 words
_PART = {"1": "noun", "2": "verb", "3": "adj", "4": "adv", "5": "adj"}  # of cntlist.rev's keys

# Everyday words, and words of this field, that are too rare in those texts (of 1961).
EVERYDAY = {
    "noun": "kernel network graph library version pocket telephone snow roof energy band sample "
    "step weight text failure operation range mile concert advertisement token processor "
    "wall window student machine number engine plan picture word sentence language sound "
    "voice speech computer model morning kettle ticket river bridge coat result",
    "verb": "arrive agree fail measure repeat report describe spend hope listen choose sing build "
    "cut capture replay compile train decode record remember want need like help try talk "
    "wait walk start stop open close send buy eat drink sleep learn teach thank know do",
    "adj": "plain slow quick fast wrong right different early late quiet loud ready happy sorry "
    "easy hard cheap busy free middle outside",
    "adv": "quickly slowly quietly rarely together apart outside inside already again soon today "
    "tomorrow yesterday here there up down else loudly well",
}
_OBJECTS = "me you him her it us them something nothing everything someone anything"

_DETERMINERS = "the the the the a a this that my your his her our their every some another no each"
_DETERMINERS_PLURAL = "the the the these those my your his her our their some many few all both two"
_DETERMINERS_PLURAL += " three several most"
_PREPOSITIONS = "in on at by for with from to into of under over between behind near beside before"
_PREPOSITIONS += " after during without through across around against toward about along until"
_LINKS = "and but because when if while before after so although unless since as where until or"
_MODALS = "can could will would should must may might cannot didn't don't won't couldn't"
_OPENINGS = (
    *("well", "yes", "no", "then", "now", "perhaps", "of course", "in fact", "at last"),
    *("today", "tomorrow", "sometimes", "for example", "however", "in the end", "at first"),
)
_QUESTIONS = "what why how when where who"
_SINGULAR = "he she it everybody nobody somebody this that"
_PLURAL = "I you we they"


@dataclass(frozen=True)
class Verb:
    base: str
    third: str  # "listens"
    past: str
    participle: str
    gerund: str


def third_or_plural(word: str) -> str:
    """Return the regular plural of a noun, or the third person of a verb."""
    if re.search(r"(s|x|z|ch|sh)$", word):
        return word + "es"
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + "s"


def past_tense(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    return (verb[:-1] + "ied") if re.search(r"[^aeiou]y$", verb) else verb + "ed"


def gerund(verb: str) -> str:
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    return (verb[:-1] if re.search(r"[^aeiouy]e$|[ui]e$", verb) else verb) + "ing"


def inflect(verb: str, irregular: list[str]) -> Verb:
    """Return all forms; `irregular` has those of WordNet's list, not in the order of tenses."""
    gerunds = [form for form in irregular if form.endswith("ing")]
    pasts = [form for form in irregular if not form.endswith(("ing", "s"))]
    pasts = pasts or [past_tense(verb)]
    participles = [form for form in pasts if re.search(r"(n|ne|um|un)$", form)]
    others = [form for form in pasts if form not in participles] or pasts
    return Verb(
        verb,
        {"be": "is", "have": "has", "do": "does", "go": "goes"}.get(verb, third_or_plural(verb)),
        others[0],
        (participles or others)[0],
        (gerunds or [gerund(verb)])[0],
    )


class Grammar:
    """The words, and random sentences made of them."""

    def __init__(
        self,
        wordnet: Path,
        unwelcome: re.Pattern[str],
        more: Mapping[str, str] = EVERYDAY,
    ) -> None:
        counts = _counts(wordnet)
        lower = {part: _lower_case_words(wordnet, part, unwelcome) for part in set(_PART.values())}
        common: dict[str, list[str]] = defaultdict(list)
        for (word, part), count in sorted(counts.items()):
            if count >= MIN_COUNT and word in lower[part] and (len(word) > 2 or word == "go"):
                common[part].append(word)
        for part, words in more.items():
            common[part] = sorted({*common[part], *words.split()})
        plural, tense = _irregular(wordnet, "noun"), _irregular(wordnet, "verb")
        self.nouns = common["noun"]
        self.plurals = [
            min(plural[noun] or [third_or_plural(noun)], key=len) for noun in self.nouns
        ]
        self.verbs = [inflect(verb, tense[verb]) for verb in common["verb"] if verb != "be"]
        self.adjectives = common["adj"]
        self.adverbs = [adverb for adverb in common["adv"] if adverb not in ("not", "very", "too")]

    def sentences(self, rng: random.Random, n: int) -> Iterator[str]:
        for _ in range(n):
            sentence = self._sentence(rng)
            yield sentence[0].upper() + sentence[1:]

    def _sentence(self, rng: random.Random) -> str:
        kind = rng.random()
        if kind < 0.45:
            return self._clause(rng) + "."
        if kind < 0.60:
            link = rng.choice(_LINKS.split())
            return f"{self._clause(rng)}, {link} {self._clause(rng)}."
        if kind < 0.68:
            return f"{rng.choice(_OPENINGS)}, {self._clause(rng)}."
        if kind < 0.76:
            auxiliary = rng.choice(("do you", "did they", "can we", "will he", "would she"))
            ask = f"{rng.choice(_QUESTIONS.split())} " if rng.random() < 0.5 else ""
            return f"{ask}{auxiliary} {rng.choice(self.verbs).base} {self._noun_phrase(rng)}?"
        if kind < 0.82:
            return f"{self._imperative(rng)}, {self._imperative(rng)}, and {self._imperative(rng)}."
        if kind < 0.86:
            return f"please {self._imperative(rng)}."
        if kind < 0.89:
            return f"thank you for {rng.choice(self.verbs).gerund} {self._noun_phrase(rng)}."
        if kind < 0.93:
            be = rng.choice(("is", "was"))
            return f"{be} {self._noun_phrase(rng)} {rng.choice(self.adjectives)}?"
        choice = rng.choice(("is", "was", "will be"))
        adjective, verb = rng.choice(self.adjectives), rng.choice(self.verbs).base
        return f"it {choice} {adjective} to {verb} {self._noun_phrase(rng)}."

    def _imperative(self, rng: random.Random) -> str:
        verb = rng.choice(self.verbs).base
        return f"{verb} {self._noun_phrase(rng) if rng.random() < 0.7 else self._place(rng)}"

    def _clause(self, rng: random.Random) -> str:
        subject, is_plural = self._subject(rng)
        parts = [subject, self._verb_phrase(rng, subject, is_plural)]
        if rng.random() < 0.75:
            is_noun = rng.random() < 0.75
            parts.append(self._noun_phrase(rng) if is_noun else rng.choice(_OBJECTS.split()))
        if rng.random() < 0.45:
            parts.append(self._place(rng))
        if rng.random() < 0.25:
            parts.append(rng.choice(self.adverbs))
        return " ".join(parts)

    def _verb_phrase(self, rng: random.Random, subject: str, is_plural: bool) -> str:
        verb, tense = rng.choice(self.verbs), rng.random()
        adverb = f"{rng.choice(self.adverbs)} " if rng.random() < 0.1 else ""
        if tense < 0.35:
            return adverb + (verb.base if is_plural else verb.third)
        if tense < 0.60:
            return adverb + verb.past
        if tense < 0.75:
            return f"{rng.choice(_MODALS.split())} {adverb}{verb.base}"
        if tense < 0.87:
            be = "am" if subject == "I" else "are" if is_plural else "is"
            was = "were" if is_plural and subject != "I" else "was"
            return f"{rng.choice((be, was))} {adverb}{verb.gerund}"
        have = rng.choice(("have" if is_plural else "has", "had"))
        return f"{have} {adverb}{verb.participle}"

    def _subject(self, rng: random.Random) -> tuple[str, bool]:
        """Return a subject, and whether its verb is in the plural."""
        kind = rng.random()
        if kind < 0.25:
            return rng.choice(_PLURAL.split()), True
        if kind < 0.45:
            return rng.choice(_SINGULAR.split()), False
        is_plural = kind > 0.75
        return self._noun_phrase(rng, is_plural), is_plural

    def _noun_phrase(self, rng: random.Random, is_plural: bool | None = None) -> str:
        is_plural = rng.random() < 0.4 if is_plural is None else is_plural
        determiners = _DETERMINERS_PLURAL if is_plural else _DETERMINERS
        determiner = rng.choice(determiners.split())
        words = [rng.choice(self.plurals if is_plural else self.nouns)]
        if rng.random() < 0.4:
            words.insert(0, rng.choice(self.adjectives))
        if determiner == "a" and words[0][0] in "aeiou":
            determiner = "an"
        return " ".join([determiner, *words])

    def _place(self, rng: random.Random) -> str:
        return f"{rng.choice(_PREPOSITIONS.split())} {self._noun_phrase(rng)}"


def _read(path: Path) -> list[str]:
    if not path.is_file():
        sys.exit(f"expected {path}, found none: apt-get install wordnet-base")
    return path.read_text(encoding="ascii", errors="replace").splitlines()


def _counts(wordnet: Path) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for line in _read(wordnet / "cntlist.rev"):
        key, _, count = line.split()
        word, _, sense = key.partition("%")
        if word.isalpha():
            counts[word, _PART[sense[0]]] += int(count)
    return counts


def _lower_case_words(wordnet: Path, part: str, unwelcome: re.Pattern[str]) -> set[str]:
    """Return the words of the data file that are not names, without those of unwanted entries."""
    words: set[str] = set()
    bad: set[str] = set()
    for line in _read(wordnet / f"data.{part}"):
        entry, _, gloss = line.partition(" | ")
        fields = entry.split()
        if line.startswith("  ") or len(fields) < 5:
            continue
        names = {fields[4 + 2 * i].partition("(")[0] for i in range(int(fields[3], 16))}
        (bad if unwelcome.search(gloss) else words).update(names)
    return {word for word in words - bad if word.isalpha() and word.islower()}


def _irregular(wordnet: Path, part: str) -> dict[str, list[str]]:
    forms: dict[str, list[str]] = defaultdict(list)
    for line in _read(wordnet / f"{part}.exc"):
        form, *words = line.split()
        for word in words:
            forms[word].append(form)
    return forms
