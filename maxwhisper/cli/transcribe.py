"""`transcribe`: recordings to text on standard output, and to files where formats are asked for.

In: parsed arguments and the answer stream. Out: an exit code. A recording that fails, whatever the
reason, is reported and does not stop the others; an engine that cannot be loaded does.
"""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from maxwhisper.cli.commands import load_engine
from maxwhisper.cli.flags import line_options_from, options_from, vad_from
from maxwhisper.cli.output import json_text, progress, report, write_file
from maxwhisper.engine import Engine, Waveform
from maxwhisper.errors import AudioError, MaxWhisperError, OptionError
from maxwhisper.options import TranscribeOptions
from maxwhisper.paths import make_folder
from maxwhisper.transcript import Segment, Transcript
from maxwhisper.vad import PAUSES, VadOptions
from maxwhisper.writers import ALL, LineOptions, clock_time, extension, render


@dataclass(frozen=True)
class Outputs:
    """The files written for each recording: none where no format was asked for."""

    formats: tuple[str, ...]
    folder: Path
    lines: LineOptions

    def path(self, recording: str, output_format: str) -> Path:
        return self.folder / f"{Path(recording).stem}.{extension(output_format)}"

    def require_distinct(self, recordings: Sequence[str]) -> None:
        """Raise `OptionError` where two recordings would be written to the same file."""
        for output_format in self.formats:
            paths = Counter(self.path(recording, output_format) for recording in recordings)
            path, count = paths.most_common(1)[0]
            if count > 1:
                raise OptionError(f"{count} recordings would be written to {path}: rename one")

    def write(self, recording: str, transcript: Transcript, options: TranscribeOptions) -> None:
        for output_format in self.formats:
            path = self.path(recording, output_format)
            write_file(path, render(transcript, output_format, options, self.lines))
            progress(f"wrote {path}")


def transcribe(args: argparse.Namespace, out: TextIO) -> int:
    """Transcribe every file in turn; 1 if any of them failed."""
    from maxwhisper.audio import decode

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
                waveform = decode(recording)
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
                    raise  # it cannot be loaded: nothing can be transcribed
                report(error, about=None if is_one else recording)
                document["error"] = str(error)
            documents.append(document)
    finally:  # what is done is answered, whatever ends it early
        if args.json:
            _answer(documents, is_one, out)
    return 1 if any("error" in document for document in documents) else 0


def _answer(documents: Sequence[dict[str, Any]], is_one: bool, out: TextIO) -> None:
    """The one transcript, or an entry for each recording; nothing where there is nothing to say."""
    if not is_one and documents:
        out.write(json_text({"transcripts": documents}))
    elif is_one and documents and "text" in documents[0]:
        out.write(json_text(documents[0]))


def _outputs(args: argparse.Namespace, options: TranscribeOptions) -> Outputs:
    """Both flags have openai-whisper's defaults as soon as one of them is given."""
    wants_files = args.output_format is not None or args.output_dir is not None
    chosen = args.output_format or "all"
    formats = (ALL if chosen == "all" else (chosen,)) if wants_files else ()
    lines = line_options_from(args).validate(formats, options)
    outputs = Outputs(formats, args.output_dir or Path(), lines)
    outputs.require_distinct(args.files)
    if formats:  # what cannot be written is known before anything is transcribed
        make_folder(outputs.folder)
    return outputs


def mode_of(args: argparse.Namespace) -> dict[str, Any]:
    """How `Engine.transcribe` is to read, beyond the options; empty where nothing is asked for. An
    engine that cannot says so itself."""
    in_batches = args.batch_size is not None  # where speech is looked for unasked
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
    """Segments are printed to `out`, where there is one, as they are found."""

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
