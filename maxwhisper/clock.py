"""Seconds spent per named stage, added up over a transcription."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class StageClock:
    """Wall-clock seconds per stage. Stages do not nest: nested time would count twice."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
