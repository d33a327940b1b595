"""Decoding windows of 30 s: from encoded audio and a prompt to text with its quality figures.

With temperature fallback. Source: openai/whisper decoding.py:587-613 (initial tokens), 740-795
(results).
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maxwhisper.clock import StageClock
from maxwhisper.decoding.beam import BeamSearch
from maxwhisper.decoding.protocols import Network
from maxwhisper.decoding.rules import build_rules
from maxwhisper.decoding.search import Sampling, Strategy, likeliest, search
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
    random: np.random.Generator,
    clock: StageClock,
) -> list[WindowResult]:
    """Decode `n_windows` encoded windows that share one prompt (tokens of what was said before).

    `random`, of the whole recording, is drawn from above temperature 0 alone. Windows whose text
    fails are decoded again at the next temperature, they alone; the last temperature's text stands.
    Source: openai/whisper transcribe.py:183-224.
    """
    results: dict[int, WindowResult] = {}
    waiting = list(range(n_windows))
    for temperature in options.temperatures:
        rows = network.select(encoded, waiting) if len(waiting) < n_windows else encoded
        decoded = _decode_at(
            temperature, network, rows, len(waiting), tokenizer, options, prompt, random, clock
        )
        results.update(zip(waiting, decoded, strict=True))
        waiting = [window for window in waiting if has_failed(results[window], options)]
        if not waiting:
            break
    return [results[window] for window in range(n_windows)]


def has_failed(result: WindowResult, options: TranscribeOptions) -> bool:
    """Does the text repeat itself, or is it improbable? Silence is neither: it is skipped later."""
    repeats = options.compression_ratio_threshold is not None and (
        result.compression_ratio > options.compression_ratio_threshold
    )
    improbable = options.logprob_threshold is not None and (
        result.avg_logprob < options.logprob_threshold
    )
    silent = options.no_speech_threshold is not None and (
        result.no_speech_prob > options.no_speech_threshold
    )
    return (repeats or improbable) and not (silent and improbable)


def _decode_at(
    temperature: float,
    network: Network,
    encoded: Any,
    n_windows: int,
    tokenizer: Tokenizer,
    options: TranscribeOptions,
    prompt: Sequence[int],
    random: np.random.Generator,
    clock: StageClock,
) -> list[WindowResult]:
    result = search(
        network.decoder(encoded),
        initial_tokens(tokenizer, options, prompt, network.dims),
        n_windows,
        strategy(temperature, tokenizer, options, random),
        build_rules(tokenizer, options),
        tokenizer,
        sample_len(options, network.dims),
        network.dims.n_text_ctx,
        clock,
    )
    with clock.stage("text"):
        chosen = [likeliest(each, options.length_penalty) for each in result.candidates]
        texts = [tokenizer.decode(candidate.tokens).strip() for candidate in chosen]
    return [
        WindowResult(
            candidate.tokens,
            text,
            # + 1: end of text was sampled too
            avg_logprob=candidate.sum_logprob / (len(candidate.tokens) + 1),
            no_speech_prob=no_speech,
            compression_ratio=compression_ratio(text),
            temperature=temperature,
        )
        for candidate, text, no_speech in zip(chosen, texts, result.no_speech_probs, strict=True)
    ]


def strategy(
    temperature: float,
    tokenizer: Tokenizer,
    options: TranscribeOptions,
    random: np.random.Generator,
) -> Strategy:
    """Beams serve temperature 0 alone, `best_of` the others (transcribe.py:192-198)."""
    if temperature > 0:
        return Sampling(tokenizer.eot, temperature, options.best_of or 1, random)
    if options.beam_size is not None:
        return BeamSearch(tokenizer.eot, options.beam_size, options.patience)
    return Sampling(tokenizer.eot)


def initial_tokens(
    tokenizer: Tokenizer, options: TranscribeOptions, prompt: Sequence[int], dims: Dims
) -> tuple[int, ...]:
    """[sot_prev, hotwords, prompt,] sot, [language, task,] [no_timestamps,] [prefix].

    Hotwords and the end of the prompt share the 223 tokens that a prompt may have. The prefix is
    not part of the result, and the first token after it counts as the window's first. Source:
    decoding.py:587-613.
    """
    sequence = (
        tokenizer.sot_sequence_including_notimestamps
        if options.without_timestamps
        else tokenizer.sot_sequence
    )
    most = dims.n_text_ctx // 2 - 1
    hotwords = _encoded(tokenizer, options.hotwords)[:most]
    n_prompt = most - len(hotwords)
    before = [*hotwords, *(prompt[-n_prompt:] if n_prompt else ())]
    prefix = _encoded(tokenizer, options.prefix)
    # By default nothing is left for a prefix, and [-0:] keeps all of it: the reference's way.
    prefix = prefix[-(dims.n_text_ctx // 2 - sample_len(options, dims)) :]
    return (*((tokenizer.sot_prev, *before) if before else ()), *sequence, *prefix)


def _encoded(tokenizer: Tokenizer, text: str | None) -> list[int]:
    return tokenizer.encode(" " + text.strip()) if text else []


def sample_len(options: TranscribeOptions, dims: Dims) -> int:
    """Most tokens sampled in a window: half the context unless the caller said otherwise."""
    return options.sample_len or dims.n_text_ctx // 2


def compression_ratio(text: str) -> float:
    """UTF-8 bytes over their zlib size; above 2.4 a text repeats itself."""
    data = text.encode("utf-8")
    return len(data) / len(zlib.compress(data))
