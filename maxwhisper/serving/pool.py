"""All engines of one page: started together, timed one after the other behind one lock.

In: engine names, a device, the models an operator offers. Out: states, transcripts, component
checks. Must not know the page, nor how an engine works.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from maxwhisper.engine import OnSegment, Waveform
from maxwhisper.errors import EngineUnavailable, OptionError
from maxwhisper.options import TranscribeOptions
from maxwhisper.selftest.result import CheckResult, LayerErrors
from maxwhisper.serving import messages
from maxwhisper.serving.status import Cancelled, RunCancelled, Status, TimedTranscript
from maxwhisper.serving.supervisor import POLL_S, EngineProcess

PATIENCE_S = 60.0  # with an engine that is on its way; compiling takes minutes, others may race
DEADLINE_S = 300.0  # one transcription on a small machine; a hung engine is killed after it


class EnginePool:
    """The engines called `names`, and the one lock that keeps their timings apart.

    `models` are the only checkpoint names a visitor may choose; the first is loaded at the start.
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
        self._deadline_s = deadline_s
        self._device_lock = threading.Lock()
        self._waiting: list[object] = []  # one entry for each run that waits for the device
        self._engines = {
            name: EngineProcess(name, self._device_lock, device=device, dtype=dtype)
            for name in names
        }

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._engines)

    @property
    def is_busy(self) -> bool:
        """True while some visitor's run or check holds the device."""
        return self._device_lock.locked()

    @property
    def n_waiting(self) -> int:
        """Runs and checks that wait for the device."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin loading the default model everywhere; returns at once."""
        for engine in self._engines.values():
            engine.start(self.models[0])

    def close(self) -> None:
        """End every engine process."""
        closers = [threading.Thread(target=engine.close) for engine in self._engines.values()]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join()

    def statuses(self) -> Mapping[str, Status]:
        return {name: engine.status for name, engine in self._engines.items()}

    @contextmanager
    def device(self, cancelled: Cancelled) -> Iterator[None]:
        """Hold the device alone. Raises `RunCancelled` when stopped while waiting for it."""
        ticket = object()
        self._waiting.append(ticket)
        try:
            while not self._device_lock.acquire(timeout=POLL_S):
                if cancelled():
                    raise RunCancelled
        finally:
            self._waiting.remove(ticket)
        try:
            yield
        finally:
            self._device_lock.release()

    @contextmanager
    def spare_device(self, cancelled: Cancelled) -> Iterator[None]:
        """Hold the device for a moment, while no run holds it or waits for it. Raises as `device`
        does."""
        while self._waiting or not self._device_lock.acquire(blocking=False):
            if cancelled():
                raise RunCancelled
            time.sleep(POLL_S / 5)
        try:
            yield
        finally:
            self._device_lock.release()

    def check_model(self, model: str) -> None:
        """Raise `OptionError` for a model that is not on offer."""
        if model not in self.models:
            raise OptionError(f"unknown model {model!r}: choose one of {', '.join(self.models)}")

    def use_model(self, model: str, cancelled: Cancelled) -> None:
        """Have every engine load `model`, waiting for those that had another one, and for
        `PATIENCE_S` for those that are loading it already, or anew after a crash. Where no engine
        has it, as after a download that failed, all try again. Call without the device: a new
        engine needs it to warm up. Raises `OptionError` or `RunCancelled`."""
        self.check_model(model)
        engines = list(self._engines.values())
        changing = [engine for engine in engines if engine.status.model != model]
        if all(engine.status.phase == "unavailable" for engine in engines):
            changing = engines
        if changing:
            with self.device(cancelled):  # not in the middle of somebody's run
                for engine in changing:
                    engine.start(model)
        patient_until = time.monotonic() + PATIENCE_S
        while late := [engine for engine in engines if not engine.status.is_settled]:
            if time.monotonic() > patient_until and not set(late) & set(changing):
                return
            if cancelled():
                raise RunCancelled
            time.sleep(POLL_S)

    def transcribe(
        self,
        name: str,
        waveform: Waveform,
        options: TranscribeOptions,
        on_segment: OnSegment,
        cancelled: Cancelled,
    ) -> TimedTranscript:
        """One timed transcription by engine `name`. Call with the device held. Raises
        `EngineUnavailable` or `RunCancelled`."""
        return self._engines[name].transcribe(
            waveform, options, on_segment, cancelled, self._deadline_s
        )

    def selftest(
        self, name: str, names: Sequence[str], cancelled: Cancelled, device: str = ""
    ) -> Iterator[CheckResult]:
        """Component checks of engine `name`, while nothing else runs, on its own device or another
        one. Raises as `transcribe` does."""
        engine = self._engine(name)
        with self.device(cancelled):
            yield from engine.selftest(names, device, cancelled, self._deadline_s)

    def layers(self, name: str, waveform: Waveform, cancelled: Cancelled) -> Iterator[LayerErrors]:
        """Errors of engine `name`, layer by layer, on the first window of a clip; as `selftest`."""
        engine = self._engine(name)
        with self.device(cancelled):
            command = messages.MeasureLayers(waveform)
            for event in engine.run(command, cancelled, self._deadline_s):
                if isinstance(event, messages.LayerDone):
                    yield event.errors

    def live(
        self, name: str, command: messages.StreamCommand, cancelled: Cancelled
    ) -> messages.Event:
        """The answer of engine `name` to a command of its live stream. Call with the device held.
        Raises as `transcribe` does."""
        *_, answer = self._engine(name).run(command, cancelled, self._deadline_s)
        return answer

    def _engine(self, name: str) -> EngineProcess:
        if name not in self._engines:
            raise EngineUnavailable(f"{name} is not part of this page")
        return self._engines[name]

    def still_loading(self) -> tuple[str, ...]:
        """Engines whose loading or compiling would disturb a timing taken now. Warming up does not:
        that waits for the device."""
        return tuple(
            name
            for name, status in self.statuses().items()
            if status.phase in ("starting", "loading", "crashed")
        )
