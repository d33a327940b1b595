"""`batch`: archives of recordings to text, on this machine or a Ray cluster.

In: parsed arguments and the answer stream. Out: an exit code, 3 if recordings were set aside. What
is done stays done: the same command goes on where it was stopped. Imports heavy packages inside
functions.
"""

import argparse
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from maxwhisper.archive.job import FIELDS, FORMATS, MAX_HOURS, PARQUET, TEMPLATE, Job
from maxwhisper.archive.sources import find_all
from maxwhisper.cli.commands import load_checkpoint, load_engine
from maxwhisper.cli.flags import (
    add_batch_size_flag,
    line_options_from,
    options_from,
    vad_from,
    whole_number,
)
from maxwhisper.cli.interrupts import terminable
from maxwhisper.cli.output import answer, progress, report
from maxwhisper.cli.parser import CommaList
from maxwhisper.engine import ENGINES, OURS
from maxwhisper.errors import MaxWhisperError, OptionError
from maxwhisper.options import PAUSES, VadOptions

if TYPE_CHECKING:
    from maxwhisper.archive.estimate import Estimate
    from maxwhisper.archive.ledger import Ledger, Summary
    from maxwhisper.archive.manifest import Entry
    from maxwhisper.archive.pools import Pools
    from maxwhisper.archive.sources import Source
    from maxwhisper.checkpoint.schema import Checkpoint

EXIT_SET_ASIDE = 3
LINE_EVERY_S = 30.0  # of progress, in a log
RECORDS = Path(__file__).parents[2] / "results"  # in a clone of the repository
DEFAULT_BATCH = 8
_SHOWN = 20  # recordings set aside that are named at once; the manifest has all of them


def add_batch_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of archives; those of models and of transcription are added elsewhere."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="recording, folder, glob, or address such as s3://bucket/folder; a csv or jsonl file "
        "lists recordings in its column path",
    )
    parser.add_argument(
        "--output",
        "-o",
        required=True,
        metavar="DIR",
        help="folder or address of the files and of the manifest; the same folder resumes a run",
    )
    parser.add_argument(
        "--format",
        "-f",
        action="append",
        choices=CommaList([*FORMATS]),
        help="format of the files, several with commas between them; parquet is one table of all "
        "recordings (default: txt,json)",
    )
    fields = ", ".join(f"{{{name}}} ({about})" for name, about in FIELDS.items())
    parser.add_argument(
        "--template",
        default=TEMPLATE,
        metavar="TEXT",
        help=f"names of the files below --output, made of {fields}; "
        "'{source}/{stem}.{format}' is beside each recording " + f"(default: {TEMPLATE})",
    )
    parser.add_argument(
        "--engine", choices=list(ENGINES), default=OURS, help=f"engine (default: {OURS})"
    )
    add_batch_size_flag(parser, f"{DEFAULT_BATCH}; openai-whisper has no batches")
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run on a Ray cluster: auto is the one that this machine belongs to, local one that "
        "is started for this run, host:port or ray://host:port another",
    )
    parser.add_argument(
        "--devices",
        type=whole_number,
        metavar="N",
        help="with --ray: transcribe on N devices, and wait for those that the cluster does not "
        "have yet; --device gpu waits for GPUs (default: those that it has)",
    )
    parser.add_argument(
        "--limit", type=whole_number, metavar="N", help="take only the first N recordings"
    )
    parser.add_argument(
        "--sample",
        type=_share,
        metavar="X",
        help="take only this share of the recordings, chosen at random, the same ones every time",
    )
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="transcribe nothing; estimate hours of audio and time from a benchmark record",
    )
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="the benchmark record for --dry_run (default: one of results/ that fits)",
    )
    parser.add_argument(
        "--max_hours",
        type=float,
        default=MAX_HOURS,
        metavar="HOURS",
        help=f"set aside a recording that is longer (default: {MAX_HOURS:g})",
    )


