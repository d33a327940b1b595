"""Encoder and decoder: MAX against openai-whisper and numpy; batches, cache, prefill lengths."""

import numpy as np
import pytest
import torch

from maxwhisper.errors import OptionError
from maxwhisper.network import reference
from maxwhisper.network.dims import N_FRAMES, N_SAMPLES
from maxwhisper.runtime.probe import relative_error

N_STEPS = 64


@pytest.fixture(scope="module")
def mel(engine, clip):
    """(3, T, M): the first 30 s of three clips, of which one fills them."""
    names = ("two_voices", "talk", "noisy")
    return np.stack([engine.network.log_mel(clip(n), N_SAMPLES)[:N_FRAMES] for n in names])


@pytest.fixture(scope="module")
def features(openai_model, mel):
    """(3, S, C) from openai-whisper's encoder."""
    with torch.no_grad():
        return openai_model.encoder(torch.from_numpy(mel).permute(0, 2, 1)).numpy()


@pytest.fixture(scope="module")
def tokens(engine):
    """(3, 4 + 64) arbitrary text."""
    return np.random.default_rng(0).integers(0, engine.dims.n_vocab, (3, 4 + N_STEPS))


@pytest.fixture(scope="module")
def logits(openai_model, features, tokens):
    """(3, L, V) from openai-whisper's decoder, all at once."""
    with torch.no_grad():
        return openai_model.decoder(torch.from_numpy(tokens), torch.from_numpy(features)).numpy()


def test_encoder(engine, mel, features, figure):
    got = engine.network.features(engine.network.encode(mel))
    for row in range(3):
        figure(relative_error(got[row], features[row]), 1e-4, f"encoder, clip {row}")


def test_every_decoder_step(engine, features, tokens, logits, figure):
    network = engine.network
    for row in range(3):
        decoder = network.decoder(network.from_features(features[row : row + 1]))
        got = [decoder.prefill(tokens[row : row + 1, :4], range(4))[0]]
        got += [decoder.step(tokens[row : row + 1, i]) for i in range(4, 4 + N_STEPS)]
        worst = max(
            relative_error(step, logits[row, i]) for i, step in enumerate(np.concatenate(got))
        )
        figure(worst, 1e-4, f"decoder logits, worst of {4 + N_STEPS} positions, clip {row}")


def test_numpy_reference_agrees(checkpoint, mel, features, tokens, logits, figure):
    network = reference.Network(checkpoint.dims, checkpoint.weights)
    figure(relative_error(network.encoder(mel[:1]), features[:1]), 1e-4, "numpy encoder")
    got = network.decoder(tokens[:1], features[:1])
    figure(relative_error(got, logits[:1]), 1e-4, "numpy decoder logits")


@pytest.mark.parametrize("n_rows", [1, 3])
@pytest.mark.parametrize("n_tokens", [1, 2, 3, 5, 8, 31])
def test_prefill_of_every_length(engine, features, tokens, logits, n_rows, n_tokens):
    """Masked attention with several query rows is where the compiler has been seen to go wrong."""
    network = engine.network
    decoder = network.decoder(network.from_features(features[:n_rows]))
    got = decoder.prefill(tokens[:n_rows, :n_tokens], range(n_tokens))
    assert relative_error(got, logits[:n_rows, :n_tokens]) <= 1e-4


def test_full_context(engine, openai_model, features, figure):
    """All 448 positions: prefill to the last but one, then the step that fills the cache."""
    n_ctx = engine.dims.n_text_ctx
    tokens = np.random.default_rng(1).integers(0, engine.dims.n_vocab, (1, n_ctx))
    with torch.no_grad():
        want = openai_model.decoder(torch.from_numpy(tokens), torch.from_numpy(features[:1]))
    decoder = engine.network.decoder(engine.network.from_features(features[:1]))
    decoder.prefill(tokens[:, :-1], [0])
    figure(relative_error(decoder.step(tokens[:, -1]), want.numpy()[:, -1]), 1e-4, "position 447")
    with pytest.raises(OptionError, match="expected at most 0 more tokens, got 1"):
        decoder.step(tokens[:, 0])


def test_batch_equals_singles(engine, mel, tokens, figure):
    network = engine.network
    together = network.encode(mel)
    batch_features = network.features(together)
    decoder = network.decoder(together)
    batch = [decoder.prefill(tokens[:, :5], [4])[:, 0], decoder.step(tokens[:, 5])]
    for row in range(3):
        alone = network.encode(mel[row : row + 1])
        figure(
            relative_error(batch_features[row], network.features(alone)[0]),
            1e-5,
            f"encoder, batch of 3 against single {row}",
        )
        decoder = network.decoder(alone)
        single = [
            decoder.prefill(tokens[row : row + 1, :5], [4])[:, 0],
            decoder.step(tokens[row : row + 1, 5]),
        ]
        worst = max(relative_error(b[row], s[0]) for b, s in zip(batch, single, strict=True))
        figure(worst, 1e-5, f"decoder, batch of 3 against single {row}")


def test_cached_equals_uncached(engine, features, tokens, figure):
    network = engine.network
    encoded = network.from_features(features[:1])
    decoder = network.decoder(encoded)
    uncached = decoder.prefill(tokens[:1, :20], range(20))[0]
    decoder.prefill(tokens[1:2, :50], [0])  # leave another text in the cache
    cached = [decoder.prefill(tokens[:1, :1], [0])[:, 0]]
    cached += [decoder.step(tokens[:1, i]) for i in range(1, 20)]
    figure(relative_error(np.concatenate(cached), uncached), 1e-5, "cached against uncached")


def test_wrong_shapes_are_refused(engine, mel, features):
    with pytest.raises(OptionError, match="expected mel"):
        engine.network.encode(mel[:, :100])
    decoder = engine.network.decoder(engine.network.from_features(features[:1]))
    with pytest.raises(OptionError, match="expected 1 rows"):
        decoder.prefill(np.zeros((2, 3), np.int64), [0])
