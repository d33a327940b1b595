"""A skip that is not on the list fails a run of CI; one that is on it is counted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.skips import FLAG, LISTED

ROOT = Path(__file__).parents[1]
WEIGHTS = "tests/peers/test_words.py", "tiny is not on disk: `python -m maxwhisper models get tiny`"
SILENT = "tests/test_network.py", "the recordings are not where I looked"


def ci(folder, *skipped, flags=(FLAG,)):
    """(exit status, output) of pytest on files that are skipped so, beside a test that passes."""
    for name, says in (*skipped, ("tests/test_passes.py", "")):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        skip = f"pytest.skip({says!r})" if says else "pass"
        file.write_text(f"import pytest\n\ndef test_it():\n    {skip}\n")
    arguments = ["-p", "tests.skips", "-p", "no:cacheprovider", f"--rootdir={folder}", "-q", *flags]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, str(folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    return ended.returncode, ended.stdout


def test_a_listed_skip_is_counted(tmp_path):
    status, output = ci(tmp_path, WEIGHTS)
    assert status == 0, output
    assert "1 in all, each on the list" in output


def test_a_skip_that_is_not_listed_fails_the_run(tmp_path):
    status, output = ci(tmp_path, WEIGHTS, SILENT)
    assert status == 1, output
    assert f"NOT LISTED in tests/skips.py: {SILENT[0]}::test_it" in output


def test_a_file_that_skips_itself_is_counted_too(tmp_path):
    file = tmp_path / "tests" / "test_import.py"
    file.parent.mkdir()
    file.write_text('import pytest\n\npytest.importorskip("no_such_module")\n')
    status, output = ci(tmp_path)
    assert status == 1, output
    assert "tests/test_import.py: " in output


def test_without_the_flag_nothing_changes(tmp_path):
    assert ci(tmp_path, SILENT, flags=())[0] == 0


@pytest.mark.parametrize("skip", LISTED, ids=lambda skip: f"{skip.tests}: {skip.says}")
def test_every_line_names_tests_that_exist(skip):
    file, _, function = skip.tests.partition("::")
    found = [path for path in ROOT.glob(file.rstrip("*") + "*") if path.name != "__pycache__"]
    assert found
    name = function.rstrip("*")
    assert any(f"def {name}" in path.read_text() for path in found if path.is_file()) or not name


def test_ci_asks_for_the_list():
    assert FLAG in (ROOT / ".ci" / "run").read_text()