def batch(args: argparse.Namespace, out: TextIO) -> int:
    """Transcribe an archive. Returns 3 if recordings were set aside."""
    from maxwhisper.archive.ledger import Ledger
    from maxwhisper.archive.manifest import only_run

    sources = _chosen(args)
    checkpoint = load_checkpoint(args)
    job = _job(args, checkpoint)
    job.check(sources)
    if args.dry_run:
        return _estimate(args, job, sources, out)
    pools = _pools(args)
    job = replace(job, dtype=pools.dtype if pools is not None else _dtype(args))
    with only_run(job.output), terminable():
        shown = _Progress()
        ledger = Ledger(job, shown.add)
        ledger.remove_parts(sources)
        todo = ledger.todo(sources)
        shown.start(len(todo), len(sources))
        try:
            if todo:
                _run(args, checkpoint, todo, ledger, pools)
        except BaseException:  # an interrupt too
            shown.close()
            ledger.close()
            progress(_line(ledger.summary()))
            raise
        shown.close()
        summary = ledger.finish()
    answer(out, args.json, asdict(summary) | {"output": job.output}, [])
    progress(_line(summary))
    if summary.n_failed:
        progress(f"set aside: {summary.n_failed}; {job.output}/manifest.jsonl has the reasons")
    return EXIT_SET_ASIDE if summary.n_failed else 0


def _run(
    args: argparse.Namespace,
    checkpoint: "Checkpoint",
    todo: "list[Source]",
    ledger: "Ledger",
    pools: "Pools | None",
) -> None:
    if pools is not None:
        from maxwhisper.archive import cluster

        model = args.model or checkpoint.name
        cluster.run(
            cluster.Loading(args.engine, model, args.cache_dir), ledger.job, todo, ledger, pools
        )
        return
    from maxwhisper.archive import one_process

    one_process.run(load_engine(args, args.engine, checkpoint), ledger.job, todo, ledger)


def _pools(args: argparse.Namespace) -> "Pools | None":
    """Join the cluster of `--ray`. None without it. Raises `OptionError`."""
    if args.ray is None:
        if args.devices is not None:
            raise OptionError("--devices is for a cluster: give --ray too")
        return None
    from maxwhisper.archive.cluster import connect
    from maxwhisper.archive.pools import Wish, choose_pools

    nodes = connect(args.ray)
    pools = choose_pools(nodes, Wish(args.device, args.dtype, args.devices, args.threads))
    n_cpus, n_gpus = sum(node.n_cpus for node in nodes), sum(node.n_gpus for node in nodes)
    progress(f"{len(nodes)} nodes with {n_cpus} processors and {n_gpus} GPUs: {pools}")
    return pools


def _chosen(args: argparse.Namespace) -> "list[Source]":
    from maxwhisper.archive.estimate import sampled

    sources = find_all(args.files)
    if args.sample is not None:
        sources = sampled(sources, args.sample)
    return sources[: args.limit]


def _job(args: argparse.Namespace, checkpoint: "Checkpoint") -> Job:
    """The job of a command line, whose precision may still be "auto". Raises `OptionError`."""
    options = options_from(args)
    named = [name for given in args.format or ["txt,json"] for name in given.split(",")]
    formats = tuple(dict.fromkeys(named))
    has_batches = args.engine != "openai-whisper"
    batch_size = args.batch_size or (DEFAULT_BATCH if has_batches else None)
    if batch_size is not None and not has_batches:
        raise OptionError("openai-whisper has no batches: leave --batch_size out")
    vad = vad_from(args, has_batches, PAUSES if has_batches else VadOptions())
    lines = line_options_from(args).validate(
        tuple(name for name in formats if name not in (PARQUET, "jsonl")), options
    )
    return Job(
        engine=args.engine,
        model=checkpoint.name,
        digest=checkpoint.digest,
        dtype=args.dtype,
        output=args.output,
        options=options,
        batch_size=batch_size,
        vad=None if isinstance(vad, bool) else vad,
        formats=formats,
        template=args.template,
        lines=lines,
        max_seconds=args.max_hours * 3600,
    )


def _dtype(args: argparse.Namespace) -> str:
    """The precision that the engine will have: text may depend on it."""
    if args.engine != OURS or args.dtype != "auto":
        return str(args.dtype)
    from maxwhisper.runtime.device import choose, limit_threads

    if args.threads is not None:
        limit_threads(args.threads)  # now: `choose` starts the threads of MAX
    return choose(args.device, args.dtype).dtype_name


