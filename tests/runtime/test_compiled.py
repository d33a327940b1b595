"""The artifact cache: what is trusted, what is rebuilt, and what a wrong artifact cannot do."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from max.engine import InferenceSession

from maxwhisper.errors import ArtifactError, DeviceError
from maxwhisper.runtime import artifacts, compiled, probe
from maxwhisper.runtime.device import choose
from maxwhisper.whisper import create_engine


class Rebuilt(Exception):
    """Raised instead of compiling, which would take minutes."""


@pytest.fixture
def cache(engine, tmp_path):
    """A copy of the artifact that the engine fixture uses, and its folder."""
    key = artifacts.artifact_key(engine.dims, engine.placement)
    folder = artifacts.artifact_folder(key, tmp_path)
    shutil.copytree(artifacts.artifact_folder(key), folder)
    return folder


@pytest.fixture
def load(engine, cache, monkeypatch):
    """load() -> lines of progress; compiling raises `Rebuilt`."""

    def no_compiler(*_):
        raise Rebuilt

    monkeypatch.setattr(compiled, "_compile", no_compiler)

    def load():
        session = InferenceSession(devices=[engine.placement.device])
        root = cache.parent.parent
        compiled.load_or_compile(session, engine.dims, engine.placement, root, lines.append)

    lines = []
    load.lines = lines
    return load


def test_a_sound_artifact_is_used(load):
    load()
    assert load.lines == []


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: _flip_byte(folder / "graphs.mef"), "checksum"),
        (lambda folder: (folder / "graphs.mef").unlink(), "no artifact yet"),
        (lambda folder: (folder / "manifest.json").unlink(), "no artifact yet"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "damaged"),
        (lambda folder: _edit_key(folder, max_version="26.6.0"), "something else"),
        (lambda folder: _edit_key(folder, graph_sources="0" * 64), "something else"),
    ],
)
def test_a_damaged_or_stale_artifact_is_rebuilt(load, cache, damage, reason):
    damage(cache)
    with pytest.raises(Rebuilt):
        load()
    assert reason in load.lines[0]


def test_an_artifact_that_max_cannot_read_is_rebuilt(load, cache):
    """Right checksum, wrong content: the manifest vouches for garbage."""
    (cache / "graphs.mef").write_bytes(b"not an artifact")
    manifest = json.loads((cache / "manifest.json").read_text())
    manifest["sha256"] = artifacts.sha256(cache / "graphs.mef")
    (cache / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(Rebuilt):
        load()
    assert "does not load" in load.lines[0]


def test_another_network_or_precision_is_another_artifact(engine):
    placement = engine.placement
    here = artifacts.artifact_key(engine.dims, placement)
    wider = artifacts.artifact_key(replace(engine.dims, n_audio_state=512), placement)
    half = artifacts.artifact_key(engine.dims, replace(placement, dtype_name="float16"))
    elsewhere = artifacts.artifact_key(engine.dims, replace(placement, target="cpu-other"))
    assert len({key.folder_name for key in (here, wider, half, elsewhere)}) == 4


def test_wrong_numbers_are_noticed(engine, tmp_path):
    """The probe compares with numpy: other weights under the same graphs must not pass."""
    weights = dict(engine.checkpoint.weights)
    weights["decoder.ln.weight"] = weights["decoder.ln.weight"] * 1.01
    other = replace(engine.checkpoint, weights=weights, digest="other")
    with pytest.raises(ArtifactError, match="logits"):
        probe.verify(engine.network, other, tmp_path)


def test_an_artifact_with_wrong_numbers_is_compiled_again(engine, cache, monkeypatch, load):
    """A miscompiled artifact is thrown away by `create_engine`, which then asks for a new one."""

    def wrong(*_):
        raise ArtifactError("the compiled graphs compute wrong features")

    monkeypatch.setattr("maxwhisper.whisper.verify", wrong)
    lines = []
    with pytest.raises(Rebuilt):
        create_engine(engine.checkpoint, cache_dir=cache.parent.parent, progress=lines.append)
    assert "compute wrong features" in lines[0]


def test_the_known_answer_is_kept_and_repaired(engine, tmp_path):
    probe.verify(engine.network, engine.checkpoint, tmp_path)
    (path,) = (tmp_path / "probes").iterdir()
    kept = path.read_bytes()
    for damaged in (b"damaged", kept[: len(kept) // 2]):  # garbage, and a file cut short
        path.write_bytes(damaged)
        probe.verify(engine.network, engine.checkpoint, tmp_path)
        assert path.read_bytes() == kept


@pytest.mark.parametrize(
    ("device", "dtype", "reason"),
    [
        ("tpu", "auto", "device must be"),
        ("gpu:x", "auto", "device must be"),
        ("gpu:99", "auto", "MAX sees"),
        ("cpu", "float16", "a CPU runs float32 only"),
        ("cpu", "int8", "dtype must be"),
    ],
)
def test_impossible_placements_are_refused(device, dtype, reason):
    with pytest.raises(DeviceError, match=reason):
        choose(device, dtype)


def test_the_device_is_chosen_with_a_reason():
    placement = choose("cpu")
    assert (placement.label, placement.dtype_name) == ("cpu", "float32")
    assert "asked for" in placement.reason
    assert "MAX sees" in choose().reason


@pytest.mark.slow
def test_cross_compiling_for_a_gpu_that_is_not_here(tmp_path):
    """One layer of every graph compiles for an H100 (sm_90a); executing it needs one."""
    program = (
        "import sys; from pathlib import Path; from maxwhisper.dims import Dims;"
        "from maxwhisper.runtime.compiled import precompile;"
        "dims = Dims(80, 1500, 64, 1, 1, 51864, 448, 64, 1, 1);"
        "print(precompile(dims, device='cuda:sm_90a', cache_dir=Path(sys.argv[1])))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    (artifact,) = tmp_path.glob("artifacts/cuda-sm_90a-float16-*/graphs.mef")
    assert artifact.stat().st_size > 100_000


def _flip_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def _edit_key(folder, **changes):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["key"].update(changes)
    path.write_text(json.dumps(manifest))
