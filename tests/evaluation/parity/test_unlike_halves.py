"""A network whose encoder and decoder differ in heads and layers, small and random, against
openai-whisper: neither half is built with the other's numbers."""

from pathlib import Path

import pytest

from maxwhisper.audio.load import decode
from maxwhisper.checkpoint.convert import to_openai
from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.network.dims import Dims
from maxwhisper.options import GREEDY
from maxwhisper.whisper import create_engine
from tests.fakes.parity_helpers import assert_same, openai_transcribe

CLIP = Path(__file__).parents[3] / "examples" / "clips" / "plain.flac"
# Heads 64 wide in the encoder, for which there is a kernel of our own, and 32 in the decoder.
DIMS = Dims(80, 1500, 128, 2, 1, 51_864, 448, 128, 4, 2)


@pytest.mark.slow  # compiling takes minutes
def test_halves_of_other_heads_and_layers(figure):
    checkpoint = random_checkpoint(DIMS, seed=4, name="unlike-halves")
    engine, model = create_engine(checkpoint, device="cpu"), to_openai(checkpoint)
    waveform = decode(CLIP)
    for options in ({"sample_len": 60}, {"sample_len": 20, "beam_size": 2}):
        got = engine.transcribe(waveform, GREEDY.changed(options))
        assert got.segments
        assert_same(got, openai_transcribe(model, waveform, **options))
    options = {"sample_len": 20, "word_timestamps": True}
    words = engine.transcribe(waveform, GREEDY.changed(options)).words
    want = openai_transcribe(model, waveform, **options)["segments"]
    theirs = [word for segment in want for word in segment["words"]]
    assert [word.word for word in words] == [word["word"] for word in theirs] != []
    pairs = list(zip(words, theirs, strict=True))
    worst_s = max(abs(w.start - t["start"]) + abs(w.end - t["end"]) for w, t in pairs)
    figure(worst_s, 0.02, f"word times (s), unlike halves, {len(pairs)} words")
