"""The baselines race as they are meant to: all threads, equal batches, equal samples and beams.
Each is looked at where the work is done: in its process, at its library's call."""

import hashlib
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from maxwhisper import checkpoint as checkpoints
from maxwhisper import machine
from maxwhisper.audio.load import decode
from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.engine import load_engine
from maxwhisper.engines.messages import Load, Run
from maxwhisper.engines.process import EngineProcess
from maxwhisper.evaluation.bench.cases import Clip, Model, find_mode, make_job
from maxwhisper.evaluation.bench.measure import measure
from maxwhisper.evaluation.selftest.numpy_network import NumpyNetwork
from maxwhisper.network.dims import Dims
from maxwhisper.options import GREEDY
from maxwhisper.whisper import Whisper
from tests.fakes.threads import count_busy

pytest.importorskip("whisper")
pytest.importorskip("faster_whisper")

CLIP = Path(__file__).parents[2] / "examples" / "clips" / "plain.flac"
NAMES = ("openai-whisper", "faster-whisper")
DIMS = Dims(80, 1500, 64, 2, 1, 51_864, 448, 64, 4, 1)
OPTIONS = GREEDY.changed({"language": "en"})


class Stopped(Exception):
    """Raised instead of transcribing: what the library was given is known."""


class Spying:
    """`inner`, whose calls of `method` are told to `tell` first."""

    def __init__(self, inner, method, tell):
        self._inner, self._method, self._tell = inner, method, tell

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if name != self._method:
            return found

        def told(*given, **named):
            self._tell(*given, **named)
            return found(*given, **named)

        return told


class NumpyTold(NumpyNetwork):
    """The numpy network, which keeps the hashes of its samples and the sizes of its batches."""

    def __init__(self, checkpoint):
        super().__init__(checkpoint)
        self.heard, self.batches = [], []

    def log_mel(self, waveform, padding):
        self.heard.append(sha256(waveform))
        return super().log_mel(waveform, padding)

    def encode(self, mel):
        self.batches.append(len(mel))
        return super().encode(mel)


def sha256(waveform):
    return hashlib.sha256(np.asarray(waveform, np.float32).tobytes()).hexdigest()


@pytest.fixture(scope="module")
def checkpoint():
    return random_checkpoint(DIMS, seed=3)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.mark.skipif((machine.usable_threads() or 1) < 2, reason="one CPU: one thread is all")
@pytest.mark.parametrize("name", [*NAMES, "maxwhisper"])
def test_every_engine_computes_with_all_threads(name, monkeypatch):
    """Counted by the system, in the process that races."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    usable, process = machine.usable_threads(), EngineProcess(name)
    try:
        *_, loaded = process.run(Load(partial(checkpoints.load, "demo"), device="cpu"))
        assert loaded.info.name == name
        ((n_busy, seconds, told),) = process.run(Run(count_busy, (decode(CLIP), OPTIONS)))
    finally:
        process.close()
    # A small network may leave some of many cores idle, but never half of them.
    assert n_busy >= max(2, usable // 2), f"{name}: CPU seconds of its threads {seconds}"
    assert told in (None, usable)


def test_windows_decoded_together_are_as_many_as_asked_for(checkpoint, cache):
    """Five windows in batches of two: two, two and one at the library's own call, as in ours."""
    noise = np.random.default_rng(0).standard_normal(5 * 30 * 16_000 - 37).astype(np.float32)
    job = make_job(find_mode("batched", "en", 2), Model("random", DIMS, 4), Clip("noise", noise))
    ours, theirs, sizes = NumpyTold(checkpoint), [], []
    measure(Whisper(checkpoint, ours), job)

    def tell(features, prompts, **_):
        sizes.append(features.shape[0])
        theirs.append(len(prompts))

    faster = load_engine("faster-whisper", checkpoint, device="cpu", cache_dir=cache)
    faster.model.model = Spying(faster.model.model, "generate", tell)
    measure(faster, job)
    assert ours.batches == theirs == sizes == [2, 2, 1]


@pytest.mark.parametrize("beam_size", [None, 5])
def test_every_library_is_given_the_same_samples_and_beams(checkpoint, cache, beam_size):
    noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    options = OPTIONS.changed({"beam_size": beam_size, "sample_len": 4})
    ours, given = NumpyTold(checkpoint), {}
    Whisper(checkpoint, ours).transcribe(noise, options)
    options = options.changed({"sample_len": None})

    for name in NAMES:
        engine = load_engine(name, checkpoint, device="cpu", cache_dir=cache)

        def stop(waveform, name=name, **named):
            given[name] = SimpleNamespace(waveform=waveform, **named)
            raise Stopped

        engine.model.transcribe = stop
        with pytest.raises(Stopped):
            engine.transcribe(noise, options)
    assert {sha256(each.waveform) for each in given.values()} == {sha256(noise)} == set(ours.heard)
    assert [given[name].beam_size or 1 for name in NAMES] == [beam_size or 1] * 2
    assert [list(given[name].temperature) for name in NAMES] == [[0.0]] * 2
