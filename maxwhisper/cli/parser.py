"""The parser of the command line: what it forgives, and errors that name what was meant.

In: the words of a command line. Out: parsed arguments, or one line on standard error and exit code
2. Flags may be written with hyphens, files may stand between flags, and a command line without a
command transcribes.
"""

import argparse
import os
import sys
from collections.abc import Collection, Sequence
from typing import Any, NoReturn

from maxwhisper.cli.foreign_flags import FOREIGN_FLAGS
from maxwhisper.errors import or_nearest

EXIT_WRONG_COMMAND = 2
DEFAULT_COMMAND = "transcribe"


class CommaList(list[str]):
    """Choices of which several may be given, with commas between them."""

    def __contains__(self, given: object) -> bool:
        return all(list.__contains__(self, part) for part in str(given).split(","))


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are one line, without the list of all flags. `commands` are
    the names of its subparsers, if it has any."""

    commands: Collection[str] = ()

    def error(self, message: str) -> NoReturn:
        line = " ".join(message.split())
        self.exit(EXIT_WRONG_COMMAND, f"{self.prog}: error: {line} (see --help)\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and take words between flags for the files that they are."""
        words = list(sys.argv[1:] if args is None else args)
        if self.commands:
            words = _with_command(words, self.commands)
        known, unknown = super().parse_known_args(_underscored(words), namespace)
        if not unknown or self.commands:
            return known, unknown
        for word in unknown:
            if word.startswith("-") and word not in ("-", "--"):
                self.error(self._no_flag(word.partition("=")[0]))
        many = next(
            (a for a in self._actions if not a.option_strings and a.nargs in ("+", "*")), None
        )
        if many is None:
            return known, unknown
        files = [word for word in unknown if word != "--"]
        setattr(known, many.dest, [*(getattr(known, many.dest) or ()), *files])
        return known, []

    def _no_flag(self, flag: str) -> str:
        if flag in FOREIGN_FLAGS:
            return f"no flag {flag}: {FOREIGN_FLAGS[flag]}"
        flags = [name for action in self._actions for name in action.option_strings]
        return f"no flag {flag}{or_nearest(flag, flags)}"

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        parts = str(value).split(",") if isinstance(action.choices, CommaList) else [str(value)]
        wrong = next(part for part in parts if part not in choices)
        expected = f"expected one of {', '.join(choices)}, got {wrong!r}"
        raise argparse.ArgumentError(action, expected + or_nearest(wrong, choices))


def _with_command(words: Sequence[str], commands: Collection[str]) -> list[str]:
    """The words with `transcribe` before them if they begin with a flag or a recording."""
    if not words or words[0] in commands:
        return list(words)
    first = words[0]
    is_flag = first.startswith("-") and first not in ("-h", "--help", "--version")
    is_recording = any(mark in first for mark in "./*?[~") or os.path.lexists(first)
    return [DEFAULT_COMMAND, *words] if is_flag or is_recording else list(words)


def _underscored(words: Sequence[str]) -> list[str]:
    """The words with underscores in the names of flags, up to a `--`."""
    end = words.index("--") if "--" in words else len(words)
    return [*map(_flag, words[:end]), *words[end:]]


def _flag(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"
