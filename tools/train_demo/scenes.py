"""Sentences as people say and tell them: at home, outside, about days and machines.

Owns how the rules of `scenes.txt` and `lecture.txt` become sentences. They contain whole phrases,
so most sentences make sense. The words of `grammar` are in any order, and a network trained only on
those invented words for "when she opened the kitchen door".
"""

import random
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tools.train_demo.phrases import fill

SCENES, LECTURE = (Path(__file__).with_name(name) for name in ("scenes.txt", "lecture.txt"))
SLOTS = {"number"}  # of `phrases`, in the rules
_NAME = re.compile(r"\{(\w+)\}")


def scenes(rng: random.Random, n: int, rules: Path = SCENES) -> Iterator[tuple[str, str]]:
    """Return `n` pairs (text, spoken); some may be equal, and some too long."""
    for _ in range(n):
        yield fill(_as_written(_expand("sentence", read_rules(rules), rng)), rng)


def _expand(name: str, rules: dict[str, list[str]], rng: random.Random) -> str:
    if name in SLOTS:
        return f"{{{name}}}"
    return _NAME.sub(lambda match: _expand(match[1], rules, rng), rng.choice(rules[name]))


@cache
def read_rules(path: Path) -> dict[str, list[str]]:
    """Return the alternatives of each rule, by its name."""
    lines = path.read_text("utf-8").splitlines()
    text = "\n".join(line for line in lines if line and not line.startswith("#"))
    named = (rule.partition(":") for rule in text.replace("\n    ", " ").split("\n"))
    return {name: [one.strip() for one in body.split("|")] for name, _, body in named}


def _as_written(words: str) -> str:
    """Capitalise the beginnings of sentences, and write "an" before a vowel."""
    words = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", words)
    return re.sub(r"(^|[.?!] )([a-z])", lambda match: match[1] + match[2].upper(), words)
