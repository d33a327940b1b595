"""Component checks: one implementation for the page's tab, the command line and pytest.

`catalog()` lists them without loading anything; `checks.run_checks` runs them on an engine.
"""

from maxwhisper.selftest.catalog import CATALOG


def catalog() -> list[tuple[str, str, str]]:
    """(name, group, about) of every check, in the order they run."""
    return [(check.name, check.group, check.about) for check in CATALOG]
