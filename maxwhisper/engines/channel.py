"""Whole messages between two processes; the parent's end never blocks.

In: picklable messages. Out: the same, in order. The arrays of a command go through anonymous shared
memory: it has no name, so nothing is left of it when either process is killed. The rest goes
through a socket, as far as the other end reads: a stopped process stops nobody else. Must not know
what a message means.
"""

import contextlib
import os
import pickle
import select
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Sequence
from multiprocessing import reduction
from typing import Any

_LENGTH = struct.Struct("!Q")  # of the frame that follows
_CHUNK_BYTES = 1 << 16
_MAX_WRITE_BYTES = 1 << 30  # Linux writes less than 2 GiB at once


class SharedArrays:
    """The contents of arrays, written by one process and read by another.

    Pickled for a child while it is spawned, it is the same memory there.
    """

    def __init__(self, file: int | None = None) -> None:
        self._file = _anonymous_file() if file is None else file

    def __reduce__(self) -> tuple[Any, ...]:
        return _inherited, (reduction.DupFd(self._file),)

    def again(self) -> "SharedArrays":
        """The same memory, to be closed on its own."""
        return SharedArrays(os.dup(self._file))

    def put(self, buffers: Sequence[pickle.PickleBuffer]) -> list[int]:
        """Replace the contents; returns the bytes of each buffer. Raises `OSError` where there is
        no room."""
        os.ftruncate(self._file, 0)
        sizes, offset = [], 0
        for buffer in buffers:
            with buffer.raw() as raw:
                sizes.append(raw.nbytes)
                written = 0
                while written < raw.nbytes:
                    part = raw[written : written + _MAX_WRITE_BYTES]
                    written += os.pwrite(self._file, part, offset + written)
                offset += raw.nbytes
        return sizes

    def take(self, sizes: Sequence[int]) -> list[bytearray]:
        """Copies of the buffers that were put last. Raises `EOFError` where there is less."""
        taken, offset = [], 0
        for size in sizes:
            copy = bytearray(size)
            with memoryview(copy) as left:
                read = 0
                while read < size:
                    count = os.preadv(self._file, [left[read:]], offset + read)
                    if count == 0:
                        raise EOFError(f"expected {size} bytes in shared memory, got {read}")
                    read += count
            offset += size
            taken.append(copy)
        return taken

    def clear(self) -> None:
        """Give the memory back."""
        os.ftruncate(self._file, 0)

    def close(self) -> None:
        os.close(self._file)


class Channel:
    """One end of the connection. `post` and `poll` are for one thread, `send` is for any.

    Of two ends made by `pair`, the first puts arrays into shared memory; answers hold none.
    """

    def __init__(self, end: socket.socket, arrays: SharedArrays, *, is_first: bool) -> None:
        self._end, self._arrays, self._is_first = end, arrays, is_first
        end.setblocking(False)
        self._unread, self._unsent = bytearray(), bytearray()
        self._writing = threading.Lock()
        self._is_open = True

    def __reduce__(self) -> tuple[Any, ...]:
        return _second, (self._end, self._arrays)

    def __del__(self) -> None:
        self.close()

    def post(self, message: object) -> None:
        """Send as much of `message` as can be sent at once; `poll` sends the rest. Raises
        `EOFError` when the other end is closed, `OSError` when its arrays find no room."""
        buffers: list[pickle.PickleBuffer] = []
        keep = buffers.append if self._is_first else None
        body = pickle.dumps(message, 5, buffer_callback=keep)
        sizes = self._arrays.put(buffers) if buffers else []
        frame = pickle.dumps((body, sizes), 5)
        with self._writing:
            self._unsent += _LENGTH.pack(len(frame)) + frame
        self._write()

    def send(self, message: object) -> None:
        """Send the whole message, for as long as that takes. Raises as `post` does."""
        self.post(message)
        while self._unsent:
            self._wait(select.POLLOUT, None)
            self._write()

    def poll(self, timeout_s: float | None) -> Any:
        """The next message, or None if `timeout_s` have passed without a whole one; a timeout of
        None waits for ever. Raises `EOFError` when the other end is closed."""
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        while (frame := self._next_frame()) is None:
            left_s = None if until_s is None else max(0.0, until_s - time.monotonic())
            ready = self._wait(select.POLLIN | (select.POLLOUT if self._unsent else 0), left_s)
            if not ready:
                return None
            if ready & select.POLLOUT:
                self._write()
            if ready & ~select.POLLOUT:
                self._read()
        body, sizes = pickle.loads(frame)
        return pickle.loads(body, buffers=self._arrays.take(sizes))

    def clear_arrays(self) -> None:
        """Give the shared memory back, once the other end has the message with its arrays."""
        self._arrays.clear()

    def hang_up(self) -> None:
        """End the connection for both ends, whatever they wait for."""
        with contextlib.suppress(OSError):  # it had ended
            self._end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close what this process holds; the other end still reads what was sent."""
        if self._is_open:
            self._is_open = False
            self._end.close()
            self._arrays.close()

    def _next_frame(self) -> bytes | None:
        if len(self._unread) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack_from(self._unread)[0]
        if len(self._unread) < end:
            return None
        frame = bytes(self._unread[_LENGTH.size : end])
        del self._unread[:end]
        return frame

    def _wait(self, events: int, timeout_s: float | None) -> int:
        """Which of `events` came, or an error; 0 for none."""
        poller = select.poll()
        poller.register(self._end, events)
        ready = poller.poll(None if timeout_s is None else timeout_s * 1000)
        return ready[0][1] if ready else 0

    def _read(self) -> None:
        try:
            received = self._end.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except ConnectionError as error:
            raise EOFError(str(error)) from error
        if not received:
            raise EOFError("the other end is closed")
        self._unread += received

    def _write(self) -> None:
        try:
            with self._writing:
                sent = self._end.send(self._unsent)
                del self._unsent[:sent]
        except BlockingIOError:
            return
        except ConnectionError as error:
            raise EOFError(str(error)) from error


def pair() -> tuple[Channel, Channel]:
    """Two ends: ours, and the one for a child, which it gets while it is spawned."""
    first, second = socket.socketpair()
    arrays = SharedArrays()
    ours = Channel(first, arrays, is_first=True)
    theirs = Channel(second, arrays.again(), is_first=False)
    return ours, theirs


def _second(end: socket.socket, arrays: SharedArrays) -> Channel:
    return Channel(end, arrays, is_first=False)


def _inherited(file: Any) -> SharedArrays:
    return SharedArrays(file.detach())


def _anonymous_file() -> int:
    """A file without a name: in memory where the system offers that."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("arrays")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
