"""`python -m tools.archive_scale`: measure the stage costs of an archive's run, or write the page
with the simulation that follows from them."""

import argparse
import sys
from pathlib import Path

from maxwhisper.checkpoint import DEFAULT_MODEL
from maxwhisper.cli.output import json_text, write_file
from maxwhisper.evaluation.records import written_below
from tools.archive_scale.measure import measure
from tools.archive_scale.record import ScaleRecord
from tools.archive_scale.report import report

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "results" / "archives" / "cpu-2-threads.json"
DOCUMENT = ROOT / "docs" / "ten_thousand_hours.md"
START = "<!-- written by `python -m tools.archive_scale report` -->"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.archive_scale", description=__doc__)
    parser.add_argument("what", choices=("measure", "report"))
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=RECORD, help="the record")
    options = parser.parse_args()
    if options.what == "measure":
        record = measure(
            options.model,
            options.device,
            options.rounds,
            lambda line: print(line, file=sys.stderr, flush=True),
        )
        write_file(options.output, json_text(record.to_dict()))
        print(report(record))
        return
    page = DOCUMENT.read_text(encoding="utf-8")
    write_file(DOCUMENT, written_below(START, page, report(ScaleRecord.load(options.output))))


if __name__ == "__main__":
    main()
