"""One recording and one set of weights through three engines.

`python examples/compare_engines.py [FILE] [MODEL]` prints each engine's text and seconds. One
warmed run each, so a first look only: `python -m maxwhisper bench` repeats and reports ranges.
"""

import sys
import time
from pathlib import Path

from maxwhisper import MaxWhisperError, TranscribeOptions, audio, checkpoint
from maxwhisper.engine import ENGINES, load_engine

PLAIN = Path(__file__).resolve().parent / "clips" / "plain.flac"


def main(path: str = str(PLAIN), model: str = checkpoint.DEFAULT_MODEL) -> None:
    waveform = audio.decode(path)
    weights = checkpoint.load(model)
    options = TranscribeOptions(temperature=0.0)  # nothing random: equal work for all
    for name in ENGINES:
        try:
            engine = load_engine(name, weights)
        except MaxWhisperError as error:
            print(f"{name}: {error}")
            continue
        engine.transcribe(waveform, options)  # warm: compiles and allocates
        start = time.perf_counter()
        transcript = engine.transcribe(waveform, options)
        print(f"{name}: {time.perf_counter() - start:.2f} s on {engine.info.device}")
        print(f"    {transcript.text.strip()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
