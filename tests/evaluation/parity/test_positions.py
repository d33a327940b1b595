"""The compiled decoder at every position of its context against openai-whisper: a prompt of 224
tokens at once, then token by token to the last slot of the cache."""

import numpy as np
import pytest
import torch

from maxwhisper.runtime.probe import relative_error

N_PROMPT = 224
N_ALIKE = 3  # rows of a batch


@pytest.fixture(scope="module")
def case(engine, openai_model):
    """Features (1, S, C), tokens (1, 448), openai-whisper's logits (448, V)."""
    rng, dims = np.random.default_rng(3), engine.dims
    shape = (1, dims.n_audio_ctx, dims.n_audio_state)
    features = rng.standard_normal(shape, dtype=np.float32)
    tokens = rng.integers(0, dims.n_vocab, (1, dims.n_text_ctx))
    with torch.no_grad():
        logits = openai_model.decoder(torch.from_numpy(tokens), torch.from_numpy(features))
    return features, tokens, logits.numpy()[0]


def test_a_long_prompt_then_every_position_to_the_last(engine, case, figure):
    features, tokens, want = case
    network = engine.network
    decoder = network.decoder(network.from_features(features))
    got = decoder.prefill(tokens[:, :N_PROMPT], range(N_PROMPT))[0]
    worst = max(map(relative_error, got, want))
    figure(worst, 1e-4, f"logits of a prompt of {N_PROMPT} tokens, worst position")
    n_ctx = engine.dims.n_text_ctx
    steps = [decoder.step(tokens[:, position])[0] for position in range(N_PROMPT, n_ctx)]
    worst = max(map(relative_error, steps, want[N_PROMPT:]))
    figure(worst, 1e-4, f"logits of steps {N_PROMPT} to {n_ctx - 1}, worst position")


def test_the_longest_prefill_in_a_batch(engine, case, figure):
    """All slots at once, as word times read a text; an odd number of rows fills no tile."""
    features, tokens, want = case
    network = engine.network
    decoder = network.decoder(network.from_features(np.repeat(features, N_ALIKE, axis=0)))
    rows = [0, 99, 100, 223, 224, 446, 447]
    got = decoder.prefill(np.repeat(tokens, N_ALIKE, axis=0), rows)
    worst = max(relative_error(got[row], want[rows]) for row in range(N_ALIKE))
    figure(worst, 1e-4, f"logits of {tokens.shape[1]} tokens at once, {N_ALIKE} rows")
