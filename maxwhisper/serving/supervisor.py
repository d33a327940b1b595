"""One engine's process, watched: started, loaded, restarted after a crash, killed when it hangs.

In: an engine name, a model, a device. Out: its `Status` at any moment, and transcripts. A thread of
its own spawns the process and waits for its death; callers talk to it while it is ready, one at a
time (the pool holds the lock). Must not know the page.
"""

import multiprocessing
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import NoReturn

from maxwhisper.engine import ENGINES, OnSegment, Waveform
from maxwhisper.errors import EngineUnavailable
from maxwhisper.options import TranscribeOptions
from maxwhisper.selftest.result import CheckResult
from maxwhisper.serving import messages, worker
from maxwhisper.serving.status import Cancelled, Phase, RunCancelled, Status, TimedTranscript

LOAD_DEADLINE_S = 1800.0  # without any sign of life; a cold compile of a decoder takes 274 s
WARM_UP_DEADLINE_S = 600.0  # two inferences: a device is held for no longer
POLL_S = 0.1  # how soon a Stop or a death is noticed
CANCEL_GRACE_S = 15.0  # an engine that has not stopped by then is killed: half a window on 2 cores
MAX_RESTARTS = 3
RESTART_WINDOW_S = 600.0
RETRY_S = RESTART_WINDOW_S  # after that an engine given up is tried again: pages run for days


