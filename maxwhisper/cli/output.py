"""Output of the command line: answers to standard output, everything else to standard error."""

import io
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from maxwhisper.errors import MaxWhisperError, OutputError

STDOUT, STDERR = 1, 2  # file descriptors


class _Answers(io.FileIO):
    """Standard output, whose failures are errors that a user can act on."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            reason = error.strerror or str(error)
            raise OutputError(f"cannot write the answer to standard output: {reason}") from error


@contextmanager
def answer_stream() -> Iterator[TextIO]:
    """Yield the real standard output, and redirect all other output to standard error.

    Redirects the file descriptor, because C++ libraries do not print through `sys.stdout`. Raises
    `OutputError` if it is closed or full, and `BrokenPipeError` if nobody reads it any more.
    """
    if sys.stdout is None:
        raise OutputError("standard output is closed: write the answer to a file or to a pipe")
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
    """Print one line of progress for people."""
    print(line, file=sys.stderr, flush=True)


def answer(out: TextIO, as_json: bool, document: dict[str, Any], lines: Sequence[str]) -> None:
    """Print the whole answer of a command: `document` for programs, or `lines` for people."""
    out.write(json_text(document) if as_json else "".join(f"{line}\n" for line in lines))


def json_text(document: Mapping[str, Any]) -> str:
    """Strict JSON; NaN and infinities, which JSON does not have, become null."""
    return json.dumps(_finite(document), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def report(error: MaxWhisperError, about: str | None = None) -> None:
    """Print an error in one line, after what it is `about` unless its text says so."""
    text = str(error) if about is None or about in str(error) else f"{about}: {error}"
    print(f"maxwhisper: error: {' '.join(text.split())}", file=sys.stderr, flush=True)


def warn(text: str, about: str | None = None) -> None:
    """Print a warning in one line, after what it is `about`."""
    print(
        f"maxwhisper: warning: {f'{about}: ' if about else ''}{text}", file=sys.stderr, flush=True
    )


def write_file(path: Path, text: str) -> None:
    """Write UTF-8, and make the folder if needed. Raises `OutputError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def replace_file(path: Path, text: str) -> None:
    """`write_file` in one step: if it is interrupted, the old file stays intact."""
    part = path.with_name(f"{path.name}.part")
    write_file(part, text)
    try:
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
