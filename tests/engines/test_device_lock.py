"""A guest stands still while the device is held, whoever holds it, and goes on afterwards."""

import threading

from maxwhisper.engines.device_lock import DeviceLock


class Guest:
    def __init__(self):
        self.heard = []

    def pause(self):
        self.heard.append("pause")

    def resume(self):
        self.heard.append("resume")


def test_a_guest_is_paused_from_acquire_to_release():
    lock, guest = DeviceLock(), Guest()
    with lock.guest(guest):
        assert lock.acquire(timeout=1)
        assert guest.heard == ["pause"]
        assert not lock.acquire(blocking=False)
        assert guest.heard == ["pause"], "who waits changes nothing"
        lock.release()
    assert lock.acquire(blocking=False)
    assert guest.heard == ["pause", "resume"], "it has left"
    assert lock.locked()


def test_a_guest_that_comes_during_a_race_stands_still_at_once():
    lock, guest = DeviceLock(), Guest()
    lock.acquire()
    with lock.guest(guest):
        assert guest.heard == ["pause"]
        lock.release()
        assert guest.heard == ["pause", "resume"]


def test_nobody_has_the_device_before_every_guest_stands_still():
    lock, slow = DeviceLock(), threading.Event()

    class Slow(Guest):
        def pause(self):
            slow.wait(5)
            super().pause()

    guest = Slow()
    with lock.guest(guest):
        holder = threading.Thread(target=lock.acquire)
        holder.start()
        holder.join(0.1)
        assert holder.is_alive()
        slow.set()
        holder.join(5)
    assert guest.heard == ["pause"]
