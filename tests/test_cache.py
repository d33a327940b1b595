"""Entries of the cache: checked at use, made anew whatever is wrong, readable without writing."""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from itertools import product

import pytest

from maxwhisper.cache import MANIFEST, Entry
from maxwhisper.errors import OutputError
from tools.robustness.caches import WITHOUT_ROOT_POWERS

KEY = {"checkpoint": "ab", "dims": {"n_mels": 80}}


def write(folder):
    (folder / "a.bin").write_bytes(bytes(1000))
    (folder / "b.txt").write_text("text", encoding="utf-8")


def never(*_):
    raise AssertionError("nothing has to be made")


@pytest.fixture
def entry(tmp_path):
    made = Entry(tmp_path / "kind" / "name", KEY, ("a.bin", "b.txt"), "tests")
    assert made.problem() == "are not there yet"
    made.ready(write, never)
    assert made.problem() is None
    return made


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def make_folder(path):
    path.unlink()
    (path / "inside").mkdir(parents=True)


def make_pipe(path):
    """Opening one to read it waits for ever."""
    path.unlink()
    os.mkfifo(path)


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flipped": flip,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "list": lambda path: path.write_text("[1]"),
    "object": lambda path: path.write_text("{}"),
    "text": lambda path: path.write_text('"text"'),
    "deep": lambda path: path.write_text("[" * 100_000),
    "folder": make_folder,
    "pipe": make_pipe,
    "missing": lambda path: path.unlink(),
    "dangling": lambda path: (path.unlink(), path.symlink_to("nowhere")),
}


@pytest.mark.parametrize(
    ("damage", "name"),
    [*product(DAMAGES, ["a.bin", "b.txt", MANIFEST]), ("endless", MANIFEST)],
)
def test_whatever_is_wrong_with_a_file_the_entry_is_made_anew(entry, damage, name):
    if damage == "endless":
        os.truncate(entry.folder / name, 1 << 40)  # sparse
    else:
        DAMAGES[damage](entry.folder / name)
    assert entry.problem()
    assert entry.ready(write, never) == entry.folder
    assert entry.problem() is None
    assert (entry.folder / "b.txt").read_text() == "text"
    assert sorted(os.listdir(entry.folder.parent)) == ["name", "name.lock"]


@pytest.mark.parametrize("damage", ["file", "missing", "other key", "sums of nothing", "one sum"])
def test_whatever_is_wrong_with_an_entry_it_is_made_anew(entry, damage):
    manifest = entry.folder / MANIFEST
    content = json.loads(manifest.read_text())
    if damage in ("file", "missing"):
        shutil.rmtree(entry.folder)
        if damage == "file":
            entry.folder.write_text("file")
    else:
        changes = {
            "other key": {"key": {"checkpoint": "ac"}},
            "sums of nothing": {"sha256": {}},
            "one sum": {"sha256": content["sha256"]["a.bin"]},
        }
        manifest.write_text(json.dumps(content | changes[damage]))
    assert entry.problem()
    entry.ready(write, never)
    assert entry.problem() is None


@pytest.mark.parametrize("leftover", ["name.unfinished", "name.lock"])
def test_what_a_killed_process_left_is_cleared(entry, leftover):
    path = entry.folder.parent / leftover
    shutil.rmtree(entry.folder)
    path.unlink(missing_ok=True)
    (path / "inside").mkdir(parents=True)
    entry.ready(write, never)
    assert entry.problem() is None
    assert not (entry.folder.parent / "name.unfinished").exists()


def test_a_full_disk_is_said_in_a_line_and_leaves_nothing(entry):
    def full(folder):
        write(folder)
        raise OSError(errno.ENOSPC, "No space left on device")

    flip(entry.folder / "a.bin")
    with pytest.raises(OutputError, match=r"tests cannot be saved in .*/name: No space left"):
        entry.ready(full, never)
    assert sorted(os.listdir(entry.folder.parent)) == ["name", "name.lock"]
    entry.ready(write, never)


def test_processes_that_need_the_same_entry_make_it_once(entry):
    shutil.rmtree(entry.folder)
    made, waited = [], []

    def slow(folder):
        made.append(folder)
        time.sleep(0.2)
        write(folder)

    threads = [
        threading.Thread(target=entry.ready, args=(slow, lambda: waited.append(1)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert entry.problem() is None


READER = f"""
import os, sys
from pathlib import Path
from maxwhisper.cache import Entry
folder = Path(sys.argv[1])
assert not os.access(folder.parent, os.W_OK), "the folder is read-only"
entry = Entry(folder, {KEY}, ("a.bin", "b.txt"), "tests")
try:
    print(entry.ready(lambda folder: print("made"), lambda: print("waited")))
except Exception as error:
    print(type(error).__name__, error)
"""


def read_without_writing(entry):
    command = [*WITHOUT_ROOT_POWERS, sys.executable, "-c", READER, str(entry.folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_read_only_cache_is_read_and_a_damaged_one_is_named(entry):
    flipped = entry.folder / "a.bin"
    for path in (*entry.folder.iterdir(), entry.folder, entry.folder.parent):
        path.chmod(0o555)
    try:
        assert read_without_writing(entry) == str(entry.folder)
        flipped.chmod(0)
        assert read_without_writing(entry) == (
            f"OutputError expected a writable folder at {entry.folder.parent}: it exists, but is "
            "not writable; choose another folder (for the cache, set MAXWHISPER_CACHE)"
        )
    finally:
        for path in (entry.folder.parent, entry.folder):
            path.chmod(0o755)
