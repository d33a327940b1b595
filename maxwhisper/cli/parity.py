"""`parity`: is it openai-whisper, exactly?

In: parsed arguments and the answer stream. Out: an exit code; a record on standard output and in a
file, which is written every few seconds, so that a comparison can be stopped and go on.
With `--report` nothing is compared: a record becomes a page.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from maxwhisper import engine
from maxwhisper.cli.flags import whole_number
from maxwhisper.cli.output import answer, json_text, progress, replace_file, write_file
from maxwhisper.errors import OptionError

EXAMPLES = Path(__file__).parents[2] / "examples" / "clips"
CHECKPOINTS = ("model", "multilingual", "v3")


def add_parity_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clips",
        type=Path,
        default=EXAMPLES,
        metavar="DIR",
        help="folder of recordings (default: the examples)",
    )
    parser.add_argument("--limit", type=whole_number, metavar="N", help="only the first N clips")
    parser.add_argument(
        "--longest_s", type=_positive, metavar="S", help="leave out longer clips (default: 75)"
    )
    parser.add_argument(
        "--checkpoints",
        nargs="+",
        choices=CHECKPOINTS,
        default=CHECKPOINTS,
        help="model is what --model says, the others are random (default: all)",
    )
    parser.add_argument(
        "--option_sets", nargs="+", metavar="NAME", help="only these (default: all)"
    )
    parser.add_argument(
        "--minutes",
        type=_positive,
        metavar="M",
        help="begin no case after so many; those before are spread over checkpoints and clips",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write the JSON record here too; with --report, the page",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the record in --output, if there is one;"
        " cases of weights that are others now begin anew",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="compare nothing, read a record"
    )


def parity(args: argparse.Namespace, out: TextIO) -> int:
    """Compare, or report what was compared; 1 if a difference is not explained."""
    from maxwhisper.parity import page, report

    if args.report is not None:
        record = report.load(args.report)
        if args.output is not None:
            write_file(args.output, page.page(record))
    else:
        record = _compare(args)
        report.validate(record)
    answer(out, args.json, record, [report.table(record)])
    return 1 if report.failed(record) else 0


def _compare(args: argparse.Namespace) -> dict[str, Any]:
    from maxwhisper.checkpoint import DEFAULT_MODEL
    from maxwhisper.parity import cases, report, run

    def load(name: str, subject: cases.Subject) -> engine.Engine:
        loaded = engine.load_engine(
            name,
            subject.checkpoint,
            device=args.device if name == engine.OURS else "cpu",
            dtype="float32",  # what both compute in, where equal answers can be asked for
            cache_dir=args.cache_dir,
            progress=progress,
        )
        if isinstance(loaded, run.RemembersWindows):
            loaded.remember_windows()
        return loaded

    def keep(record: Mapping[str, Any]) -> None:
        if args.output is not None:
            replace_file(args.output, json_text(record))

    if args.resume and args.output is None:
        raise OptionError("expected --output FILE beside --resume, got none: name the record")
    earlier = report.load(args.output) if args.resume and args.output.exists() else None
    longest_s = args.longest_s or cases.LONGEST_CLIP_S
    clips, left_out = cases.find_clips(args.clips, args.limit, longest_s)
    subjects = (
        cases.load_subject(name, args.model or DEFAULT_MODEL, args.cache_dir, progress)
        for name in args.checkpoints
    )
    return run.run(
        subjects,
        clips,
        load,
        left_out=left_out,
        only=args.option_sets,
        earlier=earlier,
        minutes=args.minutes,
        keep=keep,
        progress=progress,
    )


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value
