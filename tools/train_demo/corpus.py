"""Read the shards that `speech` wrote: samples, phones, words and text of any utterance.

Samples stay on disk and are mapped. Labels of all shards are flat arrays, so a hundred thousand
utterances take megabytes instead of gigabytes in every worker process.
"""

import json
import sys
from collections.abc import Container
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tools.train_demo.phones import SILENCE

Int16 = npt.NDArray[np.int16]
Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Utterance:
    """One utterance: `phones` (n,) and `phone_ends` (n,) in samples; `words` (m, 2), start and end
    in samples."""

    samples: Int16
    text: str
    voice: str
    phones: Int32
    phone_ends: Int32
    words: Int32

    @property
    def sounding(self) -> npt.NDArray[np.int64]:
        """Return the indices of the phones that are not silence."""
        return np.flatnonzero(self.phones != SILENCE)


class Corpus:
    """The utterances of one folder of shards, by number.

    Shards may be older than the list of sentences. With `texts`, other sentences are skipped.
    """

    def __init__(self, folder: Path, texts: Container[str] | None = None) -> None:
        labels = sorted(folder.glob("*.json"))
        if not labels:
            sys.exit(f"expected shards in {folder}, found none: python -m tools.train_demo.speech")
        self._audio: list[Int16] = []
        entries: list[dict[str, Any]] = []
        places: list[tuple[int, int]] = []  # shard, first sample
        for shard, path in enumerate(labels):
            here = json.loads(path.read_text())
            starts = accumulate((entry["n_samples"] for entry in here), initial=0)
            for entry, start in zip(here, starts, strict=False):
                if texts is None or entry["text"] in texts:
                    places.append((shard, start))
                    entries.append(entry)
            self._audio.append(np.load(path.with_suffix(".npy"), mmap_mode="r"))
        self.texts = [entry["text"] for entry in entries]
        self.voices = [sys.intern(entry["voice"]) for entry in entries]
        self.n_samples = np.array([entry["n_samples"] for entry in entries], np.int64)
        self._places = np.array(places, np.int64)
        self._phone_offsets, self._phones = _flat([entry["phones"] for entry in entries])
        _, self._phone_ends = _flat([entry["phone_ends"] for entry in entries])
        words = [[time for word in entry["words"] for time in word] for entry in entries]
        self._word_offsets, self._words = _flat(words)

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> Utterance:
        shard, start = self._places[index]
        phones = slice(*self._phone_offsets[index : index + 2])
        words = slice(*self._word_offsets[index : index + 2])
        return Utterance(
            samples=self._audio[shard][start : start + self.n_samples[index]],
            text=self.texts[index],
            voice=self.voices[index],
            phones=self._phones[phones],
            phone_ends=self._phone_ends[phones],
            words=self._words[words].reshape(-1, 2),
        )


def _flat(lists: list[list[int]]) -> tuple[npt.NDArray[np.int64], Int32]:
    """Return (offsets (n + 1,), all numbers concatenated)."""
    offsets = np.array([*accumulate(map(len, lists), initial=0)], np.int64)
    return offsets, np.array([number for row in lists for number in row], np.int32)
