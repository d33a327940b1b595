"""The tokens that training texts use, as rows of a smaller embedding.

In: texts. Out: the map between rows and tokens, and embeddings converted both ways. Knows no
network.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from maxwhisper.text.tokenizer import Tokenizer

N_TIMESTAMPS = 1501
N_CONTROLS = 5  # rows between the last text token and the first timestamp, see `used_tokens`


class Vocabulary:
    """The tokens that training texts use, as rows from 0 of a smaller embedding.

    One more row, the last, stands for all other tokens of the full vocabulary. It counts as many
    times in the softmax as there are such tokens, so the exported network has exactly the trained
    probabilities, and the row learns to be improbable. A tenth of the rows is used, so the output
    layer costs a tenth.
    """

    def __init__(self, n_vocab: int, used: Iterable[int]) -> None:
        self.tokens = np.array(sorted(set(used)), np.int64)
        self.n_vocab = n_vocab
        self.n_unused = n_vocab - len(self.tokens)
        self.shared_row = len(self.tokens)
        self.first_timestamp = self.shared_row - N_TIMESTAMPS
        if self.tokens[self.first_timestamp] != n_vocab - N_TIMESTAMPS:
            raise ValueError("expected all timestamps among the used tokens, the last ones there")
        self.end_of_text = self.first_timestamp - N_CONTROLS
        self._row_of = np.full(n_vocab, self.shared_row, np.int64)
        self._row_of[self.tokens] = np.arange(len(self.tokens))

    @property
    def n_rows(self) -> int:
        return len(self.tokens) + 1

    def rows(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the rows of tokens; UNLABELLED stays. Raises `ValueError` for an unused token."""
        rows = np.where(tokens >= 0, self._row_of[np.maximum(tokens, 0)], tokens)
        if np.any(rows == self.shared_row):
            unknown = sorted(set(tokens[rows == self.shared_row].tolist()))
            raise ValueError(f"expected tokens of the training vocabulary, got {unknown[:5]}")
        return rows

    def full(self, embedding: Tensor) -> Tensor:
        """(n_rows, C) -> (n_vocab, C)."""
        return embedding[torch.from_numpy(self._row_of)]

    def compact(self, embedding: Tensor) -> Tensor:
        """(n_vocab, C) -> (n_rows, C), the inverse of `full`: the shared row is the mean over all
        unused tokens."""
        is_used = torch.zeros(self.n_vocab, dtype=torch.bool)
        is_used[torch.from_numpy(self.tokens)] = True
        shared = embedding[~is_used].mean(0, keepdim=True)
        return torch.cat([embedding[is_used], shared])


def used_tokens(tokenizer: Tokenizer, texts: Iterable[str]) -> set[int]:
    """Return the tokens of the texts, single letters with and without a space (for spelling), and
    all special tokens that the labels use."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'-.,?!$%"
    used = {token for letter in letters for token in tokenizer.encode(letter)}
    used |= {token for letter in letters for token in tokenizer.encode(" " + letter)}
    for tokens in tokenizer.encoding.encode_ordinary_batch([" " + text for text in texts]):
        used.update(tokens)
    used |= {tokenizer.eot, tokenizer.sot, tokenizer.sot_prev, tokenizer.no_speech}  # N_CONTROLS
    used |= {tokenizer.no_timestamps, *range(tokenizer.timestamp_begin, tokenizer.n_vocab)}
    return used
