"""Sentences as people say and tell them: at home, outside, of days and machines.

Owns how the rules of `scenes.txt` become sentences. They hold whole phrases, so that most sentences
make sense: the words of `grammar` stand in any order, and a network that had met nothing else wrote
words of its own for "when she opened the kitchen door".
"""

import random
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

RULES = Path(__file__).with_name("scenes.txt")
_NAME = re.compile(r"\{(\w+)\}")


def scenes(rng: random.Random, n: int) -> Iterator[str]:
    """`n` sentences; a few may be the same, and some too long."""
    for _ in range(n):
        yield _as_written(_expand("sentence", rng))


def _expand(name: str, rng: random.Random) -> str:
    chosen = rng.choice(rules()[name])
    return _NAME.sub(lambda match: _expand(match[1], rng), chosen)


@cache
def rules() -> dict[str, list[str]]:
    """Alternatives of each rule, by its name."""
    lines = RULES.read_text("utf-8").splitlines()
    text = "\n".join(line for line in lines if line and not line.startswith("#"))
    named = (rule.partition(":") for rule in text.replace("\n    ", " ").split("\n"))
    return {name: [one.strip() for one in body.split("|")] for name, _, body in named}


def _as_written(words: str) -> str:
    """Capitals where sentences begin; "an" before a vowel."""
    words = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", words)
    return re.sub(r"(^|[.?!] )([a-z])", lambda match: match[1] + match[2].upper(), words)
