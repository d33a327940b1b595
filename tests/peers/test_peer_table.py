"""docs/peers.md is correct: the tests it names exist, and need weights if it says so."""

import ast
import functools
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


# openai-whisper's normaliser, imported from its package, and jiwer's counts.
THEIRS = {"normalize", "word_error_rate"}
# Methods of a network, its decoder and an engine: a class of the tests with one is a stand-in.
ANSWERS = {"log_mel", "encode", "prefill", "step", "transcribe"}


@functools.cache
def definitions(path):
    """{name: node} of the functions and classes of a test file, of the fixtures of its folders, and
    of what both import from other files of the tests."""
    found = {}
    if path.rpartition("/")[2].startswith("test_"):
        for folder in [*Path(path).parents][-2::-1]:  # tests, then the folders in it
            if (ROOT / folder / "conftest.py").is_file():
                found |= definitions(f"{folder}/conftest.py")
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests."):
            for each in node.names:
                of_module = f"{node.module}.{each.name}".replace(".", "/") + ".py"
                of_name = node.module.replace(".", "/") + ".py"
                if (ROOT / of_module).is_file():  # "fakes.Teller" of `from tests import fakes`
                    theirs = definitions(of_module)
                    found |= {f"{each.asname or each.name}.{key}": theirs[key] for key in theirs}
                elif (ROOT / of_name).is_file():
                    theirs = definitions(of_name)
                    # What an imported helper needs in its own file.
                    found |= {key: theirs[key] for key in theirs if key not in found}
                    found |= {each.asname or each.name: theirs.get(each.name)}
    found = {name: node for name, node in found.items() if node is not None}
    for node in ast.parse((ROOT / path).read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found[node.name] = node
    return found


def reached(path, node, seen=frozenset()):
    """Every function and class of the tests that a test uses: by name, as a fixture, or through
    those."""
    known = definitions(path)
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    names |= {ast.unparse(n) for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    if isinstance(node, ast.FunctionDef):
        names |= {argument.arg for argument in node.args.args}  # fixtures
    found = set(seen)
    for name in sorted(names & known.keys()):
        if known[name] not in found:
            found.add(known[name])
            found |= reached(path, known[name], frozenset(found))
    return found


def answers_itself(path, node):
    """Whether a class is a stand-in for a network or an engine, by itself or by its base."""
    if not isinstance(node, ast.ClassDef):
        return False
    methods = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
    known = definitions(path)
    bases = [known[n.id] for n in node.bases if isinstance(n, ast.Name) and n.id in known]
    return bool(methods & ANSWERS) or any(answers_itself(path, base) for base in bases)


def node_of(name):
    """File and node of the test `tests/…::test_…`."""
    path, _, function = name.partition("::")
    body = ast.parse((ROOT / path).read_text()).body
    (found,) = (n for n in body if isinstance(n, ast.FunctionDef) and n.name == function)
    return path, found


def is_scripted(name):
    """Whether a stand-in answers in a test: in its body, or behind helpers and fixtures."""
    path, node = node_of(name)
    inner = [n for n in ast.walk(node) if isinstance(n, ast.ClassDef)]
    return any(answers_itself(path, each) for each in [*inner, *reached(path, node)])


def called_by(name):
    """The functions that a test calls by name."""
    calls = [n.func for n in ast.walk(node_of(name)[1]) if isinstance(n, ast.Call)]
    return {n.id for n in calls if isinstance(n, ast.Name)}


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
    is_script = all(is_scripted(name) for name in row.ours)
    is_theirs = all((calls := called_by(name)) and calls <= THEIRS for name in row.ours)
    expected = "passes on a script" if is_script else "by construction" if is_theirs else "passes"
    assert kind == expected


def test_stand_ins_are_found_behind_helpers_and_fixtures():
    for name, is_script in (
        # a class in the test, a helper of its file, a fixture of its file
        ("tests/transcribe/test_batched.py::test_silent_windows_are_skipped", True),
        ("tests/transcribe/test_live_window.py::test_the_language_is_heard_once", True),
        ("tests/archive/test_batch.py::test_a_dry_run_writes_nothing", True),
        ("tests/runtime/test_probe.py::test_it_takes_a_moment", False),
        ("tests/transcribe/test_batched_twins.py::test_few_words_are_lost_in_batches", False),
    ):
        assert is_scripted(name) is is_script, name


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
