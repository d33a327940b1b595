"""Work in a thread, and its steps in the event loop.

In: work that blocks and emits steps. Out: an asynchronous iterator of them. Closing it stops the
work. A request that waits needs no thread of the server's pool.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TypeVar

HEARTBEAT_S = 0.5  # something is yielded at least this often: a client that left is noticed

Step = TypeVar("Step")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Ended:
    """The last step: what the work returned, or raised."""

    result: object = None
    error: BaseException | None = None


async def steps_of(
    work: Callable[[Callable[[Step], None], threading.Event], Result],
) -> AsyncGenerator[Step | Result | None]:
    """Run `work(emit, cancelled)` in a thread. Yields what it emits, None after `HEARTBEAT_S`
    without a step, and last what it returns; raises what it raises. `cancelled` is set when the
    iterator is closed."""
    loop, cancelled = asyncio.get_running_loop(), threading.Event()
    steps: asyncio.Queue[Step | Ended] = asyncio.Queue()

    def put(step: Step | Ended) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended with the server
            loop.call_soon_threadsafe(steps.put_nowait, step)

    def run() -> None:
        try:
            put(Ended(work(put, cancelled)))
        except BaseException as error:  # raised again where the steps are read
            put(Ended(error=error))

    threading.Thread(target=run, name="request", daemon=True).start()
    try:
        while True:
            try:
                step = await asyncio.wait_for(steps.get(), HEARTBEAT_S)
            except TimeoutError:
                yield None
                continue
            if not isinstance(step, Ended):
                yield step
                continue
            if step.error is not None:
                raise step.error
            yield step.result  # type: ignore[misc]
            return
    finally:
        cancelled.set()
