"""The machine and the software that a number was measured on, as a mapping for records and headers.

Asks the system and the metadata of installed packages. Imports no engine and touches no device.
"""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

# Distributions whose versions decide what a number means.
PACKAGES = (
    "max",
    "openai-whisper",
    "torch",
    "faster-whisper",
    "ctranslate2",
    "numpy",
    "maxwhisper",
)
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_COMMAND_TIMEOUT_S = 10.0


def describe() -> dict[str, Any]:
    """{"cpu", "cores", "threads", "memory_gib", "gpus", "os", "python", "versions", "commit", …}.

    `cores` are physical, `threads` are those this process may use; None where unknown.
    """
    return {
        "cpu": _cpu_model(),
        "cores": _physical_cores(),
        "threads": usable_threads(),
        "thread_limits": {name: os.environ.get(name) for name in _THREAD_VARIABLES},
        "memory_gib": _memory_gib(),
        "gpus": _gpus(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "commit": commit(),
    }


def usable_threads() -> int | None:
    """CPUs that this process may use; None where unknown."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def gpu_used_bytes() -> int | None:
    """Memory in use on all NVIDIA GPUs, by any process. None without a GPU, or if one of them does
    not report it: GPUs that share the host's memory answer "[N/A]"."""
    listing = _run("nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits")
    rows = (listing or "").split()
    if not rows or not all(row.isdecimal() for row in rows):
        return None
    return sum(int(mebibytes) for mebibytes in rows) * 2**20


def version(distribution: str) -> str | None:
    """The installed version, or None. This package has one without being installed, too."""
    if distribution == "maxwhisper":
        package = sys.modules["maxwhisper"]  # not imported: it imports most of its modules
        return str(package.__version__)
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit of the clone that this package runs from, with "+" if files differ from it."""
    # A package that is installed in another project's clone must not report that project's commit.
    in_own_clone = (Path(__file__).parents[1] / ".git").exists()
    head = _run("git", "rev-parse", "HEAD") if in_own_clone else None
    if head is None:
        return None
    return head + ("+" if _run("git", "status", "--porcelain", "--untracked-files=no") else "")


def _cpu_fields() -> list[tuple[str, str]]:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return []
    lines = (line.partition(":") for line in cpuinfo.read_text().splitlines())
    return [(key.strip(), value.strip()) for key, _, value in lines]


def _cpu_model() -> str | None:
    models = [value for key, value in _cpu_fields() if key == "model name"]
    return models[0] if models else platform.processor() or None


def _physical_cores() -> int | None:
    fields = _cpu_fields()
    sockets = [value for key, value in fields if key == "physical id"]
    cores = [value for key, value in fields if key == "core id"]
    return len(set(zip(sockets, cores, strict=True))) if cores else None


def _memory_gib() -> float | None:
    try:
        total_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
    return round(total_bytes / 2**30, 1)


def _gpus() -> list[dict[str, str]]:
    """Name, driver and memory of every NVIDIA GPU, from nvidia-smi."""
    columns = ("name", "driver_version", "memory.total")
    listing = _run("nvidia-smi", f"--query-gpu={','.join(columns)}", "--format=csv,noheader")
    rows = [line.split(", ") for line in (listing or "").splitlines()]
    return [dict(zip(columns, row, strict=True)) for row in rows if len(row) == len(columns)]


def _run(*command: str) -> str | None:
    """Standard output of a command in the package's folder, or None if it fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        finished = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_COMMAND_TIMEOUT_S,
            cwd=Path(__file__).parent,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return finished.stdout.strip() if finished.returncode == 0 else None
