"""The bar of progress: on a terminal only, with audio time and speed."""

import io
import sys

import pytest

from maxwhisper.cli import bar, output
from maxwhisper.cli.bar import Bar


class Terminal(io.StringIO):
    def __init__(self, is_terminal=True):
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self):
        return self._is_terminal


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    now = [1000.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    monkeypatch.setattr(bar._AudioBar, "monitor_interval", 0)
    return now


def test_of_one_recording_it_shows_how_much_of_it_is_done(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", Terminal())
    shown = Bar(1)
    shown.start()
    shown.begin(160.0)
    clock[0] += 4
    shown.heard(0, 40.0)
    assert "25%|" in sys.stderr.getvalue()
    assert "00:40 of 02:40, 10.0× real time" in sys.stderr.getvalue()
    shown.heard(0, 30.0)  # a segment that ends earlier takes nothing back
    clock[0] += 4
    shown.done(0, 160.0)
    assert "100%|" in sys.stderr.getvalue()
    shown.close()


def test_of_several_it_counts_recordings_and_their_audio(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", Terminal())
    shown = Bar(4)
    shown.start()
    clock[0] += 5
    shown.heard(1, 20.0)
    clock[0] += 5
    shown.done(0, 30.0)
    assert "1 of 4 recordings, 00:50 of audio, 5.0× real time" in sys.stderr.getvalue()
    shown.close()


def test_what_is_printed_is_above_it(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", Terminal())
    shown = Bar(2)
    shown.start()
    output.progress("a line")
    assert "\ra line\n" in sys.stderr.getvalue()
    shown.close()


def test_there_is_nothing_of_it_elsewhere(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal(is_terminal=False))
    shown = Bar(2)
    shown.start()
    shown.begin(1.0)
    shown.heard(0, 1.0)
    shown.done(0, 1.0)
    with shown.cleared():
        pass
    shown.close()
    assert sys.stderr.getvalue() == ""
