"""Messages between processes: whole, in order, never waiting for a reader, leaving nothing."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from maxwhisper.engines.channel import pair

MINUTE = np.arange(960_000, dtype=np.float32)


@pytest.fixture
def ends():
    ours, theirs = pair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_arrays_arrive_as_they_were_and_may_be_written(ends):
    ours, theirs = ends
    sent = {"samples": MINUTE, "strided": MINUTE[:9000:3], "empty": MINUTE[:0], "n": 3}
    ours.post(sent)
    got = theirs.poll(1.0)
    assert list(got) == list(sent)
    for name in ("samples", "strided", "empty"):
        np.testing.assert_array_equal(got[name], sent[name])
    got["samples"][0] = 1
    assert sent["samples"][0] == 0


def test_a_later_command_does_not_change_the_arrays_of_an_earlier_one(ends):
    ours, theirs = ends
    ours.post(MINUTE)
    first = theirs.poll(1.0)
    ours.post(MINUTE + 1)
    ours.post("no arrays")
    np.testing.assert_array_equal(theirs.poll(1.0), MINUTE + 1)
    assert theirs.poll(1.0) == "no arrays"
    np.testing.assert_array_equal(first, MINUTE)


def test_post_returns_at_once_although_nobody_reads(ends):
    ours, theirs = ends
    started_s = time.monotonic()
    ours.post(MINUTE)
    ours.post("x" * 10_000_000)  # more than a socket holds
    assert ours.poll(0.2) is None
    assert time.monotonic() - started_s < 2
    np.testing.assert_array_equal(theirs.poll(1.0), MINUTE)
    got = None
    while got is None:
        assert ours.poll(0.001) is None  # sends the rest
        got = theirs.poll(0.001)
    assert got == "x" * 10_000_000


def test_half_a_message_is_no_message(ends):
    ours, theirs = ends
    theirs._end.send(b"\0\0\0\0\0\0\1\0 and then the process was stopped")
    started_s = time.monotonic()
    assert ours.poll(0.3) is None
    assert 0.3 <= time.monotonic() - started_s < 2


def test_what_was_sent_before_the_end_is_read(ends):
    ours, theirs = ends
    theirs.send("last")
    theirs.close()
    assert ours.poll(1.0) == "last"
    with pytest.raises(EOFError):
        ours.poll(1.0)
    with pytest.raises(EOFError):
        ours.post("anybody?")


def test_hanging_up_ends_both(ends):
    ends[0].hang_up()
    for end in ends:
        with pytest.raises(EOFError):
            end.poll(None)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts files in /proc")
def test_nothing_has_a_name_and_no_file_stays_open(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    named, opened = os.listdir("/dev/shm"), len(os.listdir("/proc/self/fd"))
    ours, theirs = pair()
    ours.post(MINUTE)
    assert os.listdir("/dev/shm") == named
    assert not list(tmp_path.iterdir())
    del ours, theirs
    assert len(os.listdir("/proc/self/fd")) == opened


def test_shared_memory_is_given_back(ends):
    ours, theirs = ends
    ours.post(MINUTE)
    theirs.poll(1.0)
    assert os.fstat(ours._arrays._file).st_size == MINUTE.nbytes
    ours.clear_arrays()
    assert os.fstat(ours._arrays._file).st_size == 0
