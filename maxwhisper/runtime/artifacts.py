"""Compiled graphs as files: what they depend on, where they are stored, and how they are checked.

An artifact is an entry of the cache with the file `graphs.mef`; `maxwhisper/cache.py` has the rule
by which it is used. It holds no weights. For distribution it is packed into one file of a twentieth
of its size; the package has those of the bundled checkpoint and of tiny, base and small, each for
two classes of processors.
"""

import hashlib
import json
import lzma
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from max import driver

from maxwhisper.cache import Entry
from maxwhisper.errors import ArtifactError
from maxwhisper.network.dims import Dims
from maxwhisper.paths import cache_root, make_folder
from maxwhisper.runtime.device import Placement

SHIPPED = Path(__file__).parent.parent / "assets" / "graphs"
ARTIFACTS = (
    "MAXWHISPER_ARTIFACTS"  # environment variable: a folder of packed artifacts, searched first
)
_GRAPH_SOURCES = Path(__file__).parent.parent / "graphs"
MEF = "graphs.mef"


@dataclass(frozen=True)
class ArtifactKey:
    """Everything that a compiled artifact depends on. The size of the vocabulary is not part of it:
    the graphs of "base" are those of "base.en"."""

    dims: Dims
    dtype: str
    matrices: str  # type of the decoder's matrices
    target: str
    graph_sources: str  # sha256 of graphs/*.py and kernels/*.mojo
    max_version: str

    def to_dict(self) -> dict[str, Any]:
        content = asdict(self)
        del content["dims"]["n_vocab"]
        return content

    @property
    def folder_name(self) -> str:
        text = json.dumps(self.to_dict(), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return f"{self.target}-{self.dtype}-{digest}"


def artifact_sources() -> list[Path]:
    """Folders of packed artifacts: the one in the environment variable, then the package's."""
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
    """sha256 over every source in `graphs/`: a changed graph needs a new artifact."""
    digest = hashlib.sha256()
    for path in sorted((*_GRAPH_SOURCES.glob("*.py"), *_GRAPH_SOURCES.glob("kernels/*.mojo"))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def artifact(key: ArtifactKey, cache_dir: Path | None = None) -> Entry:
    """The place of an artifact in the cache, whether it is there or not."""
    folder = (cache_dir or cache_root()) / "artifacts" / key.folder_name
    return Entry(folder, key.to_dict(), (MEF,), "compiled graphs")


def sound_artifact(key: ArtifactKey, cache_dir: Path | None = None) -> Path:
    """Path of the .mef. Raises `ArtifactError` with the reason if it cannot be used."""
    entry = artifact(key, cache_dir)
    if problem := entry.problem():
        raise ArtifactError(f"the cached graphs for {key.target} ({key.dtype}) {problem}")
    return entry.folder / MEF


def discard(dims: Dims, placement: Placement, cache_dir: Path | None = None) -> None:
    """Discard an artifact that loads but computes wrong numbers. Raises `OutputError`."""
    artifact(artifact_key(dims, placement), cache_dir).discard()


def pack(key: ArtifactKey, out: Path, cache_dir: Path | None = None) -> Path:
    """Pack the artifact of `key` into one file in `out`, named after its key.

    Raises `ArtifactError` if the artifact is missing or damaged.
    """
    path = sound_artifact(key, cache_dir)
    make_folder(out)
    packed, part = out / _packed_name(key), out / f"{_packed_name(key)}.part"
    with path.open("rb") as source, lzma.open(part, "wb") as target:
        shutil.copyfileobj(source, target)
    return part.replace(packed)


def unpack(
    key: ArtifactKey,
    sources: Iterable[Path],
    cache_dir: Path | None = None,
    wait: Callable[[], object] = lambda: None,
) -> Path | None:
    """Unpack the artifact of `key` into the cache, from the first folder of `sources` that has it.

    Unpacks once. Returns its path in the cache, or None if no folder has it. Raises `ArtifactError`
    for a damaged file (xz checks its content), `OutputError` if the cache cannot be written.
    """
    packed = find_packed(key, sources)
    if packed is None:
        return None
    try:
        return artifact(key, cache_dir).ready(partial(_unpack_to, packed), wait) / MEF
    except (lzma.LZMAError, EOFError) as error:
        raise ArtifactError(f"{packed.name} is damaged ({error})") from error


def find_packed(key: ArtifactKey, sources: Iterable[Path]) -> Path | None:
    """Return the packed artifact of `key` in the first folder of `sources` that has it."""
    packed = (source / _packed_name(key) for source in sources)
    return next((path for path in packed if path.is_file()), None)


def _packed_name(key: ArtifactKey) -> str:
    return f"{key.folder_name}.mef.xz"


def _unpack_to(packed: Path, folder: Path) -> None:
    with lzma.open(packed, "rb") as source, (folder / MEF).open("wb") as target:
        shutil.copyfileobj(source, target)
