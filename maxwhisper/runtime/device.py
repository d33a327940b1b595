"""Choose device and precision once, and give the reason.

Out: a `Placement`. Knows the hardware of this machine; knows nothing of graphs or weights.
"""

import functools
import hashlib
import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
from max.driver import (
    CPU,
    Accelerator,
    Buffer,
    Device,
    accelerator_architecture_name,
    accelerator_count,
)
from max.dtype import DType
from max.engine import InferenceSession
from max.graph import DeviceRef

from maxwhisper.errors import FORKED, DeviceError
from maxwhisper.runtime.cublas import open_cublas

_AVX2 = frozenset(
    ("abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "popcnt", "sse4_2", "xsave")
)
_AVX512 = frozenset(("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"))
# Classes of processors that graphs can be compiled for, best first, and the flags of /proc/cpuinfo
# that each class requires (x86-64 psABI).
CPU_CLASSES = {"x86-64-v4": _AVX2 | _AVX512, "x86-64-v3": _AVX2}
MAX_THREAD = "🔥 Thread"  # in the name of each thread that MAX 26.7.0 computes with
CUBLAS = (13, 12)  # versions that MAX 26.7.0 looks for, in its order
DTYPES = {
    "float32": DType.float32,
    "float16": DType.float16,
    "bfloat16": DType.bfloat16,
}
DEFAULT_DTYPES = {"cpu": "float32", "gpu": "float16"}  # both baselines use float16 on a GPU


@dataclass(frozen=True)
class Placement:
    """Where a network runs. `target` is the instruction set that artifacts are compiled for."""

    device: Device
    ref: DeviceRef
    dtype: DType
    dtype_name: str
    matrices: DType  # of the decoder: `dtype`, or on a CPU float16 if that is exact
    target: str  # "cpu-x86_64-3f2a…", "cuda-sm_90a"
    reason: str  # shown to the user

    @property
    def label(self) -> str:
        return "cpu" if self.device.is_host else f"gpu:{self.device.id}"

    def put(self, array: npt.NDArray[Any]) -> Buffer:
        """The array as a buffer on this device; on a CPU the buffer shares the array's memory."""
        buffer = Buffer.from_numpy(array)
        return buffer if self.device.is_host else buffer.to(self.device)


def choose(device: str = "auto", dtype: str = "auto") -> Placement:
    """Resolve "auto" | "cpu" | "gpu" | "gpu:N" and "auto" | "float32" | "float16" | "bfloat16".

    "auto" takes a GPU if MAX sees one. The default precision is float32 on a CPU, and on a GPU
    float16, which both baselines use there. Raises `DeviceError` for a device or precision that
    this machine does not have, and in a process forked from one that has called this.
    """
    _require_first_process()
    n_gpus = accelerator_count()
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "gpu") or (index and not index.isdigit()):
        raise DeviceError(f"device must be auto, cpu, gpu or gpu:N, got {device!r}")
    if kind == "auto":
        kind = "gpu" if n_gpus else "cpu"
        reason = f"{n_gpus} GPU(s) found" if n_gpus else "no GPU found"
    else:
        reason = f"{device} requested"
    if kind == "cpu":
        return _place(CPU(), DeviceRef.CPU(), dtype, f"cpu-{cpu_target()}", reason)
    number = int(index or 0)
    if number >= n_gpus:
        raise DeviceError(
            f"expected one of the {n_gpus} GPU(s) found here, got {device!r}: use 'cpu' or 'auto'"
        )
    open_cublas(CUBLAS)
    return gpu_placement(number, dtype, reason)


def limit_threads(threads: int) -> None:
    """Let MAX compute with this many threads on the CPU.

    MAX 26.7.0 starts its threads once in a process, one for each CPU that the caller may use, and
    aborts the process if a session wants another number. So this restricts the caller to as many
    CPUs while the threads start, and lifts the restriction for all of them afterwards. Raises
    `DeviceError` for a number that is impossible, or that differs from an earlier one.
    """
    allowed = os.sched_getaffinity(0)
    if (
        isinstance(threads, bool)
        or not isinstance(threads, int)
        or not 1 <= threads <= len(allowed)
    ):
        raise DeviceError(f"threads must be 1 to {len(allowed)} on this machine, got {threads!r}")
    if not _n_threads():
        os.sched_setaffinity(0, sorted(allowed)[:threads])
        try:
            InferenceSession(devices=[CPU()])
        finally:
            for task in _tasks():
                with suppress(OSError):  # it has ended
                    os.sched_setaffinity(int(task.name), allowed)
    if (n := _n_threads()) != threads:
        raise DeviceError(
            f"MAX already computes with {n} threads in this process, and cannot change that: give "
            f"threads={threads} to the first load(), or load in another process"
        )


def _n_threads() -> int:
    """Number of threads that MAX computes with on the CPU; 0 before it has started."""
    count = 0
    for task in _tasks():
        with suppress(OSError):
            count += MAX_THREAD in (task / "comm").read_text()
    return count


def _tasks() -> list[Path]:
    """The threads of this process, by their id."""
    return list(Path("/proc/self/task").iterdir())


def _require_first_process() -> None:
    if os.getpid() != _first_process():
        raise DeviceError(FORKED)


@functools.cache
def _first_process() -> int:
    """The id of the process that first called this: a fork inherits the answer."""
    return os.getpid()


def gpu_placement(number: int, dtype: str, reason: str) -> Placement:
    """A placement on GPU `number`, which can be a virtual GPU for compiling."""
    accelerator = Accelerator(number)
    target = f"{accelerator.api}-{accelerator_architecture_name()}"
    return _place(accelerator, DeviceRef.GPU(number), dtype, target, reason)


def _place(device: Device, ref: DeviceRef, dtype: str, target: str, reason: str) -> Placement:
    name = dtype if dtype != "auto" else DEFAULT_DTYPES["cpu" if device.is_host else "gpu"]
    if name not in DTYPES:
        raise DeviceError(f"dtype must be auto, {', '.join(DTYPES)}, got {dtype!r}")
    if device.is_host and name != "float32":
        raise DeviceError(f"a CPU runs float32 only, got {name}: use dtype='float32' or a GPU")
    return Placement(device, ref, DTYPES[name], name, DTYPES[name], target, reason)


def cpu_target() -> str:
    """A short name of this processor's instruction set: machine and a hash of its feature flags.

    MAX compiles for the exact host: an artifact from a processor with other features may crash or
    compute wrong numbers here.
    """
    machine = platform.machine() or "unknown"
    features = " ".join(sorted(_cpu_flags())) or platform.processor()
    return f"{machine}-{hashlib.sha256(features.encode()).hexdigest()[:12]}"


def cpu_classes() -> list[str]:
    """The classes of processors that this one belongs to, best first."""
    flags = _cpu_flags()
    return [name for name, needed in CPU_CLASSES.items() if needed <= flags]


def _cpu_flags() -> frozenset[str]:
    """Instruction-set features as the kernel names them; empty without /proc/cpuinfo."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return frozenset()
    lines = cpuinfo.read_text(errors="replace").splitlines()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(flags.partition(":")[2].split())
