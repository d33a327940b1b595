"""Command-line flags for the options of transcription, speech detection, live transcription and
subtitle lines.

Every field of an options dataclass becomes a flag; its name, type, default and help come from the
field. The flags of `TranscribeOptions` and `LineOptions` are openai-whisper's own. In: an argument
parser. Out: validated options.
"""

import argparse
import typing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from maxwhisper.cli.parser import CommaList
from maxwhisper.errors import OptionError, quoted
from maxwhisper.options import (
    FALLBACK,
    LineOptions,
    StreamOptions,
    TranscribeOptions,
    VadOptions,
    WindowOptions,
)
from maxwhisper.options.info import Option, options_of
from maxwhisper.text.languages import language_code
from maxwhisper.text.writers import FORMATS

MIN_FALLBACK_STEP = 0.01  # of temperature: at most 100 attempts at one window

VAD_PREFIX = "vad_"


def add_cache_flag(parser: argparse.ArgumentParser) -> None:
    """Add `--cache_dir`."""
    parser.add_argument(
        "--cache_dir", type=Path, metavar="DIR", help="folder of downloads and compiled graphs"
    )


def add_output_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of output files, one of them for each field of `LineOptions`."""
    group = parser.add_argument_group("output files, as openai-whisper writes them")
    group.add_argument(
        "--output_format",
        "--format",
        "-f",
        action="append",
        choices=CommaList([*FORMATS, "all"]),
        help="format of the file written for each recording; several with commas between them, or "
        "this flag again; all writes every format but verbose_json (default: no files, or all of "
        "them with --output_dir)",
    )
    group.add_argument(
        "--output_dir",
        "-o",
        type=Path,
        metavar="DIR",
        help="output folder; recordings of a folder keep their subfolders in it (default: beside "
        "each recording)",
    )
    add_line_flags(parser)


def add_line_flags(parser: argparse.ArgumentParser) -> None:
    """Add one flag for each field of `LineOptions`."""
    lines = parser.add_argument_group("lines of srt and vtt files; they need --word_timestamps")
    _add_flags(lines, LineOptions)


def line_options_from(args: argparse.Namespace) -> LineOptions:
    """The line options of a parsed command line, not validated yet."""
    return LineOptions(**{name: getattr(args, name) for name in options_of(LineOptions)})


def add_option_flags(parser: argparse.ArgumentParser) -> None:
    """Add one flag for each field of `TranscribeOptions`, and openai-whisper's fallback step."""
    group = parser.add_argument_group("transcription options, as openai-whisper names them")
    _add_flags(group, TranscribeOptions)
    group.add_argument(
        "--temperature_increment_on_fallback",
        type=_or_none(float),
        default=argparse.SUPPRESS,  # None, when given, means no fallback
        metavar="X",
        help="raise --temperature (0 when not given) in these steps up to 1.0 for a window that "
        "failed; None: no fallback",
    )


def options_from(args: argparse.Namespace) -> TranscribeOptions:
    """The validated options of a parsed command line; raises `OptionError`."""
    options = TranscribeOptions(
        **{name: getattr(args, name) for name in options_of(TranscribeOptions)}
    )
    if "temperature_increment_on_fallback" in args:
        steps = _fallback(options.temperature, args.temperature_increment_on_fallback)
        options = replace(options, temperature=steps)
    if options.language is not None:
        language_code(options.language)  # before a model is loaded
    return options.validate()


def add_stream_flags(parser: argparse.ArgumentParser) -> None:
    """Add one flag for each field of `StreamOptions`."""
    _add_flags(parser.add_argument_group("live transcription"), StreamOptions)


def stream_options_from(args: argparse.Namespace) -> StreamOptions:
    """The validated stream options of a parsed command line; raises `OptionError`."""
    values = {name: getattr(args, name) for name in options_of(StreamOptions)}
    values["vad"] = vad_from(args, is_on=args.vad, defaults=VadOptions())
    return StreamOptions(**values).validate()


def add_batch_size_flag(
    parser: argparse.ArgumentParser, otherwise: object, default: int | None = None
) -> None:
    """Add `--batch_size`; `otherwise` is what the help says of the default."""
    parser.add_argument(
        "--batch_size",
        type=whole_number,
        default=default,
        metavar="N",
        help=f"{options_of(WindowOptions)['batch_size'].info.help} (default: {otherwise})",
    )


def add_vad_switch(parser: argparse.ArgumentParser) -> None:
    """Add `--vad`."""
    about = options_of(WindowOptions)["vad"].info.help
    parser.add_argument("--vad", action="store_true", help=about)


