"""Word alignment: every step equals openai-whisper's, ties and NaN included; rows of a batch do not
mix."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.decoding.alignment import (
    align_words,
    alignment_costs,
    median_filter,
    token_probabilities,
    warp,
)
from maxwhisper.errors import OptionError
from maxwhisper.evaluation.selftest.numpy_network import NumpyNetwork
from maxwhisper.network.dims import Dims
from maxwhisper.text.tokenizer import get_tokenizer

timing = pytest.importorskip("whisper.timing")

DIMS = Dims(80, 1500, 64, 2, 1, 51_864, 448, 64, 2, 2)
TOKENIZER = get_tokenizer(DIMS)

KINDS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "ties": lambda rng, shape: rng.integers(-2, 3, shape),
    "almost ties": lambda rng, shape: 100 + 0.001 * rng.standard_normal(shape),
    "constant": lambda rng, shape: np.zeros(shape),
    "NaN": lambda rng, shape: np.where(rng.random(shape) < 0.2, np.nan, rng.standard_normal(shape)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_path_equals_the_reference(kind):
    rng = np.random.default_rng(0)
    for _ in range(60):
        costs = KINDS[kind](rng, rng.integers(1, [12, 40])).astype(np.float32)
        np.testing.assert_array_equal(warp(costs), timing.dtw_cpu(costs.astype(np.float64)))


def test_a_path_through_no_audio_equals_the_reference():
    costs = np.empty((5, 0), np.float32)
    np.testing.assert_array_equal(warp(costs), timing.dtw_cpu(costs.astype(np.float64)))


def test_a_long_window_is_aligned_in_a_fraction_of_a_second():
    costs = np.random.default_rng(0).standard_normal((200, 1500)).astype(np.float32)
    start = time.process_time()  # CPU time of this process: other processes may be running
    tokens, positions = warp(costs)
    seconds = time.process_time() - start
    print(f"warp 200 x 1500: {seconds * 1000:.0f} ms")
    assert (tokens[0], positions[0], tokens[-1], positions[-1]) == (0, 0, 199, 1499)
    assert seconds < 2  # 0.07 s; an unvectorised loop takes minutes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [1, 3, 4, 7, 40])
def test_median_equals_the_reference(kind, length):
    x = KINDS[kind](np.random.default_rng(1), (2, 5, length)).astype(np.float32)
    want = timing.median_filter(torch.from_numpy(x), 7).numpy()
    np.testing.assert_array_equal(median_filter(x, 7), want)


@pytest.mark.parametrize("n_frames", [1, 2, 9, 1000, 2999, 3000])
def test_costs_equal_the_reference(n_frames):
    scores = np.random.default_rng(2).standard_normal((3, 12, 1500)).astype(np.float32)
    weights = torch.from_numpy(scores)[:, :, : n_frames // 2].softmax(dim=-1)
    std, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
    want = -timing.median_filter((weights - mean) / std, 7).mean(axis=0).numpy()
    np.testing.assert_allclose(alignment_costs(scores, n_frames), want, atol=1e-4)


def test_probabilities_are_of_text_tokens_alone():
    logits = np.random.default_rng(3).standard_normal((4, DIMS.n_vocab)).astype(np.float32)
    logits[:, TOKENIZER.eot :] = 100.0  # end of text and timestamps do not count
    want = torch.from_numpy(logits)[:, : TOKENIZER.eot].softmax(dim=-1).numpy()
    got = token_probabilities(logits, [7, 8, 9], TOKENIZER.eot)
    np.testing.assert_allclose(got, want[[0, 1, 2], [7, 8, 9]], rtol=1e-5)


@pytest.fixture(scope="module")
def network():
    return NumpyNetwork(replace(random_checkpoint(DIMS, seed=1), alignment_heads=HEADS))


HEADS = ((0, 1), (1, 0), (1, 1))
TEXTS = tuple(
    tuple(TOKENIZER.encode(text)) for text in (" One, two and twenty-three.", "", " Words")
)


@pytest.fixture(scope="module")
def encoded(network):
    mel = np.random.default_rng(4).standard_normal((3, 3000, 80)).astype(np.float32)
    return network.encode(mel)


def test_windows_together_are_aligned_as_one_by_one(network, encoded):
    n_frames = (3000, 3000, 1200)
    together = align_words(network, encoded, TOKENIZER, TEXTS, n_frames)
    assert [len(words) for words in together] == [7, 0, 1]
    for row in range(3):
        (alone,) = align_words(
            network, encoded[row : row + 1], TOKENIZER, TEXTS[row : row + 1], n_frames[row:]
        )
        assert [word.word for word in alone] == [word.word for word in together[row]]
        for word, other in zip(alone, together[row], strict=True):
            assert (word.start, word.end) == (other.start, other.end)
            assert word.probability == pytest.approx(other.probability, abs=1e-5)


def test_words_follow_each_other_within_the_window(network, encoded):
    words = align_words(network, encoded, TOKENIZER, TEXTS, (3000, 3000, 3000))[0]
    times = [time for word in words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= 30
    assert [token for word in words for token in word.tokens] == list(TEXTS[0])


def test_no_text_needs_no_network():
    assert align_words(None, None, TOKENIZER, [(), ()], [3000, 3000]) == [[], []]


def test_a_text_longer_than_the_context_is_refused(network, encoded):
    with pytest.raises(OptionError, match=r"445 text tokens.*446.*sample_len"):
        align_words(network, encoded[:1], TOKENIZER, [(5,) * 446], [3000])
