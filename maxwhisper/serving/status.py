"""What is known of an engine's process from outside: its status, its answers, how a run is stopped.

Plain data, shared by the supervisor, the pool and the page.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from maxwhisper.engine import EngineInfo
from maxwhisper.transcript import Transcript

Cancelled = Callable[[], bool]
Phase = Literal["starting", "loading", "warming", "ready", "crashed", "unavailable"]


class RunCancelled(Exception):
    """The run was stopped on request; not an error."""


@dataclass(frozen=True)
class Status:
    """Where an engine stands; `detail` is one line for people."""

    phase: Phase
    detail: str = ""
    model: str = ""
    info: EngineInfo | None = None
    cold_s: float | None = None  # first inference after loading
    warm_s: float | None = None  # second
    since: float = field(default_factory=time.monotonic)

    @property
    def is_settled(self) -> bool:
        """True once waiting longer changes nothing."""
        return self.phase in ("ready", "unavailable")


@dataclass(frozen=True)
class TimedTranscript:
    transcript: Transcript
    seconds: float  # the worker's clock around `Engine.transcribe` only
    spoken_s: tuple[float, ...]  # on the same clock: when each of its segments was known
