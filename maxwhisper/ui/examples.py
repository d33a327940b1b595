"""The bundled clips a visitor can race without a recording of their own."""

import json
from dataclasses import dataclass
from pathlib import Path

from maxwhisper.scoring import NOTHING_SAID


@dataclass(frozen=True)
class Example:
    """One clip of `clips.json`; `text` is what is said in it, empty for clips without speech."""

    path: Path
    title: str
    description: str
    duration_s: float
    text: str

    @property
    def reference(self) -> str:
        """What engines are scored against: that nobody speaks is known as well as words are."""
        return self.text or NOTHING_SAID


def load_examples(folder: Path) -> tuple[Example, ...]:
    """The clips listed in `folder`/clips.json, in its order; none when the list is missing."""
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
