"""Training examples: utterances placed in a window of audio, with the labels for encoder and
decoder.

In: a `Corpus`, a `Style`, a generator. Out: `Example`, the same for the same generator. Owns how
often anything occurs in a window; `augment` owns the sound, `labels` the text.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from maxwhisper.network.dims import N_SAMPLES, SAMPLE_RATE
from maxwhisper.text.tokenizer import Tokenizer
from tools.train_demo import augment, labels
from tools.train_demo.corpus import Corpus, Utterance
from tools.train_demo.labels import MAX_PROMPT, Labels, Spoken
from tools.train_demo.phones import SILENCE
from tools.train_demo.placing import POSITION, Placed, as_float, joined, place, without_beginning

Rng = np.random.Generator
Samples = npt.NDArray[np.float32]

N_POSITIONS = N_SAMPLES // POSITION  # 1500

# How often a window has each property.
NO_SPEECH = 0.10
WITHOUT_TIMESTAMPS = 0.15
PROMPTED = 0.5  # whole batches, because texts are padded to the longest
PROMPT_TEXTS = 16  # at most, of 10 tokens each: as many as decoding uses
PROMPT_WINDOW = 6  # at most, texts of a prompt with consecutive times
BEGUN = 0.5  # begin within a sentence, whose first words end the prompt
JOINED = 0.3  # of the sentences: the next one follows without a pause and is part of it
ONE_VOICE = 0.7
CUT = 0.6  # of the full ones: the last utterance is cut by the end
RESUMED = 2  # texts of each example with speech that begin at a random word of it
MISREAD = 0.5  # of the texts: the decoder reads wrong tokens in them,
MISREAD_TOKENS = 0.1  # in this share of places, as after its own mistakes
SILENT_PADDING = 0.25  # zeros in the audio if it ends early; else zeros in the log-mel
ELSEWHERE_LOUDER = 0.3  # part of a longer recording that is louder elsewhere


@dataclass(frozen=True)
class Style:
    """The kind of examples in a phase of training.

    `window_s` None: one utterance and little else, which costs a tenth of a window of 30 s.
    Examples shorter than 30 s begin anywhere among the encoder's positions and, half of the time,
    of the decoder's, so all positions are learnt before long windows and texts follow.
    """

    window_s: float | None
    max_utterance_s: float
    spelled: float = 0.0  # share of examples whose rare words are spelled in letters
    distorted: float = 0.75  # share of examples through `augment.distort`
    full: float = 0.3  # share of windows with speech up to their end; else one to four utterances


@dataclass(frozen=True)
class Example:
    """One example. `samples` (n,) int16, as in a file; `phones` (n // 320,) int16, one per
    position.

    `content` samples are audio, the rest is padding. `loudest` is the log10 power of the loudest
    bin elsewhere in the recording. `first_position` is the example's start in the encoder. `texts`
    are several texts of the same audio: the whole one, and the text after a later word.
    """

    samples: npt.NDArray[np.int16]
    phones: npt.NDArray[np.int16]
    texts: tuple[Labels, ...]
    content: int
    loudest: float
    first_position: int


class Composer:
    """Makes examples of one style from one corpus."""

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, style: Style) -> None:
        self.corpus = corpus
        self.tokenizer = tokenizer
        self.style = style
        by_length = np.argsort(corpus.n_samples, kind="stable")
        longest = style.max_utterance_s * SAMPLE_RATE
        self.by_length = by_length[corpus.n_samples[by_length] <= longest]
        self.rare = labels.rare_words(corpus.texts) if style.spelled else frozenset()

    @cached_property
    def _of_voice(self) -> dict[str, npt.NDArray[np.int64]]:
        voices = np.array([self.corpus.voices[i] for i in self.by_length])
        return {voice: self.by_length[voices == voice] for voice in np.unique(voices)}

    def batch(self, size: int, rng: Rng) -> list[Example]:
        """Return `size` examples. Single utterances have similar lengths, to reduce padding."""
        if self.style.window_s is not None:
            n = int(self.style.window_s * SAMPLE_RATE)
            prompted = bool(rng.random() < PROMPTED)
            return [self.window(n, rng, prompted) for _ in range(size)]
        span = min(4 * size, len(self.by_length))
        first = int(rng.integers(0, len(self.by_length) - span + 1))
        chosen = rng.choice(self.by_length[first : first + span], size)
        return [self.utterance(int(index), rng) for index in chosen]

    def utterance(self, index: int, rng: Rng) -> Example:
        """Return one utterance with up to 0.3 s of silence around it, anywhere in the encoder."""
        placed = place(self.corpus[index], int(rng.uniform(0, 0.3) * SAMPLE_RATE), self._speed(rng))
        tail = int(rng.uniform(0, 0.3) * SAMPLE_RATE)
        n = -(-(placed.start + len(placed.samples) + tail) // POSITION) * POSITION
        n = min(n, N_SAMPLES)
        position = int(rng.integers(0, N_POSITIONS - n // POSITION + 1))
        if rng.random() < NO_SPEECH / 3:
            return self._no_speech(n, rng, position, prompt=[])
        return self._example([placed], n, n, rng, position, prompt=[])

    def window(self, n: int, rng: Rng, prompted: bool = False) -> Example:
        """Return up to `n` samples of utterances and pauses, or of no speech. Less than 30 s begins
        anywhere in the encoder, so it is learnt for every position of a full window."""
        position = int(rng.integers(0, N_POSITIONS - n // POSITION + 1))
        if rng.random() < NO_SPEECH:
            return self._no_speech(n, rng, position, self._prompt(rng) if prompted else [])
        full, voices = rng.random() < self.style.full, self._voices(rng)
        wanted = 10_000 if full else int(rng.integers(1, 5))
        placed: list[Placed] = []
        at = self._opening(rng)
        speed = self._speed(rng)
        before = ""
        if rng.random() < BEGUN:
            before, rest = without_beginning(self._sentence(voices, rng), rng)
            placed.append(place(rest, 0, speed))
            at = len(placed[0].samples) + self._pause(rng)
        prompt = self._prompt(rng, before) if prompted else []
        while len(placed) < wanted and at < n - POSITION:
            placed.append(place(self._sentence(voices, rng), at, speed))
            at += len(placed[-1].samples) + self._pause(rng)
        if not (full and rng.random() < CUT) or len(placed) == 1:
            placed = [one for one in placed if one.speech_end <= n]
        placed = [one for one in placed if one.speech_start + POSITION < n]
        if not any(one.text and one.speech_end <= n for one in placed):
            return self._no_speech(n, rng, position, prompt)
        end = placed[-1].start + len(placed[-1].samples) + int(rng.uniform(0, 1) * SAMPLE_RATE)
        return self._example(placed, n, min(n, end), rng, position, prompt)

    def _example(
        self,
        placed: list[Placed],
        n: int,
        content: int,
        rng: Rng,
        position: int,
        prompt: list[int],
    ) -> Example:
        samples = np.zeros(n, np.float32)
        phones = np.full(n // POSITION, SILENCE, np.int16)
        for one in placed:
            stop = min(n, one.start + len(one.samples))
            samples[one.start : stop] = one.samples[: stop - one.start]
            first = one.start // POSITION
            kept = one.phones[: len(phones) - first]
            phones[first : first + len(kept)] = kept
        sound = self._distort(samples[:content], rng)
        samples[:content] = sound
        if rng.random() < SILENT_PADDING:
            content = n
        loudest = _elsewhere(rng, ELSEWHERE_LOUDER)
        texts = self._texts(placed, n, position, prompt, rng)
        return Example(_int16(samples), phones, texts, content, loudest, position)

    def _texts(
        self, placed: list[Placed], n: int, position: int, prompt: list[int], rng: Rng
    ) -> tuple[Labels, ...]:
        """Return the whole text, and RESUMED times the text after a random word."""
        is_cut = placed[-1].speech_end > n
        rare = self.rare if rng.random() < self.style.spelled else frozenset()
        without = not is_cut and rng.random() < WITHOUT_TIMESTAMPS
        segments = self._segments(placed, n, position)
        timed = labels.timestamped(self.tokenizer, segments, rare)
        body = labels.untimed(self.tokenizer, segments, rare) if without else timed
        whole = labels.for_speech(self.tokenizer, body, prompt)
        words = rng.integers(0, len(timed.words), RESUMED)
        resumed = [labels.from_word(self.tokenizer, timed, int(word), prompt) for word in words]
        whole, *resumed = (self._misread(text, rng) for text in (whole, *resumed))
        if prompt:
            return whole, *resumed
        if n == N_SAMPLES:
            return whole, *(_shifted(text, rng) for text in resumed)
        return tuple(_shifted(text, rng) for text in (whole, *resumed))

    def _misread(self, text: Labels, rng: Rng) -> Labels:
        """Replace some words and shift times by up to 0.2 s in the inputs; the targets stay."""
        if rng.random() > MISREAD:
            return text
        inputs = np.array(text.inputs)
        wrong = rng.random(len(inputs)) < MISREAD_TOKENS
        words = wrong & (inputs < self.tokenizer.eot)
        times = wrong & (inputs >= self.tokenizer.timestamp_begin)
        others = self.tokenizer.encode(" " + self.corpus.texts[int(rng.choice(self.by_length))])
        inputs[words] = rng.choice(others, words.sum())
        last = self.tokenizer.timestamp_begin + N_POSITIONS
        shifted = inputs[times] + rng.integers(-10, 11, times.sum())
        inputs[times] = shifted.clip(self.tokenizer.timestamp_begin, last)
        return replace(text, inputs=tuple(inputs.tolist()))

    def _segments(self, placed: list[Placed], n: int, position: int) -> list[Spoken]:
        def seconds(sample: float) -> float:
            return (sample + position * POSITION) / SAMPLE_RATE

        return [
            Spoken(
                one.text,
                seconds(one.speech_start),
                seconds(one.speech_end) if one.speech_end <= n else None,
                tuple(seconds(middle) for middle in one.sounds.tolist()),
            )
            for one in placed
            if one.text
        ]

    def _no_speech(self, n: int, rng: Rng, position: int, prompt: list[int]) -> Example:
        """Return digital silence, faint hiss, or any noise at any level; half of it as part of a
        recording."""
        kind = rng.random()
        if kind < 0.2:
            samples = np.zeros(n, np.float32)
        else:
            peak = 10 ** rng.uniform(-4, -2) if kind < 0.35 else 10 ** rng.uniform(-2, 0)
            samples = augment.at_level(augment.noise(n, rng), peak)
        content = n if rng.random() < 0.5 else int(rng.uniform(0.02, 1) * n)
        first = self.tokenizer.no_timestamps
        if rng.random() > WITHOUT_TIMESTAMPS:
            late = int(rng.integers(1, 51)) if rng.random() < 0.3 else 0  # up to 1 s
            first = self.tokenizer.timestamp_begin + min(position + late, N_POSITIONS)
        said = labels.for_no_speech(self.tokenizer, first, prompt)
        phones = np.full(n // POSITION, SILENCE, np.int16)
        return Example(_int16(samples), phones, (said,), content, _elsewhere(rng, 0.5), position)

    def _sentence(self, voices: npt.NDArray[np.int64], rng: Rng) -> Utterance:
        """Return one of the utterances, or several of one voice as one long sentence."""
        sentence = self.corpus[int(rng.choice(voices))]
        while rng.random() < JOINED:
            other = self.corpus[int(rng.choice(self._of_voice[sentence.voice]))]
            pause = int(rng.uniform(0, 0.12) * SAMPLE_RATE)
            sentence = joined(sentence, other, pause) or sentence
        return sentence

    def _voices(self, rng: Rng) -> npt.NDArray[np.int64]:
        """Return the utterances to choose from: those of one voice, or all."""
        if rng.random() > ONE_VOICE:
            return self.by_length
        voice = self.corpus.voices[int(rng.choice(self.by_length))]
        return self._of_voice[voice]

    def _speed(self, rng: Rng) -> float:
        """Return 0.85 to 1.18: a voice shifts by up to 2.8 semitones, formants included."""
        return float(2 ** rng.uniform(-0.24, 0.24)) if rng.random() < 0.4 else 1.0

    def _opening(self, rng: Rng) -> int:
        """Return samples before the first utterance: mostly at most 1 s, as decoding's rules
        assume."""
        longest_s = rng.choice((0.2, 1.0, 6.0), p=(0.6, 0.3, 0.1))
        return int(rng.uniform(0, longest_s) * SAMPLE_RATE)

    def _pause(self, rng: Rng) -> int:
        """Return samples between utterances, in addition to the synthesisers' 0.1 to 0.4 s."""
        longest_s = 0.6 if rng.random() < 0.8 else 4.0
        return int(rng.uniform(0, longest_s) * SAMPLE_RATE)

    def _prompt(self, rng: Rng, begun: str = "") -> list[int]:
        """Return the tokens of the text before: with timestamps, as decoding passes them on, or
        without. Texts of several windows follow one another. The last one may be a sentence that
        has just `begun`."""
        chosen = rng.choice(self.by_length, int(rng.integers(1, PROMPT_TEXTS + 1)))
        texts = [self.corpus.texts[i] for i in chosen] + ([begun] if begun else [])
        if rng.random() < 0.2:
            return self.tokenizer.encode(" " + " ".join(texts))
        n_here = [len(part) for part in np.array_split(texts, -(-len(texts) // PROMPT_WINDOW))]
        times = np.concatenate([np.sort(rng.uniform(0, 30, 2 * n)) for n in n_here]).reshape(-1, 2)
        segments = [Spoken(text, a, b) for text, (a, b) in zip(texts, times, strict=True)]
        return labels.timestamped(self.tokenizer, segments).tokens

    def _distort(self, samples: Samples, rng: Rng) -> Samples:
        if rng.random() > self.style.distorted:
            return augment.at_level(samples, rng.uniform(0.05, 1.0))
        background = None
        if rng.random() < 0.15:
            others = rng.choice(self.by_length, int(rng.integers(3, 6)))
            voices = [as_float(self.corpus[int(i)].samples) for i in others]
            background = augment.babble(voices, len(samples), rng)
        return augment.distort(samples, rng, background)


def _shifted(text: Labels, rng: Rng) -> Labels:
    """Move the text to any of the decoder's positions, half of the time."""
    if rng.random() < 0.5:
        return text
    return replace(text, first_token=int(rng.integers(0, MAX_PROMPT)))


def _elsewhere(rng: Rng, share: float) -> float:
    """Return the log10 power of the loudest bin elsewhere, -inf for none.

    -1.4 to 2.2: speech with peaks of 0.02 to 1 (measured: 0.78 and 1.84 for two recordings).
    """
    return float(rng.uniform(-1.4, 2.2)) if rng.random() < share else -np.inf


def _int16(samples: Samples) -> npt.NDArray[np.int16]:
    return np.clip(np.round(samples * 32767), -32768, 32767).astype(np.int16)
