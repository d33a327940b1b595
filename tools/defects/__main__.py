"""`python -m tools.defects`: plant the defects of an area, keep the record, or write the table."""

import argparse
import sys

from maxwhisper import machine
from maxwhisper.cli.output import json_text, write_file
from maxwhisper.evaluation.records import written_below
from tools.defects.catalog import ROOT, load
from tools.defects.plant import Unusable, try_all
from tools.defects.record import DefectsRecord, report

RECORDS = ROOT / "results" / "defects"
DOCUMENT = ROOT / "docs" / "defects.md"
START = "<!-- written by `python -m tools.defects report` -->"


def main() -> None:
    defects = load()
    areas = list(dict.fromkeys(defect.area for defect in defects))
    parser = argparse.ArgumentParser(prog="python -m tools.defects", description=__doc__)
    parser.add_argument("area", choices=(*areas, "report"), nargs="+")
    parser.add_argument("--only", help="the defects whose name contains this; keeps no record")
    parser.add_argument("--keep", action="store_true", help=f"write the records to {RECORDS.name}/")
    options = parser.parse_args()
    n_survived = 0
    for area in options.area:
        if area == "report":
            page = DOCUMENT.read_text(encoding="utf-8")
            tables = report(DefectsRecord.load_all(RECORDS), defects)
            write_file(DOCUMENT, written_below(START, page, tables))
            continue
        chosen = [d for d in defects if d.area == area and (options.only or "") in d.name]
        described = machine.describe()  # of the code that is tried
        try:
            results = try_all(chosen, lambda line: print(line, flush=True))
        except (Unusable, ValueError) as error:
            sys.exit(f"{area}: {error}")
        record = DefectsRecord(area=area, machine=described, results=results)
        n_survived += sum(result.verdict == "survived" for result in results)
        if options.keep and not options.only:
            write_file(RECORDS / f"{area}.json", json_text(record.to_dict()))
    sys.exit(n_survived > 0)


if __name__ == "__main__":
    main()
