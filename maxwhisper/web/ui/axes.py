"""Axes of the figures that the server draws as SVG: where a value lies, and which ticks it has.

Places are in per cent of the figure, from the left or from the bottom, so that a figure fits every
screen and its text keeps its size. `axes.html` draws them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

N_TICKS = 4  # about; more would overlap on a phone
_STEPS = (1, 2, 5)  # times a power of ten


@dataclass(frozen=True)
class Axis:
    """One axis. `scale` makes its values linear."""

    title: str
    low: float
    high: float
    ticks: tuple[float, ...]
    scale: Callable[[float], float]

    def at(self, value: float) -> float:
        """Per cent of the axis; 0 is `low`, 100 is `high`."""
        low, high = self.scale(self.low), self.scale(self.high)
        return 100 * (self.scale(value) - low) / (high - low)


def linear_axis(title: str, high: float) -> Axis:
    """From 0 to `high`, which is positive; a tick at every round number."""
    rough = high / N_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((n * power for n in _STEPS if n * power >= rough), 10 * power)
    ticks = tuple(step * n for n in range(int(high / step + 1e-9) + 1))
    return Axis(title, 0.0, high, ticks, float)


def log_axis(title: str, low: float, high: float) -> Axis:
    """From `low` to `high`, both positive and rounded outwards to a power of ten."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    ticks = tuple(10.0**n for n in range(first, last + 1))
    return Axis(title, ticks[0], ticks[-1], ticks, math.log10)
