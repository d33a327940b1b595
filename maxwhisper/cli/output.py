"""Where the command line writes: answers to standard output, everything else to standard error."""

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


@contextmanager
def answer_stream() -> Iterator[TextIO]:
    """Yield the real standard output; meanwhile everybody else's goes to standard error.

    At file-descriptor level, because C++ libraries print past `sys.stdout`.
    """
    sys.stdout.flush()
    saved = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    try:
        # A file's name need not be text: \udcff, escaped, is what JSON calls its byte 0xff too.
        with open(os.dup(saved), "w", encoding="utf-8", errors="backslashreplace") as out:
            yield out
    finally:
        sys.stdout.flush()
        os.dup2(saved, STDOUT)
        os.close(saved)


def progress(line: str) -> None:
    """One line for people who wait."""
    print(line, file=sys.stderr, flush=True)


def answer(out: TextIO, as_json: bool, document: dict[str, Any], lines: Sequence[str]) -> None:
    """The whole answer of a command: `document` for machines or `lines` for people."""
    out.write(json_text(document) if as_json else "".join(f"{line}\n" for line in lines))


def json_text(document: Mapping[str, Any]) -> str:
    """Strict JSON: NaN and infinities, which JSON cannot say, become null."""
    return json.dumps(_finite(document), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def report(error: MaxWhisperError, about: str | None = None) -> None:
    """One line on standard error; it begins with what it is about, where that need be said."""
    text = str(error) if about is None or about in str(error) else f"{about}: {error}"
    print(f"maxwhisper: error: {' '.join(text.split())}", file=sys.stderr, flush=True)


def write_file(path: Path, text: str) -> None:
    """Write UTF-8, making the folder; raises `OutputError` where the system refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def replace_file(path: Path, text: str) -> None:
    """`write_file` in one step: whoever is stopped meanwhile leaves the old one whole."""
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
