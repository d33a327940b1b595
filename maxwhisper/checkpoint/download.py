"""Download official checkpoints: resumable, verified by sha256, moved into place atomically.

In: an `OfficialModel`. Out: the path of a verified file. Does not read the file's content.
"""

import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from maxwhisper.cache import sha256_of
from maxwhisper.checkpoint.registry import OfficialModel
from maxwhisper.errors import CheckpointError
from maxwhisper.paths import cannot_keep, locked, make_folder, remove

Progress = Callable[[str], None]  # one line for people, for example "compiling graphs: 41 s"

_BLOCK_BYTES = 1 << 20
_TIMEOUT_S = 30  # without receiving a byte
_PROGRESS_EVERY_S = 1.0
_MIB = 1 << 20


def fetch(model: OfficialModel, folder: Path, progress: Progress | None = None) -> Path:
    """Return the verified file of `model` in `folder`, and download it if it is missing.

    An interrupted download resumes. A second process waits for the first. Raises `CheckpointError`
    if the URL cannot be reached (with instructions for a manual download) or if the content has
    another sha256 than OpenAI published.
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
            if part.is_dir():  # damage
                remove(part)
            _download(model, part, say)
        except (urllib.error.URLError, HTTPException, OSError) as error:
            wrong = " The existing file there has another sha256." if path.exists() else ""
            raise CheckpointError(
                f"cannot download {model.url} ({error}). Try again, it will resume; or download "
                f"it on another machine and copy it to {path} (sha256 {model.sha256}).{wrong}"
            ) from error
        found = sha256_of(part)
        if found != model.sha256:
            part.unlink()
            raise CheckpointError(
                f"expected sha256 {model.sha256} of {model.url}, got {found}: the damaged download "
                "was deleted, try again"
            )
        try:
            if path.is_dir():  # damage
                remove(path)
            part.replace(path)
        except OSError as error:
            raise cannot_keep(model.file_name, folder, error) from error
    return path


def is_intact(path: Path, sha256: str) -> bool:
    """Return True if the file exists and has this sha256."""
    try:
        return path.is_file() and sha256_of(path) == sha256
    except OSError:  # it cannot be read
        return False


def _silent(line: str) -> None:
    """Ignore progress messages."""


def _download(model: OfficialModel, part: Path, progress: Progress) -> None:
    """Complete `part` by requesting only the missing bytes."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(model.url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416:  # range not satisfiable: no byte is missing; the sha256 is checked
            raise
        return
    with response:
        if response.status != 206:  # the server sends the whole file
            have = 0
        total = have + int(response.headers.get("Content-Length") or 0)
        _check_room(part.parent, total - have)
        report = _once_a_second(progress)
        with part.open("ab" if have else "wb") as file:
            for block in _blocks(response):
                file.write(block)
                have += len(block)
                report(f"downloading {model.file_name}: {have // _MIB} of {total // _MIB} MiB")
    if have < total:
        raise HTTPException(f"the connection ended after {have} of {total} bytes")


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    while block := response.read(_BLOCK_BYTES):
        yield block


def _once_a_second(progress: Progress) -> Progress:
    """Wrap `progress` so that it is called at most once a second."""
    last_s = -_PROGRESS_EVERY_S

    def report(line: str) -> None:
        nonlocal last_s
        if time.monotonic() - last_s >= _PROGRESS_EVERY_S:
            last_s = time.monotonic()
            progress(line)

    return report


def _check_room(folder: Path, needed: int) -> None:
    """Raise `CheckpointError` if `folder` has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CheckpointError(
            f"expected {needed // _MIB} MiB free in {folder}, found {free // _MIB}: free some "
            "space or set MAXWHISPER_CACHE to another disk"
        )
