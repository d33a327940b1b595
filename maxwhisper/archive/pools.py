"""How many processes a cluster gets for each stage, and on what they run.

In: the nodes that the cluster has now, and what the command line asks for. Out: `Pools`, decided
once, before the first recording: device and precision are part of the key of every result. Knows no
Ray.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from maxwhisper.errors import OptionError

DECODERS_PER_GPU = 8  # processes, on nodes that are yet to come


@dataclass(frozen=True)
class Node:
    """What a node of the cluster lends."""

    n_cpus: int
    n_gpus: int = 0


@dataclass(frozen=True)
class Wish:
    """What the command line asks for. `n_devices` may be more than there are now: the others are
    waited for. `threads` are those of one transcriber on a CPU."""

    device: str = "auto"
    dtype: str = "auto"
    n_devices: int | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Pools:
    """The processes of each stage. A transcriber has a GPU, or `threads` processors. All of
    `n_transcribers` are asked for at once if `is_fixed`; otherwise Ray decides how many of them it
    needs."""

    device: str  # "gpu" or "cpu"
    dtype: str
    n_transcribers: int
    n_decoders: int
    threads: int = 0
    is_fixed: bool = False

    def __str__(self) -> str:
        each = "a GPU" if self.device == "gpu" else f"{self.threads} processors"
        return (
            f"up to {self.n_transcribers} transcribers with {each} each ({self.dtype}), and "
            f"{self.n_decoders} decoders"
        )


def choose_pools(nodes: Sequence[Node], wish: Wish) -> Pools:
    """The pools for a cluster. "auto" takes GPUs if there are any now; "gpu" asks for them whatever
    there is, so that a cluster that grows adds nodes. Raises `OptionError`."""
    from maxwhisper.runtime.device import DEFAULT_DTYPES

    if wish.device.startswith("gpu:"):
        raise OptionError("--ray gives each transcriber one GPU: expected --device gpu without :N")
    n_gpus, n_cpus = sum(node.n_gpus for node in nodes), sum(node.n_cpus for node in nodes)
    device = ("gpu" if n_gpus else "cpu") if wish.device == "auto" else wish.device
    dtype = DEFAULT_DTYPES[device] if wish.dtype == "auto" else wish.dtype
    is_fixed = wish.n_devices is not None
    if device == "gpu":
        n_devices = wish.n_devices or max(1, n_gpus)
        n_to_come = max(0, n_devices - n_gpus)
        n_decoders = max(1, n_cpus) + DECODERS_PER_GPU * n_to_come
        return Pools(device, dtype, n_devices, n_decoders, is_fixed=is_fixed)
    with_two = [node.n_cpus for node in nodes if node.n_cpus > 1]
    threads = wish.threads or min(with_two, default=2) - 1
    n_fit = sum((n - 1) // threads for n in with_two)  # one processor of each node decodes
    if not n_fit:
        most = max(with_two, default=1) - 1
        raise OptionError(
            f"expected a node with {threads + 1} processors, one of which decodes, or a GPU; the "
            f"largest node has {most + 1}: "
            + (f"give --threads {most}" if most else "run without --ray")
        )
    n_devices = wish.n_devices or n_fit
    n_decoders = max(1, n_cpus - n_devices * threads)
    return Pools(device, dtype, n_devices, n_decoders, threads, is_fixed)
