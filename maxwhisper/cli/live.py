"""`live`: a recording, or samples from standard input, to text while they arrive.

In: parsed arguments and the answer stream. Out: an exit code. Final words go to standard output
sentence by sentence, or with `--json` as one JSON object per line: one per update, then the
transcript, with the error if one ended it early. Tentative words go to standard error.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

import numpy as np
import numpy.typing as npt

from maxwhisper.archive.sources import STDIN, standard_input
from maxwhisper.audio.waveform import Waveform
from maxwhisper.cli.commands import load_engine
from maxwhisper.cli.flags import options_from, stream_options_from
from maxwhisper.cli.interrupts import terminable
from maxwhisper.cli.output import progress, warn
from maxwhisper.engine import OURS, LiveEngine
from maxwhisper.network.dims import SAMPLE_RATE
from maxwhisper.text.writers import clock_time
from maxwhisper.transcript import Transcript, Word

if TYPE_CHECKING:
    from maxwhisper.transcribe.stream import Update

Samples = Waveform | npt.NDArray[np.int16]

CHUNK_SAMPLES = SAMPLE_RATE // 10  # 0.1 s
BYTES_PER_SAMPLE = 2
SENTENCE_END_MARKS = tuple(".。!！?？")


class Sentences:
    """Prints final words when their sentence ends, or when no audio is left to decode."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._words: list[Word] = []
        self._n_words = 0  # printed, or in `_words`

    def add(self, update: "Update") -> None:
        self._add(update.committed)
        if update.lag_s == 0:
            self._print()

    def end(self, transcript: Transcript, error: BaseException | None = None) -> None:
        """Print the words that no update had."""
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
    """Prints every update that has news, then the transcript, with the error that ended it."""

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
    """Transcribe one recording, or standard input, as it arrives."""
    options, how = options_from(args), stream_options_from(args)
    chunks = _chunks(args.file)  # fails before a model is loaded
    stream = cast(LiveEngine, load_engine(args, OURS)).stream(options, how)
    answer: JsonLines | Sentences = JsonLines(out) if args.json else Sentences(out)
    tentative = ""
    try:
        with terminable():
            for chunk in chunks:
                update = stream.feed(chunk)
                answer.add(update)
                if update.tentative not in ("", tentative):
                    progress(f"… {update.tentative.strip()}")
                tentative = update.tentative
            transcript = stream.finish()
    except (Exception, KeyboardInterrupt) as error:  # print what is final
        answer.end(stream.committed(), error)
        raise
    answer.end(transcript)
    progress(
        f"{transcript.duration:.1f} s of audio, language {transcript.language}, "
        f"real-time factor {transcript.timings['total'] / max(transcript.duration, 1e-9):.2f}"
    )
    return 0


def _chunks(file: str) -> Iterator[Samples]:
    """Chunks of 0.1 s of a recording, or of 16-bit mono 16 kHz samples from standard input."""
    if file == STDIN:
        return _from_pcm(standard_input())
    from maxwhisper.audio.load import read

    waveform, warning = read(file)
    if warning:
        warn(warning)
    starts = range(0, len(waveform), CHUNK_SAMPLES)
    return (waveform[start : start + CHUNK_SAMPLES] for start in starts)


def _from_pcm(stream: BinaryIO) -> Iterator[Samples]:
    while data := stream.read(CHUNK_SAMPLES * BYTES_PER_SAMPLE):
        n_whole = len(data) // BYTES_PER_SAMPLE * BYTES_PER_SAMPLE
        if n_whole < len(data):  # only the last read can be short
            progress("standard input ended within a sample: ignored its first byte")
        yield np.frombuffer(data[:n_whole], "<i2")
