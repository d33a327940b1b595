"""Run a step in its own process, so a crash or a hang costs no other step and no result of its own.

In: a command, and its time limit in seconds. Out: the step's entry, which the command writes
repeatedly to the given file. Knows no step.
"""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from maxwhisper.cli.output import json_text, write_file

UNFINISHED = "unfinished"
ENTRY_FLAG = "--entry"


def do(command: Sequence[str], limit_s: float) -> dict[str, Any]:
    """Run `command` with the file for its entry, and end it with all its children after
    `limit_s`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "entry.json")
        process = subprocess.Popen([*command, ENTRY_FLAG, str(path)], start_new_session=True)
        try:
            why = _ended(process.wait(limit_s))
        except subprocess.TimeoutExpired:
            why = f"stopped after {limit_s:.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        entry: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if entry.get("status", UNFINISHED) == UNFINISHED:
        entry |= {"status": "error", "why": why}
    return entry


def keep(path: Path, entry: Mapping[str, Any]) -> None:
    """Write the results of a step so far, atomically."""
    write_file(path, json_text({"status": UNFINISHED, **entry}))


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code} and without an answer"
    return f"killed by {signal.Signals(-code).name}"
