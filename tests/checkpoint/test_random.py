"""Random weights: reproducible, fast, with text that depends on the audio."""

from pathlib import Path

import numpy as np
import pytest

from maxwhisper.checkpoint import about, find, load
from maxwhisper.checkpoint.convert import to_openai
from maxwhisper.checkpoint.random import random_checkpoint, sinusoids
from maxwhisper.checkpoint.registry import OFFICIAL_MODELS
from maxwhisper.cli import main
from maxwhisper.errors import CheckpointError
from tests.fakes.engines import ENGINES, FakeEngine

CLIP = Path(__file__).parents[2] / "examples" / "clips" / "plain.flac"


def test_weights_follow_from_the_seed(v2):
    assert random_checkpoint(v2.dims, seed=1).digest == v2.digest
    assert random_checkpoint(v2.dims, seed=2).digest != v2.digest


def test_random_weights_say_what_they_are(v2):
    assert v2.name == "random"
    assert "never trained" in v2.source


def test_the_library_loads_random_weights_by_name():
    official = OFFICIAL_MODELS["tiny"].dims
    place = find("random:tiny")
    assert "random weights, 0 MB" in place.line
    checkpoint = load("random:tiny")
    assert (checkpoint.name, checkpoint.dims) == ("random:tiny", official)
    assert checkpoint.digest == random_checkpoint(official).digest
    assert about("random:tiny") == "random:tiny has random weights: its text means nothing."
    for name in ("random:", "random:huge", "random:random:tiny"):
        with pytest.raises(CheckpointError, match="expected the name"):
            load(name)


def test_the_command_line_loads_random_weights_by_name(monkeypatch, capfd):
    loaded = []

    def create(checkpoint, **_):
        loaded.append(checkpoint.name)
        return FakeEngine("plain")

    monkeypatch.setattr("tests.fakes.engines.create_plain", create)
    monkeypatch.setattr("maxwhisper.engine.ENGINES", ENGINES)
    assert main([str(CLIP), "--model", "random:tiny"]) == 0
    assert main(["models", "show", "random:tiny"]) == 0
    assert loaded == ["random:tiny"]
    assert "decoder.token_embedding.weight" in capfd.readouterr().out


def test_sinusoids_are_the_references():
    model = pytest.importorskip("whisper.model")
    # The reference computes the wavelengths in float32: one rounding, times 1499 positions.
    tolerance = 1500 * 2**-23
    for n_state in (64, 384, 1280):
        error = np.abs(sinusoids(1500, n_state) - model.sinusoids(1500, n_state).numpy()).max()
        assert error <= tolerance


def test_greedy_text_varies_and_depends_on_the_audio(v2):
    pytest.importorskip("whisper")
    model = to_openai(v2)
    rng = np.random.default_rng(0)
    clips = (
        rng.standard_normal(48_000).astype(np.float32) * 0.1,
        np.sin(np.arange(48_000) * 0.2).astype(np.float32) * 0.3,
    )
    texts = []
    for clip in clips:
        result = model.transcribe(clip, temperature=0, language="en", fp16=False, sample_len=24)
        tokens = result["segments"][0]["tokens"]
        assert len(set(tokens)) > len(tokens) / 2, tokens
        assert result["segments"][0]["avg_logprob"] > -1.0  # clear margins
        texts.append(tokens)
    assert texts[0][:5] != texts[1][:5]
