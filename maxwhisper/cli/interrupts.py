"""SIGTERM as an interrupt, so that a command that is stopped leaves no half-written file."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


class Terminated(KeyboardInterrupt):
    """SIGTERM was received."""


@contextmanager
def terminable() -> Iterator[None]:
    """Within it SIGTERM raises `Terminated`, as Ctrl-C raises `KeyboardInterrupt`.

    Only the main thread can do this; in another one SIGTERM keeps its effect.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(*_: object) -> NoReturn:
    raise Terminated
