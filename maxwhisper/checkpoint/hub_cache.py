"""Repositories of the Hugging Face Hub on this disk: in our cache, and in Hugging Face's.

Owns the names of repositories, the choice of the files that are needed of one, and the layout of
both caches. In: a repository. Out: the folder of its files, verified. Never uses the network, and
needs no package of Hugging Face.
"""

import hashlib
import logging
import os
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from maxwhisper.cache import MANIFEST, Entry
from maxwhisper.checkpoint.hf_folder import read_json
from maxwhisper.errors import CheckpointError

Intact = Callable[[Path, str], bool]  # (path, sha256): has the file this sha256?

MAIN = "main"
_NAME = r"[A-Za-z0-9][\w.-]*"
_REPOSITORY = re.compile(rf"(?:hf://)?({_NAME}/{_NAME})(?:@({_NAME}(?:/{_NAME})*))?", re.ASCII)
_FILE_ENDINGS = (".pt", ".bin", ".safetensors", ".gguf", ".ggml")

# What a folder may have beside its weights. Nothing else of a repository is downloaded.
_BESIDE = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "normalizer.json",
    "vocabulary.json",  # CTranslate2
    "vocabulary.txt",
)
# The weights, the best format first: Hugging Face's safetensors and pickles, then CTranslate2's.
_INDEX = ".index.json"
WEIGHTS = (
    "model.safetensors",
    f"model.safetensors{_INDEX}",
    "pytorch_model.bin",
    f"pytorch_model.bin{_INDEX}",
    "model.bin",
)

_MARKS = {"num_mel_bins", "lang_ids", "alignment_heads", "suppress_ids"}  # the last: CTranslate2

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Repository:
    """A repository of models. `revision` is a branch, a tag or a commit."""

    id: str  # "openai/whisper-small"
    revision: str = MAIN

    @property
    def name(self) -> str:
        """Return the name to show, which `load` takes: "user/fine-tune@v2"."""
        return self.id if self.revision == MAIN else f"{self.id}@{self.revision}"

    @property
    def folder_name(self) -> str:
        """Return the name of its folder in our cache."""
        return quote(self.name, safe="@").replace("%2F", "--", 1)


def parse(name: str) -> Repository | None:
    """Return the repository that a name means: "user/name", "hf://user/name", "user/name@v2".

    None for anything else, as for a path to a file.
    """
    match = _REPOSITORY.fullmatch(name)
    if match is None or match[1].lower().endswith(_FILE_ENDINGS) or ".." in name:
        return None
    if "--" in match[1]:  # the Hub has no such name, and both caches use it as a separator
        return None
    return Repository(match[1], match[2] or MAIN)


def needed_files(names: Collection[str], shards_of: Callable[[str], list[str]]) -> list[str]:
    """Return the files to take of those that a repository has, its weights last; [] if it has no
    weights. `shards_of` returns the files that an index lists."""
    weights = next((name for name in WEIGHTS if name in names), None)
    if weights is None or "config.json" not in names:
        return []
    beside = [name for name in _BESIDE if name in names]
    shards = shards_of(weights) if weights.endswith(_INDEX) else []
    return [*beside, weights, *shards]


def shards_in(index: Path) -> list[str]:
    """Return the files that an index of shards lists. Raises `CheckpointError` for damage."""
    shards = read_json(index).get("weight_map")
    names = list(shards.values()) if isinstance(shards, dict) else []
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise CheckpointError(f"expected a list of shards in {index}: the file is damaged")
    return sorted(set(names))


# --- Hugging Face's cache: models--user--name/{refs,snapshots,blobs} ---


def hugging_face_folder() -> Path:
    """Return the folder of Hugging Face's cache, chosen as huggingface_hub chooses."""
    own = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or os.path.join(base, "huggingface")
    path = own or os.path.join(home, "hub")
    return Path(os.path.expanduser(os.path.expandvars(path)))


