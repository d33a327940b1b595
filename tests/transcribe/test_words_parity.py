"""Word times, from samples to words: equal to openai-whisper on the same small random network."""

from dataclasses import replace
from pathlib import Path

import pytest

from maxwhisper.audio.load import decode
from maxwhisper.checkpoint.convert import to_openai
from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.evaluation.selftest.numpy_network import NumpyNetwork
from maxwhisper.network.dims import Dims
from maxwhisper.options import TranscribeOptions
from maxwhisper.transcribe.sequential import transcribe

pytest.importorskip("whisper")

CLIPS = Path(__file__).parents[2] / "examples" / "clips"
EN = Dims(
    80, 1500, 64, 2, 1, 51_864, 448, 64, 4, 2
)  # encoder and decoder differ in heads and layers
MULTILINGUAL = replace(EN, n_vocab=51_865, n_text_head=2)
WORDS = {"word_timestamps": True}
CASES = {
    "words": (EN, WORDS),
    "silence": (EN, {**WORDS, "hallucination_silence_threshold": 0.5}),
    "clip to the end": (EN, {**WORDS, "clip_timestamps": "8"}),
    "two clips": (EN, {**WORDS, "clip_timestamps": (2.0, 4.0, 5.0, 6.0)}),
    "no timestamps": (EN, {**WORDS, "without_timestamps": True}),
    "unspaced": (MULTILINGUAL, {**WORDS, "language": "ja"}),
}


@pytest.fixture(scope="module")
def networks():
    """networks(dims): the same weights as a numpy network and in openai-whisper."""
    made = {}

    def make(dims):
        if dims not in made:
            checkpoint = random_checkpoint(dims, seed=0)
            made[dims] = NumpyNetwork(checkpoint), to_openai(checkpoint)
        return made[dims]

    return make


def compare(networks, dims, waveform, options):
    """Assert equal segments and words. Returns the number of words, and the largest errors of their
    times (s) and probabilities."""
    network, openai = networks(dims)
    options = {"sample_len": 12, "condition_on_previous_text": False, **options}
    want = openai.transcribe(waveform, fp16=False, temperature=0.0, **options)
    got = transcribe(network, waveform, TranscribeOptions(**options))
    assert got.text == want["text"]
    assert [(s.seek, list(s.tokens)) for s in got.segments] == [
        (s["seek"], s["tokens"]) for s in want["segments"]
    ]
    theirs = [word for s in want["segments"] for word in s["words"]]
    assert [word.word for word in got.words] == [word["word"] for word in theirs]
    time_errors = [
        abs(mine - other)
        for segment, entry in zip(got.segments, want["segments"], strict=True)
        for mine, other in ((segment.start, entry["start"]), (segment.end, entry["end"]))
    ]
    probability_errors = [0.0]
    for word, other in zip(got.words, theirs, strict=True):
        time_errors += [abs(word.start - other["start"]), abs(word.end - other["end"])]
        probability_errors.append(abs(word.probability - other["probability"]))
    return len(theirs), max(time_errors, default=0.0), max(probability_errors)


@pytest.mark.parametrize("case", CASES)
def test_words(networks, case, figure):
    dims, options = CASES[case]
    waveform = decode(CLIPS / "plain.flac")
    n_words, time_error, probability_error = compare(networks, dims, waveform, options)
    assert n_words > 0
    figure(time_error, 0.02, f"word times (s), {case}, {n_words} words")
    figure(probability_error, 1e-3, f"word probabilities, {case}")


@pytest.mark.parametrize("n_samples", [160, 1600])
def test_words_of_short_recordings(networks, n_samples):
    """Below two frames there is no audio position to align with. The reference then returns times
    0.02 s before the beginning; so do we."""
    waveform = decode(CLIPS / "plain.flac")[16_000 : 16_000 + n_samples]
    _, time_error, probability_error = compare(networks, EN, waveform, WORDS)
    assert time_error <= 0.02
    assert probability_error <= 1e-3
