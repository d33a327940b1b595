"""Downloads a model's weights before its race joins the queue, so that other races can run.

In: the name of an offered model. Out: progress in words, until the file is on disk. One file
downloads at a time. Loading and compiling belong to the race itself: they would disturb the timing
of other races, and an engine holds one model.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial

from maxwhisper import checkpoint
from maxwhisper.engines.background import in_background
from maxwhisper.engines.status import RunCancelled
from maxwhisper.errors import CheckpointError
from maxwhisper.web.server.better_weights import lower_priority
from maxwhisper.web.server.fair_use import FairUse
from maxwhisper.web.server.queue import VisitorQueue

log = logging.getLogger(__name__)


class Downloads:
    """Visitors who wait for weights, in a queue of their own."""

    def __init__(self, fair: FairUse) -> None:
        self._queue = VisitorQueue(fair)

    def download(self, model: str, visitor: str, cancelled: threading.Event) -> Iterator[str]:
        """Download the file of `model` if it is not on disk. Yields progress. Raises
        `CheckpointError` if the download fails, `LimitExceeded` as the queue does, and
        `RunCancelled` within seconds of `cancelled`."""
        if checkpoint.find(model):
            return
        with self._queue.join(visitor) as place:
            for _ in place.wait(cancelled.is_set):
                yield "waiting: another model is downloading"
            line = f"downloading {model}"
            for progress in in_background(partial(_download, model, cancelled), cancelled):
                line = progress or line
                yield line


def _download(model: str, cancelled: threading.Event, emit: Callable[[str], None]) -> None:
    """Download `model`. A stopped download keeps its partial file and continues next time."""

    lower_priority()

    def progress(line: str) -> None:
        emit(line)
        if cancelled.is_set():
            raise RunCancelled

    try:
        checkpoint.get(model, progress=progress)
    except CheckpointError as error:  # its text tells the operator where to put the file by hand
        log.error("%s", error)
        raise CheckpointError(
            f"The weights of {model} cannot be downloaded now; the server's log has the reason. "
            "Choose another model, or try again later."
        ) from error
