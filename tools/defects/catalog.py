"""The list of defects, catalog.toml: what is changed where, and which tests must notice.

Out: `Defect`s. Applies none of them.
"""

import hashlib
import json
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

ROOT = Path(__file__).parents[2]
CATALOG = Path(__file__).with_name("catalog.toml")


@dataclass(frozen=True)
class Defect:
    """One change of one file. `tests` are ids of pytest that take seconds together."""

    name: str  # unique
    area: str  # "mel", "kernels"
    about: str  # what is wrong then, one clause
    file: str  # relative to the root
    old: str  # exactly once in the file
    new: str
    tests: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Of what is planted and who must notice: the result of an edited defect is another's."""
        tried = json.dumps([self.file, self.old, self.new, self.tests])
        return hashlib.sha256(tried.encode()).hexdigest()[:16]

    def planted(self, text: str) -> str:
        """The text of the file with the defect. Raises `ValueError` if `old` is not in it exactly
        once: the list is stale."""
        found = text.count(self.old)
        if found != 1:
            raise ValueError(
                f"{self.name}: expected {self.old!r} once in {self.file}, found {found}: "
                f"change {CATALOG.name}"
            )
        return text.replace(self.old, self.new)


def load(path: Path = CATALOG) -> list[Defect]:
    """All defects. Raises `ValueError` for a missing or unknown field, or a name used twice."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["defect"]
    known = {field.name for field in fields(Defect)}
    for entry in entries:
        if entry.keys() != known:
            raise ValueError(f"expected the fields {sorted(known)}, got {sorted(entry)}")
    defects = [Defect(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries]
    if len({defect.name for defect in defects}) < len(defects):
        raise ValueError(f"expected each name once in {path.name}")
    return defects
