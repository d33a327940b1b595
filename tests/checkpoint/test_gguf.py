"""GGUF files, written by the package `gguf`: every type and both kinds of names, exactly."""

import struct

import pytest

from maxwhisper.checkpoint import load
from maxwhisper.checkpoint.hf_folder import hf_name
from maxwhisper.errors import CheckpointError
from tests.fakes import weight_files


@pytest.mark.parametrize("kind", ["f32", "f16", *weight_files.QUANTISED])
def test_every_type_is_read_exactly(v2, tmp_path, kind, assert_stored):
    path = tmp_path / "any-name"
    weight_files.write_gguf(v2, path, kind)
    loaded = load(path)
    assert_stored(loaded, v2, kind)
    lost = f" ({kind}, dequantised)" if kind in weight_files.QUANTISED else ""
    assert loaded.source == f"weights of the GGUF file {path}{lost}"


def test_names_of_hugging_face_are_read(small, tmp_path):
    weight_files.write_gguf(small, tmp_path / "x.gguf", "f32", names=hf_name)
    assert load(tmp_path / "x.gguf").digest == small.digest


def test_version_2_is_read_and_others_are_refused(v2, tmp_path):
    path = tmp_path / "x.gguf"
    weight_files.write_gguf(v2, path, "f32")
    for version in (2, 1, 4):
        path.write_bytes(b"GGUF" + struct.pack("<I", version) + path.read_bytes()[8:])
        if version == 2:
            assert load(path).digest == v2.digest
        else:
            with pytest.raises(CheckpointError, match=f"version 2 or 3 .* got version {version}"):
                load(path)


def test_other_architectures_are_refused(v2, tmp_path):
    weight_files.write_gguf(v2, tmp_path / "x.gguf", architecture="llama")
    with pytest.raises(CheckpointError, match=r"a Whisper in .* got the architecture 'llama'"):
        load(tmp_path / "x.gguf")


def test_other_names_are_refused(v2, tmp_path):
    weight_files.write_gguf(v2, tmp_path / "x.gguf", names=lambda name: f"x.{name}")
    with pytest.raises(CheckpointError, match=r"positional_embedding of 2 axes, got 'x\.encoder"):
        load(tmp_path / "x.gguf")


@pytest.mark.parametrize("keep", [4, 30, 200, 5000, 200_000])
def test_a_cut_file_is_refused(v2, tmp_path, keep):
    weight_files.write_gguf(v2, tmp_path / "x.gguf")
    (tmp_path / "x.gguf").write_bytes((tmp_path / "x.gguf").read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"x\.gguf.*damaged or incomplete"):
        load(tmp_path / "x.gguf")
