"""Files on this machine and in object stores, by path or by address.

In: a path, or an address such as s3://bucket/folder. Out: its bytes, or its files. fsspec and its
plugins are imported only for an address. Knows no audio and no model.
"""

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maxwhisper.errors import OptionError, OutputError, one_line
from maxwhisper.paths import write_whole

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PLUGINS = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "az": "adlfs"}
# What file systems call the version of a file; the first that there is. Size and time otherwise.
_VERSIONS = ("ETag", "etag", "md5Hash", "content_hash", "blob_id", "LastModified", "mtime")
PART = ".maxwhisper-batch-"  # begins the name of a file that is being written
_MODIFIED = ("created", "last_modified", "last_commit")


def is_address(name: str) -> bool:
    """True for s3://bucket/name and the like; False for a path."""
    return _ADDRESS.match(name) is not None


def file_system(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it. Raises `OptionError` if a plugin is not
    installed, or if there is none for the address."""
    scheme = address.partition("://")[0].lower()
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise OptionError(f"{address} needs fsspec: pip install 'maxwhisper[archive]'") from error
    try:
        found, path = url_to_fs(address)
    except ImportError as error:
        plugin = _PLUGINS.get(scheme, "its plugin of fsspec")
        raise OptionError(f"{address} needs {plugin}: pip install {plugin}") from error
    except ValueError as error:
        raise OptionError(
            f"expected a path or an address such as s3://bucket/folder, got {address}: "
            f"{one_line(error)}"
        ) from error
    return found, path


def stamp(address: str) -> str:
    """Size and time of a file, or its version: equal if nobody has changed it. Raises `OSError`."""
    if not is_address(address):
        status = os.stat(address)
        return f"{status.st_size}:{status.st_mtime_ns}"
    found, path = file_system(address)
    return stamp_of(found.info(path))


def stamp_of(facts: dict[str, Any]) -> str:
    """`stamp` of a file that a file system has described."""
    version = next((facts[name] for name in (*_VERSIONS, *_MODIFIED) if facts.get(name)), "")
    return f"{facts.get('size')}:{version}"


@contextmanager
def local_copy(address: str) -> Iterator[str]:
    """The path of a file on this machine: its own, or that of a copy, which is deleted at the end.
    Raises `OSError`, and whatever a file system raises."""
    if not is_address(address):
        yield address
        return
    found, path = file_system(address)
    with tempfile.NamedTemporaryFile(prefix="maxwhisper-") as copy:
        with found.open(path, "rb") as file:
            shutil.copyfileobj(file, copy, 1 << 20)
        copy.flush()
        yield copy.name


class Listings:
    """Which files there are, asked once for each folder, because an object store answers in tens of
    milliseconds. A file that appears later is not seen."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}

    def has(self, address: str) -> bool:
        """True if there is such a file."""
        folder, _, name = address.rpartition("/")
        if folder not in self._names:
            self._names[folder] = _files_in(folder or "/")
        return name in self._names[folder]


def _files_in(folder: str) -> set[str]:
    """The names of the files of a folder; none if it cannot be listed."""
    if not is_address(folder):
        try:
            with os.scandir(folder) as entries:
                return {entry.name for entry in entries if entry.is_file()}
        except OSError:
            return set()
    found, path = file_system(folder)
    try:
        entries = found.ls(path, detail=True)
    except FileNotFoundError:  # an object store has no empty folders
        return set()
    return {each["name"].rpartition("/")[2] for each in entries if each["type"] == "file"}


def join(folder: str, name: str) -> str:
    """A name below a folder; an absolute name or an address stays as it is."""
    if is_address(name) or os.path.isabs(name):
        return name
    if is_address(folder):
        return f"{folder.rstrip('/')}/{os.path.normpath(name)}"
    return os.path.normpath(os.path.join(folder, name))


def write(address: str, data: bytes) -> None:
    """Write a file in one step: whatever interrupts it, the file is the old or the new one. Raises
    `OutputError`."""
    try:
        if is_address(address):
            found, path = file_system(address)
            found.makedirs(found._parent(path), exist_ok=True)
            found.pipe_file(path, data)  # an object appears when it is complete
            return
        Path(address).parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(address), data, f"{PART}{secrets.token_hex(8)}")
    except OptionError:
        raise
    except Exception as error:  # each file system has errors of its own
        raise OutputError(f"cannot write {address}: {one_line(error)}") from error


def remove_parts(folder: str) -> None:
    """Delete what a run that was killed has left half written in a local folder."""
    for path in Path(folder).glob(f"{PART}*"):
        path.unlink(missing_ok=True)
