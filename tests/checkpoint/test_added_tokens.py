"""Which vocabulary a larger one begins with."""

from dataclasses import replace

import pytest

from maxwhisper.checkpoint.added_tokens import original_n_vocab
from maxwhisper.network.dims import Dims
from maxwhisper.text.tokenizer import get_tokenizer

V2 = Dims(80, 1500, 64, 1, 1, 51_865, 448, 64, 1, 1)


@pytest.mark.parametrize("n_vocab", [51_864, 51_865, 51_866])
def test_a_known_vocabulary_has_no_added_tokens(n_vocab):
    dims = replace(V2, n_vocab=n_vocab, n_mels=128 if n_vocab == 51_866 else 80)
    assert original_n_vocab(dims) == n_vocab
    assert original_n_vocab(dims, get_tokenizer(dims).no_timestamps) == n_vocab


@pytest.mark.parametrize(
    ("n_vocab", "n_mels", "no_timestamps", "original"),
    [
        (51_865, 80, 50_362, 51_864),  # `.en` and one token
        (51_866, 80, 50_363, 51_865),  # v2 and one token
        (51_904, 80, None, 51_865),  # padded to a multiple of 64
        (51_904, 80, "50362", 51_865),  # not a number
        (51_904, 80, [50_362], 51_865),
        (51_904, 80, True, 51_865),
        (51_904, 128, None, 51_866),
        (51_904, 128, 50_363, 51_866),  # a configuration copied from v2
        (51_864, 80, 50_364, 51_864),  # nothing to leave out
        (51_865, 128, None, 51_865),
    ],
)
def test_the_vocabulary_under_added_tokens(n_vocab, n_mels, no_timestamps, original):
    dims = replace(V2, n_vocab=n_vocab, n_mels=n_mels)
    assert original_n_vocab(dims, no_timestamps) == original
