"""The artifact cache: what is used, what is rebuilt, and how a wrong artifact is detected."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from max.driver import accelerator_count
from max.dtype import DType
from max.engine import InferenceSession

import maxwhisper
from maxwhisper.cache import sha256_of
from maxwhisper.checkpoint import bundled
from maxwhisper.checkpoint.convert import save_openai_pt
from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.checkpoint.registry import OFFICIAL_MODELS
from maxwhisper.checkpoint.schema import make_checkpoint
from maxwhisper.errors import ArtifactError, DeviceError, OutputError
from maxwhisper.network.dims import Dims
from maxwhisper.runtime import artifacts, compiled, device, probe
from maxwhisper.runtime.device import choose, cpu_classes
from maxwhisper.runtime.model import bind
from maxwhisper.whisper import create_engine
from tests.fakes import weights_site


class Rebuilt(Exception):
    """Raised instead of compiling, which would take minutes."""


@pytest.fixture
def cache(engine, tmp_path):
    """The artifact of the engine fixture, as if compiled here, in a separate cache."""
    key = artifacts.artifact_key(engine.dims, engine.placement)
    entry = artifacts.artifact(key, tmp_path)
    return entry.ready(partial(copy_graphs, artifact_in_use(key)), list)


def copy_graphs(source, folder):
    shutil.copyfile(source, folder / "graphs.mef")


def artifact_in_use(key):
    """Compiled on this machine, or unpacked from the package."""
    targets = [key.target, *(f"cpu-{name}" for name in cpu_classes())]
    folders = [artifacts.artifact(replace(key, target=target)).folder for target in targets]
    return next(folder / "graphs.mef" for folder in folders if (folder / "graphs.mef").exists())


@pytest.fixture
def load(engine, cache, monkeypatch):
    """load() loads the graphs; `load.lines` are its progress lines. Compiling raises `Rebuilt`."""

    def no_compiler(*_):
        raise Rebuilt

    monkeypatch.setattr(compiled, "_compile", no_compiler)

    def load(sources=()):
        session = InferenceSession(devices=[engine.placement.device])
        root = cache.parent.parent
        compiled.load_or_compile(
            session, engine.dims, engine.placement, root, lines.append, sources
        )

    lines = []
    load.lines = lines
    return load


class Unwritable:
    """Compiled graphs on a full disk, where MAX raises this."""

    def export_mef(self, path):
        raise ValueError("available space in disk less than requested size")


def test_a_full_disk_is_said_in_words_and_leaves_nothing(
    tmp_path, engine, load, cache, monkeypatch
):
    shutil.rmtree(cache)
    monkeypatch.setattr(compiled, "_compile", lambda *_: Unwritable())
    with pytest.raises(OutputError, match=f"saved in {cache}: available space .*CACHE"):
        load()
    assert [path.suffix for path in cache.parent.iterdir()] == [".lock"]


def test_a_sound_artifact_is_used(load):
    load()
    assert load.lines == []


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: _flip_byte(folder / "graphs.mef"), "checksum"),
        (lambda folder: shutil.rmtree(folder), "not there yet"),
        (lambda folder: (folder / "graphs.mef").unlink(), "incomplete"),
        (lambda folder: _make_folder(folder / "graphs.mef"), "incomplete"),
        (lambda folder: (folder / "manifest.json").unlink(), "incomplete"),
        (lambda folder: _make_folder(folder / "manifest.json"), "incomplete"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "damaged manifest"),
        (lambda folder: (folder / "manifest.json").write_text("[1]"), "damaged manifest"),
        (lambda folder: (folder / "manifest.json").write_text("[" * 100_000), "damaged manifest"),
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
    """Right checksum, wrong content."""
    (cache / "graphs.mef").write_bytes(b"not an artifact")
    manifest = json.loads((cache / "manifest.json").read_text())
    manifest["sha256"] = {"graphs.mef": sha256_of(cache / "graphs.mef")}
    (cache / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(Rebuilt):
        load()
    assert "do not load" in load.lines[0]


def test_an_artifact_of_the_first_versions_is_used(load, cache):
    """Its manifest has one checksum, without a name. Compiling again would take minutes."""
    manifest = json.loads((cache / "manifest.json").read_text())
    manifest["sha256"] = manifest["sha256"]["graphs.mef"]
    (cache / "manifest.json").write_text(json.dumps(manifest))
    load()
    assert load.lines == []


def test_packed_artifacts_are_unpacked_where_nothing_was_compiled(load, cache, engine, tmp_path):
    key = artifacts.artifact_key(engine.dims, engine.placement)
    packed = artifacts.pack(key, tmp_path / "packed", tmp_path)
    assert packed.stat().st_size < (cache / "graphs.mef").stat().st_size / 5
    shutil.rmtree(cache)
    load(sources=[tmp_path / "nowhere", packed.parent])
    assert load.lines == []
    artifacts.sound_artifact(key, tmp_path)


def test_a_damaged_packed_artifact_is_compiled_instead(load, cache, engine, tmp_path):
    key = artifacts.artifact_key(engine.dims, engine.placement)
    packed = artifacts.pack(key, tmp_path / "packed", tmp_path)
    for damage in (_flip_byte, lambda path: path.write_bytes(path.read_bytes()[:-100])):
        shutil.rmtree(cache, ignore_errors=True)
        damage(packed)
        with pytest.raises(Rebuilt):
            load(sources=[packed.parent])
        assert "do not load" in load.lines[-1]
        assert "damaged" in load.lines[-1]


def test_graphs_lie_in_the_folder_that_the_environment_names(cache, engine, tmp_path, monkeypatch):
    root, packed = cache.parent.parent, tmp_path / "packed"
    monkeypatch.setattr(artifacts, "SHIPPED", tmp_path / "nowhere")
    assert compiled.is_ready(engine.dims, engine.placement, root)
    artifacts.pack(artifacts.artifact_key(engine.dims, engine.placement), packed, root)
    shutil.rmtree(cache)
    assert not compiled.is_ready(engine.dims, engine.placement, root)
    monkeypatch.setenv(artifacts.ARTIFACTS, str(packed))
    assert artifacts.artifact_sources() == [packed, tmp_path / "nowhere"]
    assert compiled.is_ready(engine.dims, engine.placement, root)
    assert (cache / "graphs.mef").is_file()


def test_only_what_was_asked_for_is_unpacked(cache, engine, tmp_path):
    key = artifacts.artifact_key(engine.dims, engine.placement)
    artifacts.pack(key, tmp_path / "packed", tmp_path)
    other = replace(key, graph_sources="0" * 64)
    assert not artifacts.unpack(other, [tmp_path / "packed"], tmp_path)
    assert artifacts.unpack(key, [tmp_path / "packed"], tmp_path / "other")


SHIPPED_DIMS = {"demo": bundled.DIMS} | {
    name: OFFICIAL_MODELS[name].dims
    for name in ("tiny", "tiny.en", "base", "base.en", "small", "small.en")
}


@pytest.mark.parametrize("model", SHIPPED_DIMS)
@pytest.mark.parametrize("name", device.CPU_CLASSES)
def test_the_package_brings_the_graphs_of_small_models(model, name, tmp_path, figure):
    """They match the source of the graphs, so the first load takes no minutes."""
    placement = replace(choose("cpu"), target=f"cpu-{name}", matrices=DType.float16)
    key = artifacts.artifact_key(SHIPPED_DIMS[model], placement)
    start_s = time.perf_counter()
    assert artifacts.unpack(key, [artifacts.SHIPPED], tmp_path), (
        f"expected {key.folder_name}.mef.xz in {artifacts.SHIPPED}: the graphs have changed, "
        f"`make artifacts` builds them again"
    )
    figure(time.perf_counter() - start_s, 10.0, f"seconds to unpack the graphs of {model}")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["tiny.en", "base.en", "small.en", "demo"])
@pytest.mark.parametrize("name", device.CPU_CLASSES)
def test_shipped_graphs_compute_what_the_reference_does(model, name, tmp_path):
    """Each artifact of the package that this processor can run, with random weights that float16
    holds, as official ones are. X has the graphs of X.en."""
    if name not in cpu_classes():
        pytest.skip(f"this processor has no {name}")
    dims = SHIPPED_DIMS[model]
    placement = replace(choose("cpu"), target=f"cpu-{name}", matrices=DType.float16)
    path = artifacts.unpack(
        artifacts.artifact_key(dims, placement), [artifacts.SHIPPED], tmp_path / "cache"
    )
    drawn = random_checkpoint(dims, seed=7)
    exact = {key: array.astype(np.float16) for key, array in drawn.weights.items()}
    checkpoint = make_checkpoint(model, dims, exact, None, "random, in float16")
    session = InferenceSession(devices=[placement.device])
    network = bind(session, session.compile(path), checkpoint, placement)
    probe.verify(network, checkpoint, tmp_path)
    network.close()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["tiny", "base", "small"])
def test_an_official_name_loads_without_a_compile(model, tmp_path, monkeypatch, clip):
    """A file of the true format, precision and dims, downloaded by its name into an empty cache."""
    drawn = random_checkpoint(OFFICIAL_MODELS[model].dims, seed=3)
    half = {name: array.astype(np.float16) for name, array in drawn.weights.items()}
    file = tmp_path / "weights.pt"
    save_openai_pt(make_checkpoint(model, drawn.dims, half, None, "random, in float16"), file)
    monkeypatch.setattr(compiled, "_compile", lambda *_: pytest.fail("graphs are compiled"))
    with weights_site.serving(monkeypatch, file.read_bytes(), model) as site:
        loaded = maxwhisper.load(model, device="cpu", cache_dir=tmp_path / "cache")
    assert len(site.ranges) == 1, "one download"
    transcript = loaded.transcribe(clip("plain"), language="en", temperature=0.0, sample_len=8)
    loaded.close()
    assert transcript.n_tokens > 0


def test_the_package_has_no_old_graphs(figure):
    n_networks = len({replace(dims, n_vocab=0) for dims in SHIPPED_DIMS.values()})
    packed = list(artifacts.SHIPPED.glob("*.xz"))
    assert n_networks == 4, "X and X.en have the same graphs"
    assert len(packed) == len(device.CPU_CLASSES) * n_networks, "an old artifact was left behind"
    megabytes = sum(path.stat().st_size for path in packed) / 1e6
    figure(megabytes, 25.0, "megabytes of compiled graphs in the package")


def test_processors_are_asked_what_they_can(monkeypatch):
    everything = device.CPU_CLASSES["x86-64-v4"]
    for flags, classes in (
        (everything | {"sse4a"}, ["x86-64-v4", "x86-64-v3"]),
        (everything - {"avx512vl"}, ["x86-64-v3"]),
        (everything - {"avx2"}, []),
    ):
        monkeypatch.setattr(device, "_cpu_flags", lambda flags=flags: flags)
        assert device.cpu_classes() == classes


def test_another_network_or_precision_is_another_artifact(engine):
    placement = engine.placement
    here = artifacts.artifact_key(engine.dims, placement)
    wider = artifacts.artifact_key(replace(engine.dims, n_audio_state=512), placement)
    half = artifacts.artifact_key(engine.dims, replace(placement, dtype_name="float16"))
    elsewhere = artifacts.artifact_key(engine.dims, replace(placement, target="cpu-other"))
    assert len({key.folder_name for key in (here, wider, half, elsewhere)}) == 4
    other_vocabulary = artifacts.artifact_key(replace(engine.dims, n_vocab=51_866), placement)
    assert other_vocabulary.folder_name == here.folder_name, (
        "the vocabulary is an input of the graphs"
    )


def test_wrong_numbers_are_noticed(engine, tmp_path):
    """The probe compares with numpy: other weights in the same graphs must fail."""
    weights = dict(engine.checkpoint.weights)
    weights["decoder.ln.weight"] = weights["decoder.ln.weight"] * 1.01
    other = replace(engine.checkpoint, weights=weights, digest="other")
    with pytest.raises(ArtifactError, match="logits"):
        probe.verify(engine.network, other, tmp_path)


def test_an_artifact_with_wrong_numbers_is_compiled_again(engine, cache, monkeypatch, load):
    """`create_engine` discards a miscompiled artifact and compiles a new one."""

    def wrong(*_):
        raise ArtifactError("the compiled graphs compute wrong features")

    monkeypatch.setattr("maxwhisper.whisper.verify_once", wrong)
    lines = []
    with pytest.raises(Rebuilt):
        create_engine(engine.checkpoint, cache_dir=cache.parent.parent, progress=lines.append)
    assert "compute wrong features" in lines[0]


def test_a_gpu_rounds_float32_as_coarsely_as_float16():
    """MAX multiplies in TF32 there; on a CPU it does not."""
    here = choose("cpu")
    there = replace(here, device=SimpleNamespace(is_host=False))
    half = replace(there, dtype_name="float16")
    assert probe.tolerance(here) < 1e-3 < probe.tolerance(there) == probe.tolerance(half)


def test_the_known_answer_is_kept_and_repaired(engine, tmp_path, monkeypatch):
    probe.verify(engine.network, engine.checkpoint, tmp_path)
    folder = tmp_path / "probes" / engine.checkpoint.digest
    path = folder / "answer.npz"
    kept = path.read_bytes()
    answer = probe.expected(engine.checkpoint)
    monkeypatch.setattr(probe, "expected", lambda _: answer)  # computed in seconds, five times
    other_names, nothing = tmp_path / "names.npz", tmp_path / "nothing.npz"
    np.savez(other_names, **{f"other_{name}": array for name, array in answer.items()})
    np.savez(nothing)
    damages = [b"", b"damaged", kept[: len(kept) // 2]]
    for damaged in [*damages, other_names.read_bytes(), nothing.read_bytes()]:
        path.write_bytes(damaged)
        probe.verify(engine.network, engine.checkpoint, tmp_path)
        assert path.read_bytes() == kept
    _make_folder(path)
    probe.verify(engine.network, engine.checkpoint, tmp_path)
    assert path.read_bytes() == kept


@pytest.mark.parametrize(
    ("name", "dtype", "reason"),
    [
        ("tpu", "auto", "device must be"),
        ("gpu:x", "auto", "device must be"),
        ("gpu:99", "auto", "expected one of the .* found here, got 'gpu:99'"),
        ("cpu", "float16", "a CPU runs float32 only"),
        ("cpu", "int8", "dtype must be"),
    ],
)
def test_impossible_placements_are_refused(name, dtype, reason):
    with pytest.raises(DeviceError, match=reason):
        choose(name, dtype)


def test_impossible_targets_are_refused(tmp_path):
    with pytest.raises(DeviceError, match="expected cpu:x86-64-v4 or cpu:x86-64-v3"):
        compiled.precompile(bundled.DIMS, device="cpu:z80", cache_dir=tmp_path)


def test_graphs_are_compiled_in_the_precision_that_the_weights_ask_for(tmp_path, monkeypatch):
    """As `load` expects: float16 only if it holds the decoder's numbers exactly."""
    asked = []
    monkeypatch.setattr(
        compiled, "load_or_compile", lambda *args, **_: asked.append(args[2].matrices)
    )
    dims = Dims(80, 1500, 64, 1, 1, 51_864, 448, 64, 1, 1)
    exact = random_checkpoint(dims)
    weights = {name: array.astype("float16") for name, array in exact.weights.items()}
    for network in (dims, replace(exact, weights=weights), exact):
        compiled.precompile(network, device="cpu", cache_dir=tmp_path)
    assert asked == [DType.float16, DType.float16, DType.float32]


def test_the_device_is_chosen_with_a_reason():
    placement = choose("cpu")
    assert (placement.label, placement.dtype_name) == ("cpu", "float32")
    assert placement.reason == "cpu requested"
    n_gpus = accelerator_count()
    assert choose().reason == (f"{n_gpus} GPU(s) found" if n_gpus else "no GPU found")


@pytest.mark.slow
def test_cross_compiling_for_a_gpu_that_is_not_here(tmp_path):
    """One layer of every graph compiles for an H100 (sm_90a); executing it needs one."""
    program = (
        "import sys; from pathlib import Path; from maxwhisper.network.dims import Dims;"
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


def _make_folder(path):
    path.unlink()
    path.mkdir()


def _edit_key(folder, **changes):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["key"].update(changes)
    path.write_text(json.dumps(manifest))
