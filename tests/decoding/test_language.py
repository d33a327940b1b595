"""Language detection: probabilities over language tokens only, in vocabulary order."""

import numpy as np
import pytest

from maxwhisper.decoding.language import detect_language
from maxwhisper.dims import Dims
from maxwhisper.errors import OptionError
from maxwhisper.tokenizer import get_tokenizer


class OneLanguage:
    """A network that hears one language, and shouts an unrelated token."""

    def __init__(self, n_vocab, token):
        self.dims = Dims(80, 1500, 64, 1, 1, n_vocab, 448, 64, 1, 1)
        self.token = token

    def decoder(self, encoded):
        return self

    def prefill(self, tokens, rows):
        assert tokens.tolist() == [[get_tokenizer(self.dims).sot]]
        logits = np.zeros((1, 1, self.dims.n_vocab), np.float32)
        logits[..., self.token] = 5.0
        logits[..., 0] = 100.0
        return logits


@pytest.mark.parametrize(("n_vocab", "n_languages"), [(51_865, 99), (51_866, 100)])
def test_probabilities(n_vocab, n_languages):
    network = OneLanguage(n_vocab, token=0)
    tokenizer = get_tokenizer(network.dims)
    network.token = tokenizer.to_language_token("de")
    probabilities = detect_language(network, None, tokenizer)
    assert len(probabilities) == n_languages
    assert sum(probabilities.values()) == pytest.approx(1)
    assert max(probabilities, key=probabilities.get) == "de"
    assert probabilities["de"] == pytest.approx(np.exp(5) / (np.exp(5) + n_languages - 1))


def test_english_only_networks_refuse():
    network = OneLanguage(51_864, token=0)
    with pytest.raises(OptionError, match="English-only"):
        detect_language(network, None, get_tokenizer(network.dims))
