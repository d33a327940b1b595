"""A file or folder is recognised by its content; every lossless format gives the same network."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import maxwhisper
from maxwhisper.checkpoint import load
from maxwhisper.checkpoint.convert import save_hf, save_openai_pt
from maxwhisper.checkpoint.convert_ctranslate2 import to_ctranslate2
from maxwhisper.checkpoint.hf_folder import hf_name
from maxwhisper.checkpoint.schema import make_checkpoint
from maxwhisper.errors import CheckpointError
from tests.fakes import weight_files

torch = pytest.importorskip("torch")
CLIP = Path(__file__).parents[2] / "examples" / "clips" / "plain.flac"


def save_bin(checkpoint, folder):
    save_hf(checkpoint, folder)
    (folder / "model.safetensors").rename(folder / "old")
    tensors = {name: torch.tensor(array) for name, array in load_file(folder / "old").items()}
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "old").unlink()


SAVE = {
    "openai": save_openai_pt,
    "safetensors": save_hf,
    "pytorch_model.bin": save_bin,
    "ctranslate2": to_ctranslate2,
    "ggml": weight_files.write_ggml,
    "gguf": weight_files.write_gguf,
    "gguf-hf": lambda checkpoint, path: weight_files.write_gguf(checkpoint, path, names=hf_name),
}


@pytest.fixture(scope="module")
def demo():
    """The bundled weights with the alignment heads that a file without heads stands for."""
    bundled = load()
    return make_checkpoint("demo", bundled.dims, bundled.weights, None, "a test")


@pytest.fixture(scope="module", params=SAVE)
def read(request, demo, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "x"
    SAVE[request.param](demo, path)
    return load(path)


def test_every_lossless_format_has_the_same_numbers(read, demo):
    assert (read.name, read.dims, read.alignment_heads) == ("x", demo.dims, demo.alignment_heads)
    assert list(read.weights) == list(demo.weights)
    for name, array in demo.weights.items():
        np.testing.assert_array_equal(read.weights[name], array.astype(np.float32), err_msg=name)


def test_the_engine_writes_the_same_tokens(engine, demo, tmp_path):
    """From the format whose arrays differ most: GGML keeps vectors in float32."""
    weight_files.write_ggml(demo, tmp_path / "x")
    other = maxwhisper.load(tmp_path / "x", device="cpu")
    theirs, ours = engine.transcribe(CLIP), other.transcribe(CLIP)
    assert [s.tokens for s in ours.segments] == [s.tokens for s in theirs.segments]
    assert ours.n_tokens > 20


def test_hugging_face_is_preferred_to_ctranslate2(v2, half, tmp_path):
    to_ctranslate2(half, tmp_path)
    assert load(tmp_path).digest == half.digest
    save_hf(v2, tmp_path)
    assert load(tmp_path).digest == v2.digest


@pytest.mark.parametrize("save", [save_hf, to_ctranslate2])
def test_a_file_of_a_folder_is_sent_to_its_folder(v2, tmp_path, save):
    save(v2, tmp_path)
    (weights,) = [*tmp_path.glob("model.safetensors"), *tmp_path.glob("model.bin")]
    with pytest.raises(CheckpointError, match=r"got the file alone.*: give the folder /"):
        load(weights)


def test_an_adapter_is_refused(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    (tmp_path / "adapter_model.safetensors").touch()
    with pytest.raises(CheckpointError, match=r"got an adapter: merge it into its network"):
        load(tmp_path)
