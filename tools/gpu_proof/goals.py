"""Goals for maxwhisper on a GPU, judged from a benchmark record. Knows no engine."""

from dataclasses import dataclass
from typing import Any

from maxwhisper.engine import OURS
from maxwhisper.evaluation.bench.cases import TALK
from maxwhisper.evaluation.bench.record import BenchRecord

TURBO = "random:large-v3-turbo"


@dataclass(frozen=True)
class Goal:
    """A bound on one figure of maxwhisper's runs of `model` in `mode` on the talk."""

    what: str
    model: str
    mode: str
    figure: str  # of a run; or "speed-up", the median of faster-whisper over ours
    bound: float
    at_least: bool = False

    def judge(self, record: BenchRecord) -> dict[str, Any]:
        """Return the verdict of each goal. `met` is None if the record has no such figure."""
        value = self._value(record)
        is_met = None if value is None else (value >= self.bound) is self.at_least
        sign = "≥" if self.at_least else "≤"
        return {"goal": f"{self.what} {sign} {self.bound:g}", "value": value, "met": is_met}

    def _value(self, record: BenchRecord) -> float | None:
        runs = {
            run.label: run
            for run in record.measured
            if (run.model, run.clip) == (self.model, TALK.name) and self.mode in run.mode
        }
        if OURS not in runs:
            return None
        if self.figure != "speed-up":
            value: float | None = getattr(runs[OURS], self.figure)
            return value
        rival = runs.get("faster-whisper")
        return None if rival is None else rival.median_s / runs[OURS].median_s


GOALS = (
    Goal("tiny, batched, seconds for the talk", "random:tiny", "batched", "median_s", 0.025),
    Goal("tiny, one step, ms", "random:tiny", "greedy", "step_ms", 0.31),
    Goal("tiny, batched, times faster-whisper", "random:tiny", "batched", "speed-up", 2, True),
    Goal("tiny, sequential, times real time", "random:tiny", "greedy", "rtfx", 400, True),
    Goal("turbo, batched, seconds for the talk", TURBO, "batched", "median_s", 0.106),
)
