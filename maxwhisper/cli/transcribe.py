"""`transcribe`: recordings to text on standard output, and to files if an output format is given.

In: parsed arguments and the answer stream. Out: an exit code. A recording that fails is reported
and does not stop the others. An engine that cannot be loaded stops the command.
"""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from maxwhisper.audio.waveform import Waveform
from maxwhisper.cli.commands import load_engine
from maxwhisper.cli.flags import line_options_from, options_from, vad_from
from maxwhisper.cli.output import json_text, progress, report, warn, write_file
from maxwhisper.engine import Engine
from maxwhisper.errors import AudioError, MaxWhisperError, OptionError
from maxwhisper.options import PAUSES, LineOptions, TranscribeOptions, VadOptions
from maxwhisper.paths import make_folder
from maxwhisper.text.writers import ALL, clock_time, extension, render
from maxwhisper.transcript import Segment, Transcript


@dataclass(frozen=True)
class Outputs:
    """The files to write for each recording: one per format."""

    formats: tuple[str, ...]
    folder: Path
    lines: LineOptions

    def path(self, recording: str, output_format: str) -> Path:
        """The file of one recording in one format."""
        return self.folder / f"{Path(recording).stem}.{extension(output_format)}"

    def require_distinct(self, recordings: Sequence[str]) -> None:
        """Raise `OptionError` if two recordings would be written to the same file."""
        for output_format in self.formats:
            paths = Counter(self.path(recording, output_format) for recording in recordings)
            path, count = paths.most_common(1)[0]
            if count > 1:
                raise OptionError(f"{count} recordings would be written to {path}: rename one")

    def write(self, recording: str, transcript: Transcript, options: TranscribeOptions) -> None:
        """Write the files of a recording; raises `OutputError`."""
        for output_format in self.formats:
            path = self.path(recording, output_format)
            write_file(path, render(transcript, output_format, options, self.lines))
            progress(f"wrote {path}")


def transcribe(args: argparse.Namespace, out: TextIO) -> int:
    """Transcribe the files one after the other. Returns 1 if any of them failed."""
    from maxwhisper.audio.load import read

    options = options_from(args)
    outputs = _outputs(args, options)
    mode = mode_of(args)
    engine: Engine | None = None
    is_one = len(args.files) == 1
    documents: list[dict[str, Any]] = []
    try:
        for recording in args.files:
            document: dict[str, Any] = {} if is_one else {"file": recording}
            try:
                waveform, warning = read(recording)
                if warning:
                    warn(warning, about=None if is_one else recording)
                    document["warning"] = warning
                engine = engine or load_engine(args, args.engine)
                if not is_one and not args.json:
                    print(f"{recording}:", file=out, flush=True)
                transcript = _transcribe(
                    engine, waveform, options, mode, None if args.json else out
                )
                document |= transcript.to_dict() | {"engine": engine.info.to_dict()}
                outputs.write(recording, transcript, options)
            except MaxWhisperError as error:
                if engine is None and not isinstance(error, AudioError):
                    raise  # the engine cannot be loaded
                report(error, about=None if is_one else recording)
                document["error"] = str(error)
            documents.append(document)
    finally:  # after an interrupt too, print the transcripts that are done
        if args.json:
            _answer(documents, is_one, out)
    return 1 if any("error" in document for document in documents) else 0


def _answer(documents: Sequence[dict[str, Any]], is_one: bool, out: TextIO) -> None:
    """Print the only transcript, or an entry for each recording; nothing if there is none."""
    if not is_one and documents:
        out.write(json_text({"transcripts": documents}))
    elif is_one and documents and "text" in documents[0]:
        out.write(json_text(documents[0]))


def _outputs(args: argparse.Namespace, options: TranscribeOptions) -> Outputs:
    """The output files. If one of the two flags is given, the other has openai-whisper's default.

    Raises `OptionError`, and `OutputError` if the folder cannot be made.
    """
    wants_files = args.output_format is not None or args.output_dir is not None
    chosen = args.output_format or "all"
    formats = (ALL if chosen == "all" else (chosen,)) if wants_files else ()
    lines = line_options_from(args).validate(formats, options)
    outputs = Outputs(formats, args.output_dir or Path(), lines)
    outputs.require_distinct(args.files)
    if formats:  # fail before anything is transcribed
        make_folder(outputs.folder)
    return outputs


def mode_of(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments `batch_size` and `vad` of `Engine.transcribe`, if given. An engine without them
    raises `OptionError`."""
    in_batches = args.batch_size is not None  # speech detection is on by default there
    vad = vad_from(args, args.vad or in_batches, PAUSES if in_batches else VadOptions())
    mode: dict[str, Any] = {"batch_size": args.batch_size} if in_batches else {}
    return mode | ({"vad": vad} if vad else {})


def _transcribe(
    engine: Engine,
    waveform: Waveform,
    options: TranscribeOptions,
    mode: dict[str, Any],
    out: TextIO | None,
) -> Transcript:
    """Transcribe one recording, and print each segment to `out` (if not None) when it is final."""

    def show(segment: Segment) -> None:
        times = f"{clock_time(segment.start)} → {clock_time(segment.end)}"
        print(f"[{times}] {segment.text.strip()}", file=out, flush=True)

    start_s = time.perf_counter()
    transcript = engine.transcribe(waveform, options, show if out is not None else None, **mode)
    elapsed_s = time.perf_counter() - start_s
    progress(
        f"{transcript.duration:.1f} s of audio, language {transcript.language}, "
        f"in {elapsed_s:.2f} s: RTFx {transcript.duration / elapsed_s:.1f}"
    )
    return transcript
