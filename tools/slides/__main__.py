"""`python -m tools.slides results/*.json --output docs/slides/index.html`, or `make slides`.

In: benchmark records, and the evaluation of the bundled checkpoint. Out: the deck.
"""

import argparse
import glob
import sys
from collections.abc import Sequence
from pathlib import Path

from maxwhisper.errors import RecordError
from maxwhisper.evaluation.bench.record import BenchRecord
from tools.slides.deck import deck
from tools.train_demo.record import Evaluation

ROOT = Path(__file__).parents[2]
EVALUATION = ROOT / "maxwhisper" / "assets" / "demo" / "evaluation.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Write the deck. Returns 1, with one line on standard error, if a file is not a record."""
    parser = argparse.ArgumentParser(prog="python -m tools.slides", description=__doc__)
    parser.add_argument("records", nargs="*", metavar="RECORD", help="files of `bench --output`")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/slides/index.html")
    args = parser.parse_args(argv)
    # The shell passes a pattern without matches unchanged: there are no records yet.
    paths = [path for name in args.records for path in sorted(glob.glob(name)) or _plain(name)]
    try:
        evaluation = Evaluation.load(EVALUATION)
        records = [BenchRecord.load(Path(path)) for path in paths]
    except RecordError as error:
        print(error, file=sys.stderr)
        return 1
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(deck(records, evaluation), encoding="utf-8")
    print(f"{args.output}: slides from {len(records)} record(s)")
    return 0


def _plain(name: str) -> list[str]:
    return [] if glob.has_magic(name) else [name]


if __name__ == "__main__":
    sys.exit(main())
