"""The first load of compiled graphs: in a process that may die.

Damaged machine code can end the process that runs it, so graphs that have never run here are loaded
and run in a child first: `isolated`. In: a file and where it is to run. Out: nothing, or an
`ArtifactError`.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from maxwhisper.errors import ArtifactError
from maxwhisper.network.dims import Dims
from maxwhisper.runtime.device import Placement, cpu_target
from maxwhisper.runtime.verified import is_verified, remember

TIMEOUT_S = 600.0  # large graphs on a slow CPU: minutes
READY, DONE = b"ready", b"done"  # what the child says before it loads the graphs, and after
_CHILD = "maxwhisper.runtime.isolated"


def require_tried(artifact: Path, dims: Dims, placement: Placement) -> None:
    """Raise `ArtifactError` for graphs that end the process which loads and runs them, and for
    those that no child could try: graphs that nobody has run are not trusted.

    They are tried once: what worked here is remembered. Nothing is tried of graphs that were
    compiled for another processor.
    """
    is_foreign = placement.device.is_host and placement.target != f"cpu-{cpu_target()}"
    if is_foreign or is_verified(artifact, placement):
        return
    request = {
        "artifact": str(artifact.absolute()),
        "dims": asdict(dims),
        "device": placement.label,
        "dtype": placement.dtype_name,
        "matrices": placement.matrices.name,
    }
    said, status = _answer(json.dumps(request).encode())
    if READY not in said:
        raise ArtifactError(
            f"the graphs for {placement.target} could not be tried: the process that tries them "
            f"did not start (status {status})"
        )
    if DONE not in said and status is not None and status > 0:  # MAX has raised an error
        raise ArtifactError(f"the graphs for {placement.target} do not load (status {status})")
    if DONE not in said:
        raise ArtifactError(
            f"the graphs for {placement.target} end the process that runs them (status {status})"
        )
    remember(artifact, placement)


def _answer(request: bytes) -> tuple[bytes, int | None]:
    """What a child says to a request, and its exit status; None if it had to be killed."""
    package_root = str(Path(__file__).resolve().parents[2])
    paths = filter(None, [package_root, os.environ.get("PYTHONPATH")])
    try:
        child = subprocess.Popen(
            [sys.executable, "-m", _CHILD],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return b"", None
    with child:
        try:
            return child.communicate(request, TIMEOUT_S)[0], child.returncode
        except subprocess.TimeoutExpired as error:
            return error.output or b"", None
        finally:
            child.kill()
