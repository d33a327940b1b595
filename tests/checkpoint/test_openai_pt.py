"""OpenAI `.pt` files: valid ones are read bit for bit, hostile and damaged ones are refused."""

import os
import subprocess
import sys

import pytest

from maxwhisper.checkpoint import load
from maxwhisper.checkpoint.convert import save_openai_pt, to_openai
from maxwhisper.errors import CheckpointError

torch = pytest.importorskip("torch")
whisper = pytest.importorskip("whisper")


def test_round_trip_is_exact(small, tmp_path, assert_same_weights):
    save_openai_pt(small, tmp_path / "small.pt")
    loaded = load(tmp_path / "small.pt")
    assert_same_weights(loaded, small)
    assert loaded.name == "small"
    assert loaded.digest == small.digest


def test_float16_stays_float16(half, tmp_path, assert_same_weights):
    save_openai_pt(half, tmp_path / "half.pt")
    assert_same_weights(load(tmp_path / "half.pt"), half)


def test_bfloat16_is_widened(v2, tmp_path):
    path = tmp_path / "b.pt"
    narrow = {name: torch.tensor(array).bfloat16() for name, array in v2.weights.items()}
    torch.save({"dims": v2.dims.to_dict(), "model_state_dict": narrow}, path)
    loaded = load(path)
    for name, array in loaded.weights.items():
        assert array.dtype == "float32"
        assert (array == narrow[name].float().numpy()).all()


def test_the_reference_reads_our_file_and_we_read_its(v2, tmp_path, assert_same_weights):
    save_openai_pt(v2, tmp_path / "ours.pt")
    model = whisper.load_model(str(tmp_path / "ours.pt"), device="cpu")
    theirs = {"dims": vars(model.dims), "model_state_dict": model.state_dict()}
    torch.save(theirs, tmp_path / "theirs.pt")
    assert_same_weights(load(tmp_path / "theirs.pt"), v2)


def test_model_of_the_reference_holds_the_weights_and_heads(half):
    model = to_openai(half)
    for name, tensor in model.state_dict().items():
        assert (tensor.numpy() == half.weights[name].astype("float32")).all()
    assert model.alignment_heads.indices().T.tolist() == [[0, 1], [0, 3]]
    assert not model.training


class Malicious:
    """An object whose pickle runs a command when an ordinary unpickler loads it."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_a_malicious_file_is_refused_and_runs_nothing(v2, tmp_path):
    path, trace = tmp_path / "evil.pt", tmp_path / "ran"
    dims = v2.dims.to_dict()
    torch.save({"dims": dims, "model_state_dict": Malicious(f"touch '{trace}'")}, path)
    with pytest.raises(CheckpointError, match="could run code"):
        load(path)
    assert not trace.exists()
    unsafe = f"import torch; torch.load(r'{path}', weights_only=False)"
    subprocess.run([sys.executable, "-c", unsafe], check=True)
    assert trace.exists()  # the file was harmful: this is what we were spared


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "'dims' and 'model_state_dict'"),
        ({"state_dict": {}}, "state_dict.*is this an OpenAI"),
        ({"dims": {"n_mels": 80}, "model_state_dict": {}}, "n_audio_ctx"),
    ],
)
def test_other_checkpoints_are_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path / "other.pt")


@pytest.mark.parametrize("keep", [0, 100, 200_000])
def test_truncated_files_are_refused(v2, tmp_path, keep):
    path = tmp_path / "short.pt"
    save_openai_pt(v2, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"short\.pt"):
        load(path)


@pytest.mark.parametrize("content", [b"not a checkpoint", b"hello world\n" * 20])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "text.pt").write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"text\.pt, got a file that is damaged or of another"
    ):
        load(tmp_path / "text.pt")


def test_a_tensor_that_is_a_number_is_refused(v2, tmp_path):
    entries = {"encoder.conv1.weight": 3.0}
    torch.save({"dims": v2.dims.to_dict(), "model_state_dict": entries}, tmp_path / "n.pt")
    with pytest.raises(CheckpointError, match=r"encoder\.conv1\.weight.*tensor, got 3\.0"):
        load(tmp_path / "n.pt")
