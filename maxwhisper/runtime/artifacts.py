"""Compiled graphs as files: what they depend on, where they lie, which of them may be trusted.

An artifact is a folder in the cache, `graphs.mef` + `manifest.json`; it is used only if its
manifest carries the key asked for and the file's sha256. Weights are not in it. To travel, it is
packed into one file of a twentieth of its size; the bundled checkpoint's come with the package.
"""

import hashlib
import json
import lzma
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from max import driver

from maxwhisper.checkpoint.download import sha256_of
from maxwhisper.dims import Dims
from maxwhisper.errors import ArtifactError
from maxwhisper.paths import cache_root, cannot_keep, make_folder
from maxwhisper.runtime.device import Placement

SHIPPED = Path(__file__).parent.parent / "assets" / "demo" / "graphs"
ARTIFACTS = "MAXWHISPER_ARTIFACTS"  # environment variable: a folder of packed ones, looked in first
_GRAPH_SOURCES = Path(__file__).parent.parent / "graphs"
MEF, MANIFEST = "graphs.mef", "manifest.json"
_PIECE = 1 << 20  # bytes unpacked at a time


@dataclass(frozen=True)
class ArtifactKey:
    """Everything a compiled artifact depends on."""

    dims: Dims
    dtype: str
    matrices: str  # type of the decoder's matrices
    target: str
    graph_sources: str  # sha256 of graphs/*.py and kernels/*.mojo
    max_version: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def folder_name(self) -> str:
        text = json.dumps(self.to_dict(), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return f"{self.target}-{self.dtype}-{digest}"


def artifact_sources() -> list[Path]:
    """Folders of packed artifacts: the one that the environment names, and the package's."""
    own = os.environ.get(ARTIFACTS)
    return [*([Path(own).expanduser()] if own else []), SHIPPED]


def artifact_key(dims: Dims, placement: Placement) -> ArtifactKey:
    return ArtifactKey(
        dims=dims,
        dtype=placement.dtype_name,
        matrices=placement.matrices.name,
        target=placement.target,
        graph_sources=graph_sources_digest(),
        max_version=str(driver.__version__),
    )


def graph_sources_digest() -> str:
    """sha256 over the text of every source in `graphs/`: a changed graph is another artifact."""
    digest = hashlib.sha256()
    for path in sorted((*_GRAPH_SOURCES.glob("*.py"), *_GRAPH_SOURCES.glob("kernels/*.mojo"))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def artifact_folder(key: ArtifactKey, cache_dir: Path | None = None) -> Path:
    return (cache_dir or cache_root()) / "artifacts" / key.folder_name


def sound_artifact(folder: Path, key: ArtifactKey) -> Path:
    """Path of the .mef, or `ArtifactError` saying why there is none to trust."""
    path, manifest_path = folder / MEF, folder / MANIFEST
    if not manifest_path.exists() or not path.exists():
        raise ArtifactError(f"no artifact yet for this network on {key.target} ({key.dtype})")
    try:
        manifest = json.loads(manifest_path.read_text())
    except ValueError:
        raise ArtifactError("the cached artifact's manifest is damaged") from None
    if manifest.get("key") != key.to_dict():
        raise ArtifactError("the cached artifact was built for something else")
    if manifest.get("sha256") != sha256_of(path):
        raise ArtifactError("the cached artifact is damaged: its checksum does not match")
    return path


def store(write: Callable[[str], object], folder: Path, key: ArtifactKey) -> None:
    """`write` a .mef to the path it is given, then its manifest beside it: a crash in between
    leaves nothing that is trusted. Raises `OutputError` where the disk is full."""
    try:
        _store(write, folder, key)
    except OSError as error:
        raise cannot_keep("compiled graphs", folder, error) from error


def _store(write: Callable[[str], object], folder: Path, key: ArtifactKey) -> None:
    handle, temporary = tempfile.mkstemp(dir=folder, suffix=".mef")
    os.close(handle)
    try:
        write(temporary)
        (folder / MANIFEST).unlink(missing_ok=True)
        os.replace(temporary, folder / MEF)
    finally:
        Path(temporary).unlink(missing_ok=True)
    manifest = {"key": key.to_dict(), "sha256": sha256_of(folder / MEF)}
    scratch = folder / "manifest.json.part"
    scratch.write_text(json.dumps(manifest, indent=1))
    os.replace(scratch, folder / MANIFEST)


def discard(dims: Dims, placement: Placement, cache_dir: Path | None = None) -> None:
    """Forget an artifact that loaded but computed wrong numbers."""
    folder = artifact_folder(artifact_key(dims, placement), cache_dir)
    (folder / MANIFEST).unlink(missing_ok=True)


def pack(folder: Path, key: ArtifactKey, out: Path) -> Path:
    """Write the artifact in `folder` to one file in `out`, under its key's name. Raises
    `ArtifactError` if it is not sound."""
    path = sound_artifact(folder, key)
    make_folder(out)
    packed, part = out / _packed_name(key), out / f"{_packed_name(key)}.part"
    with path.open("rb") as source, lzma.open(part, "wb") as target:
        _copy(source, target)
    return part.replace(packed)


def unpack(key: ArtifactKey, sources: Iterable[Path], cache_dir: Path | None = None) -> Path | None:
    """Path of the artifact of `key` in the cache, where it is unpacked once, from the first folder
    of `sources` that has it; None if none does. Raises `ArtifactError` for one that is damaged (xz
    checks its content)."""
    folder = artifact_folder(key, cache_dir)
    for source in sources:
        packed = source / _packed_name(key)
        if packed.is_file():
            with suppress(ArtifactError):
                return sound_artifact(folder, key)
            make_folder(folder)
            try:
                store(partial(_unpack_to, packed), folder, key)
            except (lzma.LZMAError, EOFError) as error:
                raise ArtifactError(f"{packed.name} is damaged ({error})") from error
            return folder / MEF
    return None


def _packed_name(key: ArtifactKey) -> str:
    return f"{key.folder_name}.mef.xz"


def _unpack_to(packed: Path, path: str) -> None:
    with lzma.open(packed, "rb") as source, Path(path).open("wb") as target:
        _copy(source, target)


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    while piece := source.read(_PIECE):
        target.write(piece)
