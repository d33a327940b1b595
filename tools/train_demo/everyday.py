"""Everyday sentences, written by hand for evaluation alone.

Owns the two lists, and the check that no training text quotes them. `validation` chooses between
runs and means; `test` is only reported. Out: their sentences, a line each in the files.
"""

import re
from collections.abc import Iterable
from pathlib import Path

NAMES = ("validation", "test")
IN_A_ROW = 4  # consecutive words that no training text shares with an everyday sentence
_LETTERS = re.compile(r"[a-z']+")


def read(name: str) -> list[str]:
    """Return the sentences of `validation` or `test`."""
    return Path(__file__).with_name(f"everyday_{name}.txt").read_text("utf-8").splitlines()


def in_a_row(text: str, n: int) -> set[tuple[str, ...]]:
    """Return every `n` consecutive words of `text`, in lower case."""
    words = _LETTERS.findall(text.lower())
    return {tuple(words[start : start + n]) for start in range(len(words) - n + 1)}


def not_quoting(
    pairs: Iterable[tuple[str, str]], quoted: Iterable[str], n: int
) -> list[tuple[str, str]]:
    """Return the pairs (text, spoken) that share no `n` consecutive words with a text of
    `quoted`, as they are written or as they are spoken."""
    there = {words for text in quoted for words in in_a_row(text, n)}
    return [pair for pair in pairs if all(there.isdisjoint(in_a_row(form, n)) for form in pair)]
