"""Decoding windows of 30 s: from encoded audio and a prompt to text with its quality figures.

Source: openai/whisper decoding.py:587-613 (initial tokens), 740-795 (results).
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from maxwhisper.clock import StageClock
from maxwhisper.decoding.protocols import Network
from maxwhisper.decoding.rules import build_rules
from maxwhisper.decoding.search import greedy_search
from maxwhisper.dims import Dims
from maxwhisper.options import TranscribeOptions
from maxwhisper.tokenizer import Tokenizer


@dataclass(frozen=True)
class WindowResult:
    """What was heard in one window. `tokens` hold timestamps and text, no end of text."""

    tokens: tuple[int, ...]
    text: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float


def decode_windows(
    network: Network,
    encoded: Any,
    n_windows: int,
    tokenizer: Tokenizer,
    options: TranscribeOptions,
    prompt: Sequence[int],
    clock: StageClock,
) -> list[WindowResult]:
    """Decode `n_windows` encoded windows that share one prompt (tokens of what was said before)."""
    result = greedy_search(
        network.decoder(encoded),
        initial_tokens(tokenizer, options, prompt, network.dims),
        n_windows,
        build_rules(tokenizer, options),
        tokenizer,
        sample_len(options, network.dims),
        network.dims.n_text_ctx,
        clock,
    )
    with clock.stage("text"):
        texts = [tokenizer.decode(tokens).strip() for tokens in result.tokens]
    return [
        WindowResult(
            tokens,
            text,
            avg_logprob=sum_logprob / (len(tokens) + 1),  # + 1: end of text was sampled too
            no_speech_prob=no_speech,
            compression_ratio=compression_ratio(text),
            temperature=0.0,
        )
        for tokens, text, sum_logprob, no_speech in zip(
            result.tokens, texts, result.sum_logprobs, result.no_speech_probs, strict=True
        )
    ]


def initial_tokens(
    tokenizer: Tokenizer, options: TranscribeOptions, prompt: Sequence[int], dims: Dims
) -> tuple[int, ...]:
    """[sot_prev, last 223 of the prompt,] sot, [language, task,] [no_timestamps]."""
    sequence = (
        tokenizer.sot_sequence_including_notimestamps
        if options.without_timestamps
        else tokenizer.sot_sequence
    )
    if not prompt:
        return tuple(sequence)
    kept = prompt[-(dims.n_text_ctx // 2 - 1) :]
    return (tokenizer.sot_prev, *kept, *sequence)


def sample_len(options: TranscribeOptions, dims: Dims) -> int:
    """Most tokens sampled in a window: half the context unless the caller said otherwise."""
    return options.sample_len or dims.n_text_ctx // 2


def compression_ratio(text: str) -> float:
    """UTF-8 bytes over their zlib size; above 2.4 a text repeats itself."""
    data = text.encode("utf-8")
    return len(data) / len(zlib.compress(data))
