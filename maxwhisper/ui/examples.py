"""The bundled clips a visitor can race without a recording of their own."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Example:
    """One clip of `clips.json`; `text` is what is said in it, empty for clips without speech."""

    path: Path
    title: str
    description: str
    duration_s: float
    text: str


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
