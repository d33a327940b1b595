"""`transcribe`: recordings to text on standard output, and to files if an output format is given.

In: parsed arguments and the answer stream. Out: an exit code. Recordings of one window are decoded
together, which does not change their text; longer ones window by window, or in batches of
`--batch_size`. A recording that fails is reported and does not stop the others. An engine that
cannot be loaded stops the command. What is done is printed and written at once, so an interrupt
keeps it.
"""

import argparse
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from maxwhisper.archive.sources import Source, find_sources
from maxwhisper.audio.waveform import Waveform
from maxwhisper.cli.commands import load_engine
from maxwhisper.cli.files import Outputs, outputs_from
from maxwhisper.cli.flags import options_from, vad_from
from maxwhisper.cli.inputs import Heard, read_ahead
from maxwhisper.cli.interrupts import terminable
from maxwhisper.cli.output import AnswerLost, json_line, progress, report, shown, warn
from maxwhisper.engine import OURS, EachEngine, Engine
from maxwhisper.errors import MaxWhisperError, OptionError
from maxwhisper.network.dims import CHUNK_LENGTH_S, SAMPLE_RATE
from maxwhisper.options import PAUSES, TranscribeOptions, VadOptions
from maxwhisper.options.transcription import BATCHES
from maxwhisper.text.writers import clock_time
from maxwhisper.transcript import Segment, Transcript

if TYPE_CHECKING:
    from maxwhisper.cli.bar import Bar

GROUP_S = 240.0  # of audio in a group of recordings: a batch of 8 windows of 30 s, or several


@dataclass
class _Run:
    """One command: its settings, its progress, and how many recordings failed."""

    out: TextIO
    as_json: bool
    options: TranscribeOptions
    mode: dict[str, Any]  # more arguments of `transcribe`
    outputs: Outputs
    bar: "Bar"
    is_one: bool
    engine: Engine | None = None  # loaded when there is a recording for it
    start_s: float = 0.0
    n_done: int = 0
    n_failed: int = 0
    audio_s: float = 0.0  # of the transcripts

    def start(self) -> None:
        """Begin to measure: the engine is loaded."""
        self.start_s = time.perf_counter()
        self.bar.start()

    def add(self, group: Sequence[Heard], is_together: bool) -> None:
        """Transcribe a group of recordings; a group that could not be read needs no engine."""
        for heard in group:
            if heard.recording is not None and heard.recording.warning:
                about = None if self.is_one else heard.source.name
                warn(heard.recording.warning, about)
        together = [heard for heard in group if is_together and self._fits_a_batch(heard)]
        if isinstance(self.engine, EachEngine) and len(together) > 1:
            self._together(self.engine, together)
            group = [heard for heard in group if not self._fits_a_batch(heard)]
        self._one_by_one(group)

    def summary(self, n_skipped: int) -> str:
        """What became of several recordings, in one line."""
        seconds = max(time.perf_counter() - self.start_s, 1e-9)
        counts = [f"{self.n_done} transcribed", f"{self.n_failed} failed"]
        if n_skipped:
            counts.append(f"{n_skipped} skipped: their files exist")
        if not self.n_done:
            return ", ".join(counts)
        return (
            f"{', '.join(counts)}; {self.audio_s:.1f} s of audio in {seconds:.2f} s: "
            f"RTFx {self.audio_s / seconds:.1f}"
        )

    def _fits_a_batch(self, heard: Heard) -> bool:
        """True for every recording with a batch size, else for one that a single window holds."""
        is_wanted = "batch_size" in self.mode or heard.audio_s <= CHUNK_LENGTH_S
        return heard.recording is not None and is_wanted

    def _one_by_one(self, group: Sequence[Heard]) -> None:
        for heard in group:
            number = self.n_done + self.n_failed
            if heard.recording is None or self.engine is None:
                self._fail(heard, heard.error)
                continue
            self._begin(heard.source)
            try:
                transcript = self._transcribe(self.engine, heard.recording.waveform, number)
            except AnswerLost:
                raise
            except MaxWhisperError as error:
                self._fail(heard, error)
            else:
                self._finish(heard, transcript)
            self.bar.done(number, heard.audio_s)

    def _together(self, engine: EachEngine, group: Sequence[Heard]) -> None:
        """Transcribe recordings with windows of several in one batch, and write each at once.

        Without speech detection a recording of one window is decoded as it is alone. Raises
        `OptionError`, which is the same for all; another error is that of all that are not done.
        """
        first = self.n_done + self.n_failed
        mode = self.mode if "batch_size" in self.mode else self.mode | {"vad": False}
        waveforms = [heard.recording.waveform for heard in group if heard.recording is not None]

        def on_segment(index: int, segment: Segment) -> None:
            self.bar.heard(first + index, segment.end)

        todo = dict(enumerate(group))
        try:
            for index, outcome in engine.transcribe_each(
                waveforms, self.options, on_segment, **mode
            ):
                self._end(first + index, todo.pop(index), outcome)
        except (AnswerLost, OptionError):
            raise
        except MaxWhisperError as error:
            for index, heard in todo.items():
                self._end(first + index, heard, error)

    def _end(self, number: int, heard: Heard, outcome: Transcript | MaxWhisperError) -> None:
        """Print and write the outcome of a recording that was decoded with others."""
        if isinstance(outcome, Transcript):
            self._begin(heard.source)
            for segment in outcome.segments:
                self._show(segment)
            self._finish(heard, outcome)
        else:
            self._fail(heard, outcome)
        self.bar.done(number, heard.audio_s)

    def _transcribe(self, engine: Engine, waveform: Waveform, number: int) -> Transcript:
        def on_segment(segment: Segment) -> None:
            self._show(segment)
            self.bar.heard(number, segment.end)

        self.bar.begin(len(waveform) / SAMPLE_RATE)
        start_s = time.perf_counter()
        transcript = engine.transcribe(waveform, self.options, on_segment, **self.mode)
        elapsed_s = time.perf_counter() - start_s
        progress(
            f"{transcript.duration:.1f} s of audio, language {transcript.language}, "
            f"in {elapsed_s:.2f} s: RTFx {transcript.duration / elapsed_s:.1f}"
        )
        return transcript

    def _begin(self, source: Source) -> None:
        if not self.is_one and not self.as_json:
            self._print(f"{shown(source.name)}:")

    def _show(self, segment: Segment) -> None:
        if not self.as_json:
            times = f"{clock_time(segment.start)} → {clock_time(segment.end)}"
            self._print(f"[{times}] {segment.text.strip()}")

    def _finish(self, heard: Heard, transcript: Transcript) -> None:
        """Write the files of a transcript, then its line of JSON."""
        self.audio_s += transcript.duration
        document = transcript.to_dict()
        if self.engine is not None:
            document["engine"] = self.engine.info.to_dict()
        try:
            self.outputs.write(heard.source, transcript)
        except MaxWhisperError as error:
            self._fail(heard, error, document)
        else:
            self.n_done += 1
            self._answer(heard, document)

    def _fail(
        self, heard: Heard, error: Exception | None, document: dict[str, Any] | None = None
    ) -> None:
        """Report the error of a recording, beside what there is of its transcript."""
        self.n_failed += 1
        assert isinstance(error, MaxWhisperError)
        report(error, about=None if self.is_one else heard.source.name)
        self._answer(heard, (document or {}) | {"error": str(error)})

    def _answer(self, heard: Heard, document: dict[str, Any]) -> None:
        if not self.as_json:
            return
        warning = heard.recording.warning if heard.recording is not None else ""
        noted = {"file": heard.source.name} | ({"warning": warning} if warning else {})
        self._print(json_line(noted | document).rstrip("\n"))

    def _print(self, line: str) -> None:
        with self.bar.cleared():
            print(line, file=self.out, flush=True)


