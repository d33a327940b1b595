"""The numpy reference, which judges the graphs, is judged by openai-whisper: every position of a
window and of a text, with random weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from maxwhisper.checkpoint.convert import to_openai
from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.network import reference
from maxwhisper.network.dims import Dims

DIMS = Dims(80, 1500, 64, 2, 2, 51_864, 448, 64, 4, 2)


@pytest.fixture(scope="module", params=[80, 128])
def networks(request):
    """(numpy's, openai-whisper's), the second on the same weights."""
    checkpoint = random_checkpoint(replace(DIMS, n_mels=request.param), seed=5)
    numpy_network = reference.Network(checkpoint.dims, checkpoint.weights)
    return numpy_network, to_openai(checkpoint).eval()


def assert_equal(got, want):
    np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())


def test_every_position_of_a_window(networks):
    ours, theirs = networks
    mel = np.random.default_rng(0).standard_normal((2, 3000, ours.dims.n_mels), dtype=np.float32)
    with torch.no_grad():
        want = theirs.encoder(torch.from_numpy(mel).permute(0, 2, 1)).numpy()
    assert_equal(ours.encoder(mel), want)


def test_every_position_of_a_text(networks):
    ours, theirs = networks
    rng = np.random.default_rng(1)
    features = rng.standard_normal((1, 1500, 64), dtype=np.float32)
    tokens = rng.integers(0, ours.dims.n_vocab, (1, 448))
    with torch.no_grad():
        want = theirs.decoder(torch.from_numpy(tokens), torch.from_numpy(features)).numpy()
    assert_equal(ours.decoder(tokens, features), want)


@pytest.mark.parametrize("n_mels", [80, 128])
def test_log_mel_is_openai_whispers(n_mels):
    from whisper.audio import log_mel_spectrogram

    waveform = np.random.default_rng(2).standard_normal(16_000, dtype=np.float32)
    waveform[8_000:] *= 1e-6
    want = log_mel_spectrogram(waveform, n_mels, padding=8_000).numpy().T
    got = reference.log_mel_spectrogram(waveform, n_mels, padding=8_000)
    np.testing.assert_allclose(got, want, atol=1e-4)
