"""Run work in a thread, so that its reader can stop it and need not wait for it.

In: work that emits its steps, and the flag that stops it. Out: the steps, in order. Must not know
what the work is.
"""

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from maxwhisper.engines.status import RunCancelled

T = TypeVar("T")

HEARTBEAT_S = 0.5  # something is yielded at least this often: a reader that left is noticed
STOP_S = 3.0  # engines check for a stop between segments or checks; the reader waits no longer


@dataclass(frozen=True)
class _Ended:
    error: BaseException | None


def in_background(
    work: Callable[[Callable[[T], None]], None], cancelled: threading.Event
) -> Iterator[T | None]:
    """Run `work` in a thread; yield what it emits, and None after `HEARTBEAT_S` without a step.

    Raises what `work` raises, and `RunCancelled` if it has not ended `STOP_S` after `cancelled` was
    set: it then ends on its own. Closing the iterator sets `cancelled`.
    """
    steps: queue.SimpleQueue[T | _Ended] = queue.SimpleQueue()

    def run() -> None:
        error: BaseException | None = None
        try:
            work(steps.put)
        except BaseException as raised:  # passed to the reader, which shows or logs it
            error = raised
        steps.put(_Ended(error))

    threading.Thread(target=run, name="background work", daemon=True).start()
    leave_s = math.inf
    try:
        while time.monotonic() < leave_s:
            try:
                step = steps.get(timeout=HEARTBEAT_S)
            except queue.Empty:
                step = None
            if cancelled.is_set():
                leave_s = min(leave_s, time.monotonic() + STOP_S)
            if isinstance(step, _Ended):
                if step.error is not None:
                    raise step.error
                return
            yield step
        raise RunCancelled
    finally:
        cancelled.set()
