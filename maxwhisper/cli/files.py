"""The files that `transcribe` writes: one for each recording and format, beside it or in a folder.

In: parsed arguments and sources. Out: files, each written in one step.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maxwhisper.archive.sources import Source
from maxwhisper.cli.flags import line_options_from
from maxwhisper.cli.output import progress, shown, write_file
from maxwhisper.errors import OptionError
from maxwhisper.options import LineOptions, TranscribeOptions
from maxwhisper.paths import make_folder
from maxwhisper.text.writers import ALL, extension, render
from maxwhisper.transcript import Transcript


@dataclass(frozen=True)
class Outputs:
    """The files to write for each recording: one per format. Without `folder`, beside it."""

    formats: tuple[str, ...]
    folder: Path | None
    lines: LineOptions
    options: TranscribeOptions

    def paths(self, source: Source) -> dict[str, Path]:
        """The files of one recording, by format."""
        folder = source.folder if self.folder is None else self.folder / source.subfolder
        return {name: folder / f"{source.stem}.{extension(name)}" for name in self.formats}

    def exist(self, source: Source) -> bool:
        """True if every file of the recording is there."""
        return all(path.is_file() for path in self.paths(source).values())

    def prepare(self, sources: Sequence[Source]) -> None:
        """Check what can be checked before anything is transcribed.

        Raises `OptionError` if two recordings would be written to the same file, and `OutputError`
        for a folder that is not writable.
        """
        counts = Counter(path for source in sources for path in self.paths(source).values())
        for path, count in counts.most_common(1):
            if count > 1:
                raise OptionError(
                    f"{count} recordings would be written to {shown(str(path))}: rename one"
                )
        if self.folder is not None:
            make_folder(self.folder)
        for folder in {path.parent for path in counts if path.parent.is_dir()}:
            make_folder(folder)

    def write(self, source: Source, transcript: Transcript) -> None:
        """Write the files of a recording; raises `OutputError`."""
        for name, path in self.paths(source).items():
            write_file(path, render(transcript, name, self.options, self.lines))
            progress(f"wrote {shown(str(path))}")


def outputs_from(args: argparse.Namespace, options: TranscribeOptions) -> Outputs:
    """The output files of a command line: all formats if only a folder is given, else none.

    Raises `OptionError` for formats that have the same file, and for flags without an effect.
    """
    named = [name for given in args.output_format or () for name in given.split(",")]
    if not named and args.output_dir is not None:
        named = ["all"]
    formats = tuple(dict.fromkeys(n for name in named for n in (ALL if name == "all" else (name,))))
    if {"json", "verbose_json"} <= set(formats):
        raise OptionError("json and verbose_json would be written to the same file: choose one")
    if args.resume and not formats:
        raise OptionError("--resume looks for output files: give --output_format or --output_dir")
    lines = line_options_from(args).validate(formats, options)
    return Outputs(formats, args.output_dir, lines, options)
