"""Try defects one at a time, in a copy of the tree: the checkout itself is never changed.

In: defects. Out: for each, whether a test failed, which, and how long it took. Tests count only if
they pass without the defect, none skipped.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tools.defects.catalog import ROOT, Defect
from tools.defects.record import Result

TIMEOUT_S = 1200.0  # a changed kernel is compiled anew, which takes minutes
FAILED, PASSED = 1, 0  # exit codes of pytest


class Unusable(Exception):
    """Tests that say nothing: they fail or are skipped without a defect, or cannot be run."""


@dataclass(frozen=True)
class Outcome:
    """One run of pytest. `code` is None if it did not end in time."""

    code: int | None
    n_passed: int
    n_skipped: int
    failed: tuple[str, ...]
    tail: str  # of its output


@contextlib.contextmanager
def copied_tree(root: Path) -> Iterator[Path]:
    """A copy of the files that git tracks or would track, removed at the end."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    with tempfile.TemporaryDirectory(prefix="defects-") as made:
        copy = Path(made) / "tree"
        for name in filter(None, listed.split("\0")):
            if (root / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, copy / name)
        yield copy


def try_all(
    defects: Sequence[Defect],
    report: Callable[[str], None] = lambda line: None,
    root: Path = ROOT,
) -> list[Result]:
    """Plant each defect in a copy of `root` and run its tests; `report` receives a line for each.

    Raises `Unusable` if the tests do not pass without a defect, `ValueError` for a stale list.
    """
    with copied_tree(root) as tree:
        sources = {each.file: (tree / each.file).read_text(encoding="utf-8") for each in defects}
        planted = [each.planted(sources[each.file]) for each in defects]
        tests = list(dict.fromkeys(test for each in defects for test in each.tests))
        _require_sound(run_tests(tree, tests))
        results = []
        for defect, text in zip(defects, planted, strict=True):
            (tree / defect.file).write_text(text, encoding="utf-8")
            results.append(_tried(tree, defect))
            (tree / defect.file).write_text(sources[defect.file], encoding="utf-8")
            seconds = f"{results[-1].seconds:.1f} s"
            report(f"{results[-1].verdict:8}  {defect.area}: {defect.name} ({seconds})")
        return results


def _require_sound(outcome: Outcome) -> None:
    if outcome.code != PASSED or outcome.n_skipped or not outcome.n_passed:
        raise Unusable(
            f"expected tests that pass without a defect, none skipped, got exit code "
            f"{outcome.code}, {outcome.n_skipped} skipped, failed {list(outcome.failed)}\n"
            f"{outcome.tail}"
        )


def _tried(tree: Path, defect: Defect) -> Result:
    """The defect is planted: run its tests, up to the first that fails."""
    start_s = time.perf_counter()
    outcome = run_tests(tree, defect.tests)
    if outcome.code not in (FAILED, PASSED, None):
        raise Unusable(f"{defect.name}: pytest ended with {outcome.code}\n{outcome.tail}")
    return Result(
        name=defect.name,
        area=defect.area,
        about=defect.about,
        file=defect.file,
        digest=defect.digest,
        verdict="survived" if outcome.code == PASSED else "caught",
        caught_by=list(outcome.failed) or (["no end in time"] if outcome.code is None else []),
        seconds=round(time.perf_counter() - start_s, 1),
    )


def run_tests(tree: Path, tests: Sequence[str]) -> Outcome:
    """Run tests of `tree` in a process of their own, up to the first that fails."""
    summary = tree.parent / "summary.xml"
    summary.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", ""]
    process = subprocess.Popen(
        [*command, f"--junitxml={summary}", *tests],
        cwd=tree,
        env=_environment(tree),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    code: int | None = None
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
        code = process.returncode
    except subprocess.TimeoutExpired:
        output = ""
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and the engines that it started
        process.wait()
    return _outcome(code, summary, output[-3000:])


def _environment(tree: Path) -> dict[str, str]:
    """That of the child: its own cache and marks, so that no defect touches those of the user."""
    own = {"MAXWHISPER_CACHE": "cache", "XDG_STATE_HOME": "state"}
    return os.environ | {
        **{name: str(tree.parent / folder) for name, folder in own.items()},
        "PYTHONPATH": str(tree),
        # Sources change within a second: bytecode that is kept would be taken for the new one's.
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _outcome(code: int | None, summary: Path, tail: str) -> Outcome:
    cases = ElementTree.parse(summary).getroot().iter("testcase") if summary.exists() else ()
    failed, n_passed, n_skipped = [], 0, 0
    for case in cases:
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            failed.append(f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}")
        elif "skipped" in kinds:
            n_skipped += 1
        else:
            n_passed += 1
    return Outcome(code, n_passed, n_skipped, tuple(failed), tail)
