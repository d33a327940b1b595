"""The child process of `load.decode_in_child`: limit itself, decode one file, answer on stdout.

In: argv = path, max_seconds ("None": no limit), CPU seconds. Out: one line of JSON,
`{"samples": n, "warning": text}` followed by n raw float32, or `{"code", "message"}` of an
`AudioError`.
"""

import json
import sys
from types import ModuleType

resource: ModuleType | None
try:
    import resource
except ImportError:  # not on Windows, where only the caller's time limit applies
    resource = None

# Bytes of address space. Measured: 0.25 GB for Python, numpy, av and soxr; the rest is for samples.
_MAX_ADDRESS_BYTES = 1 << 30
_MAX_OPEN_FILES = 32  # the recording, three pipes, and the files that imports open
_GRACE_S = 1  # CPU seconds for start and imports


def limit_this_process(cpu_s: int) -> None:
    """Limit memory, CPU time and open files; forbid writing files and core dumps."""
    if resource is None:
        return
    for what, limit in (
        ("RLIMIT_AS", _MAX_ADDRESS_BYTES),
        ("RLIMIT_CPU", cpu_s + _GRACE_S),
        ("RLIMIT_NOFILE", _MAX_OPEN_FILES),
        ("RLIMIT_FSIZE", 0),
        ("RLIMIT_CORE", 0),
    ):
        kind = getattr(resource, what, None)
        if kind is not None:  # not every system has every limit
            resource.setrlimit(kind, (limit, limit))


def main(path: str, max_seconds: str, cpu_s: str) -> None:
    """Decode `path` within the limits and write the answer to stdout."""
    limit_this_process(int(cpu_s))
    # Imported only now, so that the libraries that parse untrusted files load inside the limits.
    from maxwhisper.audio.load import read
    from maxwhisper.errors import AudioError

    out = sys.stdout.buffer
    try:
        recording = read(path, max_seconds=None if max_seconds == "None" else float(max_seconds))
    except AudioError as error:
        out.write(json.dumps({"code": error.code, "message": str(error)}).encode() + b"\n")
        return
    header = {"samples": len(recording.waveform), "warning": recording.warning}
    out.write(json.dumps(header).encode() + b"\n")
    out.write(recording.waveform.data)


if __name__ == "__main__":
    main(*sys.argv[1:])
