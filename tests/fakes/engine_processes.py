"""Fake engines for the tests of code that runs engines in processes of their own.

They sleep instead of computing, and `initial_prompt` tells them to misbehave: "crash", "hang",
"endless", "slow", "steady", "spin", "compute", "refuse", "bug", "exhaust". Live, they return a word
every half second. `worker_main` replaces `maxwhisper.engines.worker.main` in the child.
"""

import contextlib
import hashlib
import os
import sys
import threading
import time
import types

from maxwhisper.engine import EngineInfo
from maxwhisper.engines.pool import EnginePool
from maxwhisper.errors import OptionError
from maxwhisper.evaluation.selftest.result import CheckResult, LayerErrors
from maxwhisper.transcribe.stream import Update
from maxwhisper.transcript import Segment, Transcript, Word
from tests.fakes.threads import spin

SAMPLE_RATE = 16_000
WORDS = ["the", "<b>quick</b>", "brown", "fox", "&", "its", "friends"]
COMPUTE_S = 3.0  # how long it takes to "compute" before the first word
STEADY_PACE_S = 0.04
STEADY_S = STEADY_PACE_S * len(WORDS)  # how long a "steady" engine sleeps, at least
CATALOGUE = (
    ("log-mel", "audio", "The log-mel spectrogram against the numpy twin."),
    ("encoder", "network", "One encoder window against the reference."),
    ("kv-cache", "network", "Cached steps against uncached ones."),
)


