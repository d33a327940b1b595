"""An official model for human speech: fetched, prepared and made the page's default, by themselves.

In: the model to get, the pool, the visitors' queue. Out: a `Standing` at any moment. It works in a
thread of its own at the lowest priority. Files are converted and compiled by processes that stand
still during a race (`EnginePool.prepare`); the engines change over in a turn of the visitors'
queue. Must not know the page.
"""

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from maxwhisper import checkpoint
from maxwhisper.checkpoint.download import DownloadProgress
from maxwhisper.engines.pool import EnginePool
from maxwhisper.engines.status import RunCancelled
from maxwhisper.errors import EngineUnavailable, MaxWhisperError
from maxwhisper.web.server.queue import VisitorQueue

RETRY_S = 600.0  # after a failure: the network may be back
LIVE_PATIENCE_S = 300.0  # a live session ends with the change: wait for two of them, not for ever
POLL_S = 0.2
LOWEST_PRIORITY = 19  # niceness
VISITOR = "better weights"  # its name in the queue

log = logging.getLogger(__name__)

Phase = Literal["off", "waiting", "downloading", "preparing", "ready", "offline", "failed"]


@dataclass(frozen=True)
class Standing:
    """How far the better weights are. "off": nobody wants any; "offline": they are not on this
    machine, and downloads are forbidden; "failed": tried again when asked, and a download also
    after `RETRY_S`."""

    phase: Phase
    model: str = ""
    progress: DownloadProgress | None = None  # while downloading
    note: str = ""  # what is being prepared, or what failed


class Hub(Protocol):
    """Where weights come from: the package `maxwhisper.checkpoint`."""

    def find(self, name: str, *, is_verified: bool = True) -> object | None: ...
    def get(self, name: str, *, on_download: Callable[[DownloadProgress], None]) -> object: ...
    def is_offline(self) -> bool: ...


def fit_for(machine: Mapping[str, Any], on_offer: Sequence[str], device: str = "auto") -> str:
    """The official multilingual model that suits `machine` (`maxwhisper.machine.describe()`): the
    first of large-v3-turbo (with a GPU), base (four cores or more) and tiny that is `on_offer`;
    "" if none is."""
    has_gpu = bool(machine["gpus"]) and not device.startswith("cpu")
    cores = min(machine.get("cores") or machine["threads"] or 1, machine["threads"] or 1)
    wanted = ["large-v3-turbo"] * has_gpu + ["base"] * (has_gpu or cores >= 4) + ["tiny"]
    return next((name for name in wanted if name in on_offer), "")


