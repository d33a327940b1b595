"""About how long a race still takes, for those who wait for its end.

In: the race, then its events. Out: seconds, from the windows of its recording, its rounds, and what
its engines took so far, in this race or in earlier ones of the same model. Imports no Gradio.
"""

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence

from maxwhisper.engines import race
from maxwhisper.network.dims import N_SAMPLES

Pace = dict[
    tuple[str, str], float
]  # (model, engine): seconds for a window of 30 s, in the last race


class TimeLeft:
    """Call it for the seconds; None before anything is known. `pace` is read and updated."""

    def __init__(
        self,
        work: race.Race,
        engines: Sequence[str],
        pace: Pace,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._pace, self._now = work.model, pace, now
        self._n_windows = max(1, math.ceil(len(work.waveform) / N_SAMPLES))
        self._turns_left = Counter(work.planned(engines))
        self._running, self._began_s = "", 0.0

    def see(self, event: race.Event) -> None:
        """Take note of what happened in the race."""
        if isinstance(event, race.Started):
            self._running, self._began_s = event.engine, self._now()
        elif isinstance(event, race.Finished):
            result = event.result
            self._turns_left[result.engine] -= 1
            self._pace[self._model, result.engine] = result.median_s / self._n_windows
            self._running = ""
        elif isinstance(event, race.Refused):
            self._turns_left[event.engine] = 0
            self._running = ""

    def __call__(self) -> float | None:
        paces = {name: self._pace.get((self._model, name)) for name in self._turns_left}
        known = [pace for pace in paces.values() if pace is not None]
        if not known:
            return None
        usual = statistics.mean(known)  # for an engine that has not run yet
        round_s = {name: self._n_windows * (paces[name] or usual) for name in paces}
        left_s = sum(n * round_s[name] for name, n in self._turns_left.items())
        if self._running:
            left_s -= min(self._now() - self._began_s, round_s[self._running])
        return left_s
