"""What both adapters decide alike: device and CPU threads.

Kept in one place so that neither baseline gets a device or a thread more than the other.
"""

import os
from dataclasses import dataclass

from maxwhisper.errors import DeviceError


@dataclass(frozen=True)
class Device:
    """A device that an engine runs on, in the words of torch and CTranslate2."""

    kind: str  # "cpu" or "cuda"
    index: int
    reason: str

    @property
    def label(self) -> str:
        return "cpu" if self.kind == "cpu" else f"gpu:{self.index}"

    @property
    def default_dtype(self) -> str:
        return "float32" if self.kind == "cpu" else "float16"


def choose_device(requested: str, n_gpus: int, library: str) -> Device:
    """Resolve "auto", "cpu", "gpu" or "gpu:N" where `library` sees `n_gpus` CUDA devices.

    Raises `DeviceError` for a device that is not there.
    """
    name, _, number = requested.partition(":")
    if requested == "cpu" or (requested == "auto" and n_gpus == 0):
        why = "asked for" if requested == "cpu" else f"{library} sees no CUDA device"
        return Device("cpu", 0, f"{why}; {cpu_threads()} CPU threads")
    if requested == "auto":
        return Device("cuda", 0, f"{library} sees {n_gpus} CUDA device(s)")
    if name != "gpu" or (number and not number.isdecimal()):
        raise DeviceError(f"expected device 'auto', 'cpu', 'gpu' or 'gpu:N', got {requested!r}")
    index = int(number or 0)
    if index >= n_gpus:
        raise DeviceError(
            f"expected a CUDA device for {requested!r}, {library} sees {n_gpus}: use device='cpu'"
        )
    return Device("cuda", index, "asked for")


def cpu_threads() -> int:
    """Threads for each engine: OMP_NUM_THREADS if set, else the CPUs this process may use."""
    if asked := os.environ.get("OMP_NUM_THREADS", ""):
        return max(1, int(asked.split(",")[0]))
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
