"""What the harness times: an engine in its own process, which measures there.

In: an engine's name, a model, jobs. Out: measurements: seconds, first text, memory and, of a
metered run, the compiled graphs.
"""

import resource
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from maxwhisper import machine
from maxwhisper.engine import Engine, EngineInfo, Progress
from maxwhisper.engines.messages import Load, Loaded, Run
from maxwhisper.engines.process import EngineFailed, EngineProcess
from maxwhisper.engines.timing import timed
from maxwhisper.errors import one_line
from maxwhisper.evaluation.bench.cases import Job, Model
from maxwhisper.evaluation.meters import Meter, metered
from maxwhisper.network.dims import Dims
from maxwhisper.transcript import Transcript

# Words of progress when the first start does work that later ones do not.
PREPARES = ("compiling", "converting")
_HIGH_WATER_MARK = Path("/proc/self/clear_refs")  # writing 5 resets VmHWM (Linux, proc(5))
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Measurement:
    """One inference. `seconds` go from samples to text on the host, so a device has finished."""

    transcript: Transcript
    seconds: float
    first_text_s: float | None = None  # when the first segment was reported
    host_peak_bytes: int | None = None  # of the whole process, highest while it ran
    is_cold: bool = False  # the first since the engine was loaded
    device_bytes: int | None = None  # on the GPU, held by the process afterwards
    graphs: dict[str, Meter] = field(default_factory=dict)  # of a metered run


class Subject(Protocol):
    """An engine that measures itself."""

    info: EngineInfo
    dims: Dims
    source: str  # of the weights, one sentence
    load_s: float  # from weights in memory to an engine that is ready
    prepare_s: float | None  # what the first start took more, if it compiled or converted

    def run(self, job: Job, *, is_metered: bool = False) -> Measurement:
        """Do a job. Raises `EngineRefused` where the engine offers no such mode."""
        ...

    def close(self) -> None: ...


class IsolatedEngine:
    """A `Subject` in a process of its own. An engine that compiles or converts at its first start
    is started again, so that `load_s` is the time of loading alone."""

    def __init__(self, name: str, load: Load, progress: Progress) -> None:
        """Start the process and load the engine. Raises `EngineFailed`."""
        self._name, self._progress = name, progress
        self._before_bytes = machine.gpu_used_bytes()
        self.prepare_s: float | None = None
        loaded, prepared = self._start(load)
        if prepared:
            self.close()
            first_s = loaded.seconds
            loaded, _ = self._start(load)
            self.prepare_s = max(0.0, first_s - loaded.seconds)
        self.info, self.dims, self.source = loaded.info, loaded.dims, loaded.source
        self.load_s = loaded.seconds
        self._held_bytes = self._growth()
        self._is_cold = True
        self._process.pause()

    def _start(self, load: Load) -> tuple[Loaded, bool]:
        """What a new process has loaded, and whether it compiled or converted something."""
        self._process = EngineProcess(self._name)
        lines: list[str] = []
        try:
            for item in self._process.run(load):
                if isinstance(item, str):
                    lines.append(item)
                    self._progress(item)
        except BaseException:
            self.close()
            raise
        loaded: Loaded = item  # the last one
        return loaded, any(word in line for line in lines for word in PREPARES)

    def run(self, job: Job, *, is_metered: bool = False) -> Measurement:
        """See `Subject.run`; without the pipe's time. Raises `EngineFailed`."""
        self._before_bytes = machine.gpu_used_bytes()
        self._process.resume()
        (measurement,) = self._process.run(Run(measured, (job, is_metered)))
        self._process.pause()  # until its next turn: it takes nothing from the others
        if self._held_bytes is not None:
            self._held_bytes += self._growth() or 0
        is_cold, self._is_cold = self._is_cold, False
        return replace(measurement, is_cold=is_cold, device_bytes=self._held_bytes)

    def _growth(self) -> int | None:
        """Bytes by which the GPU filled since `_before_bytes`: ours, for no other engine ran."""
        after_bytes = machine.gpu_used_bytes()
        if after_bytes is None or self._before_bytes is None:
            return None
        return after_bytes - self._before_bytes

    def close(self) -> None:
        """End the process."""
        self._process.resume()
        self._process.close()


def load_command(model: Model, device: str, dtype: str, cache_dir: Path | None) -> Load:
    """The command that loads an engine on `model`."""
    return Load(partial(model.load, cache_dir), device, dtype, cache_dir)


def measured(engine: Engine, job: Job, is_metered: bool) -> Iterator[Measurement]:
    """A task for an engine's process: one measurement."""
    yield measure(engine, job, is_metered=is_metered)


def measure(engine: Engine, job: Job, *, is_metered: bool = False) -> Measurement:
    """Time one inference of an engine in this process."""
    # Only what departs from window after window is passed on: not every engine has more.
    mode: dict[str, Any] = {"batch_size": job.batch_size} if job.batch_size is not None else {}
    mode |= {"vad": job.vad} if job.vad is not None else {}
    _reset_peak()
    with metered(engine if is_metered else None) as meters:
        done = timed(engine, job.waveform, job.options, mode=mode)
    first_text_s = done.spoken_s[0] if done.spoken_s else None
    return Measurement(done.transcript, done.seconds, first_text_s, _peak_bytes(), graphs=meters)


def reason_of(error: Exception) -> str:
    """Why an engine failed, as one line: the type and text of the exception in its process."""
    return str(error) if isinstance(error, EngineFailed) else one_line(error)


def _reset_peak() -> None:
    with suppress(OSError):  # then the peak is that of the process so far: higher, never lower
        _HIGH_WATER_MARK.write_text("5")


def _peak_bytes() -> int | None:
    """Most memory that this process held since `_reset_peak`."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peaks = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(peaks[0]) * 1024 if peaks else None
