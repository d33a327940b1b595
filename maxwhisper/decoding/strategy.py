"""How tokens are chosen: the protocol of all strategies, and `Sampling`.

In: filtered logits and the tokens so far. Out: the next token of every row, and in the end the
candidates. `beam.BeamSearch` is the other strategy. Source: openai/whisper decoding.py:190-213
(ranking), 275-295 (GreedyDecoder).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from maxwhisper.decoding.protocols import Float32, Int64
from maxwhisper.decoding.rules import log_sum_exp


@dataclass(frozen=True)
class Candidate:
    """Tokens before end of text, and the sum of log-probabilities of these and end of text."""

    tokens: tuple[int, ...]
    sum_logprob: float


@dataclass(frozen=True)
class Move:
    """The state of all rows after a decoding step.

    `sampled` (R, n) are the tokens of each row so far and `sum_logprobs` (R,) the sums of their
    log-probabilities. `sources` says which row each row continues (None: itself). `done` is True
    when the search is over.
    """

    sampled: Int64
    sum_logprobs: Float32
    sources: list[int] | None
    done: bool


class Strategy(Protocol):
    """Chooses tokens. Keeps the state of one search: use a new strategy for each search."""

    @property
    def group_size(self) -> int:
        """Rows per window."""
        ...

    @property
    def is_greedy(self) -> bool:
        """True if `choose` always takes the likeliest token of a single row per window."""
        ...

    def choose(self, logits: Float32, sampled: Int64, sum_logprobs: Float32) -> Move:
        """Choose the next token of every row from filtered logits (R, V)."""
        ...

    def candidates(
        self, sampled: Int64, sum_logprobs: Float32
    ) -> tuple[tuple[Candidate, ...], ...]:
        """The candidates of every window, once the search is over or the context is full."""
        ...


class Draws(Protocol):
    """Random numbers; a generator of numpy is one."""

    def gumbel(self, *, size: tuple[int, ...]) -> Any:
        """Noise for rows of logits (R, V)."""
        ...


class DrawsOfWindows:
    """Random numbers for a batch of windows, each from a generator of its own.

    A window's numbers depend on the seed, the frame at which it begins and the temperature, not on
    what else is in the batch. So the text does not depend on it either.
    """

    def __init__(self, seed: int, seeks: Sequence[int], temperature: float) -> None:
        step = round(temperature * 1000)
        self._generators = [np.random.default_rng([seed, seek, step]) for seek in seeks]

    def gumbel(self, *, size: tuple[int, ...]) -> Any:
        n_rows, *width = size
        rows = n_rows // len(self._generators)  # `best_of`
        return np.concatenate([each.gumbel(size=(rows, *width)) for each in self._generators])


class Sampling:
    """The likeliest token of every row at temperature 0, else a draw from softmax(logits / t).

    Log-probabilities are always those of temperature 1. Each window takes `best_of` rows.
    """

    def __init__(
        self,
        eot: int,
        temperature: float = 0.0,
        best_of: int = 1,
        random: Draws | None = None,
    ) -> None:
        if temperature and random is None:
            raise ValueError(f"expected a random generator for temperature {temperature}, got none")
        self.group_size = best_of
        self._eot = eot
        self._temperature = temperature
        self._random = random

    @property
    def is_greedy(self) -> bool:
        return self._temperature == 0 and self.group_size == 1

    def choose(self, logits: Float32, sampled: Int64, sum_logprobs: Float32) -> Move:
        ended = sampled[:, -1] == self._eot if sampled.shape[1] else np.zeros(len(logits), bool)
        tokens = self._pick(logits)
        normalisers = np.array([log_sum_exp(row) for row in logits])
        logprobs = logits[np.arange(len(tokens)), tokens] - normalisers
        sums = sum_logprobs + np.where(ended, np.float32(0), logprobs)
        tokens = np.where(ended, self._eot, tokens)
        done = bool((tokens == self._eot).all())
        return Move(np.concatenate([sampled, tokens[:, None]], axis=1), sums, None, done)

    def _pick(self, logits: Float32) -> Int64:
        """argmax(logits / t + Gumbel noise) is a draw from softmax(logits / t)."""
        if self._random is None or self._temperature == 0:
            return logits.argmax(axis=1)
        noise = self._random.gumbel(size=logits.shape)
        return (logits / self._temperature + noise).argmax(axis=1)

    def candidates(
        self, sampled: Int64, sum_logprobs: Float32
    ) -> tuple[tuple[Candidate, ...], ...]:
        rows = [
            Candidate(before_eot(tokens, self._eot), float(sum_logprob))
            for tokens, sum_logprob in zip(sampled, sum_logprobs, strict=True)
        ]
        size = self.group_size
        return tuple(tuple(rows[first : first + size]) for first in range(0, len(rows), size))


def before_eot(tokens: Int64, eot: int) -> tuple[int, ...]:
    """Tokens (n,) up to the first end of text."""
    ends = np.flatnonzero(tokens == eot)
    return tuple(tokens[: ends[0]].tolist() if len(ends) else tokens.tolist())


def likeliest(candidates: Sequence[Candidate], length_penalty: float | None) -> Candidate:
    """The candidate with the best log-probability per token, or per ((5 + n) / 6) **
    length_penalty.

    faster-whisper divides by n ** length_penalty: its values are not comparable. Without a penalty
    an empty candidate counts as one token (the reference divides by zero). Source:
    decoding.py:190-213.
    """

    def score(candidate: Candidate) -> float:
        n = len(candidate.tokens)
        divisor = max(1, n) if length_penalty is None else ((5 + n) / 6) ** length_penalty
        return candidate.sum_logprob / divisor

    return max(candidates, key=score)
