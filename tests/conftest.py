"""Fixtures that cost minutes, made once; recordings that may be absent; figures to print."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

pytest_plugins = ["tests.skips"]

ROOT = Path(__file__).parents[1]
CLIPS = ROOT / "examples" / "clips"  # spoken by programs, committed
SHARED_AUDIO = ROOT.parent / "shared" / "audio"  # public recordings, never committed

FIGURES = pytest.StashKey[list[str]]()


def pytest_configure(config):
    os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"  # a closed port: no test asks the real Hub
    config.stash[FIGURES] = []


def pytest_terminal_summary(terminalreporter, config):
    if config.stash[FIGURES]:
        terminalreporter.section("figures")
        for line in config.stash[FIGURES]:
            terminalreporter.write_line(line)


@pytest.fixture
def figure(request):
    """figure(error, tolerance, what, goal=None): print the number at the end of the run, and hold
    it. A goal is a stricter bound: the line says if it was missed. True if nothing was missed."""

    def hold(error, tolerance, what, goal=None):
        missed = goal is not None and error > goal
        line = f"{error:9.3g} <= {tolerance:<7.3g} {what}"
        line += f": MISSED, the goal is {goal:.3g}" if missed else ""
        request.config.stash[FIGURES].append(line)
        assert error <= tolerance, line
        return not missed

    return hold


@pytest.fixture(scope="session")
def shared_audio():
    """Folder of public recordings, or a skip that says where it was looked for."""
    if not SHARED_AUDIO.exists():
        pytest.skip("public recordings are not here: expected ../shared/audio beside the project")
    return SHARED_AUDIO


@pytest.fixture(scope="session")
def clip():
    """clip(name): float32 mono 16 kHz samples of one of the project's own clips."""
    from maxwhisper.audio.load import decode

    return lambda name: decode(CLIPS / f"{name}.flac")


@pytest.fixture(scope="session")
def recording(shared_audio):
    """recording(name): the same of one public recording."""
    from maxwhisper.audio.load import decode

    def load(name):
        path = shared_audio / name
        return np.load(path).astype(np.float32) if path.suffix == ".npy" else decode(path)

    return load


@pytest.fixture
def make_pool(monkeypatch):
    """A function that starts a pool of fake engines; every pool is closed at the end."""
    from tests.fakes.engine_processes import pools

    with pools(monkeypatch) as make:
        yield make


@pytest.fixture(scope="session")
def engine():
    """The default model, compiled (once per machine: minutes) and verified."""
    import maxwhisper

    return maxwhisper.load(progress=lambda line: print(line, file=sys.stderr, flush=True))


@pytest.fixture(scope="session")
def checkpoint(engine):
    return engine.checkpoint


@pytest.fixture(scope="session")
def openai_model(checkpoint):
    """The same weights in openai-whisper."""
    from maxwhisper.checkpoint.convert import to_openai

    return to_openai(checkpoint)


@pytest.fixture(scope="session")
def official():
    """official(name): OpenAI's checkpoint as an engine, or a skip that says how to get it."""
    import maxwhisper
    from maxwhisper import checkpoint as checkpoints

    loaded = {}

    def load(name):
        if not checkpoints.find(name):
            pytest.skip(f"{name} is not on disk: `python -m maxwhisper models get {name}`")
        if name not in loaded:
            loaded[name] = maxwhisper.load(name, device="cpu")
        return loaded[name]

    return load
