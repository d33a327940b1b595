"""A finished race without engines, for the tests of whatever keeps, shows or packs one."""

import numpy as np

from maxwhisper.engine import EngineInfo
from maxwhisper.engines.race import EngineResult
from maxwhisper.options import TranscribeOptions
from maxwhisper.transcript import Segment, Transcript, Word
from maxwhisper.web.server.run import Run
from maxwhisper.web.server.run_store import new_run_id

ENGINES = ("openai-whisper", "faster-whisper", "maxwhisper")
PACE_S = {"openai-whisper": 0.8, "faster-whisper": 0.4, "maxwhisper": 0.3}  # a segment


def waveform(seconds=4.0):
    """(n,) float32: a quiet tone."""
    return (0.1 * np.sin(np.arange(int(16_000 * seconds)) * 0.2)).astype(np.float32)


def transcript(texts, segment_s=2.0):
    """One segment of `segment_s` seconds for each text, its words evenly spread."""
    segments = []
    for i, text in enumerate(texts):
        said = text.split()
        step_s = segment_s / max(1, len(said))
        words = tuple(
            Word(f" {w}", i * segment_s + j * step_s, i * segment_s + (j + 1) * step_s, 0.9)
            for j, w in enumerate(said)
        )
        tokens = tuple(range(100, 100 + len(said)))
        start, end = i * segment_s, (i + 1) * segment_s
        segments.append(Segment(i, 0, start, end, f" {text}", tokens, 0.0, -0.2, 1.2, 0.01, words))
    text = "".join(segment.text for segment in segments)
    timings = {"mel": 0.05, "encoder": 0.1, "decode": 0.4, "total": 0.6}
    return Transcript(text, "en", tuple(segments), segment_s * len(segments), timings)


def result(engine, texts, rounds=2):
    pace_s = PACE_S[engine]
    total_s = pace_s * len(texts) + 0.1
    return EngineResult(
        engine,
        transcript(texts),
        tuple(total_s * (1 + 0.1 * i) for i in range(rounds)),
        spoken_s=tuple(pace_s * (i + 1) for i in range(len(texts))),
    )


def make_run(texts=("the quick brown fox", "jumps over it"), **changes):
    """A run of three engines that agree; `changes` are fields of `Run`."""
    fields = {
        "id": new_run_id(),
        "when": "2026-01-02T03:04:05+00:00",
        "model": "demo",
        "machine": {"cpu": "Test CPU", "threads": 2, "gpus": [], "commit": None, "versions": {}},
        "options": TranscribeOptions(temperature=0.0, language="en", suppress_tokens=(1, 2)),
        "rounds": 2,
        "audio_name": "A short clip",
        "audio_s": 4.0,
        "reference": "The quick brown fox jumps over it.",
        "results": tuple(result(engine, texts) for engine in ENGINES),
        "refused": {},
        "engines": {
            name: EngineInfo(name, "1.0", "demo", "cpu", "no GPU", "float32") for name in ENGINES
        },
    }
    return Run(**{**fields, **changes})
