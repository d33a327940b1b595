"""Seeded random weights: a network for tests and benchmarks whose text is meaningless.

Owns the scales that make such a network useful: its greedy text varies from token to token, depends
on the audio, and has clear margins between the best token and the next, so two engines with the
same weights can be compared token by token.
"""

import numpy as np

from maxwhisper.checkpoint.schema import Array, Checkpoint, expected_tensors, make_checkpoint
from maxwhisper.network.dims import Dims

# Small, so that the previous token does not win again (the embedding is tied to the output).
_EMBEDDING_STD = 0.05
# Larger, so that tokens vary with their position.
_TEXT_POSITION_STD = 0.5
_EMBEDDING_STDS = {
    "decoder.token_embedding.weight": _EMBEDDING_STD,
    "decoder.positional_embedding": _TEXT_POSITION_STD,
}
# Standard deviation of the logits. The best of 51 865 normal logits then leads the second by
# 8 / sqrt(2 ln 51865) = 1.7 on average, and has most of the probability.
_LOGIT_STD = 8.0
# Spread of biases around 0 and layer-norm scales around 1: large enough that tests detect one that
# is missing.
_VECTOR_STD = 0.1
# Gains over 1 / sqrt(fan in). Log-mel has a spread of 0.5, and GELU halves it again. Attention
# scores of standard deviation 2² select a few of 1500 audio positions (or of the text so far).
# With gain 1 every clip has nearly the same average, and greedy decoding repeats one token.
_GAINS = {
    "conv1.weight": 4.0,
    "conv2.weight": 4.0,
    "attn.query.weight": 2.0,
    "attn.key.weight": 2.0,
}


def random_checkpoint(dims: Dims, seed: int = 0, name: str = "random") -> Checkpoint:
    """Return normally distributed float32 weights, equal on every machine for equal dims and seed.

    Matrices are scaled by 1 / sqrt(fan in), so that activations keep unit variance.
    """
    rng = np.random.default_rng(seed)
    weights = {
        tensor: _initial(tensor, spec.shape, dims, rng)
        for tensor, spec in expected_tensors(dims).items()
    }
    source = f"seeded random weights (seed {seed}), never trained: the text they give means nothing"
    return make_checkpoint(name, dims, weights, None, source)


def _initial(name: str, shape: tuple[int, ...], dims: Dims, rng: np.random.Generator) -> Array:
    if name == "encoder.positional_embedding":
        return sinusoids(*shape)
    if name in _EMBEDDING_STDS:
        weight = rng.standard_normal(shape, dtype=np.float32) * np.float32(_EMBEDDING_STDS[name])
        if name == "decoder.token_embedding.weight":
            weight[_language_tokens(dims)] *= 0.5
        return weight
    if len(shape) == 1:
        vector = rng.standard_normal(shape, dtype=np.float32) * np.float32(_VECTOR_STD)
        vector += name.endswith("weight")  # the scale of a layer norm; biases lie around 0
        if name == "decoder.ln.weight":
            # logits = (unit-variance state * gain) @ embedding: std gain * sqrt(C) * embedding std
            vector *= np.float32(_LOGIT_STD / (np.sqrt(dims.n_text_state) * _EMBEDDING_STD))
        return vector
    gain = next((g for suffix, g in _GAINS.items() if name.endswith(suffix)), 1.0)
    weight = rng.standard_normal(shape, dtype=np.float32)
    if name.endswith(("conv2.weight", "mlp.2.weight")):
        # Their input is the output of GELU and has a positive mean. Rows with sum zero keep it from
        # adding the same large vector everywhere, which would hide how logits depend on the input.
        weight -= weight.mean(axis=1, keepdims=True)
    return weight * np.float32(gain / np.sqrt(np.prod(shape[1:])))


def _language_tokens(dims: Dims) -> slice:
    """Return the language tokens. No rule suppresses them and trained networks never emit them;
    halved embeddings have the same effect here. 6 specials and 1501 timestamps follow them."""
    end = dims.n_vocab - 1501 - 6
    return slice(end - dims.num_languages, end)


def sinusoids(n_ctx: int, n_state: int) -> Array:
    """Return audio positions (S, C): sines in the first half of the state, cosines in the second,
    with wavelengths from 2 pi to 10000 * 2 pi. Source: openai/whisper model.py:62-68."""
    half = n_state // 2
    rates = np.exp(-np.log(10_000) / (half - 1) * np.arange(half))
    angles = np.arange(n_ctx)[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