def _estimate(args: argparse.Namespace, job: Job, sources: "list[Source]", out: TextIO) -> int:
    """Print how long a run would take."""
    from maxwhisper.archive.estimate import estimate

    found = estimate(sources, job)
    speed, name = _measured_speed(args, job)
    hours = found.hours / speed if speed else None
    document = asdict(found) | {"rtfx": speed, "record": name, "run_hours": hours}
    answer(out, args.json, document, _estimate_lines(found, speed, name))
    return 0


def _estimate_lines(found: "Estimate", speed: float | None, name: str) -> list[str]:
    lines = [
        f"{found.n_recordings} recordings, {found.n_bytes / 1e9:.2f} GB, about {found.hours:.2f} "
        f"hours of audio, from {found.n_read} that were read",
    ]
    if found.n_unreadable:
        lines.append(f"{found.n_unreadable} of those {found.n_read} cannot be read")
    if found.decode_speed:
        lines.append(f"one thread decodes {found.decode_speed:.0f}× real time")
    if speed:
        lines.append(
            f"about {found.hours / speed:.2f} hours on one device at {speed:.1f}× real time, as "
            f"measured in {name}"
        )
    else:
        lines.append("no record of this model and engine in batches: give --record")
    return lines


def _measured_speed(args: argparse.Namespace, job: Job) -> tuple[float | None, str]:
    """RTFx of the engine with this model in batches on its longest clip, and the record's name."""
    from maxwhisper.evaluation.bench.record import BenchRecord

    paths = [args.record] if args.record is not None else sorted(RECORDS.glob("*.json"))
    best: tuple[float, float, str] | None = None
    for path in paths:
        record = BenchRecord.load(path)
        for run in record.measured:
            mode = record.settings.modes[run.mode]
            is_alike = run.engine == job.engine and run.model.removeprefix("random:") == job.model
            in_batches = (mode.batch_size is not None) == (job.batch_size is not None)
            if is_alike and in_batches and (best is None or run.audio_s > best[0]):
                best = run.audio_s, run.rtfx, path.name
    return (best[1], best[2]) if best else (None, "")


class _Progress:
    """A bar on a terminal, and lines in a log."""

    def __init__(self) -> None:
        self._n = self._n_failed = self._total = 0
        self._audio_s = 0.0
        self._start_s = self._line_s = time.monotonic()
        self._bar: Any = None  # of tqdm

    def start(self, n_todo: int, n_all: int) -> None:
        """Begin to measure."""
        self._total = n_todo
        self._start_s = self._line_s = time.monotonic()
        if n_todo < n_all:
            progress(f"{n_all - n_todo} of {n_all} recordings are done: {n_todo} to do")
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=n_todo, file=sys.stderr, leave=False, dynamic_ncols=True, unit="recording"
            )

    def add(self, entry: "Entry") -> None:
        """A recording is done, or set aside."""
        self._n += 1
        self._audio_s += entry.audio_s
        if entry.reason:
            self._n_failed += 1
            if self._n_failed <= _SHOWN:
                report(MaxWhisperError(entry.reason), about=entry.source)
        if self._bar is not None:
            self._bar.set_postfix_str(self._speed(), refresh=False)
            self._bar.update()
        elif time.monotonic() - self._line_s > LINE_EVERY_S:
            self._line_s = time.monotonic()
            left_s = (self._line_s - self._start_s) / self._n * (self._total - self._n)
            progress(
                f"{self._n} of {self._total} recordings, {self._speed()}, "
                f"{self._n_failed} set aside, about {_duration(left_s)} left"
            )

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()

    def _speed(self) -> str:
        seconds = max(time.monotonic() - self._start_s, 1e-3)
        return f"{self._audio_s / 3600:.2f} h of audio, {self._audio_s / seconds:.1f}× real time"


def _line(summary: "Summary") -> str:
    speed = summary.audio_s / max(summary.seconds, 1e-3)
    return (
        f"{summary.n_done} transcribed, {summary.n_failed} set aside, {summary.n_skipped} done "
        f"before; {summary.audio_s / 3600:.2f} h of audio in {_duration(summary.seconds)}: "
        f"RTFx {speed:.1f}"
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _share(text: str) -> float:
    """Argument type: a share, 0.01 or 1%."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"expected a share such as 0.01 or 1%, got {text!r}")
    return share