def add_vad_flags(parser: argparse.ArgumentParser) -> None:
    """Add one flag for each field of `VadOptions`; a flag that is not given sets no attribute."""
    group = parser.add_argument_group("speech detection, as faster-whisper names it")
    _add_flags(group, VadOptions, VAD_PREFIX, has_defaults=False)


def vad_from(args: argparse.Namespace, is_on: bool, defaults: VadOptions) -> VadOptions | bool:
    """The speech detection of a command line: `defaults` changed by its flags, or `is_on` if no
    flag is given.

    Raises `OptionError` for flags of speech detection where it is off.
    """
    given = {
        name: getattr(args, f"{VAD_PREFIX}{name}")
        for name in options_of(VadOptions)
        if f"{VAD_PREFIX}{name}" in args
    }
    if given and not is_on:
        flags = ", ".join(f"--{VAD_PREFIX}{name}" for name in given)
        raise OptionError(f"{flags}: no effect without speech detection, give --vad as well")
    return replace(defaults, **given).validate() if given else is_on


def _add_flags(
    group: "argparse._ArgumentGroup", options: type, prefix: str = "", *, has_defaults: bool = True
) -> None:
    """Add one flag for each field of an options dataclass."""
    for option in options_of(options).values():
        group.add_argument(
            f"--{prefix}{option.name}",
            type=_reader(option),
            nargs="?" if bool in option.kinds else None,
            const=True if bool in option.kinds else None,
            default=option.default if has_defaults else argparse.SUPPRESS,
            metavar=_metavar(option),
            help=_help(option).replace("%", "%%"),
        )


def _help(option: Option) -> str:
    """The help text, with the default where the text does not say what None means."""
    if option.default is None:
        return option.info.help
    shown = ",".join(map(str, option.default)) if option.default is FALLBACK else option.default
    return f"{option.info.help} (default: {shown})"


def _fallback(first: float | tuple[float, ...], step: float | None) -> tuple[float, ...]:
    """Temperatures from `first`, 0 by default, up to 1.0 inclusive; `first` alone if the step leads
    nowhere. Raises `OptionError` for a list of temperatures, and for too small a step."""
    first = 0.0 if first == FALLBACK else first
    if isinstance(first, tuple):
        raise OptionError(
            "temperature_increment_on_fallback needs one --temperature to begin at, not a list"
        )
    if step is None or step <= 0 or not 0 <= first < 1:  # `validate` refuses it
        return (first,)
    if not step >= MIN_FALLBACK_STEP:
        raise OptionError(
            f"temperature_increment_on_fallback must be at least {MIN_FALLBACK_STEP}, or None, "
            f"got {step}"
        )
    n_steps = int((1.0 - first) / step + 1e-6)
    return tuple(round(first + i * step, 6) for i in range(n_steps + 1))


def _reader(option: Option) -> Callable[[str], Any]:
    """The function that turns a flag's text into a value of the field's type."""
    kinds = option.kinds
    if bool in kinds:
        return _boolean
    if str in kinds:
        return str  # token lists and clip times stay text, which the options accept as well
    number = float if float in kinds else int
    if any(typing.get_origin(kind) is tuple for kind in kinds):
        return _numbers
    return _or_none(number) if type(None) in kinds else number


def _metavar(option: Option) -> str:
    if option.info.allowed.choices:
        return "|".join(option.info.allowed.choices)
    if option.info.unit:
        return option.info.unit.upper()
    if bool in option.kinds:
        return "True|False"
    if str in option.kinds:
        return "TEXT"
    return "X" if float in option.kinds else "N"


def _boolean(text: str) -> bool:
    if text.capitalize() not in ("True", "False"):
        raise argparse.ArgumentTypeError(f"expected True or False, got {quoted(text)}")
    return text.capitalize() == "True"


def _or_none(number: type[int] | type[float]) -> Callable[[str], int | float | None]:
    def read(text: str) -> int | float | None:
        try:
            return None if text == "None" else number(text)
        except ValueError:
            kind = "a whole number" if number is int else "a number"
            raise argparse.ArgumentTypeError(
                f"expected {kind} or None, got {quoted(text)}"
            ) from None

    return read


def _numbers(text: str) -> float | tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a number or a comma list of numbers, got {quoted(text)}"
        ) from None
    return values[0] if len(values) == 1 else values


def device_name(text: str) -> str:
    """Argument type: a device; cuda and cuda:N are the names that torch has for gpu and gpu:N."""
    kind, colon, index = text.partition(":")
    is_gpu = kind == "cuda" and (not colon or index.isdigit())
    return f"gpu{colon}{index}" if is_gpu else text


def whole_number(text: str) -> int:
    """Argument type: a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"expected a whole number of at least 1, got {quoted(text)}"
        )
    return int(text)
