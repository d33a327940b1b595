"""The cache is reused between decodings, unless NaN was written into it."""

import numpy as np
import pytest
from max.driver import Buffer

from maxwhisper.decoding.rules import build_rules, greedy_rules
from maxwhisper.graphs import GREEDY_STEP, PREFILL, STEP
from maxwhisper.network.dims import Dims
from maxwhisper.options import GREEDY
from maxwhisper.runtime.device import choose
from maxwhisper.runtime.model import Encoded, MaxNetwork
from maxwhisper.text.tokenizer import get_tokenizer

DIMS = Dims(80, 1500, 64, 2, 1, 51_864, 448, 64, 2, 1)
TOKENS = np.array([[50_257], [50_257]])
RULES = greedy_rules(build_rules(get_tokenizer(DIMS), GREEDY), get_tokenizer(DIMS))


class Logits:
    """A decoder graph that returns one number everywhere."""

    def __init__(self, value):
        self.value = value

    def execute(self, *inputs):
        return [Buffer.from_numpy(np.full((2, 1, DIMS.n_vocab), self.value, np.float32))]


class Sums(Logits):
    """A greedy step whose log-probabilities are that number."""

    def execute(self, position, written, last, sums, *more):
        for row in range(2):
            sums[row, 0] = self.value
        return []


@pytest.fixture
def network():
    return MaxNetwork(DIMS, choose("cpu"), {}, None)


def decoded(network, how, value):
    """The cache after one decoding of two rows in which the network returns `value`."""
    network.models = {PREFILL: Logits(value), STEP: Logits(value), GREEDY_STEP: Sums(value)}
    network._greedy = None  # it holds the previous model
    decoder = network.decoder(Encoded(None, [], 2))
    if how == "prefill":
        decoder.prefill(TOKENS, [0])
    elif how == "step":
        decoder.step(TOKENS[:, 0])
    else:
        decoder.greedy(TOKENS, np.zeros(2, np.float32), RULES, 3)
    return decoder._cache


@pytest.mark.parametrize("how", ["prefill", "step", "greedy"])
def test_nan_does_not_outlive_its_decoding(network, how):
    """Masked slots are multiplied by 0, and 0 times NaN is NaN: a new cache is allocated."""
    cache = decoded(network, how, 0.5)
    assert decoded(network, how, np.nan) is cache
    fresh = decoded(network, how, 0.5)
    assert fresh is not cache
    assert decoded(network, how, 0.5) is fresh
