"""The decoding loop: from a prompt to the candidate texts of one or more windows at once.

In: a decoder, rules and a strategy. Out: candidates with their log-probabilities. Knows only tokens
and logits. Source: openai/whisper decoding.py:680-710 (_main_loop).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maxwhisper.clock import StageClock
from maxwhisper.decoding.protocols import (
    Decoder,
    Float32,
    GreedyDecoder,
    GreedyRules,
    Int64,
    OnTokens,
)
from maxwhisper.decoding.rules import Rule, greedy_rules, log_sum_exp
from maxwhisper.decoding.strategy import Candidate, Move, Strategy
from maxwhisper.errors import NumericError, OptionError
from maxwhisper.text.tokenizer import Tokenizer

NAN_LOGITS = (
    "expected finite logits, got NaN: this precision overflows on this device, "
    "load the model with dtype='float32'"
)


@dataclass(frozen=True)
class SearchResult:
    """Candidates and no-speech probability of every window."""

    candidates: tuple[tuple[Candidate, ...], ...]
    no_speech_probs: tuple[float, ...]


@dataclass(frozen=True)
class Search:
    """One search over a batch of windows. Samples until the strategy is done, a row holds
    `sample_len` tokens, or the context of `n_text_ctx` tokens is full. `on_tokens` sees the rows
    after each step."""

    tokenizer: Tokenizer
    strategy: Strategy
    rules: Sequence[Rule]
    sample_len: int
    n_text_ctx: int
    clock: StageClock
    on_tokens: OnTokens | None = None

    def run(self, decoder: Decoder, initial_tokens: Sequence[int], n_windows: int) -> SearchResult:
        """Search `n_windows` windows that share their initial tokens.

        Raises `NumericError` if the network returns NaN, `OptionError` if the rules leave no token.
        """
        with self.clock.stage("prefill"):
            logits, no_speech_probs = self._prefill(decoder, initial_tokens, n_windows)
        # The last context slot can still be decoded: it predicts one token more than n_text_ctx.
        max_tokens = min(self.sample_len, self.n_text_ctx + 1 - len(initial_tokens))
        with self.clock.stage("decode"):
            last = self._sample(decoder, logits, max_tokens)
        candidates = self.strategy.candidates(last.sampled, last.sum_logprobs)
        return SearchResult(candidates, no_speech_probs)

    def _prefill(
        self, decoder: Decoder, initial_tokens: Sequence[int], n_windows: int
    ) -> tuple[Float32, tuple[float, ...]]:
        """Logits (R, V) after the initial tokens, and the no-speech probability of each window."""
        prompt = np.tile(np.array(initial_tokens, np.int64), (n_windows, 1))
        sot_row = list(initial_tokens).index(self.tokenizer.sot)
        at_sot, logits = decoder.prefill(prompt, [sot_row, len(initial_tokens) - 1]).swapaxes(0, 1)
        no_speech_probs = tuple(_probability(row, self.tokenizer.no_speech) for row in at_sot)
        if self.strategy.group_size > 1:
            window_of_row = np.repeat(np.arange(n_windows), self.strategy.group_size)
            decoder.select(window_of_row.tolist())
            logits = logits[window_of_row]
        return logits, no_speech_probs

    def _sample(self, decoder: Decoder, logits: Float32, max_tokens: int) -> Move:
        """The rows when sampling has ended."""
        n_rows = len(logits)
        move = self._choose(logits, np.empty((n_rows, 0), np.int64), np.zeros(n_rows, np.float32))
        rules = greedy_rules(self.rules, self.tokenizer) if self.strategy.is_greedy else None
        if rules is not None and isinstance(decoder, GreedyDecoder):
            return self._sample_on_device(decoder, move, rules, max_tokens)
        while not move.done and move.sampled.shape[1] < max_tokens:
            if move.sources is not None:
                decoder.select(move.sources)
            logits = decoder.step(move.sampled[:, -1])
            move = self._choose(logits, move.sampled, move.sum_logprobs)
        return move

    def _choose(self, logits: Float32, sampled: Int64, sum_logprobs: Float32) -> Move:
        filtered = _filtered(logits, sampled, self.rules)
        move = self.strategy.choose(filtered, sampled, sum_logprobs)
        if self.on_tokens is not None:
            self.on_tokens(move.sampled, move.sum_logprobs)
        return move

    def _sample_on_device(
        self, decoder: GreedyDecoder, first: Move, rules: GreedyRules, max_tokens: int
    ) -> Move:
        """Continue greedily from the first token of every row."""
        if first.done or first.sampled.shape[1] == max_tokens:
            return first
        sampled, sums = decoder.greedy(
            first.sampled, first.sum_logprobs, rules, max_tokens, self.on_tokens
        )
        if (lost := ~np.isfinite(sums)).any():
            _refuse_dead_ends(sampled[lost], self.rules, self.tokenizer.n_vocab)
            raise NumericError(NAN_LOGITS)
        return Move(sampled, sums, None, done=True)


def _filtered(logits: Float32, sampled: Int64, rules: Sequence[Rule]) -> Float32:
    """A copy of the logits with every rule applied.

    Raises `OptionError` if the rules forbid every token of a row, `NumericError` for NaN.
    """
    if np.isnan(logits).any():
        raise NumericError(NAN_LOGITS)
    logits = logits.copy()
    for rule in rules:
        rule.apply(logits, sampled)
    if np.isneginf(logits.max(axis=1)).any():
        raise OptionError(
            "expected at least one allowed token, but the options forbid all of them: "
            "suppress_tokens must leave some"
        )
    return logits


def _refuse_dead_ends(sampled: Int64, rules: Sequence[Rule], n_vocab: int) -> None:
    """Raise `OptionError` if, after some prefix of `sampled` (R, n), the rules forbid every token
    whatever the logits are.

    The device does not stop there: its sum of log-probabilities is no longer finite (the CPU's is
    infinite).
    """
    for n in range(1, sampled.shape[1]):
        _filtered(np.zeros((len(sampled), n_vocab), np.float32), sampled[:, :n], rules)


def _probability(logits: Float32, token: int) -> float:
    """Softmax of unfiltered logits (V,) at one token (decoding.py:689-693)."""
    return float(np.exp(logits[token] - log_sum_exp(logits)))
