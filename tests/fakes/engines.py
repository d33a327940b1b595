"""Engines without networks, for the tests of code that only knows the `Engine` protocol.

A test replaces `maxwhisper.engine.ENGINES` with `ENGINES`.
"""

import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

from maxwhisper.engine import EngineInfo
from maxwhisper.errors import EngineUnavailable, OptionError
from maxwhisper.transcript import Segment, Transcript
from tests.fakes.threads import spin

SAMPLE_RATE = 16_000
SLOW_S = 0.2  # how long the slow engine sleeps
TEXT = " and so my fellow Americans"


class FakeEngine:
    """Returns `text` for any waveform, in one segment of `n_tokens`; its arguments are kept in
    `calls` and `modes`. `network.models` are its graphs, if it has any."""

    def __init__(
        self,
        name,
        text=TEXT,
        shout=False,
        fail_from_call=None,
        sleep_s=0.0,
        dies=False,
        no_batches=False,
        n_tokens=2,
        graphs=None,
        spins=False,
    ):
        self.info = EngineInfo(name, f"{name} 1.0", "fake", "cpu", "it is all there is", "float32")
        self.text, self.shout, self.fail_from_call = text, shout, fail_from_call
        self.sleep_s, self.dies, self.spins = sleep_s, dies, spins
        self.no_batches, self.n_tokens = no_batches, n_tokens
        self.network = SimpleNamespace(models=graphs)
        self.calls, self.modes = [], []

    def transcribe(
        self, waveform, options, on_segment=None, *, batch_size=None, vad=None, on_text=None
    ):
        if batch_size is not None and self.no_batches:
            raise OptionError(f"{self.info.name} has no batches")
        self.calls.append((waveform, options))
        self.modes.append((batch_size, vad))
        if self.fail_from_call is not None and len(self.calls) >= self.fail_from_call:
            raise RuntimeError("CUDA failed\nwith a long story")
        if self.dies:
            os._exit(1)
        time.sleep(self.sleep_s)
        if self.spins:  # on, after its turn, as MAX does
            threading.Thread(target=spin, daemon=True).start()
        for graph in (self.network.models or {}).values():
            graph.execute()
        if self.shout:
            print("printed by a library")
            os.write(1, b"written by a C library\n")
        duration = len(waveform) / SAMPLE_RATE
        segment = Segment(0, 0, 0.0, duration, self.text, (1,) * self.n_tokens, 0.0, -0.5, 1.0, 0.1)
        if on_segment is not None:
            on_segment(segment)
        timings = {"mel": 0.1, "decode": 0.2, "total": 0.3}
        return Transcript(self.text, "en", (segment,), duration, timings)


def create_plain(checkpoint, *, progress=None, **_settings):
    if progress is not None:
        progress("compiling graphs: 1 s")
    return FakeEngine("plain")


def create_shouting(checkpoint, **_settings):
    return FakeEngine("shouting", shout=True)


def create_mute(checkpoint, **_settings):
    return FakeEngine("mute", text="")


def create_slow(checkpoint, **_settings):
    return FakeEngine("slow", sleep_s=SLOW_S)


def create_spinning(checkpoint, **_settings):
    return FakeEngine("spinning", spins=True)


def create_failing(checkpoint, **_settings):
    return FakeEngine("failing", fail_from_call=2)


def create_dying(checkpoint, **_settings):
    return FakeEngine("dying", dies=True)


def create_preparing(checkpoint, *, progress=None, **_settings):
    """Compiles at its first start, for long enough to be measured."""
    prepared = Path(os.environ["FAKE_PREPARED"])
    if not prepared.exists():
        progress("compiling graphs: 1 s")
        time.sleep(2 * SLOW_S)
        prepared.touch()
    return FakeEngine("preparing")


def create_quiet(checkpoint, **_settings):
    return FakeEngine("quiet")


def create_sequential(checkpoint, **_settings):
    return FakeEngine("sequential", no_batches=True)


def create_missing(checkpoint, **_settings):
    raise EngineUnavailable("missing cannot run here: no module named 'nothing'")


def _registry(*names):
    return {name: f"tests.fakes.engines:create_{name}" for name in names}


ENGINES = _registry("plain", "shouting", "mute", "missing")
ENGINES["maxwhisper"] = ENGINES["plain"]
TROUBLED = _registry("slow", "failing", "dying", "quiet", "sequential", "preparing")
