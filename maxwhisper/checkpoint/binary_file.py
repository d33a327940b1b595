"""Read numbers, text and arrays of a binary file in order, and never more than the file has.

Little-endian. In: a path. Every claim of size is compared with the bytes that are left before
memory is taken. Knows no format.
"""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from maxwhisper.errors import CheckpointError

MAX_AXES = 4
MAX_NAME_BYTES = 512
MAX_TENSORS = 10_000  # of 1,259 in large-v3


class BinaryFile:
    """An open file and its size. Use `open_binary`."""

    def __init__(self, path: Path, file: BinaryIO, n_bytes: int) -> None:
        self.path, self._file, self._n_bytes = path, file, n_bytes

    @property
    def n_left(self) -> int:
        return self._n_bytes - self._file.tell()

    def position(self) -> int:
        return self._file.tell()

    def seek(self, position: int) -> None:
        """Go to a position in the file. Raises `CheckpointError` for one beyond its end."""
        if not 0 <= position <= self._n_bytes:
            raise self.damaged(f"at least {str(position)[:30]} bytes", str(self._n_bytes))
        self._file.seek(position)

    def skip(self, n_bytes: int) -> None:
        self._check(n_bytes)
        self._file.seek(n_bytes, 1)

    def take(self, n_bytes: int) -> bytes:
        self._check(n_bytes)
        return self._file.read(n_bytes)

    def numbers(self, layout: str) -> tuple[Any, ...]:
        """Return numbers in a layout of `struct`: "Ib" is a uint32 and an int8."""
        return struct.unpack(f"<{layout}", self.take(struct.calcsize(f"<{layout}")))

    def name(self, n_bytes: int) -> str:
        """Return text of at most `MAX_NAME_BYTES`. Invalid UTF-8 becomes U+FFFD."""
        if not 0 <= n_bytes <= MAX_NAME_BYTES:
            raise self.damaged(f"a name of at most {MAX_NAME_BYTES} bytes", str(n_bytes))
        return self.take(n_bytes).decode(errors="replace")

    def array(self, dtype: str, shape: Sequence[int]) -> npt.NDArray[Any]:
        """Return the next numbers of a numpy dtype as an array of `shape`, C order."""
        if len(shape) > MAX_AXES or min(shape, default=1) < 0:
            raise self.damaged(f"at most {MAX_AXES} axes", str(list(shape))[:60])
        content = self.take(prod(shape) * np.dtype(dtype).itemsize)
        return np.frombuffer(content, dtype).reshape(shape)

    def _check(self, n_bytes: int) -> None:
        if not 0 <= n_bytes <= self.n_left:
            raise self.damaged(f"{str(n_bytes)[:30]} more bytes", str(self.n_left))

    def damaged(self, expected: str, got: str) -> CheckpointError:
        return CheckpointError(
            f"expected {expected} in {self.path}, got {got}: the file is damaged or incomplete, "
            "get it again"
        )


@contextmanager
def open_binary(path: Path) -> Iterator[BinaryFile]:
    """Open a file to read. Raises `CheckpointError` if the system cannot read it."""
    try:
        with path.open("rb") as file:
            yield BinaryFile(path, file, path.stat().st_size)
    except OSError as error:
        raise CheckpointError(f"expected to read {path}: {error.strerror or error}") from error
