"""Names on the command line become recordings, and those are decoded ahead in groups."""

import fcntl
import io
import os
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import types

import numpy as np
import pytest

from maxwhisper.archive import prefetch
from maxwhisper.archive.sources import ENDINGS, Source, find_sources
from maxwhisper.audio import load
from maxwhisper.audio.container import FORMATS, Recording
from maxwhisper.cli import inputs, main
from maxwhisper.cli.inputs import read_ahead
from maxwhisper.errors import AudioError
from maxwhisper.network.dims import SAMPLE_RATE


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return str(path)


def names(*given):
    return [source.name for source in find_sources([str(name) for name in given])]


def test_a_folder_is_all_recordings_below_it(tmp_path):
    found = [touch(tmp_path / name) for name in ("b.WAV", "c d.mp3", "a/deep/z.opus")]
    for name in ("notes.txt", ".hidden.mp3", ".git/x.mp3", "mp3"):
        touch(tmp_path / name)
    assert names(tmp_path) == found
    subfolders = [str(source.subfolder) for source in find_sources([str(tmp_path)])]
    assert subfolders == [".", ".", "a/deep"]


def test_globs_are_sorted_and_a_file_of_that_very_name_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [touch(tmp_path / name) for name in ("b.mp3", "a.mp3", "sub/c.mp3", "x[1].mp3")]
    assert names("*.mp3") == ["a.mp3", "b.mp3", "x[1].mp3"]
    assert sorted(names("**/*.mp3")) == sorted(os.path.relpath(path) for path in found)
    assert names("x[1].mp3") == ["x[1].mp3"]
    assert names("su*") == ["sub/c.mp3"]


def test_a_recording_named_twice_is_transcribed_once_and_order_is_kept(tmp_path):
    b, a = touch(tmp_path / "b.mp3"), touch(tmp_path / "a.mp3")
    assert names(b, a, b, tmp_path, tmp_path / "*.mp3") == [b, a]


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert names("~/a.mp3") == [str(tmp_path / "a.mp3")]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("empty", "no recording in this folder"), ("empty/*.mp3", "got none")],
)
def test_a_name_that_leads_to_nothing_is_a_source_with_an_error(tmp_path, name, reason):
    (tmp_path / "empty").mkdir()
    (source,) = find_sources([str(tmp_path / name)])
    assert source.name == str(tmp_path / name)
    with pytest.raises(AudioError, match=reason):
        source.read()


def test_a_folder_that_cannot_be_read_does_not_hide_the_others(tmp_path, monkeypatch):
    """As the system says it; root can read every folder."""
    good = touch(tmp_path / "b" / "good.mp3")
    (tmp_path / "a").mkdir()
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path) == str(tmp_path / "a"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found, refused = find_sources([str(tmp_path)])
    assert found.name == good
    assert refused.name == str(tmp_path / "a")
    assert str(refused.error) == "cannot read the folder: Permission denied"


def test_a_link_to_its_own_folder_is_no_endless_way(tmp_path):
    found = touch(tmp_path / "a.mp3")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert names(tmp_path) == [found]


def test_standard_input_is_a_whole_file(monkeypatch):
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(b"bytes")))
    monkeypatch.setattr(load, "read", lambda source: source)
    (source,) = find_sources(["-"])
    assert source.read() == b"bytes"
    assert (source.stem, str(source.folder)) == ("stdin", ".")


def test_no_ending_is_of_a_format_that_is_not_read():
    """Every demuxer has its endings, and nothing else is looked for."""
    of_format = {
        "wav": ".wav .wave",
        "w64": ".w64",
        "aiff": ".aif .aifc .aiff",
        "caf": ".caf",
        "flac": ".flac",
        "mp3": ".mp3",
        "aac": ".aac",
        "ogg": ".oga .ogg .ogv .opus",
        "mov": ".3gp .m4a .m4b .m4v .mov .mp4",
        "matroska": ".mka .mkv .webm",
        "asf": ".asf .wma .wmv",
        "amr": ".amr",
    }
    assert set(of_format) == set(FORMATS.split(","))
    assert sorted(ENDINGS) == sorted(" ".join(of_format.values()).split())


@pytest.fixture
def lengths(monkeypatch):
    """Every source has as many seconds as its name says; "bad" cannot be read."""
    read = []

    def decode(source):
        read.append(source.name)
        if source.name == "bad":
            raise AudioError("bad_audio", "damaged")
        return Recording(np.zeros(int(source.name) * SAMPLE_RATE, np.float32))

    monkeypatch.setattr(inputs.Source, "read", decode)
    monkeypatch.setattr(inputs, "n_decoders", lambda: 1)
    return read


def groups(names, group_s):
    for group in read_ahead([Source(name) for name in names.split()], group_s):
        yield [heard.source.name for heard in group]


def test_groups_have_the_audio_asked_for(lengths):
    assert list(groups("3 3 4 9 bad 2 20 1", 10)) == [
        ["3", "3", "4"],
        ["9", "bad", "2"],
        ["20"],
        ["1"],
    ]
    assert list(groups("3 bad 4", 0)) == [["3"], ["bad"], ["4"]]
    assert list(groups("", 10)) == []


def test_one_group_is_read_ahead_and_no_more(lengths):
    """Memory is bounded: while a group is worked on, only the next one is decoded."""
    waiting = groups("5 5 5 5", 5)
    next(waiting)
    for _ in range(500):
        if len(lengths) > 1:
            break
        time.sleep(0.01)
    time.sleep(0.05)
    assert lengths == ["5", "5"]
    waiting.close()


def test_an_interrupt_does_not_wait_for_the_rest_of_a_group(lengths, monkeypatch):
    first, gate, decode = threading.Event(), threading.Event(), Source.read

    def wait(source):
        if source.name == "1":
            first.set()
            gate.wait(5)
        return decode(source)

    monkeypatch.setattr(Source, "read", wait)
    waiting = groups("5 1 1 1", 5)
    next(waiting)
    first.wait(5)
    monkeypatch.setattr(prefetch, "LAST_S", 0)  # as if the file took longer
    waiting.close()
    gate.set()
    for thread in threading.enumerate():
        if thread.name.startswith("prefetch-"):
            thread.join(5)
    assert lengths == ["5", "1"]


def test_an_interrupt_does_not_wait_for_standard_input():
    """The thread that waits for it does not keep the process alive."""
    command = [sys.executable, "-m", "maxwhisper", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdin.write(b"RIFF")
        process.stdin.flush()
        while _unread(process.stdin):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert b"Traceback" not in process.stderr.read()


def _unread(pipe):
    """The number of bytes that nobody has read yet."""
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]


def test_closed_standard_input_is_one_line(monkeypatch, capfd):
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["transcribe", "-"]) == 1
    assert main(["live", "-"]) == 1
    line = "maxwhisper: error: standard input is closed: name a file"
    assert capfd.readouterr().err.splitlines() == [line, line]


def test_an_error_is_kept_beside_its_source(lengths):
    ((good, bad),) = read_ahead([Source("1"), Source("bad")], 10)
    assert (good.audio_s, good.error) == (1.0, None)
    assert (bad.audio_s, bad.recording, str(bad.error)) == (0.0, None, "damaged")
