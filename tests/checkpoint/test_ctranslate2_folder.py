"""CTranslate2 folders of its own converter: every type is read to the numbers it stands for."""

import struct
from copy import deepcopy
from shutil import copy

import numpy as np
import pytest

from maxwhisper.checkpoint import load
from maxwhisper.checkpoint.convert import to_openai
from maxwhisper.checkpoint.convert_ctranslate2 import to_ctranslate2
from maxwhisper.checkpoint.ctranslate2_folder import _no_timestamps
from maxwhisper.checkpoint.schema import make_checkpoint
from maxwhisper.errors import CheckpointError
from maxwhisper.text.tokenizer import get_tokenizer
from tests.fakes.weight_files import ctranslate2_values

ctranslate2 = pytest.importorskip("ctranslate2")
torch = pytest.importorskip("torch")


@pytest.mark.parametrize("quantisation", ["float32", "float16", "bfloat16", "int8", "int8_float16"])
def test_every_type_is_read_exactly(v2, converted, quantisation):
    folder = converted(quantisation)
    loaded = load(folder)
    assert (loaded.dims, loaded.alignment_heads) == (v2.dims, v2.alignment_heads)
    for name, array in v2.weights.items():
        expected = ctranslate2_values(name, array, quantisation)
        np.testing.assert_array_equal(loaded.weights[name], expected, strict=True, err_msg=name)
    lost = " (int8, dequantised)" if "int8" in quantisation else ""
    assert loaded.source == f"weights of the CTranslate2 folder {folder}{lost}"


@pytest.mark.parametrize("quantisation", ["int16", "int8_bfloat16"])
def test_ctranslate2_itself_dequantises_to_the_same_numbers(converted, quantisation, figure):
    """Its encoder in float32 agrees with the reference that has our numbers."""
    folder = converted(quantisation)
    mel = np.random.default_rng(0).standard_normal((1, 80, 3000), dtype=np.float32)
    model = ctranslate2.models.Whisper(str(folder), compute_type="float32", intra_threads=1)
    theirs = np.array(model.encode(ctranslate2.StorageView.from_array(mel), to_cpu=True))
    with torch.no_grad():
        ours = to_openai(load(folder)).encoder(torch.from_numpy(mel)).numpy()
    figure(
        float(np.abs(ours - theirs).max()), 1e-4, f"encoder, CTranslate2 folder in {quantisation}"
    )


def test_our_own_conversion_is_undone(small, tmp_path):
    to_ctranslate2(small, tmp_path)
    assert load(tmp_path).digest == small.digest


def test_alignment_heads_survive(half, tmp_path):
    to_ctranslate2(half, tmp_path)
    assert load(tmp_path).digest == half.digest
    assert load(tmp_path).alignment_heads == ((0, 1), (0, 3))


def test_equal_tensors_that_share_a_variable_are_found(v2, tmp_path):
    """CTranslate2 writes the first of equal arrays, and an alias for each other."""
    weights = {
        name: np.ones_like(array) if name.endswith("ln.weight") else array
        for name, array in v2.weights.items()
    }
    weights["decoder.blocks.0.cross_attn.query.weight"] = weights[
        "decoder.blocks.0.cross_attn.out.weight"
    ]
    checkpoint = make_checkpoint("x", v2.dims, weights, None, "a test")
    to_ctranslate2(checkpoint, tmp_path)
    n_names = (tmp_path / "model.bin").read_bytes().count(b"norm/gamma\0")
    assert n_names == 1 + 1 + 2 * 5  # ln_post, the first of the equal ones, and five aliases of it
    assert load(tmp_path).digest == checkpoint.digest


def test_the_list_of_tokens_tells_the_vocabulary(small, tmp_path):
    to_ctranslate2(small, tmp_path)
    assert _no_timestamps(tmp_path) == get_tokenizer(small.dims).no_timestamps


def test_added_tokens_are_left_out(v2, transformers_model, transformers_folder, tmp_path):
    """A vocabulary that transformers enlarged, in its folder and in CTranslate2's."""
    model = deepcopy(transformers_model)
    model.resize_token_embeddings(51_872)
    model.save_pretrained(tmp_path / "hf")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        copy(transformers_folder / name, tmp_path / "hf")
    converter = ctranslate2.converters.TransformersConverter(str(tmp_path / "hf"))
    converter.convert(str(tmp_path / "ct2"))
    for folder in ("hf", "ct2"):
        loaded = load(tmp_path / folder)
        assert loaded.digest == v2.digest
        assert loaded.source.endswith("; 7 added tokens are left out, so it cannot write them")


@pytest.fixture
def damaged(v2, tmp_path, converted):
    """damaged(after, n_bytes, content): the float32 folder with bytes after a text replaced."""

    def damage(after, skip, content):
        whole = (converted("float32") / "model.bin").read_bytes()
        at = whole.index(after) + len(after) + skip if after else skip
        (tmp_path / "model.bin").write_bytes(whole[:at] + content + whole[at + len(content) :])
        return tmp_path

    return damage


BIAS = b"decoder/layer_0/self_attention/linear_0/bias\0"


@pytest.mark.parametrize(
    ("after", "skip", "content", "message"),
    [
        (b"", 0, b"\x05", "version 6 .* got version 5: convert"),
        (b"", 6, b"TransformerSpec"[:11], "expected WhisperSpec .* got 'Transformer'"),
        (b"WhisperSpec\0", 0, b"\x02", "got 'WhisperSpec' of revision 2"),
        (b"WhisperSpec\0", 4, b"\xff\xff\xff\xff", "at most 10000 variables"),
        (BIAS, 10 + 4 * 64, struct.pack("<f", 1), "no bias of the key in decoder/layer_0/self"),
        (BIAS, 0, b"\xff", "at most 4 axes in .*, got 255"),
        (BIAS, 1, b"\xff\xff\xff\xff", "more bytes in .*damaged or incomplete"),
        (BIAS, 5, b"\x09", "a type in 0..5 for decoder/layer_0"),
        (BIAS, 6, b"\x01", "expected 768 bytes of decoder/layer_0"),
        (b"encoder/conv1/bia", 0, b"t", "got encoder/conv1/biat in model.bin, which a Whisper"),
        (b"encoder/num_head", 0, b"t", "expected encoder/num_heads of 0 axes"),
        (b"decoder/activation\0", 6, b"\0", "expected decoder/activation 3 .*, got 0"),
        (b"decoder/scale_embeddings\0", 6, b"\1", "expected decoder/scale_embeddings 0"),
        (b"decoder/projection/weight\0", 2, b"x", "the variable xecoder/embeddings/weight"),
    ],
)
def test_damaged_and_other_files_are_refused(damaged, after, skip, content, message):
    with pytest.raises(CheckpointError, match=message):
        load(damaged(after, skip, content))


@pytest.mark.parametrize("keep", [0, 3, 100, 200_000])
def test_a_cut_file_is_refused(converted, tmp_path, keep):
    content = (converted("float32") / "model.bin").read_bytes()
    (tmp_path / "model.bin").write_bytes(content[:keep])
    with pytest.raises(CheckpointError, match=r"model\.bin.*damaged or incomplete"):
        load(tmp_path)
