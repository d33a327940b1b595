"""What the page knows of an engine's process: its status, and how a run is stopped.

Plain data, shared by the supervisor, the pool and the page.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from maxwhisper.engine import EngineInfo

Cancelled = Callable[[], bool]
Phase = Literal["starting", "loading", "warming", "ready", "crashed", "unavailable"]


class RunCancelled(Exception):
    """The run was stopped on request; not an error."""


@dataclass(frozen=True)
class Status:
    """The state of an engine; `detail` is one line for people."""

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
