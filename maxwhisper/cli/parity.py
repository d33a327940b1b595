"""`parity`: compare maxwhisper with openai-whisper, case by case.

Input: parsed arguments and the answer stream. Output: an exit code; a record on standard output and
in a file, which is written every few seconds, so that an interrupted comparison can be resumed.
`--report` compares nothing and writes a document from a record.
"""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from maxwhisper import engine
from maxwhisper.cli.flags import whole_number
from maxwhisper.cli.output import answer, json_text, progress, write_file
from maxwhisper.errors import OptionError

if TYPE_CHECKING:
    from maxwhisper.evaluation.parity.record import ParityRecord

CHECKPOINTS = ("model", "multilingual", "v3")


def add_parity_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clips",
        type=Path,
        metavar="DIR",
        help="folder of recordings (default: the examples; without a clone, two of them)",
    )
    parser.add_argument("--limit", type=whole_number, metavar="N", help="only the first N clips")
    parser.add_argument(
        "--longest_s", type=_positive, metavar="S", help="leave out longer clips (default: 300)"
    )
    parser.add_argument(
        "--lengths",
        nargs="+",
        default=(),
        metavar="L",
        help="clips of such lengths too, made from the examples: 90s 5m",
    )
    parser.add_argument(
        "--checkpoints",
        nargs="+",
        choices=CHECKPOINTS,
        default=CHECKPOINTS,
        help="model is the checkpoint of --model, the others have random weights (default: all)",
    )
    parser.add_argument(
        "--option_sets", nargs="+", metavar="NAME", help="only these (default: all)"
    )
    parser.add_argument(
        "--minutes",
        type=_positive,
        metavar="M",
        help="start no case after so many; cases are spread over checkpoints and clips",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="also write the JSON record to this file; with --report, the document",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="resume the record in --output, if there is one;"
        " cases of weights that have changed are compared again",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="compare nothing, read this record"
    )


def parity(args: argparse.Namespace, out: TextIO) -> int:
    """Compare, or report an earlier comparison; 1 if a difference is not explained."""
    from maxwhisper.evaluation.parity.document import document
    from maxwhisper.evaluation.parity.record import ParityRecord
    from maxwhisper.evaluation.parity.tables import table

    if args.report is not None:
        record = ParityRecord.load(args.report)
        if args.output is not None:
            write_file(args.output, document(record))
    else:
        record = _compare(args)
        record.check()
    answer(out, args.json, record.to_dict(), [table(record)])
    return 1 if record.failed else 0


def _compare(args: argparse.Namespace) -> "ParityRecord":
    from maxwhisper.checkpoint import DEFAULT_MODEL
    from maxwhisper.evaluation.bench.cases import CLIPS, EXAMPLES, find_clip
    from maxwhisper.evaluation.parity import cases, run
    from maxwhisper.evaluation.parity.record import ParityRecord

    def load(name: str, subject: cases.Subject) -> engine.Engine:
        loaded = engine.load_engine(
            name,
            subject.checkpoint,
            device=args.device if name == engine.OURS else "cpu",
            dtype="float32",  # both compute in it, so that their answers can be equal
            cache_dir=args.cache_dir,
            progress=progress,
        )
        if isinstance(loaded, run.RemembersWindows):
            loaded.remember_windows()
        return loaded

    def keep(record: ParityRecord) -> None:
        if args.output is not None:
            write_file(args.output, json_text(record.to_dict()))

    if args.resume and args.output is None:
        raise OptionError("expected --output FILE beside --resume, got none: name the record")
    clips, left_out = cases.find_clips(
        args.clips or next(folder for folder in (EXAMPLES, CLIPS) if folder.is_dir()),
        args.limit,
        args.longest_s or cases.LONGEST_CLIP_S,
    )
    subjects = (
        cases.load_subject(name, args.model or DEFAULT_MODEL, args.cache_dir, progress)
        for name in args.checkpoints
    )
    with tempfile.TemporaryDirectory() as folder:
        plan = run.Plan(
            subjects,
            [*clips, *(find_clip(length, Path(folder)) for length in args.lengths)],
            left_out=left_out,
            option_sets=args.option_sets,
            earlier=ParityRecord.load(args.output)
            if args.resume and args.output.exists()
            else None,
            minutes=args.minutes,
        )
        return run.run(plan, load, keep=keep, progress=progress)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value
