"""`bench` and `profile`: how fast it is, and where the time goes.

Input: parsed arguments and the answer stream. Output: an exit code; records on standard output and
in files. `bench` measures, or with `--report` reads earlier records.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from maxwhisper import engine
from maxwhisper.cli.flags import add_batch_size_flag, whole_number
from maxwhisper.cli.output import answer, json_text, progress, write_file
from maxwhisper.errors import RecordError

if TYPE_CHECKING:
    from maxwhisper.evaluation.bench.record import BenchRecord

BATCH_SIZE = 8  # windows, as in faster-whisper's batched pipeline
TOKENS = 64  # about what 30 s of unhurried speech have


def add_bench_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "clips",
        nargs="*",
        metavar="CLIP",
        help="recordings, with their words in NAME.txt or clips.json next to them; talk; or a "
        "length made from the examples: 1s, 11s, 5m, 1h (default: talk)",
    )
    parser.add_argument(
        "--engines",
        type=_entrant_names,
        metavar="A,B:int8,…",
        help=f"comma-separated of {','.join([*engine.ENGINES, *engine.MORE_ENGINES])}, a precision "
        f"after a colon (default: those that are installed of {','.join(engine.ENGINES)})",
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
        "--rounds", type=whole_number, default=5, metavar="N", help="timed rounds (default 5)"
    )
    parser.add_argument(
        "--warmups",
        type=whole_number,
        default=2,
        metavar="N",
        help="untimed rounds before them (default 2)",
    )
    parser.add_argument(
        "--no_aa", action="store_true", help="skip the A/A check, which runs the first engine twice"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="measure nothing, read the records in this folder",
    )
    parser.add_argument(
        "--figures", type=Path, metavar="HTML", help="write all figures to one HTML file"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="also write the JSON record to this file; with --report, update the tables or the "
        "summary in this document",
    )


def add_profile_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clip", nargs="?", default="talk", metavar="CLIP", help="as for bench")
    parser.add_argument("--mode", default="greedy", metavar="A", help="greedy, beam5 or batched")
    _add_mode_flags(parser)
    parser.add_argument(
        "--ceilings",
        action="store_true",
        help="measure the device's peak rates, and the share that encoder and decoder step reach",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="also write the JSON to this file"
    )


def _add_mode_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--language", default="en", help="language of the clips (default: en)")
    add_batch_size_flag(parser, f"{BATCH_SIZE}, in the batched mode", BATCH_SIZE)
    parser.add_argument(
        "--tokens",
        type=whole_number,
        default=TOKENS,
        metavar="N",
        help=f"tokens that random weights decode in every window (default {TOKENS})",
    )


def bench(args: argparse.Namespace, out: TextIO) -> int:
    """Measure, or report earlier records; 1 if any run failed."""
    from maxwhisper.evaluation.bench.tables import table

    if args.report is not None:
        return _report(args, out)
    record = _measure(args)
    # Printed first: an output that cannot be written loses nothing.
    answer(out, args.json, record.to_dict(), [table(record)])
    if args.output is not None:
        write_file(args.output, json_text(record.to_dict()))
    _write_figures(args.figures, [record])
    return 1 if record.failed else 0


def _measure(args: argparse.Namespace) -> "BenchRecord":
    from maxwhisper.checkpoint import DEFAULT_MODEL
    from maxwhisper.evaluation.bench import cases, harness
    from maxwhisper.evaluation.bench.entry import Entrant

    names = args.models or [DEFAULT_MODEL]
    models = [cases.find_model(name, args.tokens) for name in names]
    modes = [cases.find_mode(key, args.language, args.batch_size) for key in args.modes]
    engines = args.engines or _installed()
    entrants = [Entrant(name, dtype or args.dtype) for name, dtype in map(_parts, engines)]
    with tempfile.TemporaryDirectory() as folder:
        clips = [cases.find_clip(name, Path(folder)) for name in args.clips or ["talk"]]
        plan = harness.Plan(models, modes, clips, args.rounds, args.warmups, not args.no_aa)
        return harness.run(
            plan,
            lambda model: harness.load_contestants(
                entrants, model, args.device, args.cache_dir, progress
            ),
            progress=progress,
        )


def _report(args: argparse.Namespace, out: TextIO) -> int:
    """Tables and figures of the records in a folder, also written into a document."""
    from maxwhisper.evaluation.bench.document import rewritten
    from maxwhisper.evaluation.bench.record import BenchRecord
    from maxwhisper.evaluation.bench.tables import markdown
    from maxwhisper.evaluation.goals import goals
    from maxwhisper.evaluation.profiling.record import Profile

    if not args.report.is_dir():
        raise RecordError(f"expected a folder of records, got {args.report}: check the path")
    records = BenchRecord.load_all(args.report)
    profiles = Profile.load_all(args.report / "profiles")
    if args.output is not None:
        try:
            document = args.output.read_text(encoding="utf-8")
        except OSError as error:
            raise RecordError(f"cannot read {args.output}: {error.strerror}") from error
        write_file(args.output, rewritten(document, records, goals(records, profiles)))
    _write_figures(args.figures, records)
    documents = {"records": [record.to_dict() for record in records]}
    answer(out, args.json, documents, [markdown(records).rstrip()])
    return 0


def _write_figures(path: Path | None, records: "Sequence[BenchRecord]") -> None:
    if path is not None:
        from maxwhisper.evaluation.bench.figures import document

        write_file(path, document(records))
        progress(f"wrote {path}")


def profile(args: argparse.Namespace, out: TextIO) -> int:
    """Stages, graphs and Python's share of one transcription by maxwhisper."""
    from maxwhisper.checkpoint import DEFAULT_MODEL
    from maxwhisper.evaluation.bench import cases
    from maxwhisper.evaluation.profiling.breakdown import profile, table

    model = cases.find_model(args.model or DEFAULT_MODEL, args.tokens)
    mode = cases.find_mode(args.mode, args.language, args.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        clip = cases.find_clip(args.clip, Path(folder))
    loaded = engine.load_engine(
        engine.OURS,
        model.load(args.cache_dir, progress),
        device=args.device,
        dtype=args.dtype,
        cache_dir=args.cache_dir,
        progress=progress,
    )
    job = cases.make_job(mode, model, clip)
    record = profile(loaded, job, with_ceilings=args.ceilings)
    record.clip, record.mode, record.model = clip.name, mode.name, model.name
    answer(out, args.json, record.to_dict(), [table(record)])
    if args.output is not None:
        write_file(args.output, json_text(record.to_dict()))
    return 0


def _installed() -> list[str]:
    """The engines to race by default; says which are left out."""
    found = engine.installed()
    if missing := [name for name in engine.ENGINES if name not in found]:
        progress(f"left out: {', '.join(missing)}; to add them, {engine.GET_BASELINES}")
    return found


def _entrant_names(text: str) -> list[str]:
    names = text.split(",")
    known = [*engine.ENGINES, *engine.MORE_ENGINES]
    for name, _ in map(_parts, names):
        if name not in known:
            raise argparse.ArgumentTypeError(
                f"unknown engine {name!r}: choose from {', '.join(known)}"
            )
    return names


def _parts(text: str) -> tuple[str, str]:
    """Name and precision of, for example, "faster-whisper:int8"; "" without a precision."""
    name, _, dtype = text.partition(":")
    return name, dtype
