"""Transcribe one recording with three engines and the same weights.

`python examples/compare_engines.py [FILE] [MODEL]` prints each engine's text and seconds. Each
engine is timed once after one warm-up run; `python -m maxwhisper bench` repeats and reports ranges.
"""

import sys
import time
from pathlib import Path

from maxwhisper import MaxWhisperError, TranscribeOptions, checkpoint
from maxwhisper.audio import load as audio
from maxwhisper.engine import ENGINES, load_engine

PLAIN = Path(__file__).resolve().parent / "clips" / "plain.flac"


def main(path: str = str(PLAIN), model: str = checkpoint.DEFAULT_MODEL) -> None:
    """Print the text and the seconds of every engine that is installed."""
    waveform = audio.decode(path)
    weights = checkpoint.load(model)
    options = TranscribeOptions(temperature=0.0)  # no sampling, so every engine does the same work
    for name in ENGINES:
        try:
            engine = load_engine(name, weights)
        except MaxWhisperError as error:
            print(f"{name}: {error}")
            continue
        engine.transcribe(waveform, options)  # warm-up: compiles and allocates
        start = time.perf_counter()
        transcript = engine.transcribe(waveform, options)
        print(f"{name}: {time.perf_counter() - start:.2f} s on {engine.info.device}")
        print(f"    {transcript.text.strip()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
