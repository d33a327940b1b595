"""`python -m tools.licences` writes docs/licences.md: the licence of each installed package.

In: the pins of requirements.txt and what they bring along, as installed here. Out: a table below a
line. A licence is what the package says of itself.
"""

from importlib.metadata import PackageNotFoundError, distribution, metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from maxwhisper.cli.output import write_file
from maxwhisper.evaluation.records import written_below

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "licences.md"
START = "<!-- written by `python -m tools.licences` -->"
_CLASSIFIER = "License :: "


def main() -> None:
    write_file(DOCUMENT, written_below(START, DOCUMENT.read_text(encoding="utf-8"), table()))


def table() -> str:
    """A row for each package: asked for, or brought along by one that is."""
    asked_for = pinned()
    rows = [
        f"| {name} | {licence_of(name)} | {'asked for' if name in asked_for else 'brought along'} |"
        for name in sorted(with_requirements(asked_for))
    ]
    return "\n".join(["| package | licence | |", "|---|---|---|", *rows, ""])


def pinned() -> set[str]:
    """The packages of requirements.txt, by their canonical names."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.partition("#")[0] for line in lines]
    return {canonicalize_name(Requirement(pin).name) for pin in pins if "==" in pin}


def with_requirements(names: set[str]) -> set[str]:
    """`names` and what they require here, without extras, as far as it is installed."""
    found, todo = set[str](), sorted(names)
    while todo:
        name = canonicalize_name(todo.pop())
        if name in found:
            continue
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # of another platform
        found.add(name)
        for each in map(Requirement, needs):
            if each.marker is None or each.marker.evaluate({"extra": ""}):
                todo.append(each.name)
    return found


def licence_of(name: str) -> str:
    """What a package says: an SPDX expression, else its classifiers, else a first line."""
    told = metadata(name)
    if "License-Expression" in told:
        return told["License-Expression"]
    classifiers = told.get_all("Classifier") or []
    endings = [each.split(" :: ")[-1] for each in classifiers if each.startswith(_CLASSIFIER)]
    first_lines = (told["License"].strip().splitlines() if "License" in told else [])[:1]
    return ", ".join(endings or first_lines) or "not said"


if __name__ == "__main__":
    main()
