"""The trainer's log-mel equals the package's log-mel, with the engines' padding."""

import numpy as np
import torch

from maxwhisper.network.reference import log_mel_spectrogram
from tools.train_demo.features import log_mel, mask_bands, other_voices


def mel_of(samples, content=None, loudest=-np.inf, heard_as=None):
    content = len(samples) if content is None else content
    batch = torch.from_numpy(samples[None].astype(np.float32))
    mel = log_mel(batch, torch.tensor([content]), torch.tensor([loudest]), heard_as=heard_as)
    return mel[0].numpy()


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


def test_other_voices_move_a_tone_by_three_semitones_at_most_and_keep_half_as_they_are():
    """Gains are smooth, so only the stretch moves a tone's loudest bin."""
    voices = other_voices(200, torch.Generator().manual_seed(0), torch.device("cpu"))
    power = torch.zeros(201)
    power[50] = 1.0
    heard_at = (voices @ power).argmax(dim=1)
    assert 0.4 < (heard_at == 50).float().mean() < 0.7
    assert heard_at.min() >= 50 / 1.19 - 1
    assert heard_at.max() <= 50 / 0.84 + 1
    assert heard_at.min() < 46
    assert heard_at.max() > 54


def test_a_voice_that_is_left_as_it_is_sounds_the_same():
    samples = np.random.default_rng(0).normal(0, 0.1, 16_000)
    voices = other_voices(200, torch.Generator().manual_seed(0), torch.device("cpu"))
    n_same = sum(torch.equal(voice, torch.eye(201)) for voice in voices)
    assert 25 < n_same < 75, "a quarter: neither stretched nor louder anywhere"
    same = next(voice for voice in voices if torch.equal(voice, torch.eye(201)))
    other = next(voice for voice in voices if not torch.equal(voice, torch.eye(201)))
    np.testing.assert_allclose(mel_of(samples, heard_as=same[None]), mel_of(samples), atol=1e-5)
    assert np.abs(mel_of(samples, heard_as=other[None]) - mel_of(samples)).max() > 0.05
