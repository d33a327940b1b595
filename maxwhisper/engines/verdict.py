"""When one engine is called faster than another, and by which factor: the rules of the page and of
the benchmark.

In: the seconds of rounds, and for a race what says how far they can be relied on. Out: a verdict,
or the one factor of a race. Must not know how either is shown.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from maxwhisper.engine import OURS
from maxwhisper.engines.load import total
from maxwhisper.engines.race import EngineResult

Verdict = Literal["faster", "even", "slower"]

TIE = 1.03  # of two single rounds: a second run may reverse a smaller difference
NOISE_LIMIT = 0.05  # of the same engine run twice: the factor of a race is not called beyond it
# Of the processor, taken by others during the turns: engines use all of it, so each may lose as
# much of its speed, and none loses the same.
BUSY_LIMIT = 0.10


@dataclass(frozen=True)
class Factor:
    """How many times as fast as the fastest baseline our engine was: see `factor_of`."""

    times: float  # below 1 where ours was slower
    low: float
    high: float
    baseline: str  # the fastest one
    rounds: int  # that both finished

    @property
    def text(self) -> str:
        """The factor as it is shown everywhere: "2.1×"."""
        return f"{_shown(self.times)}×"

    @property
    def spread(self) -> str:
        """The smallest and the largest factor of a round: "1.9–2.3×"; "" for a single round."""
        return f"{_shown(self.low)}–{_shown(self.high)}×" if self.rounds > 1 else ""


@dataclass(frozen=True)
class Ruling:
    """What may be said of a race: its factor, or the reasons why none is called."""

    factor: Factor | None = None  # None, too, without our engine or without a baseline
    doubts: tuple[str, ...] = ()  # each a clause, without a full stop


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


def factor_of(seconds: Mapping[str, Sequence[float]]) -> Factor | None:
    """The one factor of a race, from the seconds of each engine's rounds in their order.

    It is the median time of the fastest baseline over the median time of our engine: 2 says that
    ours took half of the time, 0.5 that it took twice as long. The fastest baseline is the engine
    other than ours with the lowest median. The spread is the smallest and the largest ratio of the
    two within a round, over the rounds that both finished: turns of one round are close together,
    so a slow moment of the machine changes both. A single round has no spread: low and high are the
    factor. None without our engine or without a baseline.
    """
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    ours_s = medians.pop(OURS, None)
    if ours_s is None or not medians:
        return None
    baseline = min(medians, key=medians.__getitem__)
    times = medians[baseline] / ours_s
    both = list(zip(seconds[baseline], seconds[OURS], strict=False))
    # Between the ratios of all rounds lies the ratio of the medians; where one engine ended early,
    # it may lie outside.
    ratios = [times, *(theirs / ours for theirs, ours in both)]
    return Factor(times, min(ratios), max(ratios), baseline, len(both))


def apart(first: Sequence[float], second: Sequence[float]) -> float:
    """The difference of two medians, as a share of the smaller one."""
    low, high = sorted((statistics.median(first), statistics.median(second)))
    return high / low - 1


def noise_of(results: Sequence[EngineResult]) -> float | None:
    """The A/A comparison of a race: how far the two medians of the engine lie apart that had two
    turns in each round. None if none had."""
    twice = [apart(each.seconds, each.again) for each in results if each.again]
    return max(twice) if twice else None


def load_of(results: Sequence[EngineResult]) -> float | None:
    """The share of the processor that others took during all turns; None where not measured."""
    load = total(each.load for each in results)
    return load.share if load is not None else None


def ruling_of(results: Sequence[EngineResult]) -> Ruling:
    """The factor of a race, unless there is a reason to call none: the two engines that it compares
    are too close (`verdict_of`), an engine was still loading, the same engine run twice differed by
    more than `NOISE_LIMIT`, or others took more of the processor than `BUSY_LIMIT`. What was not
    measured is no reason."""
    factor = factor_of({result.engine: result.seconds for result in results})
    if factor is None:
        return Ruling()
    doubts = tuple(_doubts(factor, {result.engine: result for result in results}))
    return Ruling(None if doubts else factor, doubts)


def _doubts(factor: Factor, results: Mapping[str, EngineResult]) -> Iterator[str]:
    ours, theirs = results[OURS].seconds, results[factor.baseline].seconds
    if verdict_of(ours, theirs) == "even":
        names = f"{OURS} and {factor.baseline}"
        if len(ours) > 1 and len(theirs) > 1:
            yield f"the rounds of {names} overlap"
        else:
            yield f"{names} are less than 3 % apart"
    if disturbers := sorted({name for each in results.values() for name in each.disturbed_by}):
        verb = "was" if len(disturbers) == 1 else "were"
        yield f"{' and '.join(disturbers)} {verb} still loading during the race"
    if (noise := noise_of([*results.values()])) is not None and noise > NOISE_LIMIT:
        yield f"{OURS} run twice differed by {noise:.0%}"
    if (load := load_of([*results.values()])) is not None and load > BUSY_LIMIT:
        yield f"other programs took {load:.0%} of the processor"


def _shown(times: float) -> str:
    """Two decimals where one would show a difference as 1.0."""
    return f"{times:.2f}" if times < 1.1 else f"{times:.1f}"
