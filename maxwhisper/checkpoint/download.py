"""Fetches official checkpoints: resumed, verified by sha256, put in place in one step.

In: an `OfficialModel`. Out: the path of a file whose sha256 is right. Does not look inside it.
"""

import hashlib
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from maxwhisper.checkpoint.registry import OfficialModel
from maxwhisper.errors import CheckpointError
from maxwhisper.paths import locked, make_folder

Progress = Callable[[str], None]  # one line for people, for example "compiling graphs: 41 s"

_BLOCK_BYTES = 1 << 20
_TIMEOUT_S = 30  # without a byte
_PROGRESS_EVERY_S = 1.0
_MIB = 1 << 20


def fetch(model: OfficialModel, folder: Path, progress: Progress | None = None) -> Path:
    """Return the verified file of `model` in `folder`, downloading it if it is not there.

    An interrupted download goes on where it stopped. A second process waits for the first. Raises
    `CheckpointError` if the address cannot be reached (saying where to put the file by hand) or
    if the content is not what OpenAI published.
    """
    path = folder / model.file_name
    if is_intact(path, model.sha256):
        return path
    make_folder(folder)
    say = progress or _silent
    waiting = f"waiting for another process to finish {model.file_name}"
    with locked(folder / f"{model.file_name}.lock", lambda: say(waiting)):
        if is_intact(path, model.sha256):  # another process was faster
            return path
        part = folder / f"{model.file_name}.part"
        try:
            _download(model, part, say)
        except (urllib.error.URLError, HTTPException, OSError) as error:
            wrong = " The file that is there now has another sha256." if path.exists() else ""
            raise CheckpointError(
                f"cannot download {model.url} ({error}). Try again, it will resume; or get that "
                f"file on another machine and put it at {path} (sha256 {model.sha256}).{wrong}"
            ) from error
        found = sha256_of(part)
        if found != model.sha256:
            part.unlink()
            raise CheckpointError(
                f"expected sha256 {model.sha256} of {model.url}, got {found}: the download was "
                "damaged and is deleted, try again"
            )
        part.replace(path)
    return path


def is_intact(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of(path) == sha256


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _silent(line: str) -> None:
    """Progress for nobody."""


def _download(model: OfficialModel, part: Path, progress: Progress) -> None:
    """Bring `part` to its full length, asking only for the bytes that are missing."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(model.url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416:  # range not satisfiable: nothing is missing, the sha256 decides
            raise
        return
    with response:
        if response.status != 206:  # the server sends the file from its start
            have = 0
        total = have + int(response.headers.get("Content-Length") or 0)
        _check_room(part.parent, total - have)
        tell = _once_a_second(progress)
        with part.open("ab" if have else "wb") as file:
            for block in _blocks(response):
                file.write(block)
                have += len(block)
                tell(f"downloading {model.file_name}: {have // _MIB} of {total // _MIB} MiB")
    if have < total:
        raise HTTPException(f"the connection ended after {have} of {total} bytes")


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    while block := response.read(_BLOCK_BYTES):
        yield block


def _once_a_second(progress: Progress) -> Progress:
    told = -_PROGRESS_EVERY_S

    def tell(line: str) -> None:
        nonlocal told
        if time.monotonic() - told >= _PROGRESS_EVERY_S:
            told = time.monotonic()
            progress(line)

    return tell


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CheckpointError(
            f"expected {needed // _MIB} MiB free in {folder}, found {free // _MIB}: make room or "
            "set MAXWHISPER_CACHE to another disk"
        )
