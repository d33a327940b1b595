"""`live`: a recording, or samples as they come, to text while they come.

In: parsed arguments and the answer stream. Out: an exit code. What is committed goes to standard
output, sentence by sentence, or with `--json` as one JSON object a line: an update each, and the
transcript in the end, beside the error if one ended it early. What is tentative goes to standard
error.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

import numpy as np
import numpy.typing as npt

from maxwhisper.cli.commands import load_engine
from maxwhisper.cli.flags import options_from, stream_options_from
from maxwhisper.cli.output import progress
from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.engine import OURS, LiveEngine, Waveform
from maxwhisper.transcript import Transcript, Word
from maxwhisper.writers import clock_time

if TYPE_CHECKING:
    from maxwhisper.transcribe.stream import Update

Samples = Waveform | npt.NDArray[np.int16]  # what a stream is fed with

STDIN = "-"
CHUNK_SAMPLES = SAMPLE_RATE // 10  # 0.1 s
BYTES_PER_SAMPLE = 2
SENTENCE_END_MARKS = tuple(".。!！?？")


class Sentences:
    """Committed words, printed when their sentence ends or nothing is left to commit."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._words: list[Word] = []
        self._n_words = 0  # printed, or waiting in `_words`

    def add(self, update: "Update") -> None:
        self._add(update.committed)
        if update.lag_s == 0:
            self._print()

    def end(self, transcript: Transcript, error: BaseException | None = None) -> None:
        """Print what no update has told."""
        self._add(transcript.words[self._n_words :])
        self._print()

    def _add(self, words: Sequence[Word]) -> None:
        self._n_words += len(words)
        for word in words:
            self._words.append(word)
            if word.word.endswith(SENTENCE_END_MARKS):
                self._print()

    def _print(self) -> None:
        if self._words:
            start, end = clock_time(self._words[0].start), clock_time(self._words[-1].end)
            text = "".join(word.word for word in self._words).strip()
            print(f"[{start} → {end}] {text}", file=self._out, flush=True)
        self._words = []


class JsonLines:
    """Every update that brings something, then the transcript; with the error that ended it."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._tentative = ""

    def add(self, update: "Update") -> None:
        if update.committed or update.tentative != self._tentative:
            self._print(update.to_dict())
        self._tentative = update.tentative

    def end(self, transcript: Transcript, error: BaseException | None = None) -> None:
        document: dict[str, object] = {"transcript": transcript.to_dict()}
        if error is not None:
            document["error"] = str(error) or type(error).__name__
        self._print(document)

    def _print(self, document: dict[str, object]) -> None:
        line = json.dumps(document, ensure_ascii=False, allow_nan=False)
        print(line, file=self._out, flush=True)


def live(args: argparse.Namespace, out: TextIO) -> int:
    options, how = options_from(args), stream_options_from(args)
    chunks = _chunks(args.file)  # a file that cannot be read is known before a model is loaded
    stream = cast(LiveEngine, load_engine(args, OURS)).stream(options, how)
    answer: JsonLines | Sentences = JsonLines(out) if args.json else Sentences(out)
    tentative = ""
    try:
        for chunk in chunks:
            update = stream.feed(chunk)
            answer.add(update)
            if update.tentative not in ("", tentative):
                progress(f"… {update.tentative.strip()}")
            tentative = update.tentative
        transcript = stream.finish()
    except (Exception, KeyboardInterrupt) as error:  # what was committed stands
        answer.end(stream.committed(), error)
        raise
    answer.end(transcript)
    progress(
        f"{transcript.duration:.1f} s of audio, language {transcript.language}, "
        f"real-time factor {transcript.timings['total'] / max(transcript.duration, 1e-9):.2f}"
    )
    return 0


def _chunks(file: str) -> Iterator[Samples]:
    """A recording in chunks of 0.1 s, or standard input's s16le samples, mono, 16 kHz."""
    if file == STDIN:
        return _from_pcm(sys.stdin.buffer)
    from maxwhisper.audio import decode

    waveform = decode(file)
    starts = range(0, len(waveform), CHUNK_SAMPLES)
    return (waveform[start : start + CHUNK_SAMPLES] for start in starts)


def _from_pcm(stream: BinaryIO) -> Iterator[Samples]:
    while data := stream.read(CHUNK_SAMPLES * BYTES_PER_SAMPLE):
        n_whole = len(data) // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE
        if n_whole < len(data):  # reads are whole until the end
            progress("standard input ended within a sample: its half was left out")
        yield np.frombuffer(data[:n_whole], "<i2")
