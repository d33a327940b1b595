"""Processes as Linux shows them in /proc. A process that has ended reads as nothing."""

import re
from contextlib import suppress
from pathlib import Path


def read(path: Path) -> str:
    """A file, "" if it is not there."""
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return ""


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return sorted({int(child) for task in tasks for child in read(task).split()})


def runs(pid: int) -> bool:
    """True while a process exists; one that has ended and was not waited for does not."""
    return ") Z " not in (stat := read(Path(f"/proc/{pid}/stat"))) and bool(stat)


def stands_still(pid: int) -> bool:
    """True for a process that somebody has stopped."""
    return ") T " in read(Path(f"/proc/{pid}/stat"))


def held_mib(pid: int) -> float:
    """Memory of a process, without the files that it maps."""
    found = re.search(r"^RssAnon:\s+(\d+) kB", read(Path(f"/proc/{pid}/status")), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
