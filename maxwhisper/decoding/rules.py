"""Logit rules: which tokens are suppressed at each step. Each rule masks logits in place.

In: logits (B, V) float32 and the tokens sampled so far (B, n), without the prompt. Order matters:
the timestamp rule compares what the other rules left. Source: openai/whisper decoding.py:407-505,
615-642.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from maxwhisper.decoding.protocols import Float32, GreedyRules, Int64
from maxwhisper.errors import OptionError, quoted
from maxwhisper.network.dims import CHUNK_LENGTH_S, TIME_PRECISION_S
from maxwhisper.options import TranscribeOptions
from maxwhisper.text.tokenizer import Tokenizer

FORBIDDEN = -np.inf


class Rule(Protocol):
    def apply(self, logits: Float32, sampled: Int64) -> None: ...


@dataclass(frozen=True)
class SuppressBlank:
    """The first sampled token is neither a single space nor end of text."""

    blank_tokens: tuple[int, ...]

    def apply(self, logits: Float32, sampled: Int64) -> None:
        if sampled.shape[1] == 0:
            logits[:, list(self.blank_tokens)] = FORBIDDEN


@dataclass(frozen=True)
class SuppressTokens:
    """These tokens are never sampled."""

    tokens: tuple[int, ...]

    def apply(self, logits: Float32, sampled: Int64) -> None:
        logits[:, list(self.tokens)] = FORBIDDEN


@dataclass(frozen=True)
class PenalizeRepetition:
    """A text token that was already sampled in this window becomes less likely: its logit is
    divided by `penalty`, or multiplied if negative. Timestamps do not count as repetition."""

    penalty: float
    eot: int

    def apply(self, logits: Float32, sampled: Int64) -> None:
        for row, tokens in zip(logits, sampled, strict=True):
            used = np.unique(tokens[tokens < self.eot])
            row[used] = np.where(row[used] > 0, row[used] / self.penalty, row[used] * self.penalty)


@dataclass(frozen=True)
class ForbidRepeatedRun:
    """No run of `length` text tokens occurs twice in a window. Timestamps are ignored."""

    length: int
    eot: int

    def apply(self, logits: Float32, sampled: Int64) -> None:
        n_before = self.length - 1
        for row, tokens in zip(logits, sampled, strict=True):
            text = tokens[tokens < self.eot].tolist()
            now = text[len(text) - n_before :]
            for start in range(len(text) - n_before):
                if text[start : start + n_before] == now:
                    row[text[start + n_before]] = FORBIDDEN


@dataclass(frozen=True)
class TimestampRules:
    """Timestamps come in pairs, never decrease, open every window, win if likelier than text."""

    eot: int
    no_timestamps: int
    timestamp_begin: int
    max_initial_index: int | None  # highest timestamp (0.02 s each) that can open a window

    def apply(self, logits: Float32, sampled: Int64) -> None:
        logits[:, self.no_timestamps] = FORBIDDEN
        for row, tokens in zip(logits, sampled, strict=True):
            self._keep_pairs(row, tokens)
            self._keep_order(row, tokens)
        if sampled.shape[1] == 0:
            self._open_with_timestamp(logits)
        for row in logits:
            self._prefer_likely_timestamp(row)

    def _pair_state(self, tokens: Int64) -> tuple[bool, bool]:
        """Whether the last token and the one before it are timestamps.

        A missing token before the last counts as a timestamp.
        """
        last = len(tokens) >= 1 and tokens[-1] >= self.timestamp_begin
        penultimate = len(tokens) < 2 or tokens[-2] >= self.timestamp_begin
        return bool(last), bool(penultimate)

    def _keep_pairs(self, row: Float32, tokens: Int64) -> None:
        last, penultimate = self._pair_state(tokens)
        if last and penultimate:  # a pair is complete, or the window has just opened: text follows
            row[self.timestamp_begin :] = FORBIDDEN
        elif last:  # text was closed: a timestamp or end of text follows
            row[: self.eot] = FORBIDDEN

    def _keep_order(self, row: Float32, tokens: Int64) -> None:
        timestamps = tokens[tokens >= self.timestamp_begin]
        if len(timestamps) == 0:
            return
        last, penultimate = self._pair_state(tokens)
        # A segment can start where the last one ended, but must not be empty: seeking would never
        # end.
        first_allowed = timestamps[-1] if last and not penultimate else timestamps[-1] + 1
        row[self.timestamp_begin : first_allowed] = FORBIDDEN

    def _open_with_timestamp(self, logits: Float32) -> None:
        logits[:, : self.timestamp_begin] = FORBIDDEN
        if self.max_initial_index is not None:
            logits[:, self.timestamp_begin + self.max_initial_index + 1 :] = FORBIDDEN

    def _prefer_likely_timestamp(self, row: Float32) -> None:
        """Compare the total probability of timestamps with that of the likeliest other token, end
        of text included.

        Works on logits instead of log-probabilities: the normaliser cancels.
        """
        text, timestamps = row[: self.timestamp_begin], row[self.timestamp_begin :]
        if log_sum_exp(timestamps) > text.max():
            row[: self.timestamp_begin] = FORBIDDEN


def greedy_rules(rules: Sequence[Rule], tokenizer: Tokenizer) -> GreedyRules | None:
    """The same rules for the device; None if a rule needs more than the last few tokens."""
    forbidden: set[int] = set()
    timestamp_begin = tokenizer.n_vocab
    for rule in rules:
        if isinstance(rule, SuppressTokens):
            forbidden.update(rule.tokens)
        elif isinstance(rule, TimestampRules):
            forbidden.add(rule.no_timestamps)
            timestamp_begin = rule.timestamp_begin
        elif not isinstance(rule, SuppressBlank):  # that rule only affects the first token
            return None
    return GreedyRules(tuple(sorted(forbidden)), tokenizer.eot, timestamp_begin)


def log_sum_exp(x: Float32) -> np.float32:
    """log(sum(exp(x))) of a vector; -inf if all elements are -inf.

    Not `scipy.special.logsumexp`: this runs for every row of every step, and scipy 1.17.1 takes
    4 times as long for 51,864 float32 logits (18 times for 1,501 timestamps) and differs in the
    last bit in 3 of 200 random rows, which decides close beams.
    """
    peak = x.max()
    if not np.isfinite(peak):
        return np.float32(peak)
    return np.float32(peak + np.log(np.exp(x - peak).sum()))


def build_rules(tokenizer: Tokenizer, options: TranscribeOptions) -> tuple[Rule, ...]:
    """The rules for `options`: first the two of faster-whisper, then those of the reference in its
    order."""
    rules: list[Rule] = []
    if options.repetition_penalty != 1:
        rules.append(PenalizeRepetition(options.repetition_penalty, tokenizer.eot))
    if options.no_repeat_ngram_size:
        rules.append(ForbidRepeatedRun(options.no_repeat_ngram_size, tokenizer.eot))
    if options.suppress_blank:
        rules.append(SuppressBlank((*tokenizer.encode(" "), tokenizer.eot)))
    if options.suppress_tokens:  # "" and None turn the rule off, special tokens included
        rules.append(SuppressTokens(suppressed_tokens(tokenizer, options.suppress_tokens)))
    if not options.without_timestamps:
        # The reference tests for truth: 0.0 means no limit, like None (decoding.py:562).
        limit_s = options.max_initial_timestamp
        index = round(min(limit_s, CHUNK_LENGTH_S) / TIME_PRECISION_S) if limit_s else None
        rules.append(
            TimestampRules(tokenizer.eot, tokenizer.no_timestamps, tokenizer.timestamp_begin, index)
        )
    return tuple(rules)


def suppressed_tokens(tokenizer: Tokenizer, request: str | Sequence[int]) -> tuple[int, ...]:
    """Token ids for the `suppress_tokens` option; "-1" or -1 stands for all non-speech symbols.

    Task, prompt and no-speech tokens are always added. Raises `OptionError` for text that is not a
    comma-separated list of ids, and for ids outside the vocabulary.
    """
    try:
        ids = [int(part) for part in request.split(",")] if isinstance(request, str) else request
    except ValueError:
        raise OptionError(
            f"suppress_tokens must be comma-separated token ids, got {quoted(request)}"
        ) from None
    if any(not -1 <= token < tokenizer.n_vocab for token in ids):
        raise OptionError(
            f"suppress_tokens must be ids in 0..{tokenizer.n_vocab - 1}, or -1 for the non-speech "
            f"symbols, got {quoted(request)}"
        )
    tokens = set(ids) - {-1}
    if -1 in ids:
        tokens.update(tokenizer.non_speech_tokens)
    return tuple(sorted(tokens | set(tokenizer.control_tokens)))
