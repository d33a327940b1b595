"""The command line: `maxwhisper transcribe | batch | live | selftest | bench | profile | parity |
compile | models | completion`.

Standard output has only the answer: text for people, or with `--json` one JSON document
(`transcribe` and `live`: one per line). Progress, warnings and what libraries print go to standard
error. Exit codes: 0 for success, 1 for an error (one line on standard error) or a failed check, 2
for a wrong command line, 3 if recordings of an archive were set aside, 130 after Ctrl-C, 141 if
nobody reads standard output any more, and 143 after SIGTERM. No heavy package is imported before a
command runs, so `--help` is instant.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from maxwhisper import __version__, engine
from maxwhisper.cli import commands
from maxwhisper.cli.batch import add_batch_flags, batch
from maxwhisper.cli.bench import add_bench_flags, add_profile_flags, bench, profile
from maxwhisper.cli.flags import (
    add_batch_size_flag,
    add_cache_flag,
    add_line_flags,
    add_option_flags,
    add_output_flags,
    add_stream_flags,
    add_vad_flags,
    add_vad_switch,
    device_name,
    whole_number,
)
from maxwhisper.cli.interrupts import Terminated
from maxwhisper.cli.live import live
from maxwhisper.cli.models import add_models_flags, models
from maxwhisper.cli.output import answer_stream, report
from maxwhisper.cli.parity import add_parity_flags, parity
from maxwhisper.cli.parser import Parser
from maxwhisper.cli.transcribe import transcribe
from maxwhisper.errors import MaxWhisperError

COMMAND = "maxwhisper"
USAGES = {
    "transcribe": "FILE [FILE ...]",
    "batch": "--output DIR FILE [FILE ...]",
    "live": "FILE",
}
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130  # 128 + SIGINT
EXIT_PIPE_CLOSED = 141  # 128 + SIGPIPE, for example `| head`
EXIT_TERMINATED = 143  # 128 + SIGTERM


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    args = build_parser().parse_args(argv)
    try:
        with answer_stream() as out:
            exit_code: int = args.command(args, out)
    except MaxWhisperError as error:
        report(error)
        return EXIT_FAILED
    except Terminated:
        return EXIT_TERMINATED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return EXIT_PIPE_CLOSED
    return exit_code


def _prog() -> str:
    """What the user has typed."""
    return COMMAND if Path(sys.argv[0]).name == COMMAND else f"python -m {COMMAND}"


def build_parser(prog: str | None = None) -> argparse.ArgumentParser:
    """The parser of the whole command line; the parsed arguments name their `command`."""
    parser = Parser(
        prog=prog or _prog(),
        description="Whisper in MAX graphs. Without COMMAND, recordings are transcribed.",
    )
    parser.add_argument("--version", action="version", version=f"{COMMAND} {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command, about, add_flags in (
        (transcribe, "transcribe recordings", _transcribe_flags),
        (batch, "transcribe an archive of recordings", _batch_flags),
        (live, "transcribe audio as it arrives", _live_flags),
        (commands.selftest, "check every component of maxwhisper", _selftest_flags),
        (bench, "time the engines on the same clips", _bench_flags),
        (profile, "measure where the time of a transcription goes", _profile_flags),
        (parity, "compare with openai-whisper, case by case", _parity_flags),
        (commands.compile_graphs, "compile a model's graphs ahead of time", _compile_flags),
        (models, "list, get, remove or show models", add_models_flags),
    ):
        name = command.__name__.partition("_")[0]
        subparser = subparsers.add_parser(name, help=about, description=about)
        add_flags(subparser)
        if name in USAGES:  # the list of all flags is longer than what it is a summary of
            subparser.usage = f"%(prog)s [FLAGS] {USAGES[name]}"
        subparser.add_argument("--json", action="store_true", help=_json_help(name))
        subparser.set_defaults(command=command)
    parser.commands = subparsers.choices
    about = "print a completion script for a shell"
    completion = subparsers.add_parser("completion", help=about, description=about)
    completion.add_argument("shell", choices=["bash", "zsh", "fish"], help="the shell")
    completion.set_defaults(command=_completion)
    return parser


def _completion(args: argparse.Namespace, out: TextIO) -> int:
    """Print the script; raises `MaxWhisperError` if shtab is not installed."""
    try:
        import shtab
    except ImportError as error:
        raise MaxWhisperError("completion needs shtab: pip install shtab") from error
    parser = build_parser(COMMAND)
    for action in _actions(parser):
        if action.metavar in ("FILE", "CLIP"):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar == "DIR":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    script = shtab.complete(parser, args.shell)
    # A recording without a command before it:
    out.write(script.replace("complete -o bashdefault", "complete -o bashdefault -o default"))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All arguments of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                yield from _actions(subparser)


def _json_help(command: str) -> str:
    lines = {
        "live": "object per line",
        "transcribe": "object per line, one for each recording as soon as it is done",
    }
    return f"print one JSON {lines.get(command, 'document')}"


def _transcribe_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="audio or video file; a folder, for all recordings in it and below it; a glob; or - "
        "for a file on standard input",
    )
    parser.add_argument(
        "--engine",
        choices=list(engine.ENGINES),
        default=engine.OURS,
        help=f"engine (default: {engine.OURS})",
    )
    _add_model_flags(parser)
    _add_threads_flag(parser)
    add_batch_size_flag(
        parser,
        "one window at a time, and recordings of up to 30 s together, which does not change "
        "their text",
    )
    parser.add_argument(
        "--sequential", action="store_true", help="also transcribe short recordings one by one"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="skip a recording if all its output files exist, whatever is in them",
    )
    add_vad_switch(parser)
    add_vad_flags(parser)
    add_output_flags(parser)
    add_option_flags(parser)


def _batch_flags(parser: argparse.ArgumentParser) -> None:
    add_batch_flags(parser)
    _add_model_flags(parser)
    _add_threads_flag(parser)
    add_line_flags(parser)
    add_vad_flags(parser)
    add_option_flags(parser)


def _add_threads_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
        type=whole_number,
        metavar="N",
        help="compute with N threads on the CPU (default: one for each CPU)",
    )


def _live_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        metavar="FILE",
        help="audio or video file, or - for 16-bit mono samples at 16 kHz on standard input",
    )
    _add_model_flags(parser)
    _add_threads_flag(parser)
    add_stream_flags(parser)
    add_vad_flags(parser)
    add_option_flags(parser)


def _selftest_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="CHECK", help="checks to run (default: all)")
    parser.add_argument("--list", action="store_true", help="list the checks without running them")
    _add_model_flags(parser)


def _bench_flags(parser: argparse.ArgumentParser) -> None:
    add_bench_flags(parser)
    _add_device_flags(parser)


def _profile_flags(parser: argparse.ArgumentParser) -> None:
    add_profile_flags(parser)
    _add_model_flags(parser)


def _parity_flags(parser: argparse.ArgumentParser) -> None:
    add_parity_flags(parser)
    _add_model_flags(parser)


def _compile_flags(parser: argparse.ArgumentParser) -> None:
    _add_model_flags(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="also copy them into DIR, for load(artifacts=DIR)",
    )


def _add_model_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", metavar="M", help="name that `models` lists, or a file or folder of weights"
    )
    _add_device_flags(parser)


def _add_device_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        type=device_name,
        default="auto",
        metavar="D",
        help="auto, cpu or gpu, which may be called cuda; gpu:1 is the second (default: auto); "
        "compile also takes targets such as cpu:x86-64-v4 and cuda:sm_90a",
    )
    parser.add_argument(
        "--dtype",
        default="auto",
        metavar="T",
        help="auto, float32, float16 or bfloat16 (default: auto)",
    )
    add_cache_flag(parser)
