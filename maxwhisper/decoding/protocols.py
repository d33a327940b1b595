"""What decoding needs from a network, and nothing more. Never imports max."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from maxwhisper.checkpoint.schema import Heads
from maxwhisper.dims import Dims

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


class LogMelFrames(Protocol):
    """The log-mel of one recording, an array or computed as it is sliced."""

    def __len__(self) -> int: ...

    def __getitem__(self, frames: slice, /) -> Float32:
        """`mel[a:b]`: (b - a, M)."""
        ...


class Decoder(Protocol):
    """A text decoder bound to encoded audio, with its self-attention cache."""

    def prefill(self, tokens: Int64, rows: Sequence[int]) -> Float32:
        """Start over with tokens (B, L); return the logits (B, R, V) at positions `rows`."""
        ...

    def step(self, tokens: Int64) -> Float32:
        """Append one token a row, (B,); return the logits (B, V) that follow."""
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Go on with these rows: row r was rows[r]. Rows may repeat, change places, be left out."""
        ...


@dataclass(frozen=True)
class GreedyRules:
    """The logit rules as the device follows them, from the second token of a window on.
    `timestamp_begin` lies past the vocabulary where timestamps have no rules."""

    forbidden: tuple[int, ...]  # never sampled
    eot: int
    timestamp_begin: int


@runtime_checkable
class GreedyDecoder(Protocol):
    """A decoder that can go on by itself, without its logits ever leaving the device."""

    def greedy(
        self, sampled: Int64, sum_logprobs: Float32, rules: GreedyRules, most: int
    ) -> tuple[Int64, Float32]:
        """Sample the likeliest token of every row until all have ended or hold `most`.

        `sampled` (R, n), n >= 1, of which the last column is still to be read; returns all tokens
        (R, m), n < m <= most, and the sums of log-probabilities (R,).
        """
        ...


class Network(Protocol):
    """Encoder and decoder of one checkpoint on one device."""

    @property
    def dims(self) -> Dims: ...

    def log_mel(self, waveform: Float32, padding: int) -> LogMelFrames:
        """(n,) samples, then `padding` zeros -> (T, M), floor set by the loudest frame of all."""
        ...

    def encode(self, mel: Float32) -> Any:
        """(B, T, M) -> encoded audio, in a form that only `decoder` understands."""
        ...

    def decoder(self, encoded: Any) -> Decoder:
        """A decoder for `encoded`. The network owns one cache: a new decoder ends the last one."""
        ...

    def select(self, encoded: Any, rows: Sequence[int]) -> Any:
        """Rows of encoded audio, in any order and any number of times."""
        ...

    def align(
        self, encoded: Any, tokens: Int64, rows: Sequence[int], heads: Heads
    ) -> tuple[Float32, Float32]:
        """One pass over whole texts, tokens (B, L): logits (B, R, V) at positions `rows`, and the
        cross-attention scores (B, N, L, S), before softmax, of the (layer, head) pairs `heads`."""
        ...
