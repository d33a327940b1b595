"""Command-line flags for every field of `TranscribeOptions`, `LineOptions`, `StreamOptions` and,
with `vad_` before it, `VadOptions`: the first two are openai-whisper's own flags.

The fields are the source: their names, types and defaults become flags, and a field without a help
line here fails at once. In: an argument parser. Out: validated options.
"""

import argparse
import typing
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from maxwhisper.errors import OptionError
from maxwhisper.options import FALLBACK, TranscribeOptions
from maxwhisper.stream_options import StreamOptions
from maxwhisper.vad import VadOptions
from maxwhisper.writers import FORMATS, LineOptions

SMALLEST_FALLBACK = 0.01  # a step of temperature; 100 tries of one window are enough

HELP = {
    "language": "code or English name of the language spoken (default: detect it)",
    "task": "transcribe, or translate into English",
    "temperature": "sampling temperature, or a comma list to fall back through; 0 is greedy",
    "best_of": "samples to choose from when the temperature is above 0",
    "beam_size": "beams of the search when the temperature is 0 (default: greedy)",
    "patience": "a beam search ends with so many candidates a beam (default 1)",
    "length_penalty": "exponent that favours longer candidates (default: by mean log-probability)",
    "sample_len": "most tokens sampled per window (default: half the text context)",
    "prefix": "text that every window begins with, left out of the result",
    "suppress_tokens": "comma list of token ids never sampled; -1 is the non-speech symbols",
    "suppress_blank": "no blank at the beginning of a window",
    "without_timestamps": "decode windows without timestamp tokens",
    "max_initial_timestamp": "latest first timestamp of a window, seconds",
    "compression_ratio_threshold": "above it a window counts as failed: it repeats itself",
    "logprob_threshold": "below it, mean log-probability, a window counts as failed",
    "no_speech_threshold": "above it a window that also fails logprob_threshold is silence",
    "condition_on_previous_text": "give each window the text before it as its prompt",
    "prompt_reset_on_temperature": "a window decoded hotter than this does not prompt the next",
    "initial_prompt": "text given as the prompt of the first window",
    "carry_initial_prompt": "give initial_prompt to every window, not only the first",
    "hotwords": "words to expect, given before the prompt of every window",
    "repetition_penalty": "above 1, tokens said already in the window become less likely",
    "no_repeat_ngram_size": "no run of this many tokens twice in a window; 0 is no limit",
    "seed": "of the random numbers that temperatures above 0 sample with",
    "language_detection_segments": "windows of 30 s that vote on the language",
    "language_detection_threshold": "a window surer than this decides the language at once",
    "word_timestamps": "find the times of each word",
    "prepend_punctuations": "marks that belong to the word after them",
    "append_punctuations": "marks that belong to the word before them",
    "clip_timestamps": "comma list start,end,start,end,… of the parts to transcribe, seconds",
    "hallucination_silence_threshold": "silence around a doubtful word that gets skipped, seconds",
}

LINE_HELP = {
    "highlight_words": "underline each word while it is spoken",
    "max_line_width": "most characters in a line of a subtitle",
    "max_line_count": "most lines in a subtitle; needs --max_line_width",
    "max_words_per_line": "most words in a subtitle",
}

STREAM_HELP = {
    "hop_s": "hear the window again with every so many seconds of audio (default 1)",
    "window_s": "most seconds heard at once, up to 30 (default 30)",
    "pause_s": "a pause of so many seconds commits what was said before it (default 0.5)",
    "vad": "look for speech first, and decode nothing where there is none (default True)",
    "keep_up": "of several hops that come at once, hear only the last (default False)",
}

VAD_PREFIX = "vad_"
VAD_HELP = {
    "threshold": "32 ms this probable begin speech (default 0.5)",
    "neg_threshold": "32 ms less probable may end it (default: 0.15 below --vad_threshold)",
    "min_speech_duration_ms": "shorter speech is thrown away (default 0)",
    "max_speech_duration_s": "longer speech is split; not in live audio (default: it is not)",
    "min_silence_duration_ms": "a shorter pause ends no speech (default 2000, in batches 160)",
    "speech_pad_ms": "kept of the pauses around speech (default 400)",
}


def add_output_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which files to write, one of them for each field of `LineOptions`."""
    group = parser.add_argument_group("files, as openai-whisper writes them")
    group.add_argument(
        "--output_format",
        choices=[*FORMATS, "all"],
        help="write FILE's name with this ending; all: every one but verbose_json "
        "(default: no files, or all of them with --output_dir)",
    )
    group.add_argument(
        "--output_dir", type=Path, metavar="DIR", help="where (default: the current folder)"
    )
    lines = parser.add_argument_group("lines of srt and vtt; all of these need --word_timestamps")
    _add_flags(lines, LineOptions, LINE_HELP)


def line_options_from(args: argparse.Namespace) -> LineOptions:
    """The line options of a parsed command line, not validated yet."""
    return LineOptions(**{field.name: getattr(args, field.name) for field in fields(LineOptions)})


def add_option_flags(parser: argparse.ArgumentParser) -> None:
    """Add one flag for each field of `TranscribeOptions`, and openai-whisper's fallback step."""
    group = parser.add_argument_group("transcription options, as openai-whisper names them")
    _add_flags(group, TranscribeOptions, HELP)
    group.add_argument(
        "--temperature_increment_on_fallback",
        type=_or_none(float),
        default=argparse.SUPPRESS,  # None, said aloud, is no fallback
        metavar="X",
        help="fall back from --temperature, or from 0, to 1.0 in these steps; None: do not",
    )


