"""The goals of the network, and whether it meets them.

In: the figures of `evaluate`. Out: one verdict per goal and engine. No other file decides "met" or
"missed". The goals on `grammar` sets and the talk are older: they say what training aimed at.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Goal:
    """A bound on one figure of one group: a minimum if `at_least`, else a maximum."""

    group: str
    figure: str
    bound: float
    at_least: bool = False

    def is_met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound


GOALS = (
    Goal("test seen", "wer", 0.08),
    Goal("test unseen", "wer", 0.20),
    Goal("test noisy", "wer", 0.15),
    Goal("real", "wer", 0.60),
    Goal("clips", "wer", 0.03),
    Goal("talk", "wer", 0.10),
    Goal("grammar seen", "wer", 0.08),
    Goal("grammar unseen", "wer", 0.25),
    Goal("grammar noisy", "wer", 0.20),
    Goal("grammar windows", "segments_within_0.2_s", 0.90, at_least=True),
    Goal("grammar windows", "no_speech_prob_below_0.3", 0.98, at_least=True),
    Goal("no speech", "no_speech_prob_above_0.6", 0.95, at_least=True),
    Goal("noise", "words_in_no_speech", 0),
)


def judge(engines: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """{engine: {group: figures}} -> one row per goal and engine. `met` is None if the engine does
    not report the figure or the group was not measured."""
    rows = []
    for goal in GOALS:
        for engine, groups in engines.items():
            value = groups.get(goal.group, {}).get(goal.figure)
            rows.append(
                {
                    "group": goal.group,
                    "figure": goal.figure,
                    "goal": f"{'≥' if goal.at_least else '≤'} {goal.bound:g}",
                    "engine": engine,
                    "value": value,
                    "met": None if value is None else goal.is_met(value),
                }
            )
    return rows
