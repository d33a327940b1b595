"""Graphs run in a child before they run here, and what worked is remembered where this user alone
can write."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from maxwhisper.errors import ArtifactError
from maxwhisper.runtime import artifacts, compiled, probe, trial, verified
from maxwhisper.runtime.device import choose
from tools.robustness.flips import code_of, sign_again

PLACEMENT = choose("cpu")


@pytest.fixture
def artifact(tmp_path):
    path = tmp_path / "graphs.mef"
    path.write_bytes(b"graphs")
    return path


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "maxwhisper" / "verified"


def test_only_what_worked_is_known(artifact, state, monkeypatch):
    assert not verified.is_verified(artifact, PLACEMENT)
    verified.remember(artifact, PLACEMENT)
    assert verified.is_verified(artifact, PLACEMENT)
    assert not verified.is_verified(artifact, PLACEMENT, "a checkpoint")
    assert not verified.is_verified(artifact, replace(PLACEMENT, target="cuda-sm_90a"))
    verified.remember(artifact, PLACEMENT, "a checkpoint")
    assert verified.is_verified(artifact, PLACEMENT, "a checkpoint")
    artifact.write_bytes(b"graphS")
    assert not verified.is_verified(artifact, PLACEMENT)
    assert not verified.is_verified(artifact, PLACEMENT, "a checkpoint")
    artifact.write_bytes(b"graphs")
    assert verified.is_verified(artifact, PLACEMENT)
    monkeypatch.setattr(verified, "cpu_target", lambda: "another")
    assert not verified.is_verified(artifact, PLACEMENT), "another processor"


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_what_others_can_write_is_not_believed(artifact, state, mode):
    verified.remember(artifact, PLACEMENT)
    assert oct(state.stat().st_mode)[-3:] == "700"
    state.chmod(mode)
    assert not verified.is_verified(artifact, PLACEMENT)
    state.chmod(0o700)
    assert verified.is_verified(artifact, PLACEMENT)


def test_another_users_folder_is_not_believed(artifact, state, monkeypatch):
    verified.remember(artifact, PLACEMENT)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert not verified.is_verified(artifact, PLACEMENT)


def test_a_link_is_not_believed(artifact, state):
    verified.remember(artifact, PLACEMENT)
    state.rename(state.with_name("elsewhere"))
    state.symlink_to(state.with_name("elsewhere"))
    assert not verified.is_verified(artifact, PLACEMENT)


def test_without_a_place_nothing_is_remembered(artifact, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    verified.remember(artifact, PLACEMENT)
    assert not verified.is_verified(artifact, PLACEMENT)
    monkeypatch.setattr(verified, "state_root", lambda: None)
    verified.remember(artifact, PLACEMENT)
    assert not verified.is_verified(artifact, PLACEMENT)


@pytest.mark.parametrize(
    ("said", "status", "is_bad"),
    [
        (b"readydone", 0, False),
        (b"readydone", -11, False),  # it died of something else, afterwards
        (b"ready", -4, True),
        (b"ready", 1, True),
        (b"ready", None, True),  # no end in time
        (b"", 1, True),  # it died before it tried them: nothing is known of the graphs
        (b"", None, True),  # no child at all
    ],
)
def test_a_child_that_dies_of_the_graphs_is_an_error(
    artifact, state, engine, monkeypatch, said, status, is_bad
):
    asked = []

    def answer(request):
        asked.append(json.loads(request))
        return said, status

    monkeypatch.setattr(trial, "_answer", answer)
    if is_bad:
        why = "do not load" if status == 1 else "end the process that runs them"
        why = why if said else "could not be tried"
        with pytest.raises(ArtifactError, match=why):
            trial.require_tried(artifact, engine.dims, PLACEMENT)
    else:
        trial.require_tried(artifact, engine.dims, PLACEMENT)
    assert asked[0]["artifact"] == str(artifact)
    assert verified.is_verified(artifact, PLACEMENT) is (b"done" in said)


def test_without_a_child_no_graphs_are_trusted(artifact, state, engine, monkeypatch):
    """The interpreter is gone, then one that ends at once: neither is taken for a good trial."""
    for program in ("/nowhere/python", "/bin/false"):
        monkeypatch.setattr(sys, "executable", program)
        with pytest.raises(ArtifactError, match="could not be tried"):
            trial.require_tried(artifact, engine.dims, PLACEMENT)
    assert not verified.is_verified(artifact, PLACEMENT)


def test_graphs_for_another_processor_are_not_tried(artifact, state, engine, monkeypatch):
    monkeypatch.setattr(trial, "_answer", lambda _: pytest.fail("tried"))
    there = replace(PLACEMENT, target="cpu-x86-64-v3")
    trial.require_tried(artifact, engine.dims, there)


@pytest.fixture
def cache(engine, tmp_path):
    """A cache with the graphs of the engine, as if compiled here; its folder."""
    key = artifacts.artifact_key(engine.dims, engine.placement)

    def write(folder):
        shutil.copyfile(engine.network.artifact, folder / artifacts.MEF)

    return artifacts.artifact(key, tmp_path / "cache").ready(write, list)


@pytest.mark.faults
def test_code_that_kills_is_found_by_a_child(cache, state, engine, monkeypatch):
    """Every instruction of an object a trap: the process that runs it dies, and it is not ours."""
    path = cache / artifacts.MEF
    sound = path.read_bytes()
    objects = code_of(sound)
    assert len(objects) == 2, "expected the code of MAX and that of our kernels"
    for place in objects:
        data = bytearray(sound)
        data[place.start : place.stop] = b"\xcc" * len(place)
        path.write_bytes(data)
        sign_again(cache)
        key = artifacts.artifact_key(engine.dims, engine.placement)
        assert artifacts.artifact(key, cache.parent.parent).problem() is None
        with pytest.raises(ArtifactError, match=r"end the process that runs them \(status -\d+\)"):
            trial.require_tried(path, engine.dims, engine.placement)


@pytest.mark.faults
def test_sound_graphs_are_tried_once_and_checked_once(cache, state, engine, monkeypatch):
    from max.engine import InferenceSession

    from maxwhisper.runtime.model import load_network

    started = []
    answer = trial._answer

    def counted(request):
        started.append(1)
        return answer(request)

    monkeypatch.setattr(trial, "_answer", counted)
    monkeypatch.setattr(compiled, "_compile", lambda *_: pytest.fail("compiled"))
    root = cache.parent.parent
    session = InferenceSession(devices=[engine.placement.device])
    for _ in range(2):
        found = compiled.load_or_compile(session, engine.dims, engine.placement, root)
        assert found.artifact == cache / artifacts.MEF
    assert started == [1]
    network = load_network(engine.checkpoint, engine.placement, root)
    runs = []
    monkeypatch.setattr(probe, "verify", lambda *_: runs.append(1))
    for _ in range(2):
        probe.verify_once(network, engine.checkpoint, root)
    probe.verify_once(network, replace(engine.checkpoint, digest="another"), root)
    assert (runs, started) == ([1, 1], [1])
    network.close()


def test_the_child_needs_no_installed_package(artifact, tmp_path):
    """It is started from any folder; garbage is an error after it was ready."""
    run = subprocess.run(
        [sys.executable, "-c", CALLER, str(artifact)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(trial.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.startswith("ArtifactError the graphs for cpu-")


CALLER = """
import sys
from pathlib import Path
from maxwhisper.checkpoint import bundled
from maxwhisper.errors import ArtifactError
from maxwhisper.runtime.device import choose
from maxwhisper.runtime.trial import require_tried
try:
    require_tried(Path(sys.argv[1]), bundled.DIMS, choose("cpu"))
except ArtifactError as error:
    print("ArtifactError", error)
"""
