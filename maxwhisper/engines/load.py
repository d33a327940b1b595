"""How much of the processor an engine takes, and how much others take while it is timed.

In: the counters of Linux and of this process, before and after. Out: seconds or a `Load`, or None
where the system does not count: other systems have no /proc/stat, and some sandboxes an empty one.
"""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

COUNTERS = Path("/proc/stat")
# Columns of a line (proc_stat(5)): user, nice, system, idle, iowait, irq, softirq, steal; what
# follows is part of user and nice.
_N_COLUMNS = 8
_IDLE = (3, 4)


@dataclass(frozen=True)
class Load:
    """CPU time of the CPUs that the timed process may use."""

    others_s: float  # taken by other processes, the system and other machines on this hardware
    total_s: float  # of all these CPUs, idle or not

    @property
    def share(self) -> float:
        """From 0 to 1: the part that others took."""
        return min(1.0, max(0.0, self.others_s / self.total_s)) if self.total_s else 0.0


def total(loads: Iterable[Load | None]) -> Load | None:
    """The sum; None if one of them, or all, are not known."""
    each = list(loads)
    known = [load for load in each if load is not None]
    if not known or len(known) < len(each):
        return None
    return Load(sum(load.others_s for load in known), sum(load.total_s for load in known))


class LoadMeter:
    """Measures from its creation on."""

    def __init__(self) -> None:
        self._start = _now()

    def read(self) -> Load | None:
        """The load so far. The counters step by 10 ms a CPU, so add up what is short."""
        end = _now()
        if self._start is None or end is None:
            return None
        busy_s, total_s, own_s = (b - a for a, b in zip(self._start, end, strict=True))
        return Load(busy_s - own_s, total_s)


def cpu_s_of(pid: int) -> float | None:
    """CPU seconds of a process so far; None where the system does not say, or if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        user, system = stat.rpartition(")")[2].split()[11:13]  # proc_pid_stat(5), fields 14 and 15
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None


def _now() -> tuple[float, float, float] | None:
    """CPU seconds since the start, of the CPUs that this process may use: not idle, all, and those
    of this process."""
    try:
        lines = COUNTERS.read_text(encoding="ascii").splitlines()
        usable = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        ticks_per_s = os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):  # no Linux
        return None
    rows = [line.split() for line in lines if line.startswith("cpu")]
    ticks = [[int(n) for n in row[1 : 1 + _N_COLUMNS]] for row in rows if row[0] in usable]
    total = sum(map(sum, ticks))
    if not total:
        return None
    idle = sum(row[column] for row in ticks for column in _IDLE)
    return (total - idle) / ticks_per_s, total / ticks_per_s, time.process_time()
