"""Compiled graphs on disk: built once per network shape, precision, processor and MAX version.

Owns the artifact cache. An artifact is a folder `graphs.mef` + `manifest.json`; it is used only if
its manifest carries the key asked for and the file's sha256, and rebuilt otherwise. Weights are not
in it.
"""

import fcntl
import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from max import driver
from max.engine import CompiledModel, InferenceSession

from maxwhisper.dims import Dims
from maxwhisper.engine import Progress
from maxwhisper.errors import ArtifactError, DeviceError
from maxwhisper.graphs import GRAPH_NAMES, whisper_module
from maxwhisper.paths import cache_root
from maxwhisper.runtime.device import Placement, choose, gpu_placement

PROGRESS_EVERY_S = 2.0
_GRAPH_SOURCES = Path(__file__).parent.parent / "graphs"


@dataclass(frozen=True)
class ArtifactKey:
    """Everything a compiled artifact depends on."""

    dims: Dims
    dtype: str
    target: str
    graph_sources: str  # sha256 of graphs/*.py
    max_version: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def folder_name(self) -> str:
        text = json.dumps(self.to_dict(), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return f"{self.target}-{self.dtype}-{digest}"


def artifact_key(dims: Dims, placement: Placement) -> ArtifactKey:
    return ArtifactKey(
        dims=dims,
        dtype=placement.dtype_name,
        target=placement.target,
        graph_sources=graph_sources_digest(),
        max_version=str(driver.__version__),
    )


def graph_sources_digest() -> str:
    """sha256 over the text of every file in `graphs/`: a changed graph is another artifact."""
    digest = hashlib.sha256()
    for path in sorted(_GRAPH_SOURCES.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def artifact_folder(key: ArtifactKey, cache_dir: Path | None = None) -> Path:
    return (cache_dir or cache_root()) / "artifacts" / key.folder_name


def load_or_compile(
    session: InferenceSession,
    dims: Dims,
    placement: Placement,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> CompiledModel:
    """The compiled graphs of a network, from disk if they are there and sound.

    Two processes that want the same artifact compile it once: the second waits.
    """
    say = progress or _silent
    key = artifact_key(dims, placement)
    folder = artifact_folder(key, cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock", say):
        try:
            path = _sound_artifact(folder, key)
            return session.compile(path)
        except ArtifactError as error:
            say(f"compiling: {error}")
        except (RuntimeError, ValueError) as error:  # MAX cannot read the file
            say(f"compiling again: the cached artifact does not load ({error})")
        compiled = _compile(session, dims, placement, say)
        _store(compiled, folder, key)
        return compiled


def discard(dims: Dims, placement: Placement, cache_dir: Path | None = None) -> None:
    """Forget an artifact that loaded but computed wrong numbers."""
    folder = artifact_folder(artifact_key(dims, placement), cache_dir)
    (folder / "manifest.json").unlink(missing_ok=True)


def precompile(
    dims: Dims,
    *,
    device: str = "auto",
    dtype: str = "auto",
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Build the artifact of `dims` for `device` and return its folder.

    `device` may name a GPU that is not here, as "cuda:sm_90a": MAX then compiles for a virtual one,
    and this process can run nothing afterwards. Raises `DeviceError` for a device it cannot target.
    """
    api, _, architecture = device.partition(":")
    if api == "cuda" and architecture:
        placement = _virtual_gpu(api, architecture, dtype)
    else:
        placement = choose(device, dtype)
    session = InferenceSession(devices=[placement.device])
    load_or_compile(session, dims, placement, cache_dir, progress)
    return artifact_folder(artifact_key(dims, placement), cache_dir)


def _virtual_gpu(api: str, architecture: str, dtype: str) -> Placement:
    try:
        driver.set_virtual_device_api(api)
        driver.set_virtual_device_target_arch(architecture)
        driver.set_virtual_device_count(1)
        return gpu_placement(0, dtype, f"compiling for {architecture}, which is not here")
    except (RuntimeError, ValueError) as error:
        raise DeviceError(f"cannot compile for {api}:{architecture}: {error}") from error


def _sound_artifact(folder: Path, key: ArtifactKey) -> Path:
    """Path of the .mef, or `ArtifactError` saying why there is none to trust."""
    path, manifest_path = folder / "graphs.mef", folder / "manifest.json"
    if not manifest_path.exists() or not path.exists():
        raise ArtifactError(f"no artifact yet for this network on {key.target} ({key.dtype})")
    try:
        manifest = json.loads(manifest_path.read_text())
    except ValueError:
        raise ArtifactError("the cached artifact's manifest is damaged") from None
    if manifest.get("key") != key.to_dict():
        raise ArtifactError("the cached artifact was built for something else")
    if manifest.get("sha256") != _sha256(path):
        raise ArtifactError("the cached artifact is damaged: its checksum does not match")
    return path


def _compile(
    session: InferenceSession, dims: Dims, placement: Placement, say: Progress
) -> CompiledModel:
    module = whisper_module(dims, placement.dtype, placement.ref)
    what = f"{len(GRAPH_NAMES)} graphs for {placement.target} ({placement.dtype_name})"
    with _ticking(lambda seconds: say(f"compiling {what}, once: {seconds:.0f} s")):
        try:
            return session.compile(module)
        except RuntimeError as error:
            raise ArtifactError(f"MAX could not compile {what}: {error}") from error


def _store(compiled: CompiledModel, folder: Path, key: ArtifactKey) -> None:
    """Write the artifact, then its manifest: a crash in between leaves nothing that is trusted."""
    handle, temporary = tempfile.mkstemp(dir=folder, suffix=".mef")
    os.close(handle)
    compiled.export_mef(temporary)
    (folder / "manifest.json").unlink(missing_ok=True)
    os.replace(temporary, folder / "graphs.mef")
    manifest = {"key": key.to_dict(), "sha256": _sha256(folder / "graphs.mef")}
    scratch = folder / "manifest.json.part"
    scratch.write_text(json.dumps(manifest, indent=1))
    os.replace(scratch, folder / "manifest.json")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(path: Path, say: Progress) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another process that compiles the same graphs")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


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
