"""Download a repository of the Hugging Face Hub into our cache.

huggingface_hub, imported when it is needed, opens the connections: HF_ENDPOINT, tokens, proxies and
offline settings are its own. Ours are the choice of files, progress, resuming and verification:
huggingface_hub deletes what it has of a file when it is stopped. No file of a repository is ever
run.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maxwhisper.checkpoint.download import (
    BLOCK_BYTES,
    FULL_DISK,
    TIMEOUT_S,
    Answer,
    Broken,
    Meter,
    OnDownload,
    Progress,
    Unreachable,
    check_room,
    complete,
    is_intact,
)
from maxwhisper.checkpoint.hf_folder import read_json
from maxwhisper.checkpoint.hub_cache import (
    Repository,
    as_entry,
    git_sha1,
    in_our_cache,
    needed_files,
    shards_in,
)
from maxwhisper.checkpoint.quote import listed, quoted
from maxwhisper.checkpoint.registry import did_you_mean
from maxwhisper.errors import CheckpointError, one_line
from maxwhisper.paths import cannot_keep, locked, make_folder, remove

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

_TOKEN = "set HF_TOKEN, or run `hf auth login`"


@dataclass(frozen=True)
class _Remote:
    """One file of a commit, as the Hub describes it."""

    name: str
    n_bytes: int
    sha256: str  # "" for a small file
    git_sha1: str

    def is_at(self, path: Path) -> bool:
        """Return True if `path` has exactly this content."""
        if self.sha256:
            return is_intact(path, self.sha256)
        return path.is_file() and git_sha1(path) == self.git_sha1


def fetch_repository(
    wanted: Repository, folder: Path, name: str, report: OnDownload, say: Progress
) -> Path:
    """Return the folder of a repository's files in our cache, downloaded and verified.

    Takes only the files that are needed. An interrupted download resumes; a second process waits
    for the first. Raises `CheckpointError` for a repository that is missing, closed or not Whisper,
    `Unreachable` (one of those) without a network, `OutputError` for a disk that cannot be written,
    and any exception of `report`.
    """
    make_folder(folder)
    with locked(
        folder / f"{wanted.folder_name}.lock",
        lambda: say(f"waiting for another process to finish {wanted.name}"),
    ):
        if path := in_our_cache(wanted, folder, is_intact):  # another process was faster
            return path
        try:
            return _fetch(wanted, folder, Meter(name, report))
        except Broken as error:
            raise Unreachable(
                f"cannot download {wanted.name} from {_endpoint()} ({error}). Try again, it will "
                "resume; HF_ENDPOINT names another address of the Hub"
            ) from error
        except OSError as error:
            if error.errno not in FULL_DISK:
                raise
            raise cannot_keep(wanted.name, folder, error) from error


def _fetch(wanted: Repository, folder: Path, meter: Meter) -> Path:
    info = _describe(wanted)
    commit = info.sha or ""
    remote = _files(info)
    parts = folder / f"{wanted.folder_name}.parts"
    if parts.exists() and [path.name for path in parts.iterdir()] != [commit]:
        remove(parts)  # of another commit
    here = parts / commit
    make_folder(here)

    def take(name: str) -> Path:  # a small file that decides about the others
        _complete(wanted, commit, remote[name], here, Meter(name, lambda state: None))
        return here / name

    def shards_of(index: str) -> list[str]:
        return shards_in(take(index))

    _refuse_other_networks(wanted, remote, take)
    files = needed_files(remote, shards_of)
    missing = [file for file in files if file not in remote]
    if not files or missing:
        what = listed(missing) if missing else "config.json with weights in safetensors or .bin"
        raise CheckpointError(
            f"expected {what} in {wanted.name}, got {listed(remote)}: this repository has no "
            "Whisper model in a format that is read"
        )
    total = sum(remote[file].n_bytes for file in files)
    have = sum(_size(here / file) + _size(here / f"{file}.part") for file in files)
    check_room(folder, total - have)
    meter.begin(have, total)
    for file in files:
        _complete(wanted, commit, remote[file], here, meter)
    made = as_entry(folder, wanted, commit, files)
    made.replace(lambda new: [(here / file).rename(new / file) for file in files])
    remove(parts)
    return made.folder


def _refuse_other_networks(
    wanted: Repository, remote: Mapping[str, _Remote], take: Callable[[str], Path]
) -> None:
    """Raise `CheckpointError` for the configuration of another network, before its weights come."""
    if "config.json" not in remote:
        return
    kind = read_json(take("config.json")).get("model_type", "whisper")  # CTranslate2: none
    if kind != "whisper":
        raise CheckpointError(f"expected a Whisper model in {wanted.name}, got {quoted(kind)}")


def _complete(wanted: Repository, commit: str, file: _Remote, folder: Path, meter: Meter) -> None:
    """Download what is missing of one file, and verify it."""
    path, part = folder / file.name, folder / f"{file.name}.part"
    if path.is_file():  # verified before it got this name
        return
    url = f"{_endpoint()}/{wanted.id}/resolve/{commit}/{file.name}"
    if _size(part) < file.n_bytes or not part.exists():
        complete(part, lambda start: _open(wanted, url, start), meter)
    if not file.is_at(part):
        part.unlink()
        raise CheckpointError(
            f"expected {file.name} of {wanted.name} as the Hub describes it "
            f"({file.sha256 or file.git_sha1}), got another checksum: the damaged download was "
            "deleted, try again"
        )
    part.rename(path)


def _files(info: "ModelInfo") -> dict[str, _Remote]:
    """Return the files at the top of a repository by name."""
    return {
        file.rfilename: _Remote(
            file.rfilename,
            file.size or 0,
            file.lfs.sha256 if file.lfs else "",
            file.blob_id or "",
        )
        for file in info.siblings or ()
        if "/" not in file.rfilename and file.rfilename not in (".", "..")
    }


def _describe(wanted: Repository) -> "ModelInfo":
    """Ask the Hub for the commit and the files of a repository."""
    hub = _package()
    with _network_errors(wanted):
        return hub.HfApi(endpoint=_endpoint()).model_info(
            wanted.id, revision=wanted.revision, files_metadata=True, timeout=TIMEOUT_S
        )


@contextmanager
def _open(wanted: Repository, url: str, start: int) -> Iterator[Answer]:
    """Open a file of the Hub at a byte."""
    utils = _package().utils
    headers = utils.build_hf_headers() | {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with ExitStack() as stack:
        with _network_errors(wanted):
            request = utils.get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_S)
            response = stack.enter_context(request)
            utils.hf_raise_for_status(response)
        if response.status_code != 206:  # the server sends the whole file
            start = 0
        n_bytes = response.headers.get("Content-Length")

        def blocks() -> Iterator[bytes]:
            with _network_errors(wanted):
                yield from response.iter_bytes(BLOCK_BYTES)

        yield Answer(start, None if n_bytes is None else start + int(n_bytes), blocks())


@contextmanager
def _network_errors(wanted: Repository) -> Iterator[None]:
    """Turn errors of huggingface_hub into ours. Nothing but a request may run inside."""
    errors = _package().errors
    try:
        yield
    except errors.HfHubHTTPError as error:
        raise CheckpointError(_refusal(wanted, error)) from error
    except Exception as error:  # of httpx, whose name differs between versions of the package
        raise Broken(one_line(error)) from error


def _refusal(wanted: Repository, error: Any) -> str:
    """Return what an answer of the Hub other than success means, and what to do."""
    errors, host, status = _package().errors, _endpoint(), error.response.status_code
    if isinstance(error, errors.RevisionNotFoundError):
        return (
            f"expected a branch, tag or commit of {wanted.id} at {host}, got {wanted.revision}: "
            "there is none of that name"
        )
    is_closed = isinstance(error, errors.GatedRepoError) or status == 403
    if is_closed or (status == 401 and not isinstance(error, errors.RepositoryNotFoundError)):
        return (
            f"{host} does not let you read {wanted.id} ({status}): accept its terms on its page "
            f"if it has any, then {_TOKEN}"
        )
    if status in (401, 404):
        close = did_you_mean(wanted.id)
        return (
            f"there is no repository {wanted.id} at {host}, or it is private{close}. For a private "
            f"one, {_TOKEN}"
        )
    return f"{host} answered {status} for {wanted.id}: try again later, it will resume"


def _package() -> Any:
    try:
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise CheckpointError(
            f"downloading from the Hugging Face Hub needs huggingface_hub ({error}): "
            "pip install huggingface_hub"
        ) from error
    return huggingface_hub


def _endpoint() -> str:
    """Return the address of the Hub. huggingface_hub reads the variable only when it is
    imported."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
