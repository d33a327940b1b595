"""The table of an archive: Parquet files with a row for each segment.

In: entries and transcripts. Out: files of `segments/`, each written in one step and named in the
manifest by the recordings in it. A file that no entry names is from a run that was killed, and is
deleted. pyarrow is imported when a table is opened.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import BytesIO
from typing import Any

from maxwhisper.archive import places
from maxwhisper.archive.job import Job
from maxwhisper.archive.manifest import Entry
from maxwhisper.errors import OptionError
from maxwhisper.transcript import Transcript

FOLDER = "segments"


class Table:
    """The Parquet files of one output folder."""

    def __init__(self, job: Job) -> None:
        try:
            import pyarrow.parquet
        except ImportError as error:
            raise OptionError(
                "--format parquet needs pyarrow: pip install 'maxwhisper[archive]'"
            ) from error
        self._arrow = pyarrow
        self._job = job
        self._schema = _schema(pyarrow, job)

    def write(self, name: str, done: Sequence[tuple[Entry, Transcript]]) -> None:
        """Write the segments of recordings to a file. Raises `OutputError`."""
        rows = [row for entry, transcript in done for row in self._rows(entry, transcript)]
        self._write(name, self._arrow.Table.from_pylist(rows, schema=self._schema))

    def clean(self, entries: Mapping[str, Entry]) -> None:
        """Delete files that no entry names, and rows of recordings that are in a newer file."""
        named = {entry.part for entry in entries.values() if entry.part}
        for name in self.names():
            if name not in named:
                self._remove(name)
                continue
            table = self._read(name)
            sources = table.column("source").to_pylist()
            is_newest = [
                entries[each].part == name if each in entries else True for each in sources
            ]
            if not all(is_newest):
                self._write(name, table.filter(self._arrow.array(is_newest)))

    def names(self) -> list[str]:
        """The names of all files, as entries have them."""
        files, folder = places.file_system(self._folder)
        if not files.exists(folder):
            return []
        found = (path.rpartition("/")[2] for path in files.ls(folder, detail=False))
        return sorted(name for name in found if name.endswith(".parquet"))

    @property
    def _folder(self) -> str:
        return places.join(self._job.output, FOLDER)

    def _address(self, name: str) -> str:
        return places.join(self._folder, name)

    def _remove(self, name: str) -> None:
        files, path = places.file_system(self._address(name))
        files.rm_file(path)

    def _read(self, name: str) -> Any:
        files, path = places.file_system(self._address(name))
        return self._arrow.parquet.read_table(BytesIO(files.cat_file(path)))

    def _write(self, name: str, table: Any) -> None:
        data = BytesIO()
        self._arrow.parquet.write_table(table, data, compression="zstd")
        places.write(self._address(name), data.getvalue())

    def _rows(self, entry: Entry, transcript: Transcript) -> list[dict[str, Any]]:
        of_recording = {
            "source": entry.source,
            "sha256": entry.sha256,
            "key": entry.key,
            "engine": self._job.engine,
            "model": self._job.model,
            "settings": entry.settings,
            "language": transcript.language,
            "duration": transcript.duration,
        }
        return [of_recording | asdict(segment) for segment in transcript.segments]


def _schema(arrow: Any, job: Job) -> Any:
    """A column for each field of a segment, after those of its recording."""
    text, number, whole = arrow.string(), arrow.float64(), arrow.int32()
    words = [("word", text), ("start", number), ("end", number), ("probability", number)]
    columns = [
        *((n, text) for n in ("source", "sha256", "key", "engine", "model", "settings")),
        *(("language", text), ("duration", number)),
        *(("id", whole), ("seek", arrow.int64()), ("start", number), ("end", number)),
        *(("text", text), ("tokens", arrow.list_(whole)), ("temperature", number)),
        *((n, number) for n in ("avg_logprob", "compression_ratio", "no_speech_prob")),
        ("words", arrow.list_(arrow.struct(words))),
    ]
    return arrow.schema(columns, metadata={"maxwhisper": json.dumps(job.settings)})
