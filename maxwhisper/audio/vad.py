"""Voice activity detection: run Silero's network over a recording of any length.

In: float32 mono 16 kHz samples. Out: spans of samples that contain speech, in order. Knows nothing
of Whisper. The network is package data, the file that faster-whisper ships (see assets/README.md).
Options, their defaults and the rules that turn probabilities into spans are faster-whisper's
(faster_whisper/vad.py:14-179), and a test compares the two.
"""

import functools
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from maxwhisper.audio.samples import read_samples
from maxwhisper.errors import EngineUnavailable
from maxwhisper.network.dims import SAMPLE_RATE
from maxwhisper.options import VadOptions

Float32 = npt.NDArray[np.float32]

BLOCK_SAMPLES = 512  # 32 ms: one probability
CONTEXT_SAMPLES = 64  # 4 ms of the previous block, prepended to each block
STATE_SHAPE = (1, 1, 128)  # of the recurrent layer: hidden, cell
BATCH_BLOCKS = 1_000  # 32 s at a time: a 10 h recording needs no more memory than a short one
NETWORK_FILE = Path(__file__).parents[1] / "assets" / "silero" / "silero_vad_v6.onnx"

# Speech that exceeds the maximum length is split at a pause longer than this (vad.py:86).
SPLIT_PAUSE_SAMPLES = SAMPLE_RATE * 98 / 1000


class Span(NamedTuple):
    """Samples from `start` up to, not including, `end`."""

    start: int
    end: int


def speech_spans(waveform: Float32, options: VadOptions | None = None) -> list[Span]:
    """Return the spans of samples (n,) that contain speech, in order and not overlapping.

    Raises `OptionError` for impossible options, `EngineUnavailable` without onnxruntime.
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
    """Yield whole blocks with their context, (64 + 512 N,), N <= 1000. Zeros pad the start and the
    end of the recording."""
    n_blocks = len(waveform) // BLOCK_SAMPLES + 1
    for first in range(0, n_blocks, BATCH_BLOCKS):
        begin = first * BLOCK_SAMPLES
        end = min(first + BATCH_BLOCKS, n_blocks) * BLOCK_SAMPLES
        samples = read_samples(waveform, max(begin - CONTEXT_SAMPLES, 0), end)
        before = CONTEXT_SAMPLES if begin == 0 else 0
        after = max(end - len(waveform), 0)
        yield np.pad(samples, (before, after))


def _with_context(samples: Float32) -> Float32:
    """(64 + 512 N [+ rest],) samples -> (N, 64 + 512): every whole block with its context."""
    n_blocks = (len(samples) - CONTEXT_SAMPLES) // BLOCK_SAMPLES
    starts = np.arange(n_blocks) * BLOCK_SAMPLES
    return samples[starts[:, None] + np.arange(CONTEXT_SAMPLES + BLOCK_SAMPLES)]


class _Silero:
    """The network and its recurrent state."""

    def __init__(self) -> None:
        self._session = _session()
        self._hidden, self._cell = np.zeros((2, *STATE_SHAPE), np.float32)

    def __call__(self, blocks: Float32) -> Float32:
        """Next blocks (N, 64 + 512) -> probabilities of speech (N,)."""
        inputs = {"input": blocks, "h": self._hidden, "c": self._cell}
        found, self._hidden, self._cell = self._session.run(None, inputs)
        probabilities: Float32 = found.reshape(-1)
        return probabilities


class VoiceMonitor:
    """Detect speech in a live recording, chunk by chunk.

    `speech_end` is the sample after the last block with speech, 0 if there was none. Speech begins,
    pauses and ends by the rules of `spans_of`, minimum lengths included; it is never split.
    """

    def __init__(self, options: VadOptions | None = None) -> None:
        self._options = (options or VadOptions()).validate()
        self._network = _Silero()
        self._samples = np.zeros(CONTEXT_SAMPLES, np.float32)  # context, then an incomplete block
        self._n_blocks = 0
        self._start: int | None = None  # of the current speech
        self._pause: int | None = None  # start of its current pause
        self.speech_end = 0

    def hear(self, samples: Float32) -> Float32:
        """Next samples (n,) -> probabilities of the blocks that they complete."""
        samples = np.concatenate([self._samples, samples])
        blocks = _with_context(samples)
        probabilities = self._network(blocks) if len(blocks) else np.empty(0, np.float32)
        # Only after the network has run, because it may fail.
        self._samples = samples[len(blocks) * BLOCK_SAMPLES :]
        for probability in probabilities:
            self._add_block(probability)
        return probabilities

    def _add_block(self, probability: float | np.float32) -> None:
        """Update the state with the probability of the next block."""
        options, here = self._options, self._n_blocks * BLOCK_SAMPLES
        self._n_blocks += 1
        if probability >= options.threshold:
            self._start, self._pause = here if self._start is None else self._start, None
        elif self._start is not None and probability < options.silence_threshold:
            self._pause = here if self._pause is None else self._pause
            if here - self._pause >= SAMPLE_RATE * options.min_silence_duration_ms / 1000:
                self._start = self._pause = None
        end, min_speech = here + BLOCK_SAMPLES, SAMPLE_RATE * options.min_speech_duration_ms / 1000
        if self._start is not None and self._pause is None and end - self._start > min_speech:
            self.speech_end = end


def spans_of(probabilities: Sequence[float] | Float32, n: int, options: VadOptions) -> list[Span]:
    """Return the speech spans of `n` samples: speech begins at `threshold` and ends at a pause of
    at least `min_silence_duration_ms`."""
    min_speech = SAMPLE_RATE * options.min_speech_duration_ms / 1000
    min_pause = SAMPLE_RATE * options.min_silence_duration_ms / 1000
    max_speech = SAMPLE_RATE * options.max_speech_duration_s - BLOCK_SAMPLES - 2 * _padding(options)
    spans: list[Span] = []
    start: int | None = None  # of the current speech
    pause: int | None = None  # start of its current pause
    split, resumed = 0, 0  # its last pause where it could be split, and where speech resumed
    for block, probability in enumerate(probabilities):
        here = block * BLOCK_SAMPLES
        if probability >= options.threshold:
            if pause is not None and resumed < split:
                resumed = here
            pause = None
            if start is None:
                start = here
                continue
        if start is not None and here - start > max_speech:
            spans.append(Span(start, split or here))
            start = resumed if split and resumed >= split else None
            pause, split, resumed = None, 0, 0
        if start is not None and probability < options.silence_threshold:
            pause = here if pause is None else pause
            if here - pause > SPLIT_PAUSE_SAMPLES:
                split = pause
            if here - pause >= min_pause:
                spans += [Span(start, pause)] if pause - start > min_speech else []
                start, pause, split, resumed = None, None, 0, 0
    if start is not None and n - start > min_speech:
        spans.append(Span(start, n))
    return spans


def padded(spans: Sequence[Span], n: int, options: VadOptions) -> list[Span]:
    """Extend each span by `speech_pad_ms` on both sides; two spans that are too close meet halfway
    between them."""
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
    """Load the network. It uses one thread: blocks depend on each other, so more would idle."""
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineUnavailable(
            f"voice activity detection needs onnxruntime ({error}): pip install onnxruntime"
        ) from error
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(NETWORK_FILE, settings, providers=["CPUExecutionProvider"])
