"""The weights of a race, fetched before its turn: others race while they come.

In: the name of a model on offer. Out: what is waited for, in words, until its file is on disk. One
file comes at a time. What the engines then make of it, loading and compiling, is part of the race's
turn: beside it no other could be timed fairly, and an engine holds one model.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial

from maxwhisper import checkpoint
from maxwhisper.errors import CheckpointError
from maxwhisper.serving.beside import beside
from maxwhisper.serving.fair_use import FairUse
from maxwhisper.serving.status import RunCancelled
from maxwhisper.serving.turns import Turns


class Fetches:
    """Those who wait for weights, in a line of their own."""

    def __init__(self, fair: FairUse) -> None:
        self._line = Turns(fair)

    def bring(self, model: str, visitor: str, cancelled: threading.Event) -> Iterator[str]:
        """Fetch the file of `model`, if it is not on disk. Raises `CheckpointError` where it cannot
        be had, `TooMuch` as the line does, and `RunCancelled` within seconds of `cancelled`."""
        if checkpoint.is_on_disk(model):
            return
        with self._line.line_up(visitor) as place:
            for _ in place.wait(cancelled.is_set):
                yield "another model is being fetched first"
            line = f"fetching {model}"
            for said in beside(partial(_fetch, model, cancelled), cancelled):
                line = said or line
                yield line


def _fetch(model: str, cancelled: threading.Event, emit: Callable[[str], None]) -> None:
    """What has come stays for the next one, also of a fetch that was stopped."""

    def progress(line: str) -> None:
        emit(line)
        if cancelled.is_set():
            raise RunCancelled

    try:
        checkpoint.bring(model, progress=progress)
    except CheckpointError as error:  # which tells an operator where to put the file by hand
        print(f"page: {error}", file=sys.stderr)
        raise CheckpointError(
            f"the weights of {model} cannot be fetched now, the server's log says why: choose a "
            "model that needs no fetching, or try again later"
        ) from error
