"""What decoding needs from a network, and nothing more. Never imports MAX."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from maxwhisper.checkpoint.schema import Heads
from maxwhisper.network.dims import Dims

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
# Called after each step with the sampled tokens (R, n) and the sums of log-probabilities (R,).
OnTokens = Callable[[Int64, Float32], None]


class LogMelFrames(Protocol):
    """The log-mel of one recording: an array, or an object that computes the frames of a slice."""

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
        """Append one token per row, (B,); return the logits (B, V) that follow."""
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows in this order: row r was rows[r]. A row may repeat or be left out."""
        ...


@dataclass(frozen=True)
class GreedyRules:
    """The logit rules that the device applies from the second token of a window on.
    `timestamp_begin` is past the end of the vocabulary if timestamps have no rules."""

    forbidden: tuple[int, ...]  # never sampled
    eot: int
    timestamp_begin: int


@runtime_checkable
class GreedyDecoder(Protocol):
    """A decoder that samples greedily on its own: the logits never leave the device."""

    def greedy(
        self,
        sampled: Int64,
        sum_logprobs: Float32,
        rules: GreedyRules,
        max_tokens: int,
        on_tokens: OnTokens | None = None,
    ) -> tuple[Int64, Float32]:
        """Sample the likeliest token of every row until all rows have ended or hold `max_tokens`.

        `sampled` is (R, n), n >= 1; its last column has not been decoded yet. Returns all tokens
        (R, m), n < m <= max_tokens, and the sums of log-probabilities (R,). `on_tokens` must not
        change the arrays that it is called with.
        """
        ...


class Network(Protocol):
    """Encoder and decoder of one checkpoint on one device."""

    @property
    def dims(self) -> Dims: ...

    @property
    def alignment_heads(self) -> Heads:
        """(layer, head) pairs of the decoder that align words with audio; empty if unknown."""
        ...

    def log_mel(self, waveform: Float32, padding: int) -> LogMelFrames:
        """(n,) samples, then `padding` zeros -> (T, M). The loudest frame of all sets the floor."""
        ...

    def encode(self, mel: Float32) -> Any:
        """(B, T, M) -> encoded audio, in a form that only `decoder` understands."""
        ...

    def decoder(self, encoded: Any) -> Decoder:
        """A decoder for `encoded`. The network has one cache: a new decoder ends the last one."""
        ...

    def select(self, encoded: Any, rows: Sequence[int]) -> Any:
        """Rows of encoded audio, in any order and any number of times."""
        ...

    def align(self, encoded: Any, tokens: Int64, rows: Sequence[int]) -> tuple[Float32, Float32]:
        """Decode whole texts, tokens (B, L), in one pass.

        Returns the logits (B, R, V) at positions `rows`, and the cross-attention scores
        (B, N, L, S) of the N alignment heads, before softmax.
        """
        ...
