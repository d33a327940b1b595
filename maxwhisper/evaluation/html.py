"""The one configuration of Jinja2: every value is escaped, and a missing one is an error."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from maxwhisper.palette import colour, stage_colour


def environment(folder: Path) -> Environment:
    """Templates in `folder`, with the filters `colour` (of an engine) and `stage_colour`."""
    made = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,  # a misspelt name is an error, not an empty space
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"colour": colour, "stage_colour": stage_colour}
    return made