def transcribe(args: argparse.Namespace, out: TextIO) -> int:
    """Transcribe the recordings that the command line names. Returns 1 if any of them failed."""
    from maxwhisper.cli.bar import Bar

    options = options_from(args)
    sources = find_sources(args.files)
    outputs = outputs_from(args, options)
    outputs.prepare(sources)
    todo = [source for source in sources if not (args.resume and outputs.exist(source))]
    is_together = _decodes_together(args, options, len(todo))
    run = _Run(out, args.json, options, mode_of(args), outputs, Bar(len(todo)), len(sources) == 1)
    try:
        with ExitStack() as stack:
            for group in read_ahead(todo, GROUP_S if is_together else 0.0):
                if run.engine is None and any(heard.recording for heard in group):
                    run.engine = load_engine(args, args.engine)
                    stack.enter_context(terminable())
                    run.start()
                run.add(group, is_together)
    finally:
        run.bar.close()
        if len(sources) > 1:
            progress(run.summary(n_skipped=len(sources) - len(todo)))
    return 1 if run.n_failed else 0


def _decodes_together(args: argparse.Namespace, options: TranscribeOptions, n: int) -> bool:
    """True if windows of several recordings may be decoded in one batch.

    An option that batches do not support decides against it, unless `--batch_size` asks for them.
    """
    is_cut = args.vad and args.batch_size is None  # each stretch of speech is a clip of its own
    if n < 2 or args.sequential or args.engine != OURS or is_cut:
        return False
    try:
        options.require_supported(BATCHES)
    except OptionError as error:
        if args.batch_size is None:
            progress(f"recordings are transcribed one by one: {error}")
            return False
    return True


def mode_of(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments `batch_size` and `vad` of `Engine.transcribe`, if given.

    An engine without them raises `OptionError`. Raises `OptionError` for flags that contradict each
    other.
    """
    in_batches = args.batch_size is not None  # speech detection is on by default there
    if args.sequential and in_batches:
        raise OptionError("--sequential and --batch_size contradict each other: leave one out")
    vad = vad_from(args, args.vad or in_batches, PAUSES if in_batches else VadOptions())
    mode: dict[str, Any] = {"batch_size": args.batch_size} if in_batches else {}
    return mode | ({"vad": vad} if vad else {})
