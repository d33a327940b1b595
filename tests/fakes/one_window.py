"""Run one window through an engine step by step, at the level of the numbers that peers publish."""

from maxwhisper.clock import StageClock
from maxwhisper.decoding.window import WindowDecoder
from maxwhisper.network.dims import N_FRAMES, N_SAMPLES
from maxwhisper.options import TranscribeOptions
from maxwhisper.text.tokenizer import get_tokenizer
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
    """The result for one window; `prompt` are tokens of the text before."""
    options = TranscribeOptions(**{"language": "en", "temperature": 0.0, **options})
    tokenizer = get_tokenizer(engine.dims, language="en", task=options.task)
    decoder = WindowDecoder(engine.network, tokenizer, options, StageClock())
    (result,) = decoder.decode(encoded, 1, prompt)
    return result
