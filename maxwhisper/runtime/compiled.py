"""Compiled graphs of a network: from the cache, from the package, or from the compiler.

Owns the search order and the call of the compiler. `artifacts` handles the files.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from max import driver
from max.dtype import DType
from max.engine import CompiledModel, InferenceSession

from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.engine import Progress
from maxwhisper.errors import ArtifactError, DeviceError
from maxwhisper.graphs import GRAPH_NAMES, KERNELS, whisper_module
from maxwhisper.network.dims import Dims
from maxwhisper.paths import make_folder
from maxwhisper.runtime.artifacts import (
    MEF,
    ArtifactKey,
    artifact,
    artifact_key,
    artifact_sources,
    find_packed,
    pack,
    sound_artifact,
    unpack,
)
from maxwhisper.runtime.device import CPU_CLASSES, Placement, choose, cpu_classes, gpu_placement
from maxwhisper.runtime.trial import require_tried
from maxwhisper.runtime.weights import fits_float16, graph_weights

PROGRESS_EVERY_S = 2.0


@dataclass(frozen=True)
class Graphs:
    """The compiled graphs of a network, and the file that they are kept in."""

    model: CompiledModel
    artifact: Path


def load_or_compile(
    session: InferenceSession,
    dims: Dims,
    placement: Placement,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    sources: Sequence[Path] | None = None,
) -> Graphs:
    """The compiled graphs of a network: from the cache, else packed in `sources` for this device or
    its class of processors (default: `artifact_sources`), else compiled now.

    Graphs that have never run here are tried first, in a process that may die: see `trial`. If two
    processes need the same artifact, one makes it and the other waits. Nothing is written if the
    cache is complete. Raises `OutputError` if something is missing and cannot be written.
    """
    say, key = progress or _silent, artifact_key(dims, placement)

    def tried(path: Path) -> Graphs:
        require_tried(path, dims, placement)
        return Graphs(session.compile(path), path)

    try:
        return tried(sound_artifact(key, cache_dir))
    except ArtifactError as error:
        why = str(error)
    except (RuntimeError, ValueError) as error:  # MAX cannot read the file
        why = f"the cached graphs do not load ({error})"
    wait = partial(say, "waiting for another process that makes the same graphs")
    folders = artifact_sources() if sources is None else sources
    for portable in _portable(key, placement, folders):
        try:
            if path := unpack(portable, folders, cache_dir, wait):
                return tried(path)
        except (ArtifactError, RuntimeError, ValueError) as error:
            why = f"the packed graphs for {portable.target} do not load ({error})"
    entry = artifact(key, cache_dir)
    with entry.locked(wait):
        with suppress(ArtifactError, RuntimeError, ValueError):  # another process was faster
            return tried(sound_artifact(key, cache_dir))
        say(f"compiling: {why}")
        compiled = _compile(session, dims, placement, say)
        entry.replace(partial(_export, compiled))
        return Graphs(compiled, entry.folder / MEF)


def _export(compiled: CompiledModel, folder: Path) -> None:
    try:
        compiled.export_mef(str(folder / MEF))
    except (RuntimeError, ValueError) as error:  # how MAX reports a full disk
        raise OSError(str(error)) from error


def is_ready(dims: Dims, placement: Placement, cache_dir: Path | None = None) -> bool:
    """True if nothing has to be compiled. A packed artifact is unpacked into the cache."""
    key, folders = artifact_key(dims, placement), artifact_sources()
    if artifact(key, cache_dir).problem() is None:
        return True
    for portable in _portable(key, placement, folders):
        with suppress(ArtifactError):
            if unpack(portable, folders, cache_dir):
                return True
    return False


def graphs_on_disk(dims: Dims, cache_dir: Path | None = None) -> str:
    """Return where the graphs of a network are, for the device that `load` chooses: "ready" in the
    cache, "packed" in the package, or "" if they have to be compiled. Unpacks nothing.

    As in `precompile`, the decoder's matrices are assumed to be exact in float16.
    """
    placement, folders = choose(), artifact_sources()
    if placement.device.is_host:
        placement = replace(placement, matrices=DType.float16)
    key = artifact_key(dims, placement)
    if artifact(key, cache_dir).problem() is None:
        return "ready"
    is_packed = any(find_packed(one, folders) for one in _portable(key, placement, folders))
    return "packed" if is_packed else ""


def _portable(key: ArtifactKey, placement: Placement, sources: Sequence[Path]) -> list[ArtifactKey]:
    """Keys of artifacts in `sources` that could run here, best first."""
    if not sources:
        return []
    classes = cpu_classes() if placement.device.is_host else []
    return [key, *(replace(key, target=f"cpu-{name}") for name in classes)]


def precompile(
    network: Checkpoint | Dims,
    *,
    device: str = "auto",
    dtype: str = "auto",
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    out: Path | None = None,
) -> Path:
    """Build the artifact of a network for `device`; return its folder, or the packed file in `out`.

    On a CPU the decoder's matrices stay float16 if that is exact. A checkpoint's weights decide
    this; for dims alone it is assumed, because it holds for the official models.

    `device` can name a GPU that this machine does not have, such as "cuda:sm_90a", or a class of
    processors, such as "cpu:x86-64-v3". MAX then compiles for that target, and this process cannot
    run anything afterwards. Raises `DeviceError` for a device it cannot target, `OutputError` if
    `out` cannot be written.
    """
    if out is not None:
        make_folder(out)  # fails now rather than after minutes of compiling
    api, _, architecture = device.partition(":")
    if api == "cuda" and architecture:
        placement = _virtual_gpu(api, architecture, dtype)
    elif api == "cpu" and architecture:
        placement = _virtual_cpu(architecture, dtype)
    else:
        placement = choose(device, dtype)
    dims = network if isinstance(network, Dims) else network.dims
    if placement.device.is_host and _is_exact_in_float16(network):
        placement = replace(placement, matrices=DType.float16)
    session = InferenceSession(devices=[placement.device])
    load_or_compile(session, dims, placement, cache_dir, progress, sources=())
    key = artifact_key(dims, placement)
    return artifact(key, cache_dir).folder if out is None else pack(key, out, cache_dir)


def _is_exact_in_float16(network: Checkpoint | Dims) -> bool:
    """True if float16 holds the weights of the decoder's matrices; assumed for dims alone."""
    return isinstance(network, Dims) or fits_float16(
        graph_weights(network.dims, network.weights, on_host=True)
    )


