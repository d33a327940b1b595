"""Where the command line writes: answers to standard output, everything else to standard error."""

import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

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
        with open(os.dup(saved), "w", encoding="utf-8") as out:
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


def json_text(document: dict[str, Any]) -> str:
    """Strict JSON: NaN and infinities, which JSON cannot say, become null."""
    return json.dumps(_finite(document), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def clock_time(seconds: float) -> str:
    """83.5 → "01:23.500"; hours only where there are any."""
    minutes, ms = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02d}:{ms // 1000:02d}.{ms % 1000:03d}"
    return f"{hours:02d}:{text}" if hours else text


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
