"""The trainer's log-mel is the package's log-mel, with the engines' padding."""

import numpy as np
import torch

from maxwhisper.reference import log_mel_spectrogram
from tools.train_demo.features import log_mel, mask_bands


def mel_of(samples, content=None, loudest=-np.inf):
    content = len(samples) if content is None else content
    batch = torch.from_numpy(samples[None].astype(np.float32))
    return log_mel(batch, torch.tensor([content]), torch.tensor([loudest]))[0].numpy()


def test_equals_the_reference():
    samples = np.random.default_rng(0).normal(0, 0.1, 32_000)
    want = log_mel_spectrogram(samples, 80).T
    np.testing.assert_allclose(mel_of(samples), want, atol=2e-4)


def test_frames_after_the_content_are_zero_not_silent():
    samples = np.zeros(32_000)
    samples[:16_000] = np.random.default_rng(0).normal(0, 0.1, 16_000)
    mel = mel_of(samples, content=16_000)
    assert (mel[:, 100:] == 0).all()
    assert mel_of(samples)[:, 110:].max() < -0.3  # silence is at the floor instead


def test_a_louder_place_elsewhere_lifts_the_floor():
    silence = np.zeros(16_000)
    assert np.isclose(mel_of(silence).max(), (-10 + 4) / 4)
    assert np.isclose(mel_of(silence, loudest=1.0).max(), (1.0 - 8 + 4) / 4)


def test_masks_depend_on_the_seed_alone():
    mel = torch.randn(2, 80, 300)
    first, again, other = (mask_bands(mel, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert 0 < (first != mel).float().mean() < 0.5