def options_from(args: argparse.Namespace) -> TranscribeOptions:
    """The validated options of a parsed command line; raises `OptionError`."""
    names = [field.name for field in fields(TranscribeOptions)]
    options = TranscribeOptions(**{name: getattr(args, name) for name in names})
    if "temperature_increment_on_fallback" in args:
        steps = _fallback(options.temperature, args.temperature_increment_on_fallback)
        options = replace(options, temperature=steps)
    return options.validate()


def add_stream_flags(parser: argparse.ArgumentParser) -> None:
    """Add one flag for each field of `StreamOptions`."""
    group = parser.add_argument_group("how live audio is cut up")
    _add_flags(group, StreamOptions, STREAM_HELP)


def stream_options_from(args: argparse.Namespace) -> StreamOptions:
    """The validated stream options of a parsed command line; raises `OptionError`."""
    values = {field.name: getattr(args, field.name) for field in fields(StreamOptions)}
    values["vad"] = vad_from(args, is_on=args.vad, defaults=VadOptions())
    return StreamOptions(**values).validate()


def add_vad_flags(parser: argparse.ArgumentParser) -> None:
    """Add one flag for each field of `VadOptions`; one that is not given leaves no attribute."""
    group = parser.add_argument_group("how speech is looked for, as faster-whisper names it")
    _add_flags(group, VadOptions, VAD_HELP, VAD_PREFIX, has_defaults=False)


def vad_from(args: argparse.Namespace, is_on: bool, defaults: VadOptions) -> VadOptions | bool:
    """`is_on`, or how speech is looked for where the command line says more than that.

    Raises `OptionError` where it does, but nothing is looked for.
    """
    said = {
        field.name: getattr(args, f"{VAD_PREFIX}{field.name}")
        for field in fields(VadOptions)
        if f"{VAD_PREFIX}{field.name}" in args
    }
    if said and not is_on:
        flags = ", ".join(f"--{VAD_PREFIX}{name}" for name in said)
        raise OptionError(f"{flags}: no speech is looked for without --vad, so give it as well")
    return replace(defaults, **said).validate() if said else is_on


def _add_flags(
    group: "argparse._ArgumentGroup",
    options: type[TranscribeOptions | LineOptions | StreamOptions | VadOptions],
    texts: dict[str, str],
    prefix: str = "",
    has_defaults: bool = True,
) -> None:
    """One flag a field; `texts` must have a line for each."""
    hints = typing.get_type_hints(options)
    for field in fields(options):
        group.add_argument(
            f"--{prefix}{field.name}",
            type=_reader(hints[field.name]),
            default=field.default if has_defaults else argparse.SUPPRESS,
            metavar=_metavar(hints[field.name]),
            help=texts[field.name].replace("%", "%%"),
        )


def _fallback(first: float | tuple[float, ...], step: float | None) -> tuple[float, ...]:
    """Temperatures from `first`, 0 by default, up to 1.0 inclusive; `first` alone where the step
    leads nowhere. Raises `OptionError` where they are listed already."""
    first = 0.0 if first == FALLBACK else first
    if isinstance(first, tuple):
        raise OptionError(
            "temperature_increment_on_fallback begins at one --temperature: give no list"
        )
    if step is None or step <= 0 or not 0 <= first < 1:  # what is no temperature: see `validate`
        return (first,)
    if not step >= SMALLEST_FALLBACK:
        raise OptionError(
            f"temperature_increment_on_fallback must be at least {SMALLEST_FALLBACK}, or None, "
            f"got {step}"
        )
    n_steps = int((1.0 - first) / step + 1e-6)
    return tuple(round(first + i * step, 6) for i in range(n_steps + 1))


def _reader(hint: Any) -> Callable[[str], Any]:
    """The function that turns a flag's text into a value of the field's type."""
    kinds = typing.get_args(hint) or (hint,)
    if bool in kinds:
        return _boolean
    if str in kinds:
        return str  # token lists and clip times stay text, which the options accept as well
    number = float if float in kinds else int
    if any(typing.get_origin(kind) is tuple for kind in kinds):
        return _numbers
    return _or_none(number) if type(None) in kinds else number


def _metavar(hint: Any) -> str:
    kinds = typing.get_args(hint) or (hint,)
    if bool in kinds:
        return "True|False"
    if str in kinds:
        return "TEXT"
    return "X" if float in kinds else "N"


def _boolean(text: str) -> bool:
    if text not in ("True", "False"):
        raise argparse.ArgumentTypeError(f"expected True or False, got {text!r}")
    return text == "True"


def _or_none(number: type[int] | type[float]) -> Callable[[str], int | float | None]:
    def read(text: str) -> int | float | None:
        try:
            return None if text == "None" else number(text)
        except ValueError:
            kind = "a whole number" if number is int else "a number"
            raise argparse.ArgumentTypeError(f"expected {kind} or None, got {text!r}") from None

    return read


def _numbers(text: str) -> float | tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a number or a comma list of numbers, got {text!r}"
        ) from None
    return values[0] if len(values) == 1 else values


def whole_number(text: str) -> int:
    """Argument type: a number of things, from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 up, got {text!r}")
    return int(text)
