"""docs/peers.md is correct: the tests it names exist, and need weights if it says so."""

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PEERS = Path(__file__).parent
PROVE_LITTLE = ("passes on a script", "by construction")
PAGE = (ROOT / "docs" / "peers.md").read_text()


class Row(NamedTuple):
    """A line of a table: the peer's test, what it checks, our tests, and the state."""

    theirs: str
    asks: str
    ours: tuple[str, ...]
    state: str


def rows():
    found = []
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0] not in ("their test", "---"):
            theirs, asks, ours, state = cells
            found.append(Row(theirs, asks, tuple(re.findall(r"`([^`]+)`", ours)), state))
    return found


# Stand-ins that answer what a test wants to hear, by name.
SCRIPTED = {"HearingNetwork", "OneLanguage", "Sentences", "WithoutTimes"}
# openai-whisper's normaliser, imported from its package, and jiwer's counts.
THEIRS = {"normalize", "word_error_rate"}


def names_in(name):
    """Every name in the test `tests/…::test_…`, and those of the functions that it calls."""
    path, _, function = name.partition("::")
    body = ast.parse((ROOT / path).read_text()).body
    (found,) = (n for n in body if isinstance(n, ast.FunctionDef) and n.name == function)
    called = [n.func for n in ast.walk(found) if isinstance(n, ast.Call)]
    names = {n.id for n in ast.walk(found) if isinstance(n, ast.Name)}
    return names, {n.id for n in called if isinstance(n, ast.Name)}


def functions_of(path):
    """{name: whether it needs weights} of the test functions in a file."""
    module = ast.parse(path.read_text())
    all_wait = any(
        isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == "pytestmark"
        and "mark.weights" in ast.unparse(node.value)
        for node in module.body
    )
    return {
        node.name: all_wait or any(ast.unparse(d) == "pytest.mark.weights" for d in decorators)
        for node in module.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        for decorators in [node.decorator_list]
    }


def waits_for_weights(name):
    """Whether the test `tests/…::test_…` needs weights. Fails if there is no such test."""
    path, _, function = name.partition("::")
    return functions_of(ROOT / path)[function]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.theirs)
def test_a_row_is_true(row):
    assert row.asks
    kind, _, reason = row.state.partition(": ")
    assert kind in ("passes", *PROVE_LITTLE, "needs weights", "not applicable")
    assert bool(reason) is (kind in ("by construction", "not applicable"))
    assert row.ours or kind == "not applicable"
    waiting = {name: waits_for_weights(name) for name in row.ours}
    if kind != "not applicable":
        assert set(waiting.values()) == {kind == "needs weights"}, waiting


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.theirs)
def test_a_row_that_passes_by_construction_says_so(row):
    """If stand-ins give all of the answers, or all that runs is the peer's own code."""
    kind = row.state.partition(": ")[0]
    if kind in ("needs weights", "not applicable"):
        return
    found = [names_in(name) for name in row.ours]
    is_script = all(names & SCRIPTED for names, _ in found)
    is_theirs = all(calls and calls <= THEIRS for _, calls in found)
    expected = "passes on a script" if is_script else "by construction" if is_theirs else "passes"
    assert kind == expected


def test_every_test_on_the_page_exists():
    """In the paragraphs too."""
    named = re.findall(r"tests/[\w/]+\.py(?:::\w+)?", PAGE)
    assert len(named) > 100
    for name in named:
        path, _, function = name.partition("::")
        assert (ROOT / path).is_file(), name
        assert not function or function in functions_of(ROOT / path), name


def test_every_peer_test_is_on_the_page():
    named = {name for row in rows() for name in row.ours}
    for path in sorted(PEERS.glob("test_*.py")):
        if path != Path(__file__):
            ours = {f"tests/peers/{path.name}::{name}" for name in functions_of(path)}
            assert ours
            assert ours <= named, sorted(ours - named)
