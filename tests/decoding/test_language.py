"""Language detection: probabilities over language tokens only, in vocabulary order."""

import numpy as np
import pytest

from maxwhisper.decoding.language import detect_language, vote
from maxwhisper.errors import OptionError
from maxwhisper.network.dims import Dims
from maxwhisper.text.tokenizer import get_tokenizer


class OneLanguage:
    """A network that detects one language, and has a high logit for an unrelated token."""

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
    spoken = detect_language(network, None, tokenizer)
    assert list(spoken.probabilities) == list(tokenizer.all_language_codes)
    assert len(spoken.probabilities) == n_languages
    assert sum(spoken.probabilities.values()) == pytest.approx(1)
    assert spoken.code == "de"
    assert spoken.probability == pytest.approx(np.exp(5) / (np.exp(5) + n_languages - 1))


def test_english_only_networks_refuse():
    network = OneLanguage(51_864, token=0)
    with pytest.raises(OptionError, match="English-only"):
        detect_language(network, None, get_tokenizer(network.dims))


class Windows:
    """A multilingual network that detects one language after the other, window by window; `mel`
    numbers the windows."""

    def __init__(self, *heard):
        self.dims = Dims(80, 1500, 64, 1, 1, 51_865, 448, 64, 1, 1)
        self.tokenizer = get_tokenizer(self.dims)
        self.heard = heard  # (code, logit)
        self.mel = np.repeat(np.arange(len(heard) + 1.0), 3000)[:, None].astype(np.float32)
        self.asked = []

    def encode(self, mel):
        return int(mel[0, 0, 0])

    def decoder(self, encoded):
        self.asked.append(encoded)
        return self

    def prefill(self, tokens, rows):
        code, logit = self.heard[self.asked[-1]]
        logits = np.zeros((1, 1, self.dims.n_vocab), np.float32)
        logits[..., self.tokenizer.to_language_token(code)] = logit
        return logits

    def vote(self, *arguments):
        return vote(self, self.mel, self.tokenizer, *arguments)


def test_one_window_decides_alone_by_default():
    windows = Windows(("de", 5.0), ("en", 9.0))
    assert windows.vote().code == "de"
    assert windows.asked == [0]


def test_most_windows_decide():
    assert Windows(("de", 5.0), ("en", 4.0), ("en", 4.0)).vote(3).code == "en"
    # One vote each: the higher probability wins.
    spoken = Windows(("de", 5.0), ("en", 9.0)).vote(2)
    assert spoken.code == "en"
    assert max(spoken.probabilities.values()) == spoken.probabilities["en"]


def test_a_sure_window_ends_the_vote():
    windows = Windows(("de", 3.0), ("fr", 9.0), ("de", 3.0))
    assert windows.vote(3, 0.5).code == "fr"
    assert windows.asked == [0, 1]


def test_the_vote_ends_with_the_recording():
    windows = Windows(("de", 3.0), ("fr", 3.0))
    windows.vote(9)
    assert windows.asked == [0, 1]


def test_a_recording_of_nothing_is_asked_once():
    windows = Windows(("de", 3.0))
    windows.mel = windows.mel[:3000]
    assert windows.vote(4).code == "de"
