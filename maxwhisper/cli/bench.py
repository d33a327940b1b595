"""`bench` and `profile`: how fast, and where the time goes.

In: parsed arguments and the answer stream. Out: an exit code; records on standard output and in
files. `bench` measures, or with `--report` reads records that were measured before.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from maxwhisper import engine
from maxwhisper.cli.flags import whole_number
from maxwhisper.cli.output import answer, json_text, progress, write_file
from maxwhisper.errors import RecordError

BATCH_SIZE = 8  # windows, as in faster-whisper's batched pipeline
TOKENS = 64  # about what 30 s of unhurried speech have


def add_bench_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "clips",
        nargs="*",
        metavar="CLIP",
        help="recordings, their words in NAME.txt or clips.json beside them; talk; or a length "
        "made of the examples: 1s, 11s, 5m, 1h (default: talk)",
    )
    parser.add_argument(
        "--engines",
        type=_entrant_names,
        default=list(engine.ENGINES),
        metavar="A,B:int8,…",
        help=f"comma list, a precision after a colon (default: {','.join(engine.ENGINES)})",
    )
    parser.add_argument(
        "--models",
        type=lambda text: text.split(","),
        metavar="M,…",
        help="checkpoints, or random:tiny for random weights of tiny's dims (default: the bundled)",
    )
    _add_mode_flags(parser)
    parser.add_argument(
        "--modes",
        type=lambda text: text.split(","),
        default=["greedy"],
        metavar="A,B,…",
        help="greedy, beam5, batched (default: greedy)",
    )
    parser.add_argument(
        "--rounds", type=whole_number, default=5, metavar="N", help="timed (default 5)"
    )
    parser.add_argument(
        "--warmups", type=whole_number, default=2, metavar="N", help="not (default 2)"
    )
    parser.add_argument(
        "--no_aa", action="store_true", help="leave out the A/A check: the first engine twice"
    )
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="measure nothing, read the records of a folder"
    )
    parser.add_argument("--figures", type=Path, metavar="HTML", help="write figures, in one file")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write the JSON record here too; with --report, tables or summary into this page",
    )


def add_profile_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clip", nargs="?", default="talk", metavar="CLIP", help="as for bench")
    parser.add_argument("--mode", default="greedy", metavar="A", help="greedy, beam5 or batched")
    _add_mode_flags(parser)
    parser.add_argument(
        "--ceilings",
        action="store_true",
        help="measure what the device can do, and how near encoder and decoder step come to it",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the JSON here too")


def _add_mode_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--language", default="en", help="spoken in the clips (default: en)")
    parser.add_argument(
        "--batch_size",
        type=whole_number,
        default=BATCH_SIZE,
        metavar="N",
        help=f"windows decoded together in the batched mode (default {BATCH_SIZE})",
    )
    parser.add_argument(
        "--tokens",
        type=whole_number,
        default=TOKENS,
        metavar="N",
        help=f"decoded in every window by random weights (default {TOKENS})",
    )


def bench(args: argparse.Namespace, out: TextIO) -> int:
    """Measure, or report what was measured; 1 if any run failed."""
    from maxwhisper import bench_report, bench_tables

    if args.report is not None:
        return _report(args, out)
    record = _measure(args)
    bench_report.validate(record)
    answer(out, args.json, record, [bench_tables.table(record)])  # kept, whatever cannot be written
    if args.output is not None:
        write_file(args.output, json_text(record))
    _write_figures(args.figures, [record])
    return 1 if bench_report.failed(record) else 0


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    from maxwhisper import bench, bench_cases
    from maxwhisper.bench_lane import Entrant
    from maxwhisper.checkpoint import DEFAULT_MODEL

    names = args.models or [DEFAULT_MODEL]
    models = [bench_cases.find_model(name, args.tokens) for name in names]
    modes = [bench_cases.find_mode(key, args.language, args.batch_size) for key in args.modes]
    entrants = [Entrant(name, dtype or args.dtype) for name, dtype in map(_parts, args.engines)]
    with tempfile.TemporaryDirectory() as folder:
        clips = [bench_cases.find_clip(name, Path(folder)) for name in args.clips or ["talk"]]
        plan = bench.Plan(models, modes, clips, args.rounds, args.warmups, not args.no_aa)
        return bench.run(
            plan,
            lambda model: bench.load_contestants(entrants, model, args.device, args.cache_dir),
            progress=progress,
        )


def _report(args: argparse.Namespace, out: TextIO) -> int:
    """Tables and figures of the records in a folder; into a page where one is given."""
    from maxwhisper import bench_page, bench_report, bench_tables

    if not args.report.is_dir():
        raise RecordError(f"expected a folder of records, got {args.report}: check the path")
    records = bench_report.load_all(args.report)
    if args.output is not None:
        try:
            page = args.output.read_text(encoding="utf-8")
        except OSError as error:
            raise RecordError(f"cannot read {args.output}: {error.strerror}") from error
        write_file(args.output, bench_page.rewritten(page, records))
    _write_figures(args.figures, records)
    answer(out, args.json, {"records": records}, [bench_tables.markdown(records).rstrip()])
    return 0


def _write_figures(path: Path | None, records: Sequence[Mapping[str, Any]]) -> None:
    if path is not None:
        from maxwhisper.bench_figures import page

        write_file(path, page(records))
        progress(f"wrote {path}")


def profile(args: argparse.Namespace, out: TextIO) -> int:
    """Stages, graphs and Python's share of one transcription by maxwhisper."""
    from maxwhisper import bench_cases
    from maxwhisper.checkpoint import DEFAULT_MODEL
    from maxwhisper.profile import profile, table

    model = bench_cases.find_model(args.model or DEFAULT_MODEL, args.tokens)
    mode = bench_cases.find_mode(args.mode, args.language, args.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        clip = bench_cases.find_clip(args.clip, Path(folder))
    loaded = engine.load_engine(
        engine.OURS,
        model.load(args.cache_dir, progress),
        device=args.device,
        dtype=args.dtype,
        cache_dir=args.cache_dir,
        progress=progress,
    )
    record = {"clip": clip.name, "mode": mode.name, "model": model.name}
    record |= profile(loaded, bench_cases.make_job(mode, model, clip), with_ceilings=args.ceilings)
    answer(out, args.json, record, [table(record)])
    if args.output is not None:
        write_file(args.output, json_text(record))
    return 0


def _entrant_names(text: str) -> list[str]:
    names = text.split(",")
    for name, _ in map(_parts, names):
        if name not in engine.ENGINES:
            raise argparse.ArgumentTypeError(
                f"unknown engine {name!r}: choose from {', '.join(engine.ENGINES)}"
            )
    return names


def _parts(text: str) -> tuple[str, str]:
    """ "faster-whisper:int8" -> its name, its precision; "" where none is given."""
    name, _, dtype = text.partition(":")
    return name, dtype
