"""Files of `torch.save`: every layout of a tensor, without torch; damage and bombs are refused."""

import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from maxwhisper.checkpoint.convert import save_openai_pt
from maxwhisper.checkpoint.torch_file import read_torch_file, stored_arrays
from maxwhisper.errors import CheckpointError

torch = pytest.importorskip("torch")


@pytest.fixture
def read(tmp_path):
    def call(content, **how):
        torch.save(content, tmp_path / "x.pt", **how)
        return stored_arrays(tmp_path / "x.pt", read_torch_file(tmp_path / "x.pt"))

    return call


def repacked(path, **files):
    """Write the files of the archive again, with others in place of those that end in a name."""
    with zipfile.ZipFile(path) as archive:
        old = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in old.items():
            archive.writestr(name, files.get(name.split("/")[-1].replace(".", "_"), content))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_views_of_shared_storages_are_read_exactly(read, protocol):
    whole = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    tensors = {
        "whole": whole,
        "transposed": whole.permute(2, 0, 1),
        "slice": whole[1, ::2, 1:3],
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 5),
        "half": whole.half(),
        "narrow": (whole / 7).bfloat16(),
        "parameter": torch.nn.Parameter(whole[0]),
    }
    arrays = read(tensors, pickle_protocol=protocol)
    for name, tensor in tensors.items():
        expected = tensor.detach().float().numpy()
        np.testing.assert_array_equal(arrays[name], expected, strict=name != "half")
    assert arrays["half"].dtype == np.float16


def test_a_state_dict_of_a_module_is_read(read):
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    state = module.state_dict()  # an OrderedDict with an attribute
    arrays = read(state)
    assert list(arrays) == list(state)
    assert all((arrays[name] == tensor.numpy()).all() for name, tensor in state.items())


def test_torch_is_not_needed(v2, tmp_path):
    save_openai_pt(v2, tmp_path / "net.pt")
    program = (
        "import sys; sys.modules['torch'] = None; from maxwhisper.checkpoint import load;"
        f"print(load(r'{tmp_path / 'net.pt'}').digest)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == v2.digest, done.stderr


def test_the_format_before_torch_1_6_is_named(tmp_path):
    torch.save({}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"torch 1\.6 or newer.*save it again"):
        read_torch_file(tmp_path / "old.pt")


@pytest.mark.parametrize(
    ("pickled", "reason"),
    [
        (b"\x80\x02}r\xff\xff\xff\x7f.", "a memo with gaps"),  # 32 GiB of memo
        (b"\x80\x02\x8b\x01\x00\x00\x00\x01.", "instruction LONG4"),
        (b"\x80\x02\x82\x01.", "instruction EXT1"),
        (pickle.dumps(print, 2), "print"),
        (pickle.dumps(np.float32(1), 2), "numpy"),
        (pickle.dumps(bytearray(9), 4), "bytearray"),
    ],
)
def test_other_pickles_are_refused_by_name(tmp_path, pickled, reason):
    torch.save({}, tmp_path / "x.pt")
    repacked(tmp_path / "x.pt", data_pkl=pickled)
    with pytest.raises(CheckpointError, match=f"got pickled objects .*{reason}.*could run code"):
        read_torch_file(tmp_path / "x.pt")


def test_a_long_pickle_is_not_read(tmp_path):
    torch.save({"x": "y" * (2 << 20)}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="expected at most 2097152 bytes of names"):
        read_torch_file(tmp_path / "x.pt")


def test_big_endian_numbers_are_refused(tmp_path):
    torch.save({"x": torch.zeros(3)}, tmp_path / "x.pt")
    repacked(tmp_path / "x.pt", byteorder=b"big")
    with pytest.raises(CheckpointError, match=r"little-endian numbers in .*got 'big'"):
        read_torch_file(tmp_path / "x.pt")


def test_a_flipped_bit_is_found(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"x": torch.full((64,), 1.5)}, path)
    number = np.float32(1.5).tobytes() * 8
    path.write_bytes(path.read_bytes().replace(number, number[:-1] + b"\x40", 1))
    with pytest.raises(CheckpointError, match=r"numbers of x in .*damaged or missing"):
        stored_arrays(path, read_torch_file(path))


def test_a_view_beyond_its_storage_is_refused(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({"x": torch.zeros(64), "y": torch.zeros(9)}, path)
    content = read_torch_file(path)
    y = content["y"]
    for change in ({"shape": (64,)}, {"offset": 1}, {"strides": (2,)}, {"shape": (10**30, 0)}):
        views = {"y": type(y)(**{**vars(y), **change})}
        with pytest.raises(CheckpointError, match=r"numbers of y in .*damaged or missing"):
            stored_arrays(path, views)
