"""All engines of one page: started together, used one at a time behind one lock.

In: engine names, a device, the models that an operator offers. Out: states, and the device as a
handle, through which alone an engine can be called. Must not know the page, nor how an engine
works.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, TypeVar, TypeVarTuple

from maxwhisper import checkpoint
from maxwhisper.audio.waveform import Waveform
from maxwhisper.engine import Engine
from maxwhisper.engines import messages
from maxwhisper.engines.device_lock import DeviceLock
from maxwhisper.engines.process import POLL_S, Deadline, EngineFailed, EngineProcess
from maxwhisper.engines.status import Cancelled, RunCancelled, Status
from maxwhisper.engines.supervisor import LOAD_DEADLINE_S, SupervisedEngine
from maxwhisper.engines.timing import TimedTranscript
from maxwhisper.errors import EngineUnavailable, OptionError, quoted
from maxwhisper.options import TranscribeOptions
from maxwhisper.transcript import OnSegment, OnText, Segment

PATIENCE_S = 60.0  # with an engine that is on its way; compiling takes minutes, others may race
DEADLINE_S = 300.0  # one transcription on a small machine; a hung engine is killed after it

log = logging.getLogger(__name__)

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class Device:
    """The device, held by one caller: the only way to call an engine.

    Every method raises `EngineUnavailable`, or `RunCancelled` once `cancelled()` is true, and
    `RuntimeError` after the device was released. `transcribe` and `run` wait for an engine that is
    restarting.
    """

    def __init__(
        self, engines: Mapping[str, SupervisedEngine], cancelled: Cancelled, deadline_s: float
    ) -> None:
        self._engines, self._cancelled, self._deadline_s = engines, cancelled, deadline_s
        self._is_held = True

    def transcribe(
        self,
        name: str,
        waveform: Waveform,
        options: TranscribeOptions,
        on_segment: OnSegment,
        on_text: OnText | None = None,
        *,
        mode: Mapping[str, Any] | None = None,
    ) -> TimedTranscript:
        """One timed transcription by engine `name`; waveform (n,) float32, mono, 16 kHz. `on_text`
        as in `Engine.transcribe`. `mode`: batches and speech detection, arguments of the same."""
        command = messages.Transcribe(waveform, options, mode or {}, on_text is not None)
        with self._alone(name):
            for item in self._answer(name, command):
                if isinstance(item, Segment):
                    on_segment(item)
                elif isinstance(item, messages.Partial) and on_text is not None:
                    on_text(item.text)
        timed: TimedTranscript = item  # the last one
        return timed

    def run(
        self,
        name: str,
        task: Callable[[Engine, *Arguments], Iterator[T]],
        *arguments: *Arguments,
    ) -> Iterator[T]:
        """What `task(engine, *arguments)` yields, called in the process of engine `name`; `task` is
        a function of a module."""
        yield from self._answer(name, messages.Run(task, arguments))

    def stream(self, name: str, command: messages.StreamCommand) -> Any:
        """The answer of engine `name` to a command of its live stream; None where it has none."""
        items = list(self._answer(name, command))
        return items[0] if items else None

    def release(self) -> None:
        """Refuse every later call."""
        self._is_held = False

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Let the other engines stand still, so that they take nothing from the one being timed."""
        with ExitStack() as paused:
            for other, engine in self._engines.items():
                if other != name:
                    paused.enter_context(engine.paused())
            yield

    def _answer(self, name: str, command: messages.Command) -> Iterator[Any]:
        if not self._is_held:
            raise RuntimeError("expected a device that is held, got one that was released")
        if name not in self._engines:
            raise EngineUnavailable(f"{name} is not part of this page")
        if not isinstance(command, messages.StreamCommand):  # a stream is lost with its process
            self._engines[name].await_return(self._cancelled)
        return self._engines[name].run(command, self._cancelled, self._deadline_s)


