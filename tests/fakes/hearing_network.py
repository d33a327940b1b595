"""A network that transcribes what the samples spell out, and recordings for it.

In a recording, a word is a run of samples of one value, its number over 4096; silence is 0. If a
window holds only part of a word, the network returns the word `CUT`. So lost, doubled, split or
misplaced words show up, and no weights are needed.
"""

import re
from itertools import groupby

import numpy as np

from maxwhisper.audio.vad import Span
from maxwhisper.network.dims import Dims
from maxwhisper.options import TranscribeOptions, VadOptions
from maxwhisper.text.tokenizer import get_tokenizer

DIMS = Dims(80, 1500, 64, 1, 1, 51_864, 448, 64, 1, 1)
MULTILINGUAL = Dims(80, 1500, 64, 1, 1, 51_865, 448, 64, 1, 1)
WORD_FRAMES = 40  # 0.4 s
HOP = 160  # samples
FULL_SCALE = 4096  # a power of two, above every number: samples lie in 0..1 and are exact
TOKENIZER = get_tokenizer(DIMS)
# Every word is allowed at any time, and no text fails.
FREE = TranscribeOptions(temperature=0.0, suppress_tokens=None, max_initial_timestamp=None)


def spoken_words(dims):
    """Tokens that are whole words, by number; number 0 is silence."""
    tokenizer = get_tokenizer(dims, language="en", task="transcribe")
    plain = (t for t in range(1000, 40_000) if re.fullmatch(" [a-z]{4,}", tokenizer.decode([t])))
    return [0, *(token for token, _ in zip(plain, range(2000), strict=False))]


WORDS = spoken_words(DIMS)
CUT = WORDS[-1]  # stands for part of a word


class HearingNetwork:
    """Returns the words in its windows with their times: at most `max_words` of them, and then says
    that nothing follows ("single"), or begins another segment ("open")."""

    def __init__(
        self, dims=DIMS, max_words=1000, ending="single", languages=(), alignment_heads=((0, 0),)
    ):
        self.dims, self.max_words, self.ending = dims, max_words, ending
        self.alignment_heads = alignment_heads
        self.languages = languages  # code, by the number of the first word
        self.tokenizer = get_tokenizer(dims, language="en", task="transcribe")
        self.batches, self.prompts = [], []

    def log_mel(self, waveform, padding):
        samples = np.pad(waveform, (0, padding))
        numbers = samples[: len(samples) // HOP * HOP : HOP] * FULL_SCALE
        return np.repeat(numbers[:, None], self.dims.n_mels, axis=1).astype(np.float32)

    def encode(self, mel):
        """Encoded audio: the word numbers of every window, (B, 3000)."""
        assert mel.shape[1:] == (3000, self.dims.n_mels)
        return mel[:, :, 0].astype(int)

    def select(self, encoded, rows):
        return encoded[list(rows)]

    def decoder(self, encoded):
        return HearingDecoder(self, encoded)

    def heard(self, numbers):
        """Tokens for a window (3000,), in groups of three: time, word, time."""
        begin, tokens, frame = self.tokenizer.timestamp_begin, [], 0
        for number, run in groupby(numbers.tolist()):
            n_frames = len(list(run))
            if number and len(tokens) < 3 * self.max_words:
                word = WORDS[number] if n_frames == WORD_FRAMES else CUT
                tokens += [begin + frame // 2, word, begin + (frame + n_frames) // 2]
            frame += n_frames
        if self.ending == "open" and tokens:
            tokens += [tokens[-1], CUT]
        return tokens

    def language_of(self, numbers):
        first = numbers[numbers > 0][0]
        code = next(code for code, own in self.languages if first in own)
        return self.tokenizer.to_language_token(code)

    def logits(self, tokens):
        logits = np.full((len(tokens), self.dims.n_vocab), -20.0, np.float32)
        logits[np.arange(len(tokens)), tokens] = 0.0
        return logits

    def align(self, encoded, tokens, rows):
        """Each token but the last attends to the word that follows it, or to the window's end."""
        scores = np.zeros(
            (len(tokens), len(self.alignment_heads), tokens.shape[1], 1500), np.float32
        )
        for row, (numbers, text) in enumerate(zip(encoded, tokens.tolist(), strict=True)):
            for at, following in enumerate(text[1:]):
                if following in WORDS[1:]:
                    scores[row, :, at, numbers[::2] == WORDS.index(following)] = 9.0
                elif following == self.tokenizer.eot:
                    scores[row, :, at, np.flatnonzero(numbers[::2])[-1] + 1 :] = 9.0
        return np.zeros((len(tokens), len(rows), self.dims.n_vocab), np.float32), scores


class HearingDecoder:
    def __init__(self, network, encoded):
        self.network, self.encoded = network, encoded
        self.scripts, self.said = [network.heard(numbers) for numbers in encoded], 0

    def prefill(self, tokens, rows):
        network = self.network
        assert len(tokens) == len(self.scripts)
        if tokens.shape[1] == 1 and network.languages:  # language detection
            spoken = [network.language_of(numbers) for numbers in self.encoded]
            return network.logits(spoken)[:, None]
        network.batches.append(len(tokens))
        network.prompts.append(tokens[0].tolist())
        return np.stack([self._logits()] * len(rows), axis=1)

    def step(self, tokens):
        self.said += 1
        return self._logits()

    def select(self, rows):
        self.encoded, self.scripts = self.encoded[list(rows)], [self.scripts[row] for row in rows]

    def _logits(self):
        eot = self.network.tokenizer.eot
        said = [s[self.said] if self.said < len(s) else eot for s in self.scripts]
        return self.network.logits(said)


def speech(pauses, first_number=1, tail=0):
    """Samples of one word per pause (in frames), each pause before its word."""
    words = [(0,) * pause + (first_number + i,) * WORD_FRAMES for i, pause in enumerate(pauses)]
    frames = np.concatenate([*words, (0,) * tail]) if len(words) else np.zeros(tail)
    return np.repeat(frames / FULL_SCALE, HOP).astype(np.float32)


def runs(waveform, options):
    """What a flawless VAD would return: words, and pauses of at least the minimum."""
    numbers = np.concatenate([[0], waveform, [0]])
    edges = np.flatnonzero(np.diff(numbers != 0))
    spans = [Span(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
    found = spans[:1]
    for span in spans[1:]:
        if (span.start - found[-1].end) / 16 < options.min_silence_duration_ms:
            span = Span(found.pop().start, span.end)
        found.append(span)
    return found


def random_pauses(seed, n):
    """Mostly gaps between words, some between sentences, a few long silences; frames."""
    random = np.random.default_rng(seed)
    return random.choice([12, 14, 20, 60, 150, 900], n, p=[0.3, 0.3, 0.2, 0.1, 0.08, 0.02])


def heard(transcript):
    """(word number, start, end) of every segment."""
    return [
        (WORDS.index(token), segment.start, segment.end)
        for segment in transcript.segments
        for token in segment.tokens
        if token in WORDS[1:]
    ]


def true_times(waveform):
    spans = runs(waveform, VadOptions(min_silence_duration_ms=0))
    return [(int(waveform[s.start] * FULL_SCALE), s.start / 16_000, s.end / 16_000) for s in spans]
