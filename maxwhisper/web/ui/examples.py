"""The bundled clips that a visitor can race without a recording."""

import json
from dataclasses import dataclass
from pathlib import Path

from maxwhisper.text.wer import NOTHING_SAID


@dataclass(frozen=True)
class Example:
    """One clip of `clips.json`; `text` is its correct transcript, empty if nobody speaks."""

    path: Path
    title: str
    description: str
    duration_s: float
    text: str

    @property
    def reference(self) -> str:
        """What engines are scored against. For a clip without speech this is `NOTHING_SAID`."""
        return self.text or NOTHING_SAID


def load_examples(folder: Path) -> tuple[Example, ...]:
    """The clips listed in `folder`/clips.json, in its order; none if the file is missing."""
    listing = folder / "clips.json"
    if not listing.is_file():
        return ()
    return tuple(
        Example(
            path=(folder / entry["file"]).resolve(),
            title=entry["title"],
            description=entry["description"],
            duration_s=float(entry["duration_s"]),
            text=entry["text"],
        )
        for entry in json.loads(listing.read_text(encoding="utf-8"))
    )
