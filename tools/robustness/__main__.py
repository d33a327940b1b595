"""`python -m tools.robustness`: run one suite and keep its record, or write the table."""

import argparse
import importlib
import sys
from pathlib import Path
from typing import cast

from maxwhisper.cli.output import json_text, write_file
from maxwhisper.evaluation.records import written_below
from tools.robustness.page import ROOT
from tools.robustness.record import RobustnessRecord, report
from tools.robustness.suite import Suite, SuiteRun, run_suite

SUITES = (
    *("bad_inputs", "perimeter", "caches", "faults", "load", "flips", "archives", "fuzz"),
    *("homes", "callers"),
)
RECORDS = ROOT / "results" / "robustness"
DOCUMENT = ROOT / "docs" / "reliability.md"
START = "<!-- written by `python -m tools.robustness report` -->"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.robustness", description=__doc__)
    parser.add_argument("suite", choices=(*SUITES, "report"))
    parser.add_argument("--short", action="store_true", help="a sample that takes seconds")
    parser.add_argument("--output", type=Path, help="write the record as JSON")
    options = parser.parse_args()
    if options.suite == "report":
        page = DOCUMENT.read_text(encoding="utf-8")
        write_file(DOCUMENT, written_below(START, page, report(RobustnessRecord.load_all(RECORDS))))
        return
    record = run_named(options.suite, SuiteRun(options.short))
    print(report([record]))
    if options.output:
        write_file(options.output, json_text(record.to_dict()))
    sys.exit(record.n_passed != record.n_cases)


def run_named(name: str, run: SuiteRun) -> RobustnessRecord:
    """Run the suite called `name`, with a line on standard error for each failure."""
    suite = cast(Suite, importlib.import_module(f"tools.robustness.{name}"))
    return run_suite(name, suite, run, lambda line: print(line, file=sys.stderr, flush=True))


if __name__ == "__main__":
    main()