class FakeEngine:
    def __init__(self, name, pace_s):
        self.pace_s = pace_s
        self.info = EngineInfo(name, "fake 1.0", "fake", "cpu", "no accelerator here", "float32")

    def transcribe(self, waveform, options, on_segment=None, *, on_text=None):
        order = options.initial_prompt
        if order == "crash" and self.info.name == "maxwhisper":
            os._exit(7)
        if order == "hang" and self.info.name == "maxwhisper":
            time.sleep(3600)
        if order == "compute":
            until_s = time.monotonic() + COMPUTE_S
            while time.monotonic() < until_s:
                pass
        if "FAKE_ENGINE_HANGS_ONCE" in os.environ and self.info.name == "maxwhisper":
            with contextlib.suppress(FileExistsError):
                open(os.environ["FAKE_ENGINE_HANGS_ONCE"], "x").close()
                time.sleep(3600)
        if order == "exhaust" and self.info.name == "maxwhisper":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 576000 bytes")
        if order == "spin" and self.info.name == "maxwhisper":  # on, after its turn, as MAX does
            threading.Thread(target=spin, daemon=True).start()
        if order == "refuse":
            raise OptionError("does not support initial_prompt: leave it empty")
        if order == "bug":
            raise KeyError("/secret/path")
        words = WORDS * 40 if order == "slow" else WORDS
        if "FAKE_ENGINE_HEARS_LENGTHS" in os.environ:  # or all recordings sound alike
            words = [*words, f"{len(waveform)} samples"]
        if "FAKE_ENGINE_HEARS_HASHES" in os.environ:
            words = [*words, hashlib.sha256(waveform.tobytes()).hexdigest()]
        pace_s = {"slow": 0.05, "steady": STEADY_PACE_S}.get(order, self.pace_s)
        if order == "endless" and self.info.name == "maxwhisper":
            words, pace_s = WORDS * 1_000_000, 0
        segments = []
        for i, word in enumerate(words):
            time.sleep(pace_s / 2)
            if on_text is not None and self.info.name != "faster-whisper":  # which cannot tell
                on_text(word[: (len(word) + 1) // 2])
            time.sleep(pace_s / 2)
            segment = Segment(i, 0, i * 0.5, i * 0.5 + 0.5, f" {word}", (1, 2), 0.0, -0.1, 1.0, 0.0)
            segments.append(segment)
            if on_segment is not None:
                on_segment(segment)
        text = "".join(segment.text for segment in segments)
        return Transcript(text, "en", tuple(segments), len(waveform) / SAMPLE_RATE, {})

    def transcribe_each(self, audios, options, *, batch_size=8, vad=None):
        """With FAKE_ENGINE_GROUPS, the name of a file, each call leaves a line there."""
        waveforms = list(audios)
        if "FAKE_ENGINE_GROUPS" in os.environ:
            with open(os.environ["FAKE_ENGINE_GROUPS"], "a") as file:
                print(len(waveforms), file=file)
        for index in reversed(range(len(waveforms))):
            yield index, self.transcribe(waveforms[index], options)

    def stream(self, options, how):
        return FakeStream()


class FakeStream:
    """One word every half second, committed when the next one comes."""

    def __init__(self):
        self.n_samples = self.n_committed = 0

    def feed(self, samples):
        time.sleep(0.01)
        self.n_samples += len(samples)
        n_heard = 2 * self.n_samples // SAMPLE_RATE
        committed = self._words(self.n_committed, max(n_heard - 1, 0))
        self.n_committed += len(committed)
        tentative = "".join(w.word for w in self._words(self.n_committed, n_heard))
        return Update(committed, tentative, self.n_samples / SAMPLE_RATE, 0.5, 0.25)

    def finish(self):
        n_heard = 2 * self.n_samples // SAMPLE_RATE
        words = self._words(0, n_heard)
        text = "".join(word.word for word in words)
        segment = Segment(0, 0, 0.0, n_heard / 2, text, (), 0.0, -0.1, 1.0, 0.0, words)
        return Transcript(text, "en", (segment,), self.n_samples / SAMPLE_RATE, {})

    def _words(self, first, end):
        return tuple(
            Word(f" {WORDS[i % len(WORDS)]}", i * 0.5, i * 0.5 + 0.5, 1.0)
            for i in range(first, end)
        )


def _create(name, pace_s):
    def create(checkpoint, *, progress=None, **_settings):
        if checkpoint == "broken":
            os._exit(3)
        if checkpoint == "absent" and "CHECKPOINT_IS_BACK" not in os.environ:
            raise OptionError("expected a checkpoint, got nothing: choose another")
        if progress is not None:
            progress("compiling graphs: 1 s")
        if "FAKE_ENGINE_BEATS" in os.environ and checkpoint != "demo":
            beat(os.environ["FAKE_ENGINE_BEATS"])
        time.sleep(0.05)
        return FakeEngine(name, pace_s)

    return create


def beat(path):
    """Append the monotonic time to a file, every millisecond for half a second of beats."""
    with open(path, "a") as file:
        for _ in range(500):
            print(time.monotonic(), file=file, flush=True)
            time.sleep(0.001)


create_openai = _create("openai-whisper", 0.03)
create_faster = _create("faster-whisper", 0.01)
create_maxwhisper = _create("maxwhisper", 0.005)

ENGINES = {
    "openai-whisper": "tests.fakes.engine_processes:create_openai",
    "faster-whisper": "tests.fakes.engine_processes:create_faster",
    "maxwhisper": "tests.fakes.engine_processes:create_maxwhisper",
}


def run_checks(engine, names=None, device="", damage=""):
    wrong = {"kv-cache", "encoder" if damage else "kv-cache"}
    for name, group, _about in CATALOGUE:
        if names is None or name in names:
            time.sleep(0.02)
            error, status = (3e-4, "failed") if name in wrong else (2e-7, "passed")
            where = f"{device}, as asked" if device else engine.info.device
            yield CheckResult(name, group, status, error, 1e-4, 12.0, where, "max abs")


def layer_errors(engine, waveform):
    for i, layer in enumerate(("log-mel", "encoder block 1", "encoder output")):
        errors = () if layer == "encoder block 1" else (10.0 ** (i - 7), 1e-6)
        yield LayerErrors(layer, "audio", ("0.0 s", "0.5 s"), errors, 1e-4)
    yield LayerErrors("logits", "text", ("<b>", " fox"), (2e-6, 3e-6), 1e-4)


class NamedCheckpoint(str):
    """A checkpoint that is just its name."""

    dims, source = None, "a name"


def worker_main(connection, name, engines):
    """The real worker with checkpoints that are just names, and the checks above."""
    import maxwhisper.checkpoint
    from maxwhisper.engines import worker

    maxwhisper.checkpoint.load = lambda model, progress: NamedCheckpoint(model)
    checks = types.ModuleType("maxwhisper.evaluation.selftest.checks")
    checks.run_checks = run_checks
    sys.modules["maxwhisper.evaluation.selftest.checks"] = checks
    layers = types.ModuleType("maxwhisper.evaluation.selftest.layers")
    layers.layer_errors = layer_errors
    sys.modules["maxwhisper.evaluation.selftest.layers"] = layers
    worker.main(connection, name, engines)


def install(monkeypatch):
    """Make every pool of this test run the engines above."""
    import maxwhisper.engine
    from maxwhisper import checkpoint
    from maxwhisper.engines import worker

    monkeypatch.setattr(worker, "main", worker_main)
    monkeypatch.setattr(checkpoint, "find", lambda name, **_: name)  # nothing is downloaded here
    for name in reversed(list(maxwhisper.engine.ENGINES)):  # the undoing then keeps their order
        monkeypatch.delitem(maxwhisper.engine.ENGINES, name)
    for name, address in ENGINES.items():
        monkeypatch.setitem(maxwhisper.engine.ENGINES, name, address)


def wait_until(condition, timeout_s=60.0):
    """Return when `condition()` is true; fail the test when it never is."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s in vain"
        time.sleep(0.02)


@contextlib.contextmanager
def pools(monkeypatch):
    """A function that starts a pool of these engines; every pool is closed at the end."""
    install(monkeypatch)
    made = []

    def make(names=("maxwhisper",), models=("demo",), ready=True, **settings):
        pool = EnginePool(names, models, **settings)
        made.append(pool)
        pool.start()
        if ready:
            wait_until(lambda: all(s.phase == "ready" for s in pool.statuses().values()))
        return pool

    yield make
    for pool in made:
        pool.close()
