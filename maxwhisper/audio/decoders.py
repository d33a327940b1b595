"""Decode many files in child processes that go on from file to file.

In: paths, from any thread. Out: what `load.read` returns or raises. A file that crashes the decoder
or hangs it ends the child, not the caller, and the next file gets a new child. Unlike
`load.decode_in_child`, which serves uploads, a child costs its start only once, has no limit of
memory, and reads recordings of any length.
"""

import os
import queue
import socket
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from maxwhisper.audio.container import Recording
from maxwhisper.audio.load import read
from maxwhisper.audio.samples import descriptor_of, map_samples
from maxwhisper.errors import AudioError

_PROGRAM = "import sys; from maxwhisper.audio.decoders import serve; serve(int(sys.argv[1]))"
# Of wall time for one file, and more for one that may be long: real files decode hundreds of times
# faster than real time.
MIN_TIMEOUT_S, TIMEOUT_SHARE = 120.0, 0.02
_ENDED = ("decoder_crashed", "timeout")  # errors after which a child is of no more use


class Decoders:
    """Up to `count` children, each started when it is needed first. Use it in `with`."""

    def __init__(self, count: int = 1) -> None:
        self._is_closed = False
        self._free: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(count):
            self._free.put(None)

    def read(self, path: str | Path, *, max_seconds: float) -> Recording:
        """`load.read` in a child. Raises `AudioError` with its codes, and decoder_crashed, timeout
        and cancelled."""
        child = self._free.get()
        try:
            if self._is_closed:
                raise AudioError("cancelled", "the run was stopped before it was read")
            child = child or _Child()
            return child.read(os.path.abspath(path), max_seconds)
        except AudioError as error:
            if child is not None and error.code in _ENDED:
                child.end()
                child = None
            raise
        finally:
            self._free.put(child)

    def close(self) -> None:
        """End the children. One with a file ends when its caller does."""
        self._is_closed = True
        idle = []
        with suppress(queue.Empty):
            while True:
                idle.append(self._free.get_nowait())
        for child in idle:
            if child is not None:
                child.end()
            self._free.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Child:
    """One process, which decodes one file at a time. It ends when its connection is closed."""

    def __init__(self) -> None:
        ours, its = socket.socketpair()
        root = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(its.fileno())],
                env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the caller, who ends the children
            )
        self._connection = Connection(ours.detach())

    def read(self, path: str, max_seconds: float) -> Recording:
        timeout_s = max(MIN_TIMEOUT_S, TIMEOUT_SHARE * max_seconds)
        try:
            self._connection.send((path, max_seconds))
            if not self._connection.poll(timeout_s):
                raise AudioError(
                    "timeout", f"decoding it was stopped after {timeout_s:.0f} s: convert it"
                )
            code, text, n_samples, is_in_file = self._connection.recv()
            if code:
                raise AudioError(code, text)
            if is_in_file:
                descriptor = recv_handle(self._connection)
                waveform = map_samples(descriptor, n_samples)
                os.close(descriptor)
            else:
                waveform = np.empty(n_samples, np.float32)
                self._connection.recv_bytes_into(waveform.data.cast("B"))
        except (EOFError, OSError) as error:
            status = self._process.wait()  # its end of the connection is closed
            raise AudioError(
                "decoder_crashed",
                f"the decoder crashed with exit status {status}: convert it to wav or flac",
            ) from error
        return Recording(waveform, text)

    def end(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait()


def serve(descriptor: int) -> None:
    """Be a child: decode what the connection at `descriptor` names, until it is closed."""
    connection = Connection(descriptor)
    with suppress(EOFError, OSError):  # the caller is gone
        while True:
            path, max_seconds = connection.recv()
            try:
                recording = read(path, max_seconds=max_seconds)
            except AudioError as error:
                connection.send((error.code, str(error), 0, False))
                continue
            file = descriptor_of(recording.waveform)
            n_samples = len(recording.waveform)
            connection.send(("", recording.warning, n_samples, file is not None))
            if file is None:
                connection.send_bytes(recording.waveform.data.cast("B"))
            else:
                send_handle(connection, file, os.getppid())
            del recording
