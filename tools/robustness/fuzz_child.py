"""The child process of the suite `fuzz`: read damaged files one after another, or die of one.

In: target, first number, end and a folder, as JSON on standard input. Out: counts as JSON, and the
number of the case under way in the folder's file `case`.
"""

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from maxwhisper.audio.decoders import Decoders
from maxwhisper.checkpoint.read import read_file, read_folder
from maxwhisper.errors import MaxWhisperError
from tools.robustness.fuzz import Target, damaged, targets
from tools.robustness.processes import held_mib

MAX_S = 5  # for a case
MAX_BYTES = 6 << 30  # of address space: a file of 7 MB that wants more is a failure
KEPT = 20  # failures


class TooSlow(BaseException):
    """A case takes longer than `MAX_S`."""


def main() -> None:
    name, first, end, folder = json.load(sys.stdin)
    target = next(each for each in targets() if each.name == name)
    path, regions = target.write(Path(folder))
    sound, read = path.read_bytes(), _reader(target, path)
    number_file = os.open(Path(folder) / "case", os.O_CREAT | os.O_WRONLY)
    signal.signal(signal.SIGALRM, _too_slow)
    read()  # the sound file; what is imported at the first use is here from now on
    before_mib = held_mib(os.getpid())
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    counts: dict[str, Any] = {"read": 0, "refused": 0, "slowest_s": 0.0, "wrong": []}
    for number in range(first, end):
        os.pwrite(number_file, f"{number}\n".encode(), 0)
        path.write_bytes(damaged(sound, regions, number))
        start_s = time.perf_counter()
        signal.alarm(MAX_S)
        try:
            read()
            counts["read"] += 1
        except MaxWhisperError:
            counts["refused"] += 1
        except (Exception, TooSlow) as error:
            if len(counts["wrong"]) < KEPT:
                counts["wrong"].append(f"case {number}: {type(error).__name__}: {error}"[:300])
        finally:
            signal.alarm(0)
        counts["slowest_s"] = max(counts["slowest_s"], time.perf_counter() - start_s)
    counts["growth_mib"] = max(0.0, held_mib(os.getpid()) - before_mib)
    print(json.dumps(counts))


def _reader(target: Target, path: Path) -> Callable[[], object]:
    """A function that reads the file as the library does."""
    if target.is_audio:
        decoders = Decoders()
        return lambda: decoders.read(str(path), max_seconds=60.0)
    if target.name in ("safetensors", "config.json", "CTranslate2"):
        return lambda: read_folder(path.parent)
    return lambda: read_file(path)


def _too_slow(*_: object) -> None:
    raise TooSlow(f"more than {MAX_S} s")


if __name__ == "__main__":
    main()
