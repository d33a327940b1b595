"""The decoding loop: from a prompt to the candidate texts of one or more windows at once.

In: a decoder, rules and a strategy. Out: candidates with their log-probabilities. Knows tokens and
logits only. Strategies: `Sampling` here (greedy at temperature 0), `beam.BeamSearch`. Source:
openai/whisper decoding.py:275-295 (GreedyDecoder), 680-710 (_main_loop).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from maxwhisper.clock import StageClock
from maxwhisper.decoding.protocols import Decoder, Float32, GreedyDecoder, Int64
from maxwhisper.decoding.rules import Rule, greedy_rules, log_sum_exp
from maxwhisper.errors import NumericError, OptionError
from maxwhisper.tokenizer import Tokenizer

NO_NUMBERS = (
    "expected numbers from the network, got NaN logits: this precision overflows on this device, "
    "load the model with dtype='float32'"
)


@dataclass(frozen=True)
class Candidate:
    """Tokens before end of text; sum of their log-probabilities, that of end of text included."""

    tokens: tuple[int, ...]
    sum_logprob: float


@dataclass(frozen=True)
class SearchResult:
    """Per window: its candidates, and the probability that it holds no speech."""

    candidates: tuple[tuple[Candidate, ...], ...]
    no_speech_probs: tuple[float, ...]


@dataclass(frozen=True)
class Move:
    """One step of all rows: what each has sampled now, (R, n), the sums of log-probabilities, (R,),
    which row each comes from (None: itself), and whether the search is over."""

    sampled: Int64
    sum_logprobs: Float32
    sources: list[int] | None
    done: bool


class Strategy(Protocol):
    """How tokens are chosen. Keeps the state of one search: use a new one each time."""

    @property
    def group_size(self) -> int:
        """Rows that each window takes."""
        ...

    def choose(self, logits: Float32, sampled: Int64, sum_logprobs: Float32) -> Move:
        """The next token of every row, from logits (R, V) that the rules have passed."""
        ...

    def candidates(
        self, sampled: Int64, sum_logprobs: Float32
    ) -> tuple[tuple[Candidate, ...], ...]:
        """What each window may have said, when the search is over or the context full."""
        ...


class Sampling:
    """The likeliest token of every row at temperature 0, else a random one of softmax(logits / t).

    Log-probabilities are always those of temperature 1. `best_of` rows sample each window.
    """

    def __init__(
        self,
        eot: int,
        temperature: float = 0.0,
        best_of: int = 1,
        random: np.random.Generator | None = None,
    ) -> None:
        if temperature and random is None:
            raise ValueError(f"expected a generator to draw from at {temperature}, got none")
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


def search(
    decoder: Decoder,
    initial_tokens: Sequence[int],
    n_windows: int,
    strategy: Strategy,
    rules: Sequence[Rule],
    tokenizer: Tokenizer,
    sample_len: int,
    n_text_ctx: int,
    clock: StageClock,
) -> SearchResult:
    """Sample until the strategy is done, `sample_len` is reached or the context is full.

    Raises `NumericError` when the network gives NaN, `OptionError` when the rules leave no token.
    """
    with clock.stage("prefill"):
        prompt = np.tile(np.array(initial_tokens, np.int64), (n_windows, 1))
        sot_row = list(initial_tokens).index(tokenizer.sot)
        at_sot, logits = decoder.prefill(prompt, [sot_row, len(initial_tokens) - 1]).swapaxes(0, 1)
        no_speech = tuple(_probability(row, tokenizer.no_speech) for row in at_sot)
        row_window = np.repeat(np.arange(n_windows), strategy.group_size)
        if strategy.group_size > 1:
            decoder.select(row_window.tolist())
            logits = logits[row_window]

    # The last context slot may still be read: one more token than n_text_ctx is sampled at most.
    most = min(sample_len, n_text_ctx + 1 - len(initial_tokens))
    sampled = np.empty((len(row_window), 0), np.int64)
    sum_logprobs = np.zeros(len(row_window), np.float32)
    with clock.stage("decode"):
        going_alone = _alone(decoder, strategy, rules, tokenizer)
        while True:
            move = strategy.choose(_filtered(logits, sampled, rules), sampled, sum_logprobs)
            sampled, sum_logprobs = move.sampled, move.sum_logprobs
            if move.done or sampled.shape[1] == most:
                break
            if going_alone is not None:
                sampled, sum_logprobs = going_alone(sampled, sum_logprobs, most)
                if (lost := ~np.isfinite(sum_logprobs)).any():
                    _refuse_dead_ends(sampled[lost], rules, tokenizer.n_vocab)
                    raise NumericError(NO_NUMBERS)
                break
            if move.sources is not None:
                decoder.select(move.sources)
            logits = decoder.step(sampled[:, -1])
    return SearchResult(strategy.candidates(sampled, sum_logprobs), no_speech)


def _alone(
    decoder: Decoder, strategy: Strategy, rules: Sequence[Rule], tokenizer: Tokenizer
) -> Callable[[Int64, Float32, int], tuple[Int64, Float32]] | None:
    """`GreedyDecoder.greedy` with its rules, where decoder, strategy and rules all allow it."""
    if not (isinstance(strategy, Sampling) and strategy.is_greedy):
        return None
    of_device = greedy_rules(rules, tokenizer)
    if of_device is None or not isinstance(decoder, GreedyDecoder):
        return None
    return lambda sampled, sums, most: decoder.greedy(sampled, sums, of_device, most)


def _filtered(logits: Float32, sampled: Int64, rules: Sequence[Rule]) -> Float32:
    """A copy that every rule has passed. Raises `OptionError` where nothing is left of a row,
    `NumericError` for NaN."""
    if np.isnan(logits).any():
        raise NumericError(NO_NUMBERS)
    logits = logits.copy()
    for rule in rules:
        rule.apply(logits, sampled)
    if np.isneginf(logits.max(axis=1)).any():
        raise OptionError(
            "expected a token that may come next, but all are forbidden: suppress_tokens must "
            "leave some"
        )
    return logits


def _refuse_dead_ends(sampled: Int64, rules: Sequence[Rule], n_vocab: int) -> None:
    """Raise `OptionError` where the rules leave no token after the first few of `sampled` (R, n),
    whatever the logits. A device goes on then, with a sum of log-probabilities that is not finite:
    the CPU's is infinite."""
    for n in range(1, sampled.shape[1]):
        _filtered(np.zeros((len(sampled), n_vocab), np.float32), sampled[:, :n], rules)


def _probability(logits: Float32, token: int) -> float:
    """Softmax of unfiltered logits (V,) at one token (decoding.py:689-693)."""
    return float(np.exp(logits[token] - log_sum_exp(logits)))


def before_eot(tokens: Int64, eot: int) -> tuple[int, ...]:
    """Tokens (n,) up to the first end of text."""
    ends = np.flatnonzero(tokens == eot)
    return tuple(tokens[: ends[0]].tolist() if len(ends) else tokens.tolist())


def likeliest(candidates: Sequence[Candidate], length_penalty: float | None) -> Candidate:
    """The candidate of best log-probability per token, or per ((5 + n) / 6) ** length_penalty.

    faster-whisper divides by n ** length_penalty instead: its values mean something else. Without a
    penalty an empty candidate counts as one token (the reference divides by zero). Source:
    decoding.py:190-213.
    """

    def score(candidate: Candidate) -> float:
        n = len(candidate.tokens)
        divisor = max(1, n) if length_penalty is None else ((5 + n) / 6) ** length_penalty
        return candidate.sum_logprob / divisor

    return max(candidates, key=score)
