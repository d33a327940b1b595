"""A multilingual network of large-v3's kind (128 mels, 100 languages), small and random: language
detection, prompts with language and task, and all greedy text, against openai-whisper."""

import pytest
import whisper

from maxwhisper.checkpoint.convert import to_openai
from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.evaluation.parity.cases import V3_DIMS
from maxwhisper.options import GREEDY
from maxwhisper.whisper import create_engine
from tests.fakes.parity_helpers import assert_same, openai_transcribe

DIMS = V3_DIMS  # shared with the exactness harness: compiled once
CLIPS = ("numbers", "two_voices")


@pytest.fixture(scope="module")
def multilingual():
    """(maxwhisper, openai-whisper) on the same weights; compiles once per machine."""
    checkpoint = random_checkpoint(DIMS, seed=1, name="random-v3")
    return create_engine(checkpoint), to_openai(checkpoint)


@pytest.mark.parametrize("name", CLIPS)
def test_language_probabilities(multilingual, clip, name, figure):
    engine, model = multilingual
    found = engine.detect_language(clip(name))
    got = found.probabilities
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(clip(name)), DIMS.n_mels)
    _, want = model.detect_language(mel)
    assert set(got) == set(want)  # the reference's order is that of a Python set
    assert found.code == max(want, key=want.get)
    figure(max(abs(got[c] - want[c]) for c in want), 1e-4, f"language probabilities, {name}")


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize(
    "options",
    [{}, {"language": "de"}, {"language": "Japanese", "task": "translate"}, {"language": "yue"}],
    ids=["detect", "de", "ja-translate", "yue"],
)
def test_transcribe(multilingual, clip, name, options):
    engine, model = multilingual
    options = {"sample_len": 60, **options}
    waveform = clip(name)
    got = engine.transcribe(waveform, GREEDY.changed(options))
    if options.get("language") == "Japanese":  # we answer with the code, whatever was asked
        options["language"] = "ja"
    want = openai_transcribe(model, waveform, **options)
    assert_same(got, want)
