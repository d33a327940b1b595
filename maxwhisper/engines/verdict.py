"""The one rule by which one engine is called faster than another."""

import statistics
from collections.abc import Sequence
from typing import Literal

Verdict = Literal["faster", "even", "slower"]

TIE = 1.03  # of two single rounds: a second run may reverse a smaller difference


def verdict_of(ours: Sequence[float], theirs: Sequence[float]) -> Verdict:
    """Whether `ours` is faster or slower than `theirs`; both are seconds of rounds, at least one.

    With several rounds of each, the ranges decide: "even" where they overlap or touch, else the one
    whose slowest round beats the other's fastest is faster. With a single round of either there is
    no range to compare: "even" where the medians are less than 3 % apart (`TIE`), else the lower
    median is faster.
    """
    if len(ours) > 1 and len(theirs) > 1:
        is_faster, is_slower = max(ours) < min(theirs), min(ours) > max(theirs)
    else:
        speed = statistics.median(theirs) / statistics.median(ours)
        is_faster, is_slower = speed >= TIE, 1 / speed >= TIE
    return "faster" if is_faster else "slower" if is_slower else "even"
