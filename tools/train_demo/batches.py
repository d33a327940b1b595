"""Batches of tensors. Batch number `step` of a phase is the same in every process and every run.

In: a `Composer`. Out: `Batch`, made in worker processes and moved to the device by the trainer.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tools.train_demo.labels import NOWHERE, Labels
from tools.train_demo.phones import UNLABELLED
from tools.train_demo.placing import POSITION
from tools.train_demo.vocabulary import Vocabulary
from tools.train_demo.windows import Composer, Example

NO_TEXT = Labels((), (), ())  # for an example with fewer texts than others of its batch
_LAST_STEP = 2**31  # the loader takes steps in order and never gets that far


class Batch(NamedTuple):
    """B examples with R texts each: text r of example b is row b * R + r. Rows and targets are
    those of the compact vocabulary. A missing text has no target."""

    samples: Tensor  # (B, n) int16
    content: Tensor  # (B,) samples
    loudest: Tensor  # (B,) log10 power
    first_position: Tensor  # (B,)
    first_token: Tensor  # (B * R,)
    phones: Tensor  # (B, n / 320)
    rows: Tensor  # (B * R, L)
    targets: Tensor  # (B * R, L)
    heard_at: (
        Tensor  # (B * R, L) position in `samples` / 320 where a target is heard; < 0: not known
    )

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))


def collate(examples: list[Example], vocabulary: Vocabulary) -> Batch:
    """Pad to the longest example: audio with zeros, labels with UNLABELLED."""
    n = max(len(example.samples) for example in examples)
    n_texts = max(len(example.texts) for example in examples)
    texts = [text for e in examples for text in (*e.texts, *[NO_TEXT] * (n_texts - len(e.texts)))]
    length = max(len(text.inputs) for text in texts)
    inputs = _padded([text.inputs for text in texts], length, fill=0)
    read = np.arange(length) < np.array([[len(text.inputs)] for text in texts])
    targets = _padded([text.targets for text in texts], length, UNLABELLED)
    starts = np.repeat([example.first_position for example in examples], n_texts)
    return Batch(
        samples=torch.from_numpy(_padded([e.samples for e in examples], n, 0, np.int16)),
        content=torch.tensor([example.content for example in examples]),
        loudest=torch.tensor([example.loudest for example in examples]),
        first_position=torch.tensor([example.first_position for example in examples]),
        first_token=torch.tensor([text.first_token for text in texts]),
        phones=torch.from_numpy(
            _padded([example.phones for example in examples], n // POSITION, UNLABELLED)
        ),
        rows=torch.from_numpy(vocabulary.rows(np.where(read, inputs, UNLABELLED)).clip(min=0)),
        targets=torch.from_numpy(vocabulary.rows(targets)),
        heard_at=torch.from_numpy(_heard_at(texts, starts, length)),
    )


def _heard_at(
    texts: list[Labels], starts: npt.NDArray[np.int64], length: int
) -> npt.NDArray[np.float32]:
    times = _padded([text.heard_at for text in texts], length, NOWHERE, np.float32)
    return np.where(times >= 0, times - starts[:, None], times).astype(np.float32)


def _padded(
    rows: Sequence[npt.ArrayLike], length: int, fill: float, dtype: npt.DTypeLike = np.int64
) -> npt.NDArray[Any]:
    padded = np.full((len(rows), length), fill, dtype)
    for row, values in zip(padded, map(np.asarray, rows), strict=True):
        row[: len(values)] = values
    return padded


class Part(NamedTuple):
    """A share of a phase's batches: its composer, and the number of examples in a batch."""

    share: float
    composer: Composer
    size: int


class _Steps(Dataset[Batch]):
    """Maps a step to its batch, made by a generator with that seed."""

    def __init__(self, parts: Sequence[Part], vocabulary: Vocabulary, seed: int) -> None:
        self.parts, self.vocabulary, self.seed = parts, vocabulary, seed
        self.shares = np.array([part.share for part in parts]) / sum(part.share for part in parts)

    def __len__(self) -> int:
        return _LAST_STEP

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng((self.seed, step))
        part = self.parts[int(rng.choice(len(self.parts), p=self.shares))]
        return collate(part.composer.batch(part.size, rng), self.vocabulary)


def batches(
    parts: Sequence[Part], vocabulary: Vocabulary, seed: int, first: int, workers: int
) -> Iterator[Batch]:
    """Yield batches from step `first` on, without end. With 0 `workers` this process makes them."""
    loader = DataLoader(
        _Steps(parts, vocabulary, seed),
        batch_size=None,
        sampler=range(first, _LAST_STEP),
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=4 if workers else None,
    )
    return iter(loader)
