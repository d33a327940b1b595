"""Decode windows of 30 s: from encoded audio and a prompt to text and its quality figures.

Includes temperature fallback. Source: openai/whisper decoding.py:587-613 (initial tokens), 740-795
(results), transcribe.py:183-224 (fallback).
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from maxwhisper.clock import StageClock
from maxwhisper.decoding.alignment import WordTiming, align_words
from maxwhisper.decoding.beam import BeamSearch
from maxwhisper.decoding.partial import PartialText
from maxwhisper.decoding.protocols import Network, OnTokens
from maxwhisper.decoding.rules import Rule, build_rules
from maxwhisper.decoding.search import Search
from maxwhisper.decoding.strategy import Draws, DrawsOfWindows, Sampling, Strategy, likeliest
from maxwhisper.network.dims import Dims
from maxwhisper.options import TranscribeOptions
from maxwhisper.text.tokenizer import Tokenizer
from maxwhisper.transcript import OnText, Segment


@dataclass(frozen=True)
class WindowQuality:
    """How far the text of a window can be trusted. Field names are those of `Segment`."""

    avg_logprob: float  # per token, end of text included
    no_speech_prob: float
    compression_ratio: float
    temperature: float

    @classmethod
    def of(cls, segment: Segment) -> "WindowQuality":
        """The quality of the window that a segment was decoded in."""
        return cls(**{field.name: getattr(segment, field.name) for field in fields(cls)})

    def repeats(self, options: TranscribeOptions) -> bool:
        """True if the text repeats itself."""
        threshold = options.compression_ratio_threshold
        return threshold is not None and self.compression_ratio > threshold

    def is_improbable(self, options: TranscribeOptions) -> bool:
        threshold = options.logprob_threshold
        return threshold is not None and self.avg_logprob < threshold

    def is_quiet(self, options: TranscribeOptions) -> bool:
        """True if the window probably holds no speech."""
        threshold = options.no_speech_threshold
        return threshold is not None and self.no_speech_prob > threshold

    def has_failed(self, options: TranscribeOptions) -> bool:
        """True if the window must be decoded again at the next temperature.

        A quiet window with an improbable text has not failed: it is skipped later.
        """
        improbable = self.is_improbable(options)
        return (self.repeats(options) or improbable) and not (self.is_quiet(options) and improbable)

    def is_silence(self, options: TranscribeOptions) -> bool:
        """True if the window is quiet and its text is not confident enough to say otherwise.

        Source: openai/whisper transcribe.py:296-307.
        """
        threshold = options.logprob_threshold
        confident = threshold is not None and self.avg_logprob > threshold
        return self.is_quiet(options) and not confident


@dataclass(frozen=True)
class WindowResult:
    """The text of one window. `tokens` are timestamps and text, without end of text."""

    tokens: tuple[int, ...]
    text: str
    quality: WindowQuality


class WindowDecoder:
    """Decodes windows with one network, one tokenizer and one set of options.

    `random` is only used above temperature 0. All windows of a recording draw from the same
    generator, one after the other; windows of a batch have a generator each. `on_text` is called
    with the text so far of the windows that are being decoded.
    """

    def __init__(
        self,
        network: Network,
        tokenizer: Tokenizer,
        options: TranscribeOptions,
        clock: StageClock,
        random: np.random.Generator | None = None,
        on_text: OnText | None = None,
    ) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.options = options
        self.clock = clock
        self.random = np.random.default_rng(options.seed) if random is None else random
        self.on_text = on_text
        self._partial_text = PartialText(on_text, tokenizer) if on_text is not None else None

    def for_tokenizer(self, tokenizer: Tokenizer) -> "WindowDecoder":
        """The same decoder for another language or task; it draws from the same generator."""
        return WindowDecoder(
            self.network, tokenizer, self.options, self.clock, self.random, self.on_text
        )

    def decode(
        self,
        encoded: Any,
        n_windows: int,
        prompt: Sequence[int] = (),
        seeks: Sequence[int] | None = None,
    ) -> list[WindowResult]:
        """Decode `n_windows` encoded windows that share one prompt (tokens of the text before).

        Only windows that fail are decoded again at the next temperature; the text of the last
        temperature is kept even if it fails. With the frames at which the windows begin, `seeks`,
        each draws its own random numbers, so that its text does not depend on the others.
        """
        results: dict[int, WindowResult] = {}
        waiting = list(range(n_windows))
        for temperature in self.options.temperatures:
            rows = self.network.select(encoded, waiting) if len(waiting) < n_windows else encoded
            random: Draws = self.random
            if seeks is not None and temperature > 0:
                own = [seeks[row] for row in waiting]
                random = DrawsOfWindows(self.options.seed, own, temperature)
            decoded = self._decode_at(temperature, random, rows, len(waiting), prompt)
            results.update(zip(waiting, decoded, strict=True))
            waiting = [row for row in waiting if results[row].quality.has_failed(self.options)]
            if not waiting:
                break
        return [results[window] for window in range(n_windows)]

    def align(
        self, encoded: Any, texts: Sequence[Sequence[int]], n_frames: Sequence[int]
    ) -> list[list[WordTiming]]:
        """The words of encoded windows, given their text tokens; see `align_words`."""
        return align_words(self.network, encoded, self.tokenizer, texts, n_frames)

    def _decode_at(
        self,
        temperature: float,
        random: Draws,
        encoded: Any,
        n_windows: int,
        prompt: Sequence[int],
    ) -> list[WindowResult]:
        tokenizer, options, dims = self.tokenizer, self.options, self.network.dims
        strategy = choose_strategy(temperature, tokenizer, options, random)
        search = Search(
            tokenizer,
            strategy,
            self._rules,
            sample_len(options, dims),
            dims.n_text_ctx,
            self.clock,
            self._teller(strategy.group_size),
        )
        tokens = initial_tokens(tokenizer, options, prompt, dims)
        found = search.run(self.network.decoder(encoded), tokens, n_windows)
        with self.clock.stage("text"):
            chosen = [likeliest(each, options.length_penalty) for each in found.candidates]
            texts = [tokenizer.decode(candidate.tokens).strip() for candidate in chosen]
        return [
            WindowResult(
                candidate.tokens,
                text,
                WindowQuality(
                    # + 1: end of text was sampled too
                    avg_logprob=candidate.sum_logprob / (len(candidate.tokens) + 1),
                    no_speech_prob=no_speech_prob,
                    compression_ratio=compression_ratio(text),
                    temperature=temperature,
                ),
            )
            for candidate, text, no_speech_prob in zip(
                chosen, texts, found.no_speech_probs, strict=True
            )
        ]

    def _teller(self, group_size: int) -> OnTokens | None:
        """What a search calls after each step, if anybody wants to read its text."""
        partial_text = self._partial_text
        if partial_text is None:
            return None
        return lambda sampled, sums: partial_text.tell(sampled, sums, group_size)

    @cached_property
    def _rules(self) -> tuple[Rule, ...]:
        return build_rules(self.tokenizer, self.options)


def choose_strategy(
    temperature: float,
    tokenizer: Tokenizer,
    options: TranscribeOptions,
    random: Draws,
) -> Strategy:
    """`beam_size` applies at temperature 0 only, `best_of` above it (transcribe.py:192-198)."""
    if temperature > 0:
        return Sampling(tokenizer.eot, temperature, options.best_of or 1, random)
    if options.beam_size is not None:
        return BeamSearch(tokenizer.eot, options.beam_size, options.patience)
    return Sampling(tokenizer.eot)


def initial_tokens(
    tokenizer: Tokenizer, options: TranscribeOptions, prompt: Sequence[int], dims: Dims
) -> tuple[int, ...]:
    """[sot_prev, hotwords, prompt,] sot, [language, task,] [no_timestamps,] [prefix].

    Hotwords and the end of the prompt share the 223 tokens that a prompt can have. The prefix is
    not part of the result, and the first token after it counts as the window's first. Source:
    decoding.py:587-613.
    """
    sequence = (
        tokenizer.sot_sequence_including_notimestamps
        if options.without_timestamps
        else tokenizer.sot_sequence
    )
    max_tokens = dims.n_text_ctx // 2 - 1
    hotwords = _encoded(tokenizer, options.hotwords)[:max_tokens]
    n_prompt = max_tokens - len(hotwords)
    before = [*hotwords, *(prompt[-n_prompt:] if n_prompt else ())]
    prefix = _encoded(tokenizer, options.prefix)
    # By default there is no room for a prefix, and [-0:] keeps all of it, as in the reference.
    prefix = prefix[-(dims.n_text_ctx // 2 - sample_len(options, dims)) :]
    return (*((tokenizer.sot_prev, *before) if before else ()), *sequence, *prefix)


def _encoded(tokenizer: Tokenizer, text: str | None) -> list[int]:
    return tokenizer.encode(" " + text.strip()) if text else []


def sample_len(options: TranscribeOptions, dims: Dims) -> int:
    """Maximum number of tokens sampled per window; half the context by default."""
    return options.sample_len or dims.n_text_ctx // 2


def compression_ratio(text: str) -> float:
    """UTF-8 bytes over their zlib size. Above 2.4 (the default threshold) a text repeats itself."""
    data = text.encode("utf-8")
    return len(data) / len(zlib.compress(data))
