"""Windows as the encoder heard them, kept, so that the decoder reads each of them several times.

In: features and labels of a batch. Out: batches of windows met before, drawn at random. Of a step
over 30 s the encoder costs nine tenths and is soon good enough; what still lacks is reading, and
that needs many windows. Nothing is written to disk: a run that resumes begins to collect again.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tools.train_demo.batches import Batch
from tools.train_demo.labels import NOWHERE
from tools.train_demo.phones import UNLABELLED

CAPACITY = 8000  # windows; at width 192 and 30 s each takes 576 kB
LEAST_WINDOW_S = 10.0  # single utterances have too many lengths to meet in a batch


class Heard(NamedTuple):
    """B windows, encoded: features (B, S, C) half, the rest as in `Batch`."""

    features: Tensor
    rows: Tensor
    targets: Tensor
    heard_at: Tensor
    first_token: Tensor


class Memory:
    """The last `CAPACITY` windows of one length."""

    def __init__(self, seed: int) -> None:
        self._windows: list[Heard] = []
        self._added = 0
        self._rng = np.random.default_rng(seed)

    def add(self, features: Tensor, batch: Batch) -> None:
        """Keep each example of a batch without its padding."""
        for row, targets in enumerate(batch.targets):
            length = int(torch.nonzero(targets != UNLABELLED)[-1]) + 1
            window = Heard(
                features[row].half(),
                batch.rows[row, :length],
                targets[:length],
                batch.heard_at[row, :length],
                batch.first_token[row],
            )
            if len(self._windows) < CAPACITY:
                self._windows.append(window)
            else:
                self._windows[self._added % CAPACITY] = window
            self._added += 1

    def draw(self, count: int) -> Heard:
        """`count` windows, any of them more than once, whose texts are of similar length."""
        drawn = self._rng.integers(0, len(self._windows), 4 * count)
        by_length = sorted(drawn, key=lambda index: len(self._windows[index].rows))
        first = int(self._rng.integers(0, 3 * count + 1))
        chosen = [self._windows[index] for index in by_length[first : first + count]]
        return Heard(
            torch.stack([window.features for window in chosen]),
            pad_sequence([window.rows for window in chosen], batch_first=True),
            pad_sequence([w.targets for w in chosen], batch_first=True, padding_value=UNLABELLED),
            pad_sequence([w.heard_at for w in chosen], batch_first=True, padding_value=NOWHERE),
            torch.stack([window.first_token for window in chosen]),
        )
