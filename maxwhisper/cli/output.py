"""Output of the command line: answers to standard output, everything else to standard error."""

import io
import json
import math
import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from maxwhisper.errors import MaxWhisperError, OutputError
from maxwhisper.paths import write_whole

STDOUT, STDERR = 1, 2  # file descriptors


class AnswerLost(OutputError):
    """Standard output that cannot be written: nothing that follows can be answered."""


class _Answers(io.FileIO):
    """Standard output, whose failures are errors that a user can act on."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            reason = error.strerror or str(error)
            raise AnswerLost(f"cannot write the answer to standard output: {reason}") from error


@contextmanager
def answer_stream() -> Iterator[TextIO]:
    """Yield the real standard output, and redirect all other output to standard error.

    Redirects the file descriptor, because C++ libraries do not print through `sys.stdout`. Raises
    `AnswerLost` if it is closed or full, and `BrokenPipeError` if nobody reads it any more.
    """
    if sys.stdout is None:
        raise AnswerLost("standard output is closed: write the answer to a file or to a pipe")
    sys.stdout.flush()
    saved = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    try:
        # A file name may hold bytes that are not UTF-8: 0xff is written as \udcff, as JSON does.
        answers = io.BufferedWriter(_Answers(os.dup(saved), "w"))
        with io.TextIOWrapper(answers, "utf-8", errors="backslashreplace") as out:
            yield out
    finally:
        sys.stdout.flush()
        os.dup2(saved, STDOUT)
        os.close(saved)


def progress(line: str) -> None:
    """Print one line of progress for people, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(f"{line}\n", file=sys.stderr, end="")
    sys.stderr.flush()


def shown(name: str) -> str:
    """A file name as a line shows it: line breaks and what is no text are written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def answer(out: TextIO, as_json: bool, document: dict[str, Any], lines: Sequence[str]) -> None:
    """Print the whole answer of a command: `document` for programs, or `lines` for people."""
    out.write(json_text(document) if as_json else "".join(f"{line}\n" for line in lines))


def json_text(document: Mapping[str, Any]) -> str:
    """Strict JSON; NaN and infinities, which JSON does not have, become null."""
    return json.dumps(_finite(document), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def report(error: MaxWhisperError, about: str | None = None) -> None:
    """Print an error in one line, after what it is `about` unless its text says so."""
    text = str(error) if about is None or about in str(error) else f"{shown(about)}: {error}"
    progress(f"maxwhisper: error: {' '.join(text.split())}")


def warn(text: str, about: str | None = None) -> None:
    """Print a warning in one line, after what it is `about`."""
    progress(f"maxwhisper: warning: {f'{shown(about)}: ' if about else ''}{text}")


def json_line(document: Mapping[str, Any]) -> str:
    """`json_text` on one line."""
    return json.dumps(_finite(document), ensure_ascii=False, allow_nan=False) + "\n"


def write_file(path: Path, text: str) -> None:
    """Write UTF-8 in one step: whatever interrupts it, the file is the old or the new one.

    Makes the folder if needed. Follows links, and writes into devices. Raises `OutputError`.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
        else:
            part = f".maxwhisper-{secrets.token_hex(8)}.part"
            write_whole(path.resolve(), text.encode("utf-8"), part)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"cannot write {shown(str(path))}: {reason}") from error


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