class BetterWeights:
    """Gets `model`, one of the pool's, and makes it the default; does nothing for ""."""

    def __init__(
        self,
        model: str,
        pool: EnginePool,
        queue: VisitorQueue,
        is_live: Callable[[], bool] = lambda: False,
        hub: Hub = checkpoint,
    ) -> None:
        self._pool, self._queue, self._hub, self._is_live = pool, queue, hub, is_live
        self._standing = Standing("waiting" if model else "off", model)
        self._bundled = pool.models[0]  # the default until `model` is ready, and after a failure
        self._asked = threading.Event()
        self._closing = threading.Event()
        if model and hub.find(model, is_verified=False) is not None:  # from the first race on
            pool.default_model = model

    @property
    def standing(self) -> Standing:
        return self._standing

    def verify(self) -> None:
        """Read the file of `model`, if it is the default, and go back to the bundled one if it is
        damaged. Takes seconds: the page serves already, the pool starts after this."""
        if (
            self._pool.default_model != self._bundled
            and self._hub.find(self._standing.model) is None
        ):
            self._pool.default_model = self._bundled

    def start(self) -> None:
        """Begin; returns at once. The pool has been started."""
        if self._standing.model:
            threading.Thread(target=self._run, name=VISITOR, daemon=True).start()

    def ask(self) -> None:
        """Try again at once, if it failed."""
        if self._standing.phase in ("failed", "offline"):
            self._set("waiting")
            self._asked.set()

    def close(self) -> None:
        """Stop soon."""
        self._closing.set()
        self._asked.set()

    def _run(self) -> None:
        lower_priority()
        while not self._closing.is_set():
            self._asked.clear()
            try:
                self._improve()
            except RunCancelled:
                return
            except MaxWhisperError as error:  # its text may name folders of this machine
                log.error("%s cannot be used: %s", self._standing.model, error)
                self._fail(error)
            except Exception as error:
                log.exception("%s cannot be used: internal error", self._standing.model)
                self._fail(error)
            if self._standing.phase == "ready":
                return
            # Weights that no engine can use stay so, and each try takes a turn from visitors.
            is_useless = self._standing.note == "started"
            self._asked.wait(None if is_useless else RETRY_S)

    def _improve(self) -> None:
        """One try. Raises why it failed."""
        model = self._standing.model
        if self._hub.find(model) is None and self._hub.is_offline():
            self._set("offline")
            return
        self._set("waiting")
        self._hub.get(model, on_download=self._on_download)
        self._set("preparing")
        if self._pool.default_model == model:
            self._await_first_load()
        else:
            for note in self._pool.prepare(model, self._closing.is_set):
                self._set("preparing", note=note)
            self._set("preparing", note="waiting for a turn")
            self._change_over()
        self._set("ready")
        log.warning("%s is the default model now", model)

    def _on_download(self, progress: DownloadProgress) -> None:
        if self._closing.is_set():
            raise RunCancelled
        self._set("downloading", progress=progress)

    def _await_first_load(self) -> None:
        """The engines began with the model: go back to the bundled one if none can use it. Raises
        `EngineUnavailable`, `RunCancelled`."""
        while any(s.model == self._standing.model and not s.is_settled for s in self._statuses()):
            self._rest()
        if all(s.phase == "unavailable" for s in self._statuses()):
            self._pool.default_model = self._bundled
            with self._turn():
                self._give_up()

    def _change_over(self) -> None:
        """Load the model in every engine in a turn of the queue, and make it the default. Raises
        `EngineUnavailable` when an engine that runs now does not run with it; `RunCancelled`."""
        model = self._standing.model
        patient_until_s = time.monotonic() + LIVE_PATIENCE_S
        while True:
            while self._is_live() and time.monotonic() < patient_until_s:
                self._rest()
            with self._turn():
                if self._is_live() and time.monotonic() < patient_until_s:
                    continue  # it began while this waited for its turn
                running = {n for n, s in self._pool.statuses().items() if s.phase != "unavailable"}
                self._set("preparing", note="loading")
                self._pool.use_model(model, self._closing.is_set)
                if any(self._pool.statuses()[name].phase == "unavailable" for name in running):
                    self._give_up()
                self._pool.default_model = model
                return

    def _give_up(self) -> None:
        """Load the bundled model again, and raise why the better one cannot be used."""
        reasons = [f"{n}: {s.detail}" for n, s in self._pool.statuses().items() if s.detail]
        self._pool.use_model(self._bundled, self._closing.is_set)
        raise EngineUnavailable("; ".join(reasons))

    @contextlib.contextmanager
    def _turn(self) -> Any:
        """A turn of the visitors' queue: no race waits within its own turn meanwhile."""
        with self._queue.join(VISITOR) as place:
            for _ in place.wait(self._closing.is_set):
                pass
            yield

    def _statuses(self) -> list[Any]:
        return list(self._pool.statuses().values())

    def _rest(self) -> None:
        if self._closing.wait(POLL_S):
            raise RunCancelled

    def _fail(self, error: Exception) -> None:
        was = self._standing.phase
        what = "started" if was == "preparing" else "downloaded"
        self._standing = replace(self._standing, phase="failed", progress=None, note=what)

    def _set(
        self, phase: Phase, *, progress: DownloadProgress | None = None, note: str = ""
    ) -> None:
        self._standing = Standing(phase, self._standing.model, progress, note)


def lower_priority() -> None:
    """Give this thread, and those that it starts, the lowest priority, where the system can."""
    if sys.platform == "linux":  # elsewhere, this would be the whole process
        with contextlib.suppress(OSError):  # forbidden in a sandbox
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
