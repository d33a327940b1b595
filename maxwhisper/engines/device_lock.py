"""The lock of the device, and the guests that stand still while somebody holds it.

In: the processes of guests, which prepare something for later. Out: a lock with the methods of
`threading.Lock`. Whoever holds it is alone: no guest computes during a race or a warm-up. Must not
know what a guest does.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Guest(Protocol):
    """A process that works while nobody holds the device."""

    def pause(self) -> None:
        """Stand still from the moment when this returns."""
        ...

    def resume(self) -> None: ...


class DeviceLock:
    """A lock that pauses its guests before it is acquired, and lets them go on when it is free."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guests: list[Guest] = []
        self._changing = threading.Lock()  # of guests, and of whether they stand still
        self._is_alone = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As `threading.Lock.acquire`; once it returns True, no guest computes."""
        if not self._lock.acquire(blocking, timeout):
            return False
        with self._changing:
            self._is_alone = True
            for guest in self._guests:
                guest.pause()
        return True

    def release(self) -> None:
        with self._changing:
            self._is_alone = False
            for guest in self._guests:
                guest.resume()
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()

    @contextmanager
    def guest(self, guest: Guest) -> Iterator[None]:
        """Pause and resume `guest` with the lock, until the context ends."""
        with self._changing:
            self._guests.append(guest)
            if self._is_alone:
                guest.pause()
        try:
            yield
        finally:
            with self._changing:
                self._guests.remove(guest)
