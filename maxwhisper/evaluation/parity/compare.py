"""Compare two transcripts of one recording, value by value.

Input: two `Transcript`s. Output: `Figure`s in the order of the text, so that the first one that
differs is where the transcripts diverge. Knows no engine.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

from maxwhisper.network.dims import TIME_PRECISION_S
from maxwhisper.transcript import Segment, Transcript, Word

Value = str | int | float | None

# Largest absolute errors. Fields that are not listed must be equal.
TOLERANCES = {
    "start": 1e-6,  # seconds: sums of the same multiples of 10 and 20 ms
    "end": 1e-6,
    "avg_logprob": 1e-3,
    "no_speech_prob": 1e-4,
    "compression_ratio": 1e-6,
    "word.start": TIME_PRECISION_S + 1e-6,  # one audio position; times are rounded to 10 ms
    "word.end": TIME_PRECISION_S + 1e-6,
    "word.probability": 1e-3,
}


@dataclass(frozen=True)
class Figure:
    """One value of both transcripts; None where one of them has nothing there."""

    where: str  # for example "segments[2].tokens[17]"
    field: str  # a key of `TOLERANCES`, or the name of something that must be equal
    ours: Value
    theirs: Value

    @property
    def error(self) -> float | None:
        """Absolute difference of two numbers that may differ a little; two NaN are equal."""
        if self.field not in TOLERANCES or self.ours is None or self.theirs is None:
            return None
        ours, theirs = float(self.ours), float(self.theirs)
        is_same = ours == theirs or (math.isnan(ours) and math.isnan(theirs))
        return 0.0 if is_same else abs(ours - theirs)

    @property
    def differs(self) -> bool:
        if self.error is None:
            return self.ours != self.theirs
        return not self.error <= TOLERANCES[self.field]  # NaN against a number differs


def figures(ours: Transcript, theirs: Transcript) -> Iterator[Figure]:
    """Every comparable value, in the order of the recording; the whole text at the end."""
    yield Figure("language", "language", ours.language, theirs.language)
    for i, (a, b) in enumerate(zip_longest(ours.segments, theirs.segments)):
        if a is None or b is None:
            texts = [None if segment is None else segment.text for segment in (a, b)]
            yield Figure(f"segments[{i}]", "segment", *texts)
        else:
            yield from _segment_figures(f"segments[{i}]", a, b)
    yield Figure("text", "text", ours.text, theirs.text)


def _segment_figures(where: str, ours: Segment, theirs: Segment) -> Iterator[Figure]:
    yield Figure(f"{where}.seek", "seek", ours.seek, theirs.seek)
    for i, (a, b) in enumerate(zip_longest(ours.tokens, theirs.tokens)):
        yield Figure(f"{where}.tokens[{i}]", "token", a, b)
    yield Figure(f"{where}.text", "text", ours.text, theirs.text)
    # Word times move the bounds of their segment.
    bounds = "word." if ours.words and theirs.words else ""
    for name in ("start", "end"):
        yield Figure(
            f"{where}.{name}", f"{bounds}{name}", getattr(ours, name), getattr(theirs, name)
        )
    for name in ("temperature", "avg_logprob", "compression_ratio", "no_speech_prob"):
        yield Figure(f"{where}.{name}", name, getattr(ours, name), getattr(theirs, name))
    for i, (word, other) in enumerate(zip_longest(ours.words, theirs.words)):
        yield from _word_figures(f"{where}.words[{i}]", word, other)


def _word_figures(where: str, ours: Word | None, theirs: Word | None) -> Iterator[Figure]:
    texts = [None if word is None else word.word for word in (ours, theirs)]
    yield Figure(f"{where}.word", "word", *texts)
    if ours is not None and theirs is not None:
        for name in ("start", "end", "probability"):
            yield Figure(
                f"{where}.{name}", f"word.{name}", getattr(ours, name), getattr(theirs, name)
            )


def worst_errors(compared: Iterable[Figure]) -> dict[str, float]:
    """{field: largest absolute error} of the figures that may differ a little."""
    worst: dict[str, float] = {}
    for figure in compared:
        if figure.error is not None:
            worst[figure.field] = max(worst.get(figure.field, 0.0), figure.error)
    return worst
