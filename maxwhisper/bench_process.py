"""An engine in a process of its own, so that engines under test cannot disturb each other.

In one process the libraries' thread pools fight over the cores even while idle: faster-whisper took
2.5 s beside torch and MAX for what takes it 1.0 s alone (10 s clip, 2 cores). Here an idle engine
sleeps. In: an engine's name, a model, jobs. Out: measurements, taken inside that process.
"""

import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from maxwhisper import engine as engines
from maxwhisper import machine
from maxwhisper.bench_cases import Job, Model
from maxwhisper.dims import Dims
from maxwhisper.engine import Engine, EngineInfo, load_engine
from maxwhisper.errors import MaxWhisperError, OptionError
from maxwhisper.metered import Meter, metered
from maxwhisper.transcript import Segment, Transcript

# What an engine says when its first start does work that later ones do not.
PREPARES = ("compiling", "converting")
_HIGH_WATER_MARK = Path("/proc/self/clear_refs")  # writing 5 resets VmHWM (Linux, proc(5))
_STATUS = Path("/proc/self/status")


class EngineFailed(MaxWhisperError):
    """What went wrong in the engine's process, as one line: type and text of the exception."""


class Unsupported(MaxWhisperError):
    """What the engine does not offer, in its own words."""


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
    """What the harness times: an engine that measures itself."""

    info: EngineInfo
    dims: Dims
    source: str  # of the weights, one sentence
    load_s: float  # from weights in memory to an engine that is ready
    prepare_s: float | None  # what the first start took more, if it compiled or converted

    def run(self, job: Job, *, is_metered: bool = False) -> Measurement:
        """Do a job. Raises `Unsupported` where the engine offers no such mode."""
        ...

    def close(self) -> None: ...


class IsolatedEngine:
    """A `Subject` in a process of its own. One that compiles or converts when it is first started
    is started again, so that `load_s` is the time of loading alone."""

    def __init__(
        self, name: str, model: Model, device: str, dtype: str, cache_dir: Path | None
    ) -> None:
        """Start the process and load the engine. Raises `EngineFailed`."""
        self._arguments = (name, model, device, dtype, cache_dir)
        self._before_bytes = machine.gpu_used_bytes()
        first = self._start()
        self.prepare_s: float | None = None
        if first.prepared:
            self.close()
            second = self._start()
            self.prepare_s = max(0.0, first.seconds - second.seconds)
            first = second
        self.info, self.dims, self.source = first.info, first.dims, first.source
        self.load_s = first.seconds
        self._held_bytes = self._growth()
        self._is_cold = True

    def _start(self) -> "_Loaded":
        context = multiprocessing.get_context("spawn")  # a fork would copy our threads' locks
        self._process = ProcessPoolExecutor(1, context, _register, (dict(engines.ENGINES),))
        try:
            loaded = self._process.submit(_load, *self._arguments).result()
            if isinstance(loaded, str):
                raise EngineFailed(loaded)
        except Exception:
            self.close()
            raise
        return loaded

    def run(self, job: Job, *, is_metered: bool = False) -> Measurement:
        """See `Subject.run`; without the pipe's time. Raises `EngineFailed`."""
        self._before_bytes = machine.gpu_used_bytes()
        answer = self._process.submit(_run, job, is_metered).result()
        if isinstance(answer, _Refusal):
            raise Unsupported(answer.reason)
        if isinstance(answer, str):
            raise EngineFailed(answer)
        if self._held_bytes is not None:
            self._held_bytes += self._growth() or 0
        is_cold, self._is_cold = self._is_cold, False
        return replace(answer, is_cold=is_cold, device_bytes=self._held_bytes)

    def _growth(self) -> int | None:
        """Bytes by which the GPU filled since `_before_bytes`: ours, for no other engine ran."""
        after_bytes = machine.gpu_used_bytes()
        if after_bytes is None or self._before_bytes is None:
            return None
        return after_bytes - self._before_bytes

    def close(self) -> None:
        """End the process."""
        self._process.shutdown()


def measure(engine: Engine, job: Job, *, is_metered: bool = False) -> Measurement:
    """Time one inference of an engine in this process."""
    first_text_s: float | None = None

    def on_segment(segment: Segment) -> None:
        nonlocal first_text_s
        if first_text_s is None:
            first_text_s = time.perf_counter() - start_s

    # Only what departs from window after window is passed on: not every engine has more.
    mode: dict[str, Any] = {"batch_size": job.batch_size} if job.batch_size is not None else {}
    mode |= {"vad": job.vad} if job.vad is not None else {}
    _reset_peak()
    with metered(engine if is_metered else None) as meters:
        start_s = time.perf_counter()
        transcript = engine.transcribe(job.waveform, job.options, on_segment, **mode)
        seconds = time.perf_counter() - start_s
    return Measurement(transcript, seconds, first_text_s, _peak_bytes(), graphs=meters)


def one_line(error: Exception) -> str:
    """An exception as one line: its type and the first line of its text."""
    if isinstance(error, EngineFailed):
        return str(error)
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def _reset_peak() -> None:
    with suppress(OSError):  # then the peak is that of the process so far: higher, never lower
        _HIGH_WATER_MARK.write_text("5")


def _peak_bytes() -> int | None:
    """Most memory this process held since `_reset_peak`."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peaks = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(peaks[0]) * 1024 if peaks else None


# What runs in the child. Failures come back as text: not every exception survives a pipe.

_engine: list[Engine] = []  # the one engine of this process, once loaded


@dataclass(frozen=True)
class _Loaded:
    info: EngineInfo
    dims: Dims
    source: str
    seconds: float
    prepared: bool


@dataclass(frozen=True)
class _Refusal:
    reason: str


def _register(registry: dict[str, str]) -> None:
    """Take over the parent's registry, which a spawned process does not inherit."""
    engines.ENGINES.clear()
    engines.ENGINES.update(registry)


def _load(
    name: str, model: Model, device: str, dtype: str, cache_dir: Path | None
) -> _Loaded | str:
    lines: list[str] = []

    def progress(line: str) -> None:
        lines.append(line)
        print(line, file=sys.stderr, flush=True)

    try:
        weights = model.load(cache_dir, progress)
        start_s = time.perf_counter()
        engine = load_engine(
            name, weights, device=device, dtype=dtype, cache_dir=cache_dir, progress=progress
        )
        seconds = time.perf_counter() - start_s
    except Exception as error:  # whatever its libraries raise
        return one_line(error)
    _engine.append(engine)
    prepared = any(word in line for line in lines for word in PREPARES)
    return _Loaded(engine.info, weights.dims, weights.source, seconds, prepared)


def _run(job: Job, is_metered: bool) -> Measurement | _Refusal | str:
    try:
        return measure(_engine[0], job, is_metered=is_metered)
    except OptionError as error:
        return _Refusal(str(error))
    except Exception as error:  # whatever its libraries raise
        return one_line(error)
