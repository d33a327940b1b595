"""What a run does with every recording: model, settings, and where its text goes.

In: the settings of a command line. Out: a `Job`, the key of a recording's result, and the names of
its files. A job is a value: it is sent to other processes as it is.
"""

import hashlib
import json
import os
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from maxwhisper.archive import places
from maxwhisper.archive.sources import Source
from maxwhisper.errors import OptionError
from maxwhisper.options import PAUSES, LineOptions, TranscribeOptions, VadOptions
from maxwhisper.text import writers

PARQUET = "parquet"  # one table of all recordings; every other format is a file for each
FORMATS = (*writers.FORMATS, "jsonl", PARQUET)
TEMPLATE = "{folder}/{stem}.{format}"
FIELDS = {
    "folder": "its folder below the folder that was named",
    "source": "its folder",
    "stem": "its name without ending",
    "name": "its name",
    "format": "the ending of the format",
}
MAX_HOURS = 24.0


@dataclass(frozen=True)
class Job:
    """How recordings are transcribed, and what is written.

    `digest` is the sha256 of the weights. With a `batch_size`, windows of all recordings are
    decoded together. `output` is a folder or an address; `template` names files in it, with
    `FIELDS` in braces. A recording of more than `max_seconds` is set aside.
    """

    engine: str
    model: str
    digest: str
    dtype: str
    output: str
    options: TranscribeOptions = field(default_factory=TranscribeOptions)
    batch_size: int | None = 8
    vad: VadOptions | bool | None = None
    formats: tuple[str, ...] = ("txt", "json")
    template: str = TEMPLATE
    lines: LineOptions = field(default_factory=LineOptions)
    max_seconds: float = MAX_HOURS * 3600

    @property
    def mode(self) -> dict[str, Any]:
        """The arguments `batch_size` and `vad` of an engine, if they are not its defaults."""
        given = {"batch_size": self.batch_size, "vad": self.vad}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def file_formats(self) -> tuple[str, ...]:
        """The formats with a file for each recording."""
        return tuple(name for name in self.formats if name != PARQUET)

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that the text depends on, but for the audio. The size of a batch is not part
        of it: windows do not depend on each other."""
        vad: Any = self.vad
        if self.batch_size is not None and vad in (None, True):
            vad = PAUSES
        return {
            "engine": self.engine,
            "model": self.model,
            "digest": self.digest,
            "dtype": self.dtype,
            "in_batches": self.batch_size is not None,
            "vad": asdict(vad) if isinstance(vad, VadOptions) else vad,
            "options": self.options.to_dict(),
        }

    @property
    def settings_hash(self) -> str:
        """16 hexadecimal digits: equal if two runs would write the same text."""
        text = json.dumps(self.settings, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def key(self, sha256: str) -> str:
        """The key of a result: audio × model × settings."""
        return hashlib.sha256(f"{sha256} {self.settings_hash}".encode()).hexdigest()

    def files(self, source: Source) -> dict[str, str]:
        """The files of one recording, by format."""
        folder, _, name = source.address.rpartition("/")
        stem = name.rpartition(".")[0] or name
        fields = {"folder": str(source.subfolder), "source": folder, "stem": stem, "name": name}
        found = {}
        for each in self.file_formats:
            ending = "jsonl" if each == "jsonl" else writers.extension(each)
            path = self.template.format(**fields, format=ending)
            found[each] = places.join(self.output, os.path.expanduser(path))
        return found

    def check(self, sources: Sequence[Source]) -> None:
        """Raise `OptionError` for formats or a template that do not work with these recordings."""
        if {"json", "verbose_json"} <= set(self.formats):
            raise OptionError("json and verbose_json would be written to the same file: choose one")
        _check_template(self.template, FIELDS)
        counts = Counter(path for source in sources for path in self.files(source).values())
        for path, count in counts.most_common(1):
            if count > 1:
                raise OptionError(
                    f"{count} recordings would be written to {path}: "
                    "give --template '{folder}/{name}.{format}', or rename one"
                )


def _check_template(template: str, known: Mapping[str, str]) -> None:
    fields = ", ".join(f"{{{name}}}" for name in known)
    try:
        named = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise OptionError(f"expected a template with {fields}, got {template!r}: {error}") from None
    for name in named:
        if name not in known:
            raise OptionError(f"expected {fields} in --template, got {{{name}}}")
    if not {"stem", "name"} & set(named) or "format" not in named:
        raise OptionError(
            f"expected {{stem}} or {{name}}, and {{format}}, in --template, got {template!r}: "
            "without them recordings would share a file"
        )
