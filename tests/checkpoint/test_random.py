"""Random weights: the same everywhere, quick, and a decoder that listens."""

import numpy as np
import pytest

from maxwhisper.checkpoint import available, load, tensor_table
from maxwhisper.checkpoint.convert import to_openai
from maxwhisper.checkpoint.random import random_checkpoint, sinusoids
from maxwhisper.errors import CheckpointError
from maxwhisper.paths import cache_root


def test_weights_follow_from_the_seed(v2):
    assert random_checkpoint(v2.dims, seed=1).digest == v2.digest
    assert random_checkpoint(v2.dims, seed=2).digest != v2.digest


def test_random_weights_say_what_they_are(v2):
    assert v2.name == "random"
    assert "never trained" in v2.source


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


def test_what_can_be_loaded_is_listed(tmp_path):
    rows = {row.name: row for row in available(tmp_path)}
    assert rows["tiny"].path == tmp_path / "checkpoints" / "tiny.pt"
    assert (rows["tiny"].parameters, rows["tiny"].on_disk) == (37_760_640, False)
    rows["tiny"].path.parent.mkdir()
    rows["tiny"].path.touch()
    assert {row.name: row for row in available(tmp_path)}["tiny"].on_disk


def test_every_tensor_is_described(half):
    rows = tensor_table(half)
    assert [row.name for row in rows] == list(half.weights)
    assert {row.dtype for row in rows} == {"float16"}
    assert all(row.role for row in rows)


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(CheckpointError, match=r"'huge'.*tiny\.en"):
        load("huge", cache_dir=tmp_path)


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.delenv("MAXWHISPER_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "maxwhisper"
    monkeypatch.setenv("MAXWHISPER_CACHE", str(tmp_path / "own"))
    assert cache_root() == tmp_path / "own"
    assert not list(tmp_path.iterdir())
