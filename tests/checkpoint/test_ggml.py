"""GGML files of whisper.cpp: every type to the numbers of the reference, the others refused."""

import struct

import numpy as np
import pytest

from maxwhisper.checkpoint import load
from maxwhisper.checkpoint.ggml_blocks import _BLOCKS, dequantised
from maxwhisper.errors import CheckpointError
from tests.fakes import weight_files


@pytest.mark.parametrize("kind", ["f32", "f16", *weight_files.QUANTISED])
def test_every_type_is_read_exactly(v2, tmp_path, kind, assert_stored):
    path = tmp_path / "ggml-any-name"
    weight_files.write_ggml(v2, path, kind)
    loaded = load(path)
    assert_stored(loaded, v2, kind)
    lost = f" ({kind}, dequantised)" if kind in weight_files.QUANTISED else ""
    assert loaded.source == f"weights of the GGML file {path}{lost}"


def test_every_vocabulary_is_read(small, tmp_path):
    weight_files.write_ggml(small, tmp_path / "x.bin", "f32")
    assert load(tmp_path / "x.bin").digest == small.digest


@pytest.mark.parametrize("kind", range(10, 16))
def test_k_quants_are_refused_by_name(v2, tmp_path, kind):
    path = tmp_path / "x.bin"
    weight_files.write_ggml(v2, path, "q8_0")
    name = b"decoder.token_embedding.weight"
    content = path.read_bytes()
    at = content.index(name) - 12  # before n_vocab, n_state: name length, type
    path.write_bytes(content[:at] + struct.pack("<i", kind) + content[at + 4 :])
    with pytest.raises(CheckpointError, match=r"decoder\.token_embedding\.weight .* q8_0.* got q"):
        load(path)


def test_blocks_of_an_older_version_are_refused(v2, tmp_path):
    weight_files.write_ggml(v2, tmp_path / "x.bin", "q5_0", version=1)
    with pytest.raises(CheckpointError, match=r"version 2 .* got version 1: quantise"):
        load(tmp_path / "x.bin")


@pytest.mark.parametrize("keep", [4, 40, 60, 70_000, 200_000])
def test_a_cut_file_is_refused(v2, tmp_path, keep):
    weight_files.write_ggml(v2, tmp_path / "x.bin")
    (tmp_path / "x.bin").write_bytes((tmp_path / "x.bin").read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"x\.bin.*(damaged or incomplete|got none)"):
        load(tmp_path / "x.bin")


def test_blocks_agree_with_a_scale_written_by_hand():
    """One block of each type, from the definition of its struct."""
    low = np.arange(16, dtype=np.uint8) | (np.arange(16, dtype=np.uint8)[::-1] << 4)
    nibbles = np.concatenate([np.arange(16), np.arange(16)[::-1]])
    d, m = np.float16(0.5).tobytes(), np.float16(-3).tobytes()
    high = struct.pack("<I", 1 << 0 | 1 << 31)  # the fifth bits of the first and the last number
    fifth = np.zeros(32)
    fifth[[0, 31]] = 16
    cases = {
        2: (d + low.tobytes(), 0.5 * (nibbles - 8)),
        3: (d + m + low.tobytes(), 0.5 * nibbles - 3),
        6: (d + high + low.tobytes(), 0.5 * (nibbles + fifth - 16)),
        7: (d + m + high + low.tobytes(), 0.5 * (nibbles + fifth) - 3),
        8: (d + np.arange(-16, 16, dtype=np.int8).tobytes(), 0.5 * np.arange(-16, 16)),
    }
    for kind, (content, expected) in cases.items():
        (block,) = dequantised(np.frombuffer(content, _BLOCKS[kind]))
        np.testing.assert_array_equal(block, expected)
