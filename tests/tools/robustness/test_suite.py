"""Cases are counted as they went; the record and its page say so."""

import pytest

from maxwhisper.cli.output import json_text
from maxwhisper.evaluation.records import written_below
from tools.robustness.__main__ import DOCUMENT, RECORDS, START
from tools.robustness.record import RobustnessRecord, report
from tools.robustness.suite import Case, SuiteRun, Unexpected, run_suite


def fail_as_expected() -> None:
    raise Unexpected("expected 404, got 200")


def break_down() -> None:
    raise KeyError("path")


class Suite:
    """Two groups; two of four cases fail."""

    BAR = "all refused"

    @staticmethod
    def cases(run):
        yield Case("files", "one", lambda: None)
        yield Case("files", "two", fail_as_expected)
        yield Case("routes", "three", break_down)
        yield Case("routes", "four", lambda: run.measure("seconds", 1.5))


def test_failures_are_counted_and_named():
    lines: list[str] = []
    record = run_suite("perimeter", Suite, SuiteRun(), lines.append)
    assert (record.n_cases, record.n_passed, record.is_met) == (4, 2, False)
    assert record.measured == {"seconds": 1.5}
    assert lines[0] == "files: two: expected 404, got 200"
    assert "KeyError" in lines[1]
    assert "break_down" in lines[1]
    assert "| perimeter | all refused | 4 | 2 | **no** |" in report([record])


def test_a_short_run_meets_no_bar():
    class Good(Suite):
        @staticmethod
        def cases(run):
            yield Case("files", "one", lambda: None)

    assert run_suite("x", Good, SuiteRun()).is_met
    assert not run_suite("x", Good, SuiteRun(is_short=True)).is_met


def test_a_suite_without_cases_meets_no_bar():
    class Empty(Suite):
        @staticmethod
        def cases(run):
            yield from ()

    assert not run_suite("x", Empty, SuiteRun()).is_met


def test_a_record_that_hides_a_failure_is_refused(tmp_path):
    record = run_suite("perimeter", Suite, SuiteRun())
    record.failures.pop()
    path = tmp_path / "record.json"
    path.write_text(json_text(record.to_dict()))
    with pytest.raises(Exception, match="expected 2 failures, got 1"):
        RobustnessRecord.load(path)


def test_the_page_is_written_from_the_records():
    text = DOCUMENT.read_text(encoding="utf-8")
    tables = report(RobustnessRecord.load_all(RECORDS))
    assert text == written_below(START, text, tables), "run: python -m tools.robustness report"
