"""An engine in a process of its own, so that engines under test cannot disturb each other.

In one process the libraries' thread pools fight over the cores even while idle: faster-whisper took
2.5 s beside torch and MAX for what takes it 1.0 s alone (10 s clip, 2 cores). Here an idle engine
sleeps. In: an engine's name and a model's. Out: transcripts, timed by the clock of that process.
"""

import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from maxwhisper import engine as engines
from maxwhisper.engine import Engine, EngineInfo, OnSegment, Waveform, load_engine
from maxwhisper.errors import MaxWhisperError
from maxwhisper.options import TranscribeOptions
from maxwhisper.transcript import Transcript


class EngineFailed(MaxWhisperError):
    """What went wrong in the engine's process, as one line: type and text of the exception."""


class IsolatedEngine:
    """Fulfils `engine.Engine`; `timed` also tells how long the engine itself took."""

    def __init__(
        self, name: str, model: str | Path, device: str, dtype: str, cache_dir: Path | None
    ) -> None:
        """Start the process and load the engine. Raises `EngineFailed`."""
        context = multiprocessing.get_context("spawn")  # a fork would copy our threads' locks
        self._process = ProcessPoolExecutor(1, context, _register, (dict(engines.ENGINES),))
        try:
            loaded = self._process.submit(_load, name, model, device, dtype, cache_dir).result()
            if isinstance(loaded, str):
                raise EngineFailed(loaded)
        except Exception:
            self.close()
            raise
        self.info: EngineInfo = loaded[0]
        self.load_s: float = loaded[1]

    def transcribe(
        self,
        waveform: Waveform,
        options: TranscribeOptions,
        on_segment: OnSegment | None = None,
    ) -> Transcript:
        """See `Engine.transcribe`; segments are reported at the end."""
        transcript, _ = self.timed(waveform, options)
        if on_segment:
            for segment in transcript.segments:
                on_segment(segment)
        return transcript

    def timed(self, waveform: Waveform, options: TranscribeOptions) -> tuple[Transcript, float]:
        """A transcript and the seconds between call and return in the engine's own process, without
        the pipe. Raises `EngineFailed`."""
        answer = self._process.submit(_transcribe, waveform, options).result()
        if isinstance(answer, str):
            raise EngineFailed(answer)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.shutdown()


def one_line(error: Exception) -> str:
    """An exception as one line: its type and the first line of its text."""
    if isinstance(error, EngineFailed):
        return str(error)
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


# What runs in the child. Failures come back as text: not every exception survives a pipe.

_engine: list[Engine] = []  # the one engine of this process, once loaded


def _register(registry: dict[str, str]) -> None:
    """Take over the parent's registry, which a spawned process does not inherit."""
    engines.ENGINES.clear()
    engines.ENGINES.update(registry)


def _load(
    name: str, model: str | Path, device: str, dtype: str, cache_dir: Path | None
) -> tuple[EngineInfo, float] | str:
    from maxwhisper import checkpoint

    def progress(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        weights = checkpoint.load(model, cache_dir=cache_dir, progress=progress)
        start_s = time.perf_counter()
        engine = load_engine(
            name, weights, device=device, dtype=dtype, cache_dir=cache_dir, progress=progress
        )
    except Exception as error:  # whatever its libraries raise
        return one_line(error)
    _engine.append(engine)
    return engine.info, time.perf_counter() - start_s


def _transcribe(waveform: Waveform, options: TranscribeOptions) -> tuple[Transcript, float] | str:
    start_s = time.perf_counter()
    try:
        transcript = _engine[0].transcribe(waveform, options)
    except Exception as error:  # whatever its libraries raise
        return one_line(error)
    return transcript, time.perf_counter() - start_s
