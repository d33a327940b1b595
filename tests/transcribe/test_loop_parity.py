"""The long-form loop against openai-whisper's, both with the same scripted windows.

Without a network: the text, the confidence and the word times of windows are random, so hundreds of
recordings reach every branch of seeking, clips, prompts, words and silence.
"""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from maxwhisper.decoding.alignment import WordTiming
from maxwhisper.decoding.window import WindowDecoder, WindowQuality, WindowResult
from maxwhisper.network.dims import Dims
from maxwhisper.options import TranscribeOptions
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.text.writers import reference_json
from maxwhisper.transcribe import sequential

pytest.importorskip("whisper")

DIMS = Dims(1, 1500, 64, 1, 1, 51_864, 448, 64, 1, 1)
TOKENIZER = get_tokenizer(DIMS)
VOCABULARY = TOKENIZER.encode(' one two three. four, five! "six" (seven) ... eight')
MAX_WINDOWS = 40  # later ones are silent, or the reference would never end
N_RECORDINGS = 300


class Script:
    """Windows in the order of the calls, the same for every loop with one seed."""

    def __init__(self, seed):
        self.seed, self.prompts = seed, []

    def _rng(self, purpose):
        return np.random.default_rng([self.seed, len(self.prompts), purpose])

    def decode(self, prompt):
        """Tokens, average log-probability, no-speech probability, temperature."""
        self.prompts.append(list(prompt))
        rng = self._rng(1)
        if len(self.prompts) > MAX_WINDOWS:
            return [], -9.0, 1.0, 0.0
        silent = rng.random() < 0.1
        avg_logprob = -float(rng.choice([0.2, 0.9, 1.5]))
        return self._tokens(rng), avg_logprob, 0.9 if silent else 0.1, float(rng.choice([0, 0.8]))

    def _tokens(self, rng):
        """Segments between timestamps, ended in any way that the rules allow."""
        if rng.random() < 0.1:
            return self._text(rng)
        begin, tokens, at = TOKENIZER.timestamp_begin, [], int(rng.integers(0, 50))
        for _ in range(rng.integers(1, 4)):
            end = at + int(rng.integers(1, 450))
            tokens += [begin + at, *self._text(rng), begin + end]
            at = end + int(rng.choice([0, 0, 40]))
        ending = rng.integers(0, 3)  # closed; closed and a timestamp; left open
        if ending == 1:
            return [*tokens, begin + at]
        return tokens if ending == 0 else [*tokens, begin + at, *self._text(rng)]

    def _text(self, rng):
        if rng.random() < 0.05:
            return TOKENIZER.encode(" ")  # blank: its segment is blanked
        first = int(rng.integers(0, len(VOCABULARY)))
        return VOCABULARY[first : first + int(rng.integers(1, 9))]

    def words(self, text, n_frames):
        """Words without gaps: some without duration, some very long, some unlikely."""
        rng = self._rng(2)
        at, found = float(rng.choice([0.0, 0.5, 4.0])), []
        words, groups = TOKENIZER.split_to_word_tokens(text)
        length = rng.choice([0.04, 0.3, 0.3, 3.0])
        for word, tokens in zip(words, groups, strict=True):
            end = min(at + float(rng.choice([0.0, 0.1, 1.0, 4.0]) * length), n_frames / 100)
            at = min(at, end)
            probability = float(rng.choice([0.05, 0.9]))
            found.append((word, tokens, round(at, 2), round(end, 2), probability))
            at = end
        return found


def draw_options(rng, content_s):
    words = rng.random() < 0.8
    cut = np.round(np.sort(rng.random(3) * content_s), 2)
    return {
        "word_timestamps": words,
        "hallucination_silence_threshold": (
            [None, 0.1, 0.5, 2.0, 5.0][rng.integers(0, 5)] if words else None
        ),
        "clip_timestamps": ["0", tuple(cut), tuple(cut[:2])][rng.integers(0, 3)],
        "condition_on_previous_text": bool(rng.random() < 0.7),
        "initial_prompt": [None, "a prompt"][rng.integers(0, 2)],
        "carry_initial_prompt": bool(rng.random() < 0.3),
    }


def theirs(script, content_frames, options, monkeypatch):
    """openai-whisper's `transcribe` with mel, decoding and alignment replaced."""
    module = sys.modules["whisper.transcribe"]

    def decode(mel, decoding_options):
        tokens, avg_logprob, no_speech_prob, temperature = script.decode(decoding_options.prompt)
        return SimpleNamespace(
            tokens=tokens,
            avg_logprob=avg_logprob,
            no_speech_prob=no_speech_prob,
            temperature=temperature,
            compression_ratio=1.0,
        )

    def find_alignment(model, tokenizer, text_tokens, mel, num_frames):
        found = script.words(text_tokens, num_frames)
        return [sys.modules["whisper.timing"].WordTiming(*word) for word in found]

    model = SimpleNamespace(
        dims=DIMS, device=torch.device("cpu"), is_multilingual=False, num_languages=99
    )
    model.decode = decode
    mel = torch.zeros(1, content_frames + 3000)
    monkeypatch.setattr(module, "log_mel_spectrogram", lambda *_, **__: mel)
    monkeypatch.setattr(sys.modules["whisper.timing"], "find_alignment", find_alignment)
    return module.transcribe(model, None, fp16=False, temperature=0.0, **options)


def ours(script, content_frames, options, monkeypatch):
    def decode(decoder, encoded, n_windows, prompt):
        tokens, avg_logprob, no_speech_prob, temperature = script.decode(prompt)
        quality = WindowQuality(avg_logprob, no_speech_prob, 1.0, temperature)
        return [WindowResult(tuple(tokens), "", quality)]

    def align(decoder, encoded, texts, n_frames):
        return [[WordTiming(*word) for word in script.words(list(texts[0]), n_frames[0])]]

    network = SimpleNamespace(
        dims=DIMS,
        log_mel=lambda waveform, padding: np.zeros((content_frames + 3000, 1), np.float32),
        encode=lambda mel: None,
        alignment_heads=((0, 0),),
    )
    monkeypatch.setattr(WindowDecoder, "decode", decode)
    monkeypatch.setattr(WindowDecoder, "align", align)
    waveform = np.zeros(0, np.float32)
    return sequential.transcribe(network, waveform, TranscribeOptions(**options))


def summary(text, segments, field):
    return text, [
        (
            *(field(s, name) for name in ("id", "seek", "start", "end", "text", "temperature")),
            list(field(s, "tokens")),
            [
                tuple(field(word, name) for name in ("word", "start", "end", "probability"))
                for word in field(s, "words")
            ],
        )
        for s in segments
    ]


def test_scripted_recordings(monkeypatch):
    for seed in range(N_RECORDINGS):
        rng = np.random.default_rng(seed)
        content_frames = int(rng.integers(0, 12_000))
        options = draw_options(rng, content_frames / 100)
        mine, other = Script(seed), Script(seed)
        got = ours(mine, content_frames, options, monkeypatch)
        want = theirs(other, content_frames, options, monkeypatch)
        assert summary(got.text, got.segments, getattr) == summary(
            want["text"], want["segments"], lambda entry, name: entry.get(name, ())
        ), f"seed {seed}"
        assert mine.prompts == other.prompts, f"seed {seed}"
        document = reference_json(got, TranscribeOptions(**options))
        assert list(document) == list(want)
        fields, expected = ([list(s) for s in each["segments"]] for each in (document, want))
        assert fields == expected, f"seed {seed}"