class EnginePool:
    """The engines called `names`, and the one lock that keeps their timings apart.

    `models` are the only checkpoint names a visitor may choose. `default_model`, at first the first
    of them, is loaded at the start; it may be set to another one of them.
    """

    def __init__(
        self,
        names: Sequence[str],
        models: Sequence[str],
        *,
        device: str = "auto",
        dtype: str = "auto",
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.models = tuple(models)
        self.default_model = self.models[0]
        self._device, self._dtype, self._deadline_s = device, dtype, deadline_s
        self._device_lock = DeviceLock()
        self._guest: EngineProcess | None = None
        self._closing = threading.Event()
        self._waiting: list[object] = []  # one entry for each run that waits for the device
        self._engines = {
            name: SupervisedEngine(name, self._device_lock, device=device, dtype=dtype)
            for name in names
        }

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._engines)

    @property
    def is_busy(self) -> bool:
        """True while a visitor's run or check holds the device."""
        return self._device_lock.locked()

    @property
    def n_waiting(self) -> int:
        """Runs and checks that wait for the device."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin loading the default model everywhere; returns at once."""
        for engine in self._engines.values():
            engine.start(self.default_model)

    def close(self) -> None:
        """End every engine process."""
        self._closing.set()
        if self._guest is not None:
            self._guest.stop()  # a paused one would not hear of the end
        closers = [threading.Thread(target=engine.close) for engine in self._engines.values()]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join()

    def statuses(self) -> Mapping[str, Status]:
        """The state of every engine, by name."""
        return {name: engine.status for name, engine in self._engines.items()}

    @contextmanager
    def device(self, cancelled: Cancelled) -> Iterator[Device]:
        """Hold the device alone. Raises `RunCancelled` when stopped while waiting for it."""
        ticket = object()
        self._waiting.append(ticket)
        try:
            while not self._device_lock.acquire(timeout=POLL_S):
                if cancelled():
                    raise RunCancelled
        finally:
            self._waiting.remove(ticket)
        with self._held_device(cancelled) as device:
            yield device

    @contextmanager
    def spare_device(self, cancelled: Cancelled) -> Iterator[Device]:
        """Hold the device for a moment, while no run holds it or waits for it. Raises as `device`
        does."""
        while self._waiting or not self._device_lock.acquire(blocking=False):
            if cancelled():
                raise RunCancelled
            time.sleep(POLL_S / 5)
        with self._held_device(cancelled) as device:
            yield device

    @contextmanager
    def _held_device(self, cancelled: Cancelled) -> Iterator[Device]:
        """The handle of the device, whose lock is held; releases both."""
        device = Device(self._engines, cancelled, self._deadline_s)
        try:
            yield device
        finally:
            device.release()
            self._device_lock.release()

    def check_model(self, model: str) -> None:
        """Raise `OptionError` for a model that is not on offer."""
        if model not in self.models:
            raise OptionError(
                f"unknown model {quoted(model)}: choose one of {', '.join(self.models)}"
            )

    def use_model(self, model: str, cancelled: Cancelled) -> None:
        """Have every engine load `model`.

        Waits for engines that had another model, and for `PATIENCE_S` for those that are already
        loading it, or loading again after a crash. Where no engine has it, as after a failed
        download, all try again. Call without the device: a new engine needs it to warm up. Raises
        `OptionError` or `RunCancelled`.
        """
        self.check_model(model)
        engines = list(self._engines.values())
        changing = [engine for engine in engines if engine.status.model != model]
        if all(engine.status.phase == "unavailable" for engine in engines):
            changing = engines
        if changing:
            with self.device(cancelled):  # not in the middle of another visitor's run
                for engine in changing:
                    engine.start(model)
        patient_until = time.monotonic() + PATIENCE_S
        while late := [engine for engine in engines if not engine.status.is_settled]:
            if time.monotonic() > patient_until and not set(late) & set(changing):
                return
            if cancelled():
                raise RunCancelled
            time.sleep(POLL_S)

    def prepare(self, model: str, cancelled: Cancelled) -> Iterator[str]:
        """Convert and compile what `model` needs, so that `use_model` is quick; yields progress.

        Each engine in turn does it in a process of its own: at the lowest priority, and frozen
        while anybody holds the device. An engine that fails here fails again in `use_model`, and
        says why. Raises `RunCancelled`.
        """
        while not all(status.is_settled for status in self.statuses().values()):
            if cancelled():  # else the first start is still under way
                raise RunCancelled
            time.sleep(POLL_S)
        weights = partial(checkpoint.load, model)
        command = messages.Load(weights, self._device, self._dtype, is_guest=True)
        for name, status in self.statuses().items():
            if status.phase == "unavailable":
                continue
            if cancelled() or self._closing.is_set():
                raise RunCancelled
            yield f"preparing {name}"
            self._guest = process = EngineProcess(name)
            try:
                with self._device_lock.guest(process):
                    deadline = Deadline(LOAD_DEADLINE_S, renews=True)
                    for item in process.run(command, cancelled, deadline):
                        if isinstance(item, str):
                            yield item if name in item else f"{name}: {item}"
            except EngineFailed as error:
                log.warning("%s cannot be prepared for %s: %s", model, name, error)
            finally:
                process.stop()
                self._guest = None

    def still_loading(self) -> tuple[str, ...]:
        """Engines whose loading or compiling would disturb a timing taken now. Warming up does not:
        that waits for the device."""
        return tuple(
            name
            for name, status in self.statuses().items()
            if status.phase in ("starting", "loading", "crashed")
        )
