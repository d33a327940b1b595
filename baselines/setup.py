"""Code that both adapters share: choose a device and CPU threads, convert segments.

Shared so that both baselines get the same device and the same number of threads. Imports neither
library.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from maxwhisper import machine
from maxwhisper.errors import DeviceError
from maxwhisper.transcript import Segment, Word


@dataclass(frozen=True)
class Device:
    """A device that an engine runs on, with the names of torch and CTranslate2."""

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

    Raises `DeviceError` for a device that does not exist.
    """
    name, _, number = requested.partition(":")
    if requested == "cpu" or (requested == "auto" and n_gpus == 0):
        why = "requested" if requested == "cpu" else f"{library} sees no CUDA device"
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
    return Device("cuda", index, "requested")


def cpu_threads() -> int:
    """Threads for each engine: OMP_NUM_THREADS if set, else the CPUs that this process can use.

    Raises `DeviceError` if OMP_NUM_THREADS is not a number.
    """
    if asked := os.environ.get("OMP_NUM_THREADS", ""):
        first = asked.split(",")[0].strip()
        if not first.isdecimal():
            raise DeviceError(
                f"expected OMP_NUM_THREADS as a whole number, got {asked!r}: change or unset it"
            )
        return max(1, int(first))
    return machine.usable_threads() or 1


def to_segment(fields: Mapping[str, Any], words: Iterable[Mapping[str, Any]]) -> Segment:
    """Convert a segment of either library: both use the same field names. Numpy numbers become
    Python numbers."""
    return Segment(
        id=fields["id"],
        seek=fields["seek"],
        start=float(fields["start"]),
        end=float(fields["end"]),
        text=fields["text"],
        tokens=tuple(fields["tokens"]),
        temperature=float(fields["temperature"]),
        avg_logprob=float(fields["avg_logprob"]),
        compression_ratio=float(fields["compression_ratio"]),
        no_speech_prob=float(fields["no_speech_prob"]),
        words=tuple(
            Word(w["word"], float(w["start"]), float(w["end"]), float(w["probability"]))
            for w in words
        ),
    )
