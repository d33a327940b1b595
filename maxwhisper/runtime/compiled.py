"""Compiled graphs of a network: from the cache, from the package, or from the compiler.

Owns the order in which they are looked for, and the compiler. `artifacts` knows the files.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from max import driver
from max.dtype import DType
from max.engine import CompiledModel, InferenceSession

from maxwhisper.checkpoint.schema import Array
from maxwhisper.dims import Dims
from maxwhisper.engine import Progress
from maxwhisper.errors import ArtifactError, DeviceError
from maxwhisper.graphs import GRAPH_NAMES, KERNELS, whisper_module
from maxwhisper.paths import locked, make_folder
from maxwhisper.runtime.artifacts import (
    ArtifactKey,
    artifact_folder,
    artifact_key,
    artifact_sources,
    pack,
    sound_artifact,
    store,
    unpack,
)
from maxwhisper.runtime.device import CPU_CLASSES, Placement, choose, cpu_classes, gpu_placement
from maxwhisper.runtime.weights import fits_float16, graph_weights

PROGRESS_EVERY_S = 2.0


def load_or_compile(
    session: InferenceSession,
    dims: Dims,
    placement: Placement,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    sources: Sequence[Path] | None = None,
) -> CompiledModel:
    """The compiled graphs of a network: what was compiled here, else what lies packed in `sources`
    (if not said, `artifact_sources`) for this device or its class of processors, else what the
    compiler makes.

    Two processes that want the same artifact compile it once: the second waits.
    """
    say = progress or _silent
    key = artifact_key(dims, placement)
    folder = artifact_folder(key, cache_dir)
    make_folder(folder)
    waiting = "waiting for another process that compiles the same graphs"
    with locked(folder / "lock", lambda: say(waiting)):
        try:
            return session.compile(sound_artifact(folder, key))
        except ArtifactError as error:
            why = str(error)
        except (RuntimeError, ValueError) as error:  # MAX cannot read the file
            why = f"the cached artifact does not load ({error})"
        folders = artifact_sources() if sources is None else sources
        for portable in _portable(key, placement, folders):
            try:
                if path := unpack(portable, folders, cache_dir):
                    return session.compile(path)
            except (ArtifactError, RuntimeError, ValueError) as error:
                why = f"the graphs that came for {portable.target} do not load ({error})"
        say(f"compiling: {why}")
        compiled = _compile(session, dims, placement, say)
        store(compiled.export_mef, folder, key)
        return compiled


def is_ready(dims: Dims, placement: Placement, cache_dir: Path | None = None) -> bool:
    """Is nothing left to compile? An artifact that lies packed is unpacked into the cache."""
    key, folders = artifact_key(dims, placement), artifact_sources()
    with suppress(ArtifactError):
        return bool(sound_artifact(artifact_folder(key, cache_dir), key))
    for portable in _portable(key, placement, folders):
        with suppress(ArtifactError):
            if unpack(portable, folders, cache_dir):
                return True
    return False


def _portable(key: ArtifactKey, placement: Placement, sources: Sequence[Path]) -> list[ArtifactKey]:
    """Keys under which `sources` may have something that runs here, the best first."""
    if not sources:
        return []
    classes = cpu_classes() if placement.device.is_host else []
    return [key, *(replace(key, target=f"cpu-{name}") for name in classes)]


def precompile(
    dims: Dims,
    *,
    device: str = "auto",
    dtype: str = "auto",
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    out: Path | None = None,
    weights: Mapping[str, Array] | None = None,
) -> Path:
    """Build the artifact of `dims` for `device`; return its folder, or the packed file in `out`.

    Without `weights`, they are taken for numbers that float16 holds, as those of the official
    models are: on a CPU the decoder's matrices then stay in it.

    `device` may name a GPU that is not here, as "cuda:sm_90a", or a class of processors, as
    "cpu:x86-64-v3": MAX then compiles for that, and this process can run nothing afterwards. Raises
    `DeviceError` for a device it cannot target, `OutputError` where `out` cannot be written.
    """
    if out is not None:
        make_folder(out)  # what cannot be written is known before anything is compiled
    api, _, architecture = device.partition(":")
    if api == "cuda" and architecture:
        placement = _virtual_gpu(api, architecture, dtype)
    elif api == "cpu" and architecture:
        placement = _virtual_cpu(architecture, dtype)
    else:
        placement = choose(device, dtype)
    on_host = placement.device.is_host
    if on_host and (weights is None or fits_float16(graph_weights(dims, weights, on_host))):
        placement = replace(placement, matrices=DType.float16)
    session = InferenceSession(devices=[placement.device])
    load_or_compile(session, dims, placement, cache_dir, progress, sources=())
    key = artifact_key(dims, placement)
    folder = artifact_folder(key, cache_dir)
    return folder if out is None else pack(folder, key, out)


def _virtual_gpu(api: str, architecture: str, dtype: str) -> Placement:
    try:
        driver.set_virtual_device_api(api)
        driver.set_virtual_device_target_arch(architecture)
        driver.set_virtual_device_count(1)
        return gpu_placement(0, dtype, f"compiling for {architecture}, which is not here")
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
    """Nobody listens."""