def in_hugging_face_cache(wanted: Repository, intact: Intact) -> Path | None:
    """Return the snapshot of a repository, None if it is not there, incomplete or damaged.

    The name of a blob is its checksum: sha256 for large files, git's sha1 for small ones.
    """
    folder = hugging_face_folder() / f"models--{wanted.id.replace('/', '--')}"
    try:
        ref = folder / "refs" / wanted.revision
        commit = ref.read_text().strip() if ref.is_file() else wanted.revision
        snapshot = folder / "snapshots" / commit
        if Path(commit).name != commit or not snapshot.is_dir():
            return None
        have = {path.name for path in snapshot.iterdir() if path.is_file()}
        files = needed_files(have, lambda index: shards_in(snapshot / index))
    except (OSError, ValueError, CheckpointError):
        return None
    if not files or not have.issuperset(files):
        return None
    for name in files:
        blob = (snapshot / name).resolve()
        if not _has_sum(blob, blob.name, intact):
            log.warning("%s is damaged and not used: %s", wanted.name, snapshot / name)
            return None
    return snapshot


def _has_sum(path: Path, digest: str, intact: Intact) -> bool:
    if re.fullmatch(r"[0-9a-f]{64}", digest):
        return intact(path, digest)
    return not re.fullmatch(r"[0-9a-f]{40}", digest) or git_sha1(path) == digest


def git_sha1(path: Path) -> str:
    """Return git's name of a file's content; "" if it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError:
        return ""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def in_all_hugging_face_cache() -> Iterator[Repository]:
    """Yield every repository of models in Hugging Face's cache, at its main branch."""
    folders = hugging_face_folder().glob("models--*--*/refs/main")
    for name in sorted(path.parents[1].name for path in folders):
        if wanted := parse(name.removeprefix("models--").replace("--", "/", 1)):
            yield wanted


# --- our cache: user--name@revision/ with the files and a manifest ---


def as_entry(folder: Path, wanted: Repository, commit: str, files: Collection[str]) -> Entry:
    """Return the entry of our cache for one commit of a repository. `folder` has all of them."""
    key = {"repository": wanted.id, "revision": wanted.revision, "commit": commit}
    return Entry(folder / wanted.folder_name, key, tuple(files), f"the weights of {wanted.name}")


def in_our_cache(wanted: Repository, folder: Path, intact: Intact) -> Path | None:
    """Return the folder of a repository in our cache, None if it is not there or damaged."""
    path = folder / wanted.folder_name
    manifest = _manifest(path)
    key, sums = manifest.get("key"), manifest.get("sha256")
    if not isinstance(key, dict) or not isinstance(sums, dict) or not sums:
        return None
    if (key.get("repository"), key.get("revision")) != (wanted.id, wanted.revision):
        return None
    if not all(intact(path / Path(name).name, str(digest)) for name, digest in sums.items()):
        log.warning("%s is damaged and not used: %s", wanted.name, path)
        return None
    return path


def in_all_our_cache(folder: Path) -> Iterator[Repository]:
    """Yield every repository in our cache."""
    for manifest in sorted(folder.glob(f"*--*/{MANIFEST}")):
        user, _, rest = manifest.parent.name.partition("--")
        wanted = parse(unquote(f"{user}/{rest}"))
        if wanted and wanted.folder_name == manifest.parent.name:
            yield wanted


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / MANIFEST, {})
    except CheckpointError:
        return {}


def is_whisper(folder: Path) -> bool:
    """Return True if the configuration in a folder is that of Whisper, in either format."""
    try:
        config = read_json(folder / "config.json")
    except CheckpointError:
        return False
    return config.get("model_type", "whisper") == "whisper" and bool(_MARKS & config.keys())


def shown_name(folder: Path) -> str:
    """Return the name of a folder to show: a repository's for a folder of either cache."""
    parts = folder.absolute().parts
    if len(parts) > 3 and parts[-2] == "snapshots" and parts[-3].startswith("models--"):
        return parts[-3].removeprefix("models--").replace("--", "/", 1)
    key = _manifest(folder).get("key")
    if isinstance(key, dict) and isinstance(key.get("repository"), str):
        return str(key["repository"])
    return folder.resolve().name
