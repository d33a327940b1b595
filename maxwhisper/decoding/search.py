"""Choosing tokens: greedy search over one or more windows at once.

In: a decoder and rules. Out: sampled tokens and log-probabilities. Knows tokens and logits only.
Source: openai/whisper decoding.py:275-295 (GreedyDecoder), 680-710 (_main_loop).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maxwhisper.clock import StageClock
from maxwhisper.decoding.protocols import Decoder, Float32, Int64
from maxwhisper.decoding.rules import Rule, log_sum_exp
from maxwhisper.tokenizer import Tokenizer


@dataclass(frozen=True)
class SearchResult:
    """Per row: tokens before end of text, the sum of their log-probabilities with that of end of
    text, and the probability that the window holds no speech."""

    tokens: tuple[tuple[int, ...], ...]
    sum_logprobs: tuple[float, ...]
    no_speech_probs: tuple[float, ...]


def greedy_search(
    decoder: Decoder,
    initial_tokens: Sequence[int],
    n_rows: int,
    rules: Sequence[Rule],
    tokenizer: Tokenizer,
    sample_len: int,
    n_text_ctx: int,
    clock: StageClock,
) -> SearchResult:
    """Take the likeliest token of every row until all rows have ended or the context is full."""
    prompt = np.tile(np.array(initial_tokens, np.int64), (n_rows, 1))
    with clock.stage("prefill"):
        sot_row = list(initial_tokens).index(tokenizer.sot)
        at_sot, logits = decoder.prefill(prompt, [sot_row, len(initial_tokens) - 1]).swapaxes(0, 1)
        no_speech = tuple(_probability(row, tokenizer.no_speech) for row in at_sot)

    # The last context slot may still be read: one more token than n_text_ctx is sampled at most.
    most = min(sample_len, n_text_ctx + 1 - len(initial_tokens))
    sampled = np.empty((n_rows, 0), np.int64)
    sum_logprobs = np.zeros(n_rows, np.float32)
    ended = np.zeros(n_rows, bool)
    with clock.stage("decode"):
        while True:
            next_tokens, logprobs = _choose(logits.copy(), sampled, rules)
            sum_logprobs += np.where(ended, np.float32(0), logprobs)
            next_tokens = np.where(ended, tokenizer.eot, next_tokens)
            sampled = np.concatenate([sampled, next_tokens[:, None]], axis=1)
            ended = next_tokens == tokenizer.eot
            if ended.all() or sampled.shape[1] == most:
                break
            logits = decoder.step(next_tokens)
    tokens = tuple(_before(row, tokenizer.eot) for row in sampled)
    return SearchResult(tokens, tuple(map(float, sum_logprobs)), no_speech)


def _choose(logits: Float32, sampled: Int64, rules: Sequence[Rule]) -> tuple[Int64, Float32]:
    """Apply the rules in place; argmax of each row and its log-probability under what is left."""
    for rule in rules:
        rule.apply(logits, sampled)
    best = logits.argmax(axis=1)
    normalisers = np.array([log_sum_exp(row) for row in logits])
    return best, logits[np.arange(len(best)), best] - normalisers


def _probability(logits: Float32, token: int) -> float:
    """Softmax of unfiltered logits (V,) at one token (decoding.py:689-693)."""
    return float(np.exp(logits[token] - log_sum_exp(logits)))


def _before(tokens: Int64, eot: int) -> tuple[int, ...]:
    ends = np.flatnonzero(tokens == eot)
    return tuple(tokens[: ends[0]].tolist() if len(ends) else tokens.tolist())