class EngineProcess:
    """Engine `name` in a child process, with its status and the thread that watches it.

    `device_lock` is taken for the warm-up; for everything else the caller holds it.
    """

    def __init__(
        self, name: str, device_lock: threading.Lock, *, device: str = "auto", dtype: str = "auto"
    ) -> None:
        self.name = name
        self._device, self._dtype = device, dtype
        self._device_lock = device_lock
        self._status = Status("starting")
        self._model = ""
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._closing = threading.Event()
        self._wanted = threading.Event()  # we ended the process on purpose: no crash
        self._crashes: deque[float] = deque(maxlen=MAX_RESTARTS + 1)
        self._thread: threading.Thread | None = None

    @property
    def status(self) -> Status:
        return self._status

    def start(self, model: str) -> None:
        """Begin loading `model` in the background; if another model is loaded, replace it. One that
        was refused or given up is tried again."""
        if model == self._model and self._status.phase != "unavailable":
            return
        self._model = model
        self._crashes.clear()
        self._replace()
        self._status = Status("starting", model=model)
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._supervise, name=f"supervise {self.name}", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """End the process and its supervisor; returns when both are gone, 12 s at the latest."""
        self._closing.set()
        self._wanted.set()
        if self._thread is None:
            return
        if self._pipe is not None and self._status.phase == "ready":
            self._pipe.close()  # an idle worker sees the end of its pipe and leaves tidily
            self._thread.join(timeout=2)
        for _ in range(50):
            if not self._thread.is_alive():
                return
            if self._process is not None:  # again each round: one may be just being spawned
                self._process.kill()
            self._thread.join(timeout=0.2)

    def transcribe(
        self,
        waveform: Waveform,
        options: TranscribeOptions,
        on_segment: OnSegment,
        cancelled: Cancelled,
        deadline_s: float,
    ) -> TimedTranscript:
        """Run one transcription. Raises `EngineUnavailable` (not ready, refused, crashed, too slow)
        or `RunCancelled`."""
        for event in self.run(messages.Transcribe(waveform, options), cancelled, deadline_s):
            if isinstance(event, messages.SegmentDone):
                on_segment(event.segment)
            elif isinstance(event, messages.TranscriptDone):
                return TimedTranscript(event.transcript, event.seconds, event.spoken_s)
        raise EngineUnavailable(f"{self.name} ended without a transcript: try again")

    def selftest(
        self, names: Sequence[str], device: str, cancelled: Cancelled, deadline_s: float
    ) -> Iterator[CheckResult]:
        """Run component checks, yielding each as it ends. Raises as `transcribe` does."""
        for event in self.run(messages.SelfTest(tuple(names), device), cancelled, deadline_s):
            if isinstance(event, messages.CheckDone):
                yield event.result

    def run(
        self, command: messages.Command, cancelled: Cancelled, deadline_s: float
    ) -> Iterator[messages.Event]:
        """Send `command`, yield its events up to and with the last one. A process that is too slow,
        or deaf to a Stop, is killed: the supervisor starts another. Raises as `transcribe` does."""
        pipe, deadline = self._ready_pipe(), time.monotonic() + deadline_s
        stop_asked = finished = False
        try:
            pipe.send(command)
            while not finished:
                if not stop_asked and cancelled():
                    stop_asked = True
                    deadline = min(deadline, time.monotonic() + CANCEL_GRACE_S)
                    pipe.send(messages.Cancel())
                if not pipe.poll(POLL_S):
                    if time.monotonic() > deadline:
                        self._give_up(stop_asked, deadline_s)
                    continue
                event: messages.Event = pipe.recv()
                finished = isinstance(event, messages.LAST)
                if isinstance(event, messages.Failed):
                    raise EngineUnavailable(f"{self.name}: {event.message}")
                if isinstance(event, messages.Cancelled):
                    raise RunCancelled
                yield event
        except (EOFError, OSError) as error:
            self._mark_gone(pipe)
            raise EngineUnavailable(
                f"{self.name} crashed during this run and is restarted: try again when it is ready"
            ) from error
        finally:
            if not finished:
                self._abandon(pipe)

    def _ready_pipe(self) -> Connection:
        status = self._status
        if status.phase != "ready" or self._pipe is None:
            raise EngineUnavailable(
                f"{self.name} is not ready: {status.detail or status.phase}; its state stands at "
                "the top of the page, try again when it is ready"
            )
        return self._pipe

    def _abandon(self, pipe: Connection) -> None:
        """Have the worker end a command that nobody waits for any more: its late events must not
        answer the next one."""
        deadline = time.monotonic() + CANCEL_GRACE_S
        try:
            pipe.send(messages.Cancel())
            while pipe.poll(max(0.0, deadline - time.monotonic())):
                if isinstance(pipe.recv(), messages.LAST):
                    return
        except (EOFError, OSError):  # it is gone: nothing late can come
            return
        self._replace()

    def _give_up(self, stop_asked: bool, deadline_s: float) -> NoReturn:
        if stop_asked:
            self._replace()
            raise RunCancelled
        self._end(self._process, self._pipe)
        raise EngineUnavailable(
            f"{self.name} gave no result within {deadline_s:.0f} s and was restarted: choose a "
            "shorter recording or a smaller model, or try again when this machine is less busy"
        )

    def _replace(self) -> None:
        """End the process on request: visitors who stop runs must not use up its restarts."""
        process, pipe = self._process, self._pipe  # not what the supervisor may start next
        self._wanted.set()
        self._end(process, pipe)

    def _end(self, process: SpawnProcess | None, pipe: Connection | None) -> None:
        """Kill it, and say that it is gone before the supervisor has noticed the death itself."""
        if process is not None:
            process.kill()
        self._mark_gone(pipe)

    def _mark_gone(self, pipe: Connection | None) -> None:
        """Not "ready" any more, said before the supervisor has noticed the death itself."""
        if pipe is not None and self._pipe is pipe:
            self._set("crashed", "restarting")

    def _supervise(self) -> None:
        """Spawn, load, wait for death, again: until closed. An engine given up, or refused, is
        tried again after `RETRY_S`, or when a model is asked for."""
        while not self._closing.is_set():
            self._wanted.clear()
            try:
                self._spawn()
                if self._load():
                    self._wait_for_death()
            except Exception:  # a supervisor that dies would leave a lane "loading" for ever
                traceback.print_exc()
                self._set(
                    "unavailable",
                    f"internal error, logged on the server; is tried again in {RETRY_S / 60:.0f} "
                    "minutes",
                )
            finally:
                self._reap()
            if self._wanted.is_set():
                continue
            if self._status.phase == "unavailable" or not self._may_restart():
                self._wanted.wait(RETRY_S)

    def _spawn(self) -> None:
        context = multiprocessing.get_context("spawn")  # fork would copy our threads' locks
        ours, theirs = context.Pipe()
        process = context.Process(
            target=worker.main, args=(theirs, self.name, dict(ENGINES)), name=self.name, daemon=True
        )
        process.start()
        theirs.close()  # ours reports end-of-file when the only other holder, the child, is gone
        self._process, self._pipe = process, ours

    def _load(self) -> bool:
        """Load, then warm up alone on the device; True when ready, not when refused or dead."""
        self._set("loading", f"reading {self._model}")
        try:
            load = messages.Load(self._model, self._device, self._dtype)
            loaded = self._ask(load, LOAD_DEADLINE_S)
            if not isinstance(loaded, messages.Loaded):
                return False
            self._set("warming", "waiting for the device")
            while not self._device_lock.acquire(timeout=POLL_S):
                if self._wanted.is_set():
                    return False
            try:
                self._set("warming", "first inference")
                warm = self._ask(messages.WarmUp(), WARM_UP_DEADLINE_S)
            finally:
                self._device_lock.release()
        except (EOFError, OSError):  # died; `_may_restart` decides
            return False
        if not isinstance(warm, messages.Warm) or self._wanted.is_set():
            return False
        # At once: whoever sees "ready" sees what it runs.
        self._status = Status("ready", "", self._model, loaded.info, warm.cold_s, warm.warm_s)
        return True

    def _ask(self, command: messages.Command, timeout_s: float) -> messages.Event | None:
        """The worker's answer to a command of the loading phase. None when it refuses, or gives no
        sign of life for `timeout_s`; the status says why. Raises as pipes do when it dies."""
        assert self._pipe is not None
        self._pipe.send(command)
        while self._pipe.poll(timeout_s):
            event: messages.Event = self._pipe.recv()
            if isinstance(event, messages.Failed):
                self._set("unavailable", event.message)
                return None
            if not isinstance(event, messages.Progress):
                return event
            self._set("loading", event.line)
        self._set(
            "unavailable",
            f"no sign of life for {timeout_s:.0f} s, is tried again in {RETRY_S / 60:.0f} minutes",
        )
        return None

    def _wait_for_death(self) -> None:
        assert self._process is not None
        wait([self._process.sentinel])

    def _reap(self) -> None:
        """Leave no process behind, whatever happened. The pipe is dropped, not closed: a caller may
        still be reading its end-of-file."""
        if self._status.phase == "ready":
            self._set("crashed", "restarting")
        self._pipe = None
        if self._process is not None:
            self._process.kill()
            self._process.join(timeout=10)
            if not self._wanted.is_set():
                code = self._process.exitcode
                print(f"engine {self.name}: process ended with code {code}", file=sys.stderr)
            self._process = None

    def _may_restart(self) -> bool:
        """Record a crash; False when there were too many lately, and the engine is given up."""
        now = time.monotonic()
        self._crashes.append(now)
        recent = sum(now - crash < RESTART_WINDOW_S for crash in self._crashes)
        if recent > MAX_RESTARTS:
            minutes = RESTART_WINDOW_S / 60
            self._set(
                "unavailable",
                f"crashed {recent} times in {minutes:.0f} minutes, is tried again in "
                f"{RETRY_S / 60:.0f}",
            )
            return False
        self._set("crashed", "crashed, restarting")
        return True

    def _set(self, phase: Phase, detail: str) -> None:
        since = self._status.since if phase == self._status.phase else time.monotonic()
        self._status = Status(phase, detail, self._model, since=since)
