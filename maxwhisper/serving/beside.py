"""Work done beside whoever watches it, who may stop it and need not wait for it.

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

from maxwhisper.serving.status import RunCancelled

T = TypeVar("T")

HEARTBEAT_S = 0.5  # something comes at least this often, so that a reader who left is noticed
STOP_S = 3.0  # an engine looks up between segments or checks; who stopped it waits no longer


@dataclass(frozen=True)
class _Ended:
    error: BaseException | None


def beside(
    work: Callable[[Callable[[T], None]], None], cancelled: threading.Event
) -> Iterator[T | None]:
    """Yield what `work` emits in a thread of its own, None whenever nothing came for `HEARTBEAT_S`.

    Raises what `work` raises; `RunCancelled`, if it has not ended `STOP_S` after `cancelled` was
    set: it ends alone then. Closing the iterator sets `cancelled`.
    """
    steps: queue.SimpleQueue[T | _Ended] = queue.SimpleQueue()

    def run() -> None:
        error: BaseException | None = None
        try:
            work(steps.put)
        except BaseException as raised:  # carried to the reader, who knows how to show or log it
            error = raised
        steps.put(_Ended(error))

    threading.Thread(target=run, name="beside", daemon=True).start()
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
