"""What this user has seen to work on this machine: compiled graphs that loaded, and the checkpoints
for which they computed right numbers.

Owns a folder of marks that only this user can write. A mark is a file whose name is a hash of what
worked: the content of the graphs, the processor, the versions. Changed graphs have another hash,
whatever their manifest says. Without such a folder nothing is remembered, and everything is tried
again.
"""

import hashlib
import json
import os
import stat
from contextlib import suppress
from pathlib import Path

from maxwhisper import machine
from maxwhisper.cache import sha256_of
from maxwhisper.paths import state_root
from maxwhisper.runtime.device import Placement, cpu_target

_PRIVATE = 0o700
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def is_verified(artifact: Path, placement: Placement, checkpoint: str = "") -> bool:
    """True if these graphs have loaded here, or computed right numbers for a checkpoint, of which
    `checkpoint` is the digest."""
    folder = _folder()
    return folder is not None and (folder / _mark(artifact, placement, checkpoint)).is_file()


def remember(artifact: Path, placement: Placement, checkpoint: str = "") -> None:
    """Keep that they did, if there is a place for it."""
    folder = _folder()
    if folder is not None:
        with suppress(OSError):  # a full or read-only disk: it is tried again next time
            (folder / _mark(artifact, placement, checkpoint)).touch(mode=0o600)


def _mark(artifact: Path, placement: Placement, checkpoint: str) -> str:
    what = {
        "artifact": sha256_of(artifact),
        "checkpoint": checkpoint,
        "target": placement.target,
        "processor": cpu_target(),
        "versions": [machine.version(name) for name in ("max", "maxwhisper")],
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def _folder() -> Path | None:
    """The folder of marks, made if needed; None if there is none that only this user can write."""
    with suppress(OSError):
        folder = state_root()
        if folder is None:
            return None
        folder = folder / "verified"
        folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        found = folder.lstat()
        if (
            stat.S_ISDIR(found.st_mode)
            and found.st_uid == os.geteuid()
            and not found.st_mode & _OTHERS_WRITE
        ):
            return folder
    return None
