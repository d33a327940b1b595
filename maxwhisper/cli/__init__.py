"""The command line: `python -m maxwhisper transcribe | live | selftest | bench | profile | parity |
compile | models`.

Standard output carries the answer and nothing else: with `--json` one JSON document, of `live` one
a line; without it text for people. Progress, warnings and whatever libraries print go to standard
error. Exit codes: 0 done, 1 an error (one line on standard error says which) or a failed check, 2 a
wrong command line. Nothing heavy is imported before a command runs, so that `--help` is instant.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from maxwhisper import engine
from maxwhisper.cli import commands
from maxwhisper.cli.bench import add_bench_flags, add_profile_flags, bench, profile
from maxwhisper.cli.flags import (
    add_option_flags,
    add_output_flags,
    add_stream_flags,
    add_vad_flags,
    whole_number,
)
from maxwhisper.cli.live import live
from maxwhisper.cli.output import answer_stream, report
from maxwhisper.cli.parity import add_parity_flags, parity
from maxwhisper.cli.transcribe import transcribe
from maxwhisper.errors import MaxWhisperError

EXIT_FAILED = 1
EXIT_WRONG_COMMAND = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT
EXIT_PIPE_CLOSED = 141  # 128 + SIGPIPE, for example `| head`


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the list of all flags."""

    def error(self, message: str) -> NoReturn:
        self.exit(
            EXIT_WRONG_COMMAND, f"{self.prog}: error: {message} (--help lists what there is)\n"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    args = build_parser().parse_args(argv)
    try:
        with answer_stream() as out:
            exit_code: int = args.command(args, out)
    except MaxWhisperError as error:
        report(error)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return EXIT_PIPE_CLOSED
    return exit_code


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m maxwhisper", description="Whisper in MAX Graph")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, about, add_flags, command in (
        (
            "transcribe",
            "turn recordings into text with times",
            _transcribe_flags,
            transcribe,
        ),
        ("live", "turn speech into text while it comes", _live_flags, live),
        ("selftest", "check every component of maxwhisper", _selftest_flags, commands.selftest),
        ("bench", "time the engines on the same clips, in turns", _bench_flags, bench),
        ("profile", "where the time of a transcription goes", _profile_flags, profile),
        ("parity", "compare with openai-whisper, case by case", _parity_flags, parity),
        (
            "compile",
            "build a model's graphs ahead of time",
            _compile_flags,
            commands.compile_graphs,
        ),
        ("models", "list what can be loaded, or show a model", _models_flags, commands.models),
    ):
        subparser = subparsers.add_parser(name, help=about, description=about)
        add_flags(subparser)
        subparser.add_argument("--json", action="store_true", help=_json_help(name))
        subparser.set_defaults(command=command)
    return parser


def _json_help(command: str) -> str:
    return "print one JSON object a line" if command == "live" else "print one JSON document"


def _transcribe_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="audio or video file")
    parser.add_argument("--engine", choices=list(engine.ENGINES), default=engine.OURS)
    _add_model_flags(parser)
    parser.add_argument(
        "--batch_size",
        type=whole_number,
        metavar="N",
        help="decode so many windows together, cut in pauses (not openai-whisper)",
    )
    parser.add_argument(
        "--vad",
        action="store_true",
        help="read only where somebody speaks; batches do anyway (not openai-whisper)",
    )
    add_vad_flags(parser)
    add_output_flags(parser)
    add_option_flags(parser)


def _live_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE", help="audio or video file; -: s16le mono 16 kHz on standard input"
    )
    _add_model_flags(parser)
    add_stream_flags(parser)
    add_vad_flags(parser)
    add_option_flags(parser)


def _selftest_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="CHECK", help="checks to run (default: all)")
    parser.add_argument("--list", action="store_true", help="list the checks and run none")
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
        "--out", type=Path, metavar="DIR", help="also pack them into DIR, for load(artifacts=DIR)"
    )


def _models_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=["list", "show"], default="list")
    parser.add_argument(
        "model", nargs="?", metavar="M", help="to show; the default model otherwise"
    )
    _add_cache_flag(parser)


def _add_model_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="M", help="a name from `models`, a .pt file or a folder")
    _add_device_flags(parser)


def _add_device_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        default="auto",
        metavar="D",
        help="auto, cpu or gpu; compile also takes cpu:x86-64-v4 and cuda:sm_90a",
    )
    parser.add_argument("--dtype", default="auto", metavar="T", help="auto, float32, bfloat16, …")
    _add_cache_flag(parser)


def _add_cache_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cache_dir", type=Path, metavar="DIR", help="of downloads and compiled graphs"
    )