def _virtual_gpu(api: str, architecture: str, dtype: str) -> Placement:
    try:
        driver.set_virtual_device_api(api)
        driver.set_virtual_device_target_arch(architecture)
        driver.set_virtual_device_count(1)
        return gpu_placement(
            0, dtype, f"compiling for {architecture}, which this machine does not have"
        )
    except (RuntimeError, ValueError) as error:
        raise DeviceError(f"cannot compile for {api}:{architecture}: {error}") from error


def _virtual_cpu(name: str, dtype: str) -> Placement:
    if name not in CPU_CLASSES:
        raise DeviceError(f"expected cpu:{' or cpu:'.join(CPU_CLASSES)}, got 'cpu:{name}'")
    driver.set_virtual_cpu_target(name)
    return replace(choose("cpu", dtype), target=f"cpu-{name}")


def _compile(
    session: InferenceSession, dims: Dims, placement: Placement, say: Progress
) -> CompiledModel:
    module = whisper_module(dims, placement.dtype, placement.ref, placement.matrices)
    what = f"{len(GRAPH_NAMES)} graphs for {placement.target} ({placement.dtype_name})"
    with _ticking(lambda seconds: say(f"compiling {what}, once: {seconds:.0f} s")):
        try:
            return session.compile(module, custom_extensions=[KERNELS])
        except RuntimeError as error:
            raise ArtifactError(f"MAX could not compile {what}: {error}") from error


@contextmanager
def _ticking(report: Callable[[float], None]) -> Iterator[None]:
    """Call `report(seconds)` now and every two seconds until the block ends."""
    done, start = threading.Event(), time.monotonic()

    def tick() -> None:
        while not done.wait(PROGRESS_EVERY_S):
            report(time.monotonic() - start)

    report(0.0)
    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _silent(_: str) -> None:
    """Discard progress lines."""
