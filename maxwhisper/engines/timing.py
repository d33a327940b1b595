"""The one clock around an engine: from samples in memory to text on the host.

In: a loaded engine and the arguments of `Engine.transcribe`. Out: the transcript, its seconds,
when each segment was known, and how much others computed meanwhile. The page and the benchmark both
time with it, in the engine's process.
"""

import time
from dataclasses import dataclass
from typing import Any

from maxwhisper.audio.waveform import Waveform
from maxwhisper.engine import Engine
from maxwhisper.engines.load import Load, LoadMeter
from maxwhisper.options import TranscribeOptions
from maxwhisper.transcript import OnSegment, Segment, Transcript


@dataclass(frozen=True)
class TimedTranscript:
    transcript: Transcript
    seconds: float  # around `Engine.transcribe` and nothing else
    spoken_s: tuple[float, ...]  # readings of the same clock when each segment was known
    load: Load | None = None  # of others meanwhile; None where the system does not tell


def timed(
    engine: Engine,
    waveform: Waveform,
    options: TranscribeOptions,
    on_segment: OnSegment | None = None,
    mode: dict[str, Any] | None = None,
) -> TimedTranscript:
    """Time one transcription. `mode` holds further keyword arguments of `Engine.transcribe`, which
    not every engine accepts; raises what that raises."""
    spoken_s: list[float] = []

    def hear(segment: Segment) -> None:
        spoken_s.append(time.perf_counter() - start_s)
        if on_segment is not None:
            on_segment(segment)

    meter = LoadMeter()
    start_s = time.perf_counter()
    transcript = engine.transcribe(waveform, options, hear, **(mode or {}))
    seconds = time.perf_counter() - start_s
    load = meter.read()
    return TimedTranscript(transcript, seconds, tuple(spoken_s), load)
