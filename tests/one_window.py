"""One window through an engine by hand, at the level where peers publish their numbers."""

import numpy as np

from maxwhisper.clock import StageClock
from maxwhisper.decoding.window import decode_windows
from maxwhisper.dims import N_FRAMES, N_SAMPLES
from maxwhisper.options import TranscribeOptions
from maxwhisper.tokenizer import get_tokenizer
from maxwhisper.transcribe.segments import Window
from maxwhisper.transcribe.sequential import padded_window


def encode(engine, waveform, silence=True):
    """One window, padded with true silence, or with zeros in the log-mel domain."""
    mel = engine.network.log_mel(waveform, N_SAMPLES)
    if silence:
        return engine.network.encode(mel[:N_FRAMES][None])
    window = Window(0, min(N_FRAMES, len(mel) - N_FRAMES))
    return engine.network.encode(padded_window(mel, window)[None])


def decode(engine, encoded, prompt=(), **options):
    """What is heard in it; `prompt` are tokens of what was said before."""
    options = TranscribeOptions(**{"language": "en", "temperature": 0.0, **options})
    tokenizer = get_tokenizer(engine.dims, language="en", task=options.task)
    random = np.random.default_rng(options.seed)
    (result,) = decode_windows(
        engine.network, encoded, 1, tokenizer, options, prompt, random, StageClock()
    )
    return result
