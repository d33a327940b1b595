"""One engine of the page, supervised: loaded, restarted after a crash, killed when it hangs.

In: an engine name, a model, a device. Out: its `Status` at any moment, and answers to commands. A
thread of its own starts the process, has it show signs of life while nobody runs anything, and
waits for its death; callers talk to it while it is ready, one at a time (the pool holds the lock).
Must not know the page.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import wait
from typing import Any

from maxwhisper import checkpoint
from maxwhisper.engines import messages
from maxwhisper.engines.device_lock import DeviceLock
from maxwhisper.engines.process import (
    ANSWER_S,
    POLL_S,
    Deadline,
    EngineDied,
    EngineExhausted,
    EngineFailed,
    EngineProcess,
    EngineSilent,
    EngineStuck,
)
from maxwhisper.engines.status import Cancelled, Phase, RunCancelled, Status
from maxwhisper.engines.worker import warm_up
from maxwhisper.errors import EngineUnavailable

LOAD_DEADLINE_S = 1800.0  # without any sign of life; a cold compile of a decoder takes 274 s
WARM_UP_DEADLINE_S = 600.0  # two inferences: the device is held for no longer
BEAT_S = 5.0  # between two signs of life of an idle engine
RETURN_S = 60.0  # a race waits so long for an engine that was ready: it restarts in 1 to 10 s
WAITS_FOR_DEVICE = "waiting for the device"
MAX_RESTARTS = 3
RESTART_WINDOW_S = 600.0
RETRY_S = RESTART_WINDOW_S  # an engine given up is tried again after that: pages run for days

log = logging.getLogger(__name__)


class SupervisedEngine:
    """Engine `name` in a child process, with its status and the thread that watches it.

    `device_lock` is taken for the warm-up; for everything else the caller holds it.
    """

    def __init__(
        self, name: str, device_lock: DeviceLock, *, device: str = "auto", dtype: str = "auto"
    ) -> None:
        self.name = name
        self._device, self._dtype = device, dtype
        self._device_lock = device_lock
        self._status = Status("starting")
        self._model = ""
        self._process: EngineProcess | None = None
        self._calling = threading.Lock()  # the process has one caller: a run or a heartbeat
        self._loaded: tuple[EngineProcess, messages.Loaded] | None = None  # waits for the device
        self._was_ready = False  # with this model
        self._trouble = EngineDied.trouble  # why the last process ended
        self._closing = threading.Event()
        self._wanted = threading.Event()  # another model or the end is wanted: not a crash
        self._crashes: deque[float] = deque(maxlen=MAX_RESTARTS + 1)
        self._thread: threading.Thread | None = None

    @property
    def status(self) -> Status:
        return self._status

    def start(self, model: str) -> None:
        """Begin loading `model` in the background; if another model is loaded, replace it. A model
        that was refused or given up is tried again."""
        if model == self._model and self._status.phase != "unavailable":
            return
        self._model = model
        self._was_ready = False
        self._crashes.clear()
        self._replace()
        self._status = Status("starting", model=model)
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._supervise, name=f"supervise {self.name}", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """End the process and its supervisor; returns when both are gone, after 12 s at most."""
        self._closing.set()
        self._wanted.set()
        if self._thread is None:
            return
        if self._process is not None and self._status.phase == "ready":
            self._process.hang_up()
            self._thread.join(timeout=2)
        for _ in range(50):
            if not self._thread.is_alive():
                return
            if self._process is not None:  # again each round: one may just be starting
                self._process.stop()
            self._thread.join(timeout=0.2)

    def run(
        self, command: messages.Command, cancelled: Cancelled, deadline_s: float
    ) -> Iterator[Any]:
        """Yield the items of the answer to `command`. A process that is too slow, does not answer
        or does not stop is killed: the supervisor starts another. Raises `EngineUnavailable` (not
        ready, refused, crashed, too slow) or `RunCancelled`."""
        with self._call(cancelled):
            process = self._ready_process()
            try:
                yield from process.run(command, cancelled, Deadline(deadline_s))
            except EngineSilent as error:
                self._mark_gone(process)
                raise EngineUnavailable(
                    f"{self.name} gave no result within {deadline_s:.0f} s and was restarted: "
                    "choose a shorter recording or a smaller model, or try again when this machine "
                    "is less busy"
                ) from error
            except (EngineDied, EngineExhausted) as error:
                process.kill()
                self._mark_gone(process, error.trouble)
                smaller = "choose a shorter recording or a smaller model, or "
                raise EngineUnavailable(
                    f"{self.name} {error.trouble} during this run and is restarting: "
                    f"{smaller if isinstance(error, EngineExhausted) else ''}try again when it is "
                    "ready"
                ) from error
            except EngineFailed as error:
                raise EngineUnavailable(f"{self.name}: {error.message}") from error
            finally:
                if process.is_stopped:
                    self._mark_gone(process)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stand still while another engine is timed; one that loads goes on. The caller holds the
        device."""
        process = self._process
        if process is None or self._status.phase != "ready":
            yield
            return
        process.pause()
        try:
            yield
        finally:
            process.resume()

    def await_return(self, cancelled: Cancelled) -> None:
        """Give an engine that was ready, and has ended since, `RETURN_S` to be ready again; the
        caller holds the device, on which it warms up. Raises `RunCancelled`."""
        until_s = time.monotonic() + RETURN_S
        while self._was_ready and not self._status.is_settled and time.monotonic() < until_s:
            if cancelled():
                raise RunCancelled
            if self._loaded is None:
                time.sleep(POLL_S / 5)
            else:
                self._warm_up(*self._loaded, cancelled)

    @contextmanager
    def _call(self, cancelled: Cancelled) -> Iterator[None]:
        """Be the only caller of the process; a heartbeat that is under way ends first."""
        while not self._calling.acquire(timeout=POLL_S):
            if cancelled():
                raise RunCancelled
        try:
            yield
        finally:
            self._calling.release()

    def _ready_process(self) -> EngineProcess:
        status, process = self._status, self._process
        if status.phase != "ready" or process is None:
            raise EngineUnavailable(
                f"{self.name} is not ready: {status.detail or status.phase}; its state is at the "
                "top of the page, try again when it is ready"
            )
        return process

    def _replace(self) -> None:
        """End the process on request: that must not use up its restarts."""
        process = self._process  # not the one that the supervisor may start next
        self._wanted.set()
        if process is not None:
            process.stop()
            self._mark_gone(process)

    def _mark_gone(self, process: EngineProcess, trouble: str = EngineDied.trouble) -> None:
        """Set the status before the supervisor has noticed the death."""
        if self._process is process:
            self._trouble = trouble
            self._set("crashed", "restarting")

    def _supervise(self) -> None:
        """Start, load, wait for death, again: until closed. An engine given up, or refused, is
        tried again after `RETRY_S`, or when a model is wanted."""
        while not self._closing.is_set():
            self._wanted.clear()
            try:
                self._host_once()
            except Exception:  # a dead supervisor would leave its engine "loading" for ever
                log.exception("engine %s: error in its supervisor", self.name)
                self._set(
                    "unavailable",
                    f"internal error, logged on the server; trying again in {RETRY_S / 60:.0f} "
                    "minutes",
                )
            if self._wanted.is_set():
                continue
            if self._status.phase == "unavailable" or not self._may_restart():
                self._wanted.wait(RETRY_S)

    def _host_once(self) -> None:
        """One process, from its start to its death."""
        process = self._process = EngineProcess(self.name)
        self._trouble = EngineDied.trouble
        try:
            if self._load(process):
                self._watch(process)
        finally:
            self._reap(process)

    def _load(self, process: EngineProcess) -> bool:
        """Load, then warm up alone on the device; True when ready, False when refused or dead."""
        self._set("loading", f"reading {self._model}")
        try:
            loaded = self._load_model(process)
        except EngineFailed as error:
            self._refuse(error)
            return False
        self._set("warming", WAITS_FOR_DEVICE)
        self._loaded = process, loaded
        while self._loaded is not None and not self._wanted.is_set():
            if process.exit_code is not None:
                return False
            if self._device_lock.acquire(timeout=POLL_S):
                try:
                    if self._loaded is not None:  # it did not warm up within a race
                        self._warm_up(process, loaded)
                finally:
                    self._device_lock.release()
        return self._status.phase == "ready"

    def _warm_up(
        self, process: EngineProcess, loaded: messages.Loaded, cancelled: Cancelled = lambda: False
    ) -> None:
        """Warm up on the device, which the caller holds, and set the status that comes of it.
        Raises `RunCancelled`: then the engine still waits for its warm-up, or has ended."""
        self._set("warming", "first inference")
        deadline = Deadline(WARM_UP_DEADLINE_S)
        try:
            cold_s, warm_s = process.run(messages.Run(warm_up), cancelled, deadline)
        except EngineFailed as error:
            if self._process is not process:  # its successor is loading
                return
            self._refuse(error)
        except RunCancelled:
            self._set("warming", WAITS_FOR_DEVICE)
            raise
        else:
            if not self._wanted.is_set():
                self._was_ready = True
                # In one assignment: a reader of "ready" also reads what is running.
                self._status = Status("ready", "", self._model, loaded.info, cold_s, warm_s)
        self._loaded = None

    def _watch(self, process: EngineProcess) -> None:
        """Return when the process has ended. One that is frozen, or misses a heartbeat, is killed;
        none is asked for during a run, which has its own deadlines and is being timed."""
        was_frozen = False
        while not wait([process.sentinel], BEAT_S):
            if not self._calling.acquire(blocking=False):
                continue
            try:
                if was_frozen and process.is_stuck:
                    process.kill()
                    self._mark_gone(process, EngineStuck.trouble)
                elif not self._device_lock.locked():
                    list(process.run(messages.Ping(), deadline=Deadline(ANSWER_S)))
            except EngineFailed as error:  # it was killed, or had ended
                self._mark_gone(process, error.trouble)
            finally:
                self._calling.release()
            was_frozen = process.is_stuck

    def _load_model(self, process: EngineProcess) -> messages.Loaded:
        weights = partial(checkpoint.load, self._model)
        command = messages.Load(weights, self._device, self._dtype)
        for item in process.run(command, deadline=Deadline(LOAD_DEADLINE_S, renews=True)):
            if isinstance(item, str):
                self._set("loading", item)
        loaded: messages.Loaded = item  # the last one
        return loaded

    def _refuse(self, error: EngineFailed) -> None:
        """Set the status after `error`, which ended the loading or the warm-up."""
        if isinstance(error, EngineDied | EngineExhausted):
            self._trouble = error.trouble
            self._set("crashed", "restarting")  # or given up: `_may_restart` decides
        elif isinstance(error, EngineSilent):
            minutes = RETRY_S / 60
            self._set("unavailable", f"{error.message}, trying again in {minutes:.0f} minutes")
        else:
            self._set("unavailable", error.message)

    def _reap(self, process: EngineProcess) -> None:
        """Leave no process behind, whatever happened. Its channel stays open: a caller may still
        be reading its end-of-file."""
        if self._status.phase == "ready":
            self._set("crashed", "restarting")
        self._process = self._loaded = None
        process.kill()
        process.join(10)
        if process.is_stopped:
            self._wanted.set()
        if not self._wanted.is_set():
            log.warning("engine %s: process ended with code %s", self.name, process.exit_code)

    def _may_restart(self) -> bool:
        """Record a crash; False after too many of late: the engine is given up for now."""
        now = time.monotonic()
        self._crashes.append(now)
        recent = sum(now - crash < RESTART_WINDOW_S for crash in self._crashes)
        if recent > MAX_RESTARTS:
            minutes, retry_minutes = RESTART_WINDOW_S / 60, RETRY_S / 60
            self._set(
                "unavailable",
                f"{self._trouble} {recent} times in {minutes:.0f} minutes, "
                f"trying again in {retry_minutes:.0f}",
            )
            return False
        self._set("crashed", f"{self._trouble}, restarting")
        return True

    def _set(self, phase: Phase, detail: str) -> None:
        since = self._status.since if phase == self._status.phase else time.monotonic()
        self._status = Status(phase, detail, self._model, since=since)
