"""Where somebody speaks: Silero's voice activity network over a recording of any length.

In: float32 mono 16 kHz samples. Out: spans of samples that hold speech, in order. Must not know:
what is said, or that Whisper exists. The network is the file that faster-whisper ships; options,
their defaults and the rules that turn probabilities into spans are faster-whisper's
(faster_whisper/vad.py:14-179), and a test holds the two together.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.errors import EngineUnavailable, OptionError
from maxwhisper.paths import package_folder
from maxwhisper.samples import read_samples
from maxwhisper.validation import AT_LEAST_0, FROM_0_TO_1, check_options

Float32 = npt.NDArray[np.float32]

BLOCK_SAMPLES = 512  # 32 ms: one probability
CONTEXT_SAMPLES = 64  # 4 ms of the block before, which the network hears again
STATE_SHAPE = (1, 1, 128)  # of the recurrent layer: hidden, cell
BATCH_BLOCKS = 1_000  # 32 s at a time: a 10 h recording needs no more memory than a short one
NETWORK_FILE = "assets/silero_vad_v6.onnx"  # inside the package faster_whisper
MISSING = (
    "voice activity detection runs Silero's network as faster-whisper ships it: "
    "pip install faster-whisper onnxruntime"
)

# Where speech has to be split, a pause longer than this will do (vad.py:86).
SPLIT_PAUSE_SAMPLES = SAMPLE_RATE * 98 / 1000


@dataclass(frozen=True)
class VadOptions:
    """Names and defaults of faster-whisper."""

    threshold: float = 0.5  # a block this probable begins speech
    neg_threshold: float | None = None  # one below may end it; None: threshold - 0.15, >= 0.01
    min_speech_duration_ms: float = 0  # shorter speech is thrown away
    max_speech_duration_s: float = float("inf")  # longer speech is split, in a pause if it has one
    min_silence_duration_ms: float = 2000  # a shorter pause does not end speech
    speech_pad_ms: float = 400  # added on both sides, to the middle of the pause at most

    def validate(self) -> "VadOptions":
        """Return self, or raise `OptionError` naming the field, its value and what is allowed."""
        check_options(self, _RULES)
        if not self.max_speech_duration_s * 1000 > 2 * self.speech_pad_ms:
            raise OptionError(
                f"max_speech_duration_s must exceed the padding on both sides "
                f"({2 * self.speech_pad_ms} ms), got {self.max_speech_duration_s}"
            )
        return self

    @property
    def silence_threshold(self) -> float:
        if self.neg_threshold is not None:
            return self.neg_threshold
        return max(self.threshold - 0.15, 0.01)


_RULES = {
    "threshold": FROM_0_TO_1,
    "neg_threshold": FROM_0_TO_1,
    "min_speech_duration_ms": AT_LEAST_0,
    "min_silence_duration_ms": AT_LEAST_0,
    "speech_pad_ms": AT_LEAST_0,
}

# In batches: pauses between phrases, not only between paragraphs, as in faster-whisper's pipeline.
PAUSES = VadOptions(min_silence_duration_ms=160)


class Span(NamedTuple):
    """Samples from `start` up to, not including, `end`."""

    start: int
    end: int


def speech_spans(waveform: Float32, options: VadOptions | None = None) -> list[Span]:
    """Stretches of samples (n,) that hold speech: in order, apart or touching, within 0..n.

    Raises `OptionError` for impossible options, `EngineUnavailable` when the network's file or
    onnxruntime is missing.
    """
    options = (options or VadOptions()).validate()
    if not len(waveform):
        return []
    spans = spans_of(speech_probabilities(waveform), len(waveform), options)
    return padded(spans, len(waveform), options) if spans else []


def speech_probabilities(waveform: Float32) -> Float32:
    """(n,) samples -> (n // 512 + 1,) probabilities of speech, one every 32 ms."""
    network = _Silero()
    return np.concatenate([network(_with_context(samples)) for samples in _batches(waveform)])


def _batches(waveform: Float32) -> Iterator[Float32]:
    """Whole blocks with the context before them, (64 + 512 N,), N <= 1000; silence before the
    first and after the last sample."""
    n_blocks = len(waveform) // BLOCK_SAMPLES + 1
    for first in range(0, n_blocks, BATCH_BLOCKS):
        begin = first * BLOCK_SAMPLES
        end = min(first + BATCH_BLOCKS, n_blocks) * BLOCK_SAMPLES
        samples = read_samples(waveform, max(begin - CONTEXT_SAMPLES, 0), end)
        before = CONTEXT_SAMPLES if begin == 0 else 0
        after = max(end - len(waveform), 0)
        yield np.pad(samples, (before, after))


def _with_context(samples: Float32) -> Float32:
    """(64 + 512 N [+ rest],) samples -> (N, 64 + 512): every whole block with what precedes it."""
    n_blocks = (len(samples) - CONTEXT_SAMPLES) // BLOCK_SAMPLES
    starts = np.arange(n_blocks) * BLOCK_SAMPLES
    return samples[starts[:, None] + np.arange(CONTEXT_SAMPLES + BLOCK_SAMPLES)]


class _Silero:
    """The network, and what it remembers of the blocks so far."""

    def __init__(self) -> None:
        self._session = _session()
        self._hidden, self._cell = np.zeros((2, *STATE_SHAPE), np.float32)

    def __call__(self, blocks: Float32) -> Float32:
        """The next blocks (N, 64 + 512) -> probabilities of speech (N,)."""
        inputs = {"input": blocks, "h": self._hidden, "c": self._cell}
        found, self._hidden, self._cell = self._session.run(None, inputs)
        probabilities: Float32 = found.reshape(-1)
        return probabilities


class VoiceMonitor:
    """The same network over a recording that is still being made, chunk after chunk.

    `speech_end` is the sample after the last block with speech, 0 if there was none. What begins
    speech, interrupts it, ends it and is too short for it is as in `spans_of`; no speech is split.
    """

    def __init__(self, options: VadOptions | None = None) -> None:
        self._options = (options or VadOptions()).validate()
        self._network = _Silero()
        self._samples = np.zeros(CONTEXT_SAMPLES, np.float32)  # context, then what makes no block
        self._n_blocks = 0
        self._start: int | None = None  # of the speech that is open
        self._pause: int | None = None  # where it paused, if it has not gone on since
        self.speech_end = 0

    def hear(self, samples: Float32) -> Float32:
        """The next samples (n,) -> probabilities of the blocks that they complete."""
        samples = np.concatenate([self._samples, samples])
        blocks = _with_context(samples)
        probabilities = self._network(blocks) if len(blocks) else np.empty(0, np.float32)
        self._samples = samples[len(blocks) * BLOCK_SAMPLES :]  # not before: the network may fail
        for probability in probabilities:
            self._take(probability)
        return probabilities

    def _take(self, probability: float | np.float32) -> None:
        """The probability of the next block."""
        options, here = self._options, self._n_blocks * BLOCK_SAMPLES
        self._n_blocks += 1
        if probability >= options.threshold:
            self._start, self._pause = here if self._start is None else self._start, None
        elif self._start is not None and probability < options.silence_threshold:
            self._pause = here if self._pause is None else self._pause
            if here - self._pause >= SAMPLE_RATE * options.min_silence_duration_ms / 1000:
                self._start = self._pause = None
        end, least = here + BLOCK_SAMPLES, SAMPLE_RATE * options.min_speech_duration_ms / 1000
        if self._start is not None and self._pause is None and end - self._start > least:
            self.speech_end = end


def spans_of(probabilities: Sequence[float] | Float32, n: int, options: VadOptions) -> list[Span]:
    """Spans of `n` samples: speech begins at `threshold`, and ends with a pause long enough."""
    least_speech = SAMPLE_RATE * options.min_speech_duration_ms / 1000
    least_pause = SAMPLE_RATE * options.min_silence_duration_ms / 1000
    most_speech = (
        SAMPLE_RATE * options.max_speech_duration_s - BLOCK_SAMPLES - 2 * _padding(options)
    )
    spans: list[Span] = []
    start: int | None = None  # of the speech that is open
    pause: int | None = None  # where it paused, if it has not gone on since
    split, resumed = 0, 0  # its last pause that could split it, and where speech went on
    for block, probability in enumerate(probabilities):
        here = block * BLOCK_SAMPLES
        if probability >= options.threshold:
            if pause is not None and resumed < split:
                resumed = here
            pause = None
            if start is None:
                start = here
                continue
        if start is not None and here - start > most_speech:
            spans.append(Span(start, split or here))
            start = resumed if split and resumed >= split else None
            pause, split, resumed = None, 0, 0
        if start is not None and probability < options.silence_threshold:
            pause = here if pause is None else pause
            if here - pause > SPLIT_PAUSE_SAMPLES:
                split = pause
            if here - pause >= least_pause:
                spans += [Span(start, pause)] if pause - start > least_speech else []
                start, pause, split, resumed = None, None, 0, 0
    if start is not None and n - start > least_speech:
        spans.append(Span(start, n))
    return spans


def padded(spans: Sequence[Span], n: int, options: VadOptions) -> list[Span]:
    """Spans with `speech_pad_ms` on both sides; two that come too close meet half way."""
    padding = _padding(options)
    pauses = [after.start - before.end for before, after in pairwise(spans)]
    room = [pause // 2 if pause < 2 * padding else padding for pause in pauses]
    return [
        Span(max(0, span.start - before), min(n, span.end + after))
        for span, before, after in zip(spans, [padding, *room], [*room, padding], strict=True)
    ]


def _padding(options: VadOptions) -> int:
    return int(SAMPLE_RATE * options.speech_pad_ms / 1000)


@functools.cache
def _session() -> Any:
    """The network, on one thread: blocks follow one another, there is nothing to share out."""
    folder = package_folder("faster_whisper")
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineUnavailable(f"{MISSING} ({error})") from error
    if folder is None:
        raise EngineUnavailable(MISSING)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        folder / NETWORK_FILE, settings, providers=["CPUExecutionProvider"]
    )
