"""Planted defects: the list fits the source, and the harness tells caught from survived."""

import ast
import re
import subprocess
from dataclasses import replace

import pytest

from maxwhisper.evaluation.records import written_below
from tools.defects.__main__ import DOCUMENT, RECORDS, START
from tools.defects.catalog import ROOT, Defect, load
from tools.defects.plant import Unusable, try_all
from tools.defects.record import DefectsRecord, report

DEFECTS = load()
GOAL = 40


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_the_text_of_a_defect_is_once_in_its_file(defect):
    text = defect.planted((ROOT / defect.file).read_text(encoding="utf-8"))
    assert defect.old != defect.new
    if defect.file.endswith(".py"):
        ast.parse(text)  # a file that cannot be read is noticed by any test


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_the_tests_of_a_defect_exist(defect):
    for test in defect.tests:
        file, _, name = test.partition("::")
        source = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"^def {name.partition('[')[0]}", source, re.MULTILINE), test


def test_a_stale_list_is_an_error():
    defect = replace(DEFECTS[0], old="no such text")
    with pytest.raises(ValueError, match=r"expected 'no such text' once in .*, found 0"):
        defect.planted("text")
    with pytest.raises(ValueError, match="found 2"):
        replace(defect, old="e").planted("eye")


SOURCE = "def double(x):\n    return 2 * x\n\n\ndef half(x):\n    return x / 2\n"
TESTS = """
import pytest
from things import double, half

def test_double():
    assert double(3) == 6

def test_half():
    assert half(0) == 0

def test_skipped():
    pytest.skip("not here")
"""


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "things.py").write_text(SOURCE)
    (tmp_path / "test_things.py").write_text(TESTS)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def defect(old, new, test):
    return Defect(new, "numbers", "wrong", "things.py", old, new, (f"test_things.py::{test}",))


def test_a_defect_is_caught_or_survives_and_the_tree_stays_as_it_is(tree):
    defects = [
        defect("return 2 * x", "return 3 * x", "test_double"),
        defect("return x / 2", "return x / 3", "test_half"),
        defect("return 2 * x", "return 1 / 0", "test_double"),
    ]
    lines = []
    found = try_all(defects, lines.append, tree)
    assert [result.verdict for result in found] == ["caught", "survived", "caught"]
    assert [result.caught_by for result in found] == [
        ["test_things.py::test_double"],
        [],
        ["test_things.py::test_double"],
    ]
    assert lines[1].startswith("survived  numbers: return x / 3")
    assert (tree / "things.py").read_text() == SOURCE


@pytest.mark.parametrize("test", ["test_skipped", "test_absent"])
def test_tests_that_say_nothing_are_an_error(tree, test):
    with pytest.raises(Unusable, match="expected tests that pass without a defect"):
        try_all([defect("return 2 * x", "return 3 * x", test)], root=tree)


def test_every_defect_was_tried_as_it_is_and_caught():
    records = [DefectsRecord.load(path) for path in RECORDS.glob("*.json")]
    results = [result for record in records for result in record.results]
    tried = {(result.name, result.digest) for result in results}
    assert len(results) == len(tried)
    assert tried == {(each.name, each.digest) for each in DEFECTS}
    assert [result.name for result in results if result.verdict != "caught"] == []
    assert len(results) >= GOAL


@pytest.mark.parametrize("field", ["file", "old", "new", "tests"])
def test_an_edited_defect_counts_as_not_tried(field):
    first = DEFECTS[0]
    records = [DefectsRecord.load(RECORDS / f"{first.area}.json")]
    same = report(records, [first])
    assert same.startswith("**1 of 1 caught.**")
    assert "not tried" not in same
    other = ("tests/other.py::test_other",) if field == "tests" else "other"
    edited = report(records, [replace(first, **{field: other})])
    assert edited.startswith("**0 of 1 caught.**")
    assert "| **not tried** | – | – |" in edited


def test_the_page_is_written_from_the_records():
    text = DOCUMENT.read_text(encoding="utf-8")
    tables = report(DefectsRecord.load_all(RECORDS), DEFECTS)
    assert text == written_below(START, text, tables), "run: python -m tools.defects report"
