"""`selftest` and `compile`, and how commands load weights and an engine.

In: parsed arguments and the answer stream. Out: an exit code. Knows engines only by the `Engine`
protocol. Imports heavy packages inside functions.
"""

import argparse
import time
from typing import TYPE_CHECKING, TextIO

from maxwhisper import engine
from maxwhisper.cli.output import answer, json_text, progress
from maxwhisper.errors import OptionError

if TYPE_CHECKING:
    from maxwhisper.checkpoint.schema import Checkpoint
    from maxwhisper.evaluation.selftest.result import CheckResult


def selftest(args: argparse.Namespace, out: TextIO) -> int:
    """Run or list the checks. Returns 1 if any of them failed."""
    from maxwhisper.evaluation.selftest.catalog import CATALOG

    if args.list:
        checks = [check._asdict() for check in CATALOG]
        lines = [f"{check.name}: {check.about}" for check in CATALOG]
        answer(out, args.json, {"checks": checks}, lines)
        return 0
    from maxwhisper.evaluation.selftest.checks import run_checks

    results = []
    for result in run_checks(load_engine(args, engine.OURS), args.names or None):
        results.append(result)
        if not args.json:
            print(_check_line(result), file=out, flush=True)
    if args.json:
        out.write(json_text({"checks": [result.to_dict() for result in results]}))
    n_passed = sum(result.status == "passed" for result in results)
    progress(f"{n_passed} of {len(results)} checks passed")
    return 0 if results and n_passed == len(results) else 1


def compile_graphs(args: argparse.Namespace, out: TextIO) -> int:
    """Compile the graphs of a model, for this machine or another."""
    from maxwhisper.checkpoint.registry import OFFICIAL_MODELS, OfficialModel
    from maxwhisper.runtime.compiled import precompile

    # The graphs depend on the dims only, so an official model is not downloaded.
    loaded = OFFICIAL_MODELS.get(args.model) or load_checkpoint(args)
    start_s = time.perf_counter()
    path = precompile(
        loaded.dims if isinstance(loaded, OfficialModel) else loaded,
        device=args.device,
        dtype=args.dtype,
        cache_dir=args.cache_dir,
        progress=progress,
        out=args.out,
    )
    seconds = time.perf_counter() - start_s
    document = {"dims": loaded.dims.to_dict(), "path": str(path), "seconds": seconds}
    answer(out, args.json, document, [f"{path} is ready after {seconds:.1f} s"])
    return 0


def load_checkpoint(args: argparse.Namespace) -> "Checkpoint":
    """The checkpoint that `args.model` names, reported in one line."""
    from maxwhisper import checkpoint
    from maxwhisper.cli.bar import download_bar

    name = args.model or checkpoint.DEFAULT_MODEL
    with download_bar() as bar:
        loaded = checkpoint.load(name, cache_dir=args.cache_dir, on_download=bar, progress=progress)
    progress(f"model {loaded.name}: {loaded.source}")
    return loaded


def load_engine(
    args: argparse.Namespace, name: str, checkpoint: "Checkpoint | None" = None
) -> engine.Engine:
    """The engine called `name` with the model, device and precision of the command line.

    Raises `OptionError` for a number of threads for another engine than ours.
    """
    if getattr(args, "threads", None) is not None:
        from maxwhisper.runtime.device import limit_threads

        if name != engine.OURS:
            raise OptionError(f"--threads is for {engine.OURS}: set OMP_NUM_THREADS for {name}")
        limit_threads(args.threads)
    loaded = engine.load_engine(
        name,
        checkpoint or load_checkpoint(args),
        device=args.device,
        dtype=args.dtype,
        cache_dir=args.cache_dir,
        progress=progress,
    )
    info = loaded.info
    progress(f"{info.name} ({info.version}) on {info.device}, {info.dtype}: {info.device_reason}")
    return loaded


def _check_line(result: "CheckResult") -> str:
    error = "" if result.error is None else f"{result.error:.1e}"
    limit = "" if result.tolerance is None else f"≤ {result.tolerance:.0e}"
    line = f"{result.status:6}  {result.name:30} {error:>8} {limit:8} {result.ms:9.1f} ms"
    return f"{line}  {result.detail}".rstrip()
