"""Hostile checkpoints: claims of size, things that are no text or no array, endless messages.

Every one is refused in one short line, fast, and without the memory that it claims.
"""

import json
import struct
import time
import tracemalloc
import zipfile

import pytest

from maxwhisper.checkpoint import load
from maxwhisper.checkpoint.convert import save_hf
from maxwhisper.errors import CheckpointError

torch = pytest.importorskip("torch")

MAX_TEXT, MAX_SECONDS, MAX_BYTES = 300, 5.0, 50e6
LONG = "9" * 9000


@pytest.fixture
def refused(tmp_path):
    """refused(path): the text of the refusal, without the folders, after every check on it."""

    def check(path):
        tracemalloc.start()
        start_s = time.perf_counter()
        with pytest.raises(CheckpointError) as caught:
            load(path)
        seconds, peak = time.perf_counter() - start_s, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        text = str(caught.value).replace(str(tmp_path), "")
        assert len(text) <= MAX_TEXT
        assert text.isprintable()
        assert seconds < MAX_SECONDS
        assert peak < MAX_BYTES
        return text

    return check


@pytest.fixture
def folder(v2, tmp_path):
    save_hf(v2, tmp_path / "hf")
    return tmp_path / "hf"


@pytest.fixture
def save_pt(v2, tmp_path):
    """save_pt(dims={...}, tensors={...}): a `.pt` of a sound network with these changes."""
    sound = {name: torch.tensor(array) for name, array in v2.weights.items()}

    def save(dims=None, tensors=None, **whole):
        entries = {"dims": v2.dims.to_dict() | (dims or {})}
        entries["model_state_dict"] = sound | (tensors or {})
        torch.save(entries | whole, tmp_path / "net.pt")
        return tmp_path / "net.pt"

    return save


def write_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))


def write_tensor(folder, name, dtype="F32", shape=(1,), n_bytes=4):
    """A safetensors file with a single tensor."""
    entry = {"dtype": dtype, "shape": shape, "data_offsets": [0, n_bytes]}
    header = json.dumps({name: entry}).encode()
    content = struct.pack("<Q", len(header)) + header + b"\0" * n_bytes
    (folder / "model.safetensors").write_bytes(content)


def laughs(kind):
    """A few hundred bytes that stand for 2²⁵ elements."""
    value = kind(["ha"])
    for _ in range(25):
        value = kind([value, value])
    return value


@pytest.mark.parametrize("key", ["encoder_layers", "decoder_layers"])
def test_a_million_layers_in_a_kilobyte_are_refused_at_once(folder, refused, key):
    write_config(folder, **{key: 10**6})
    write_tensor(folder, "x")
    assert (folder / "model.safetensors").stat().st_size < 1000
    assert "1000001 layers, which the dims state, got 1 tensors" in refused(folder)


def test_many_small_tensors_do_not_pay_for_many_layers(folder, refused):
    """40,000 tensors in 2 MB; the layers would need 600,000."""
    write_config(folder, encoder_layers=20_000, decoder_layers=20_000)
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({str(n): entry for n in range(40_000)}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    assert "40000 layers, which the dims state, got 40000 tensors" in refused(folder)


def test_a_million_layers_in_a_pt_are_refused_at_once(save_pt, refused):
    assert "1000001 layers" in refused(save_pt({"n_text_layer": 10**6}))


@pytest.mark.parametrize("shape", [(10**6, 64), (10**6, 10**6)])
def test_one_number_that_claims_to_be_a_matrix_is_refused(save_pt, refused, shape):
    claim = torch.zeros(1).expand(shape)
    path = save_pt({"n_text_ctx": 10**6}, {"decoder.positional_embedding": claim})
    assert f"expected at most {path.stat().st_size} bytes of tensors" in refused(path)


def test_a_compressed_pt_is_refused_before_it_is_unpacked(save_pt, refused, tmp_path):
    bomb = tmp_path / "bomb.pt"
    with (
        zipfile.ZipFile(save_pt(tensors={"x": torch.zeros(5_000_000)})) as archive,
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in archive.infolist():
            packed.writestr(entry.filename, archive.read(entry))
    text = refused(bomb)
    assert f"{bomb.stat().st_size} bytes" in text
    assert "compressed" in text


@pytest.mark.parametrize("deep", ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "}" * 100_000])
@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_deeply_nested_json_is_refused(folder, refused, name, deep):
    (folder / name).write_text(deep)
    assert f"expected JSON in /hf/{name}: its lists are nested too deep" in refused(folder)


def test_endless_json_is_not_read(folder, refused):
    with (folder / "config.json").open("wb") as file:
        file.truncate(1 << 40)  # sparse
    assert "at most 16777216 bytes of JSON" in refused(folder)


@pytest.mark.parametrize(
    "shard", [5, None, ["a"], {"a": 1}, "", "y" * 9000, "y\0", "\ud800", "a\nb", "../hf", "a/b"]
)
def test_shards_are_plain_file_names(folder, refused, shard):
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"x": shard, "y": "a.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "expected plain file names" in refused(folder)


@pytest.mark.parametrize("value", [LONG, [1] * 9000, {str(n): n for n in range(9000)}, None])
def test_dims_of_any_kind_are_shortened(folder, refused, value):
    write_config(folder, encoder_layers=value)
    assert "dims.n_audio_layer to be a whole number" in refused(folder)


def test_a_config_of_another_model_lists_three_keys(folder, refused):
    (folder / "config.json").write_text(json.dumps({"model_type": LONG}))
    text = refused(folder)
    assert "'d_model', 'decoder_attention_heads', 'decoder_layers' and 6 more" in text


@pytest.mark.parametrize("pair", [[LONG, 2], [[[[[]]]], 1], LONG])
def test_alignment_heads_are_shortened(folder, refused, pair):
    path = folder / "generation_config.json"
    path.write_text(json.dumps({"alignment_heads": [pair]}))
    assert "expected alignment heads" in refused(folder)


@pytest.mark.parametrize(
    ("dtype", "shape", "n_bytes"),
    [
        ("F8_E4M3", (1,), 1),
        ("F32", (1,) * 70, 4),
        ("BF16", (1,) * 200, 2),
        ("F9", (1,), 1),
    ],
)
def test_tensors_that_numpy_cannot_hold_are_refused(folder, refused, dtype, shape, n_bytes):
    write_tensor(folder, "x", dtype, shape, n_bytes)
    assert "cannot be read" in refused(folder)


def test_a_name_that_would_not_print_is_quoted(v2, folder, refused):
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors["x\n\x1b[31m" + LONG] = tensors["model.encoder.conv1.bias"]
    save_file(tensors, folder / "model.safetensors")
    assert r"got 'x\n\x1b[31m999" in refused(folder)


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("sparse", lambda: torch.zeros(64).to_sparse()),
        ("sparse", lambda: torch.zeros(64, 64).to_sparse_csr()),
        ("quantised", lambda: torch.quantize_per_tensor(torch.zeros(64), 1.0, 0, torch.qint8)),
        ("meta", lambda: torch.zeros(64, device="meta")),
        ("nested", lambda: torch.nested.nested_tensor([torch.zeros(3)])),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_only_dense_tensors_are_read(save_pt, refused, kind, make):
    path = save_pt(tensors={"encoder.conv1.bias": make()})
    assert f"expected encoder.conv1.bias in /net.pt to be a dense tensor, got a {kind}" in (
        refused(path)
    )


@pytest.mark.parametrize("dtype", [torch.complex64, torch.float8_e4m3fn, torch.int64])
def test_only_floats_are_read(save_pt, refused, dtype):
    path = save_pt(tensors={"encoder.conv1.bias": torch.zeros(64).to(dtype)})
    assert "encoder.conv1.bias" in (text := refused(path))
    assert "float32 or float16" in text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({f"key{n}": 1 for n in range(900)}, "got 'key0', 'key1', 'key2' and 897 more"),
        ({LONG: 1}, "got '999"),
        ({"dims": LONG, "model_state_dict": {}}, "dims as a mapping"),
        ({"dims": laughs(list), "model_state_dict": {}}, "dims as a mapping"),
        ({"dims": dict.fromkeys(range(900)), "model_state_dict": {}}, "0, 1, 2 and 897 more"),
    ],
)
def test_other_files_are_described_in_a_line(tmp_path, refused, content, text):
    torch.save(content, tmp_path / "net.pt")
    assert text in refused(tmp_path / "net.pt")


def test_tensors_and_their_names_may_be_anything(save_pt, refused):
    assert "names of tensors in /net.pt, got 5" in refused(save_pt(tensors={5: torch.zeros(1)}))
    assert "to be a tensor, got [[[...]" in refused(save_pt(tensors={"x": laughs(list)}))


@pytest.mark.parametrize("name", ["x" * 10_000, "x\0y", "~" * 300, "\ud800"])
def test_a_name_that_no_disk_can_store_is_no_model(name, refused):
    assert "expected the name of a model, a path, or a repository" in refused(name)


GGML_HEADER = (51_865, 1500, 64, 2, 1, 448, 64, 4, 1, 80, 1)


def ggml(path, *parts, header=GGML_HEADER):
    """A GGML file with empty mel filters and vocabulary, and then these parts."""
    parts = parts or (struct.pack("<iii", 0, 0, 0),)
    path.write_bytes(struct.pack("<i11i", 0x67676D6C, *header) + b"".join(parts))
    return path


NO_MEL = struct.pack("<iii", 0, 0, 0)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([struct.pack("<ii", 2**31 - 1, 2**31 - 1)], "18446744056529682436 more bytes"),
        ([struct.pack("<ii", -1, 2**31 - 1)], "-8589934588 more bytes"),
        ([struct.pack("<iii", 0, 0, 2**31 - 1)], "4 more bytes"),
        ([struct.pack("<iiiI", 0, 0, 1, 2**32 - 1)], "4294967295 more bytes"),
        ([NO_MEL, struct.pack("<iii", 5, 1, 0)], "4 axes at most"),
        ([NO_MEL, struct.pack("<iii", -1, 1, 0)], "4 axes at most"),
        ([NO_MEL, struct.pack("<iiii", 1, 2**31 - 1, 0, 1)], "a name of at most 512 bytes"),
        ([NO_MEL, struct.pack("<iiii", 1, -1, 0, 1)], "a name of at most 512 bytes"),
        ([NO_MEL, struct.pack("<5i", 2, 1, 0, 2**31 - 1, 2**31 - 1), b"x"], "more bytes"),
        ([NO_MEL, struct.pack("<5i", 2, 1, 0, -1, -1), b"x" * 9], "at most 4 axes"),
        ([NO_MEL, struct.pack("<5i", 2, 1, 2, -32, -32), b"x" * 9999], "whole numbers as axes"),
        ([NO_MEL, struct.pack("<5i", 2, 1, 2, 31, 1), b"x" * 99], "rows of whole blocks in x"),
        ([NO_MEL, struct.pack("<iii", 0, 0, 0) + bytes(4)] * 2, "each tensor once"),
        ([NO_MEL, struct.pack("<iii", 0, 512, 99) + b"\n\x1b" * 256], "got type 99"),
        ([NO_MEL, struct.pack("<iii", 0, 512, 0) + b"\n\x1b" * 256 + bytes(4)], "got none"),
    ],
)
def test_claims_of_a_ggml_file_are_checked(tmp_path, refused, parts, text):
    assert text in refused(ggml(tmp_path / "x", *parts))


def test_a_million_layers_in_a_ggml_header_are_refused(tmp_path, refused):
    header = (*GGML_HEADER[:4], 10**6, *GGML_HEADER[5:])
    assert "1000001 layers" in refused(ggml(tmp_path / "x", NO_MEL, header=header))
    header = (32_000, *GGML_HEADER[1:])
    assert "got 32000: there is no tokenizer" in refused(ggml(tmp_path / "x", header=header))


def gguf(path, n_tensors=0, n_metadata=0, content=b""):
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, n_tensors, n_metadata) + content)
    return path


def gguf_text(text):
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    ("n_tensors", "n_metadata", "content", "text"),
    [
        (2**63, 0, b"", "at most 10000 tensors"),
        (0, 2**63, b"", "at most 10000 tensors"),
        (0, 10**6, b"", "8 more bytes"),
        (0, 1, struct.pack("<Q", 2**60), "a name of at most 512 bytes"),
        (0, 1, gguf_text(b"k") + struct.pack("<IQ", 8, 2**60), "1152921504606846976 more bytes"),
        (0, 1, gguf_text(b"k") + struct.pack("<I", 77), "metadata of a known type"),
        (0, 1, gguf_text(b"k") + struct.pack("<IIQ", 9, 0, 2**63), "9223372036854775808 more"),
        (0, 1, gguf_text(b"k") + struct.pack("<IIQ", 9, 8, 2**63), "lists of numbers or of text"),
        (0, 1, gguf_text(b"k") + struct.pack("<IIQ", 9, 9, 1), "lists of numbers or of text"),
        (1, 0, gguf_text(b"x") + struct.pack("<I", 2**31), "4 axes at most"),
        (1, 0, gguf_text(b"x") + struct.pack("<IQIQ", 1, 2**62, 0, 0), "bytes of tensors"),
        (1, 0, gguf_text(b"x") + struct.pack("<IQIQ", 1, 1, 0, 2**62) + bytes(99), "at least 46"),
        (1, 0, gguf_text(b"x" * 512) + struct.pack("<IQIQ", 1, 1, 0, 0) + bytes(99), "got 'xxx"),
        (1, 1, gguf_text(b"general.alignment") + struct.pack("<II", 4, 0), "more bytes"),
    ],
)
def test_claims_of_a_gguf_file_are_checked(tmp_path, refused, n_tensors, n_metadata, content, text):
    assert text in refused(gguf(tmp_path / "x", n_tensors, n_metadata, content))


@pytest.mark.parametrize("alignment", [0, 2**31])
def test_gguf_alignment_is_a_small_number(tmp_path, refused, alignment):
    entry = gguf_text(b"general.alignment") + struct.pack("<II", 4, alignment)
    info = gguf_text(b"x") + struct.pack("<IQIQ", 1, 1, 0, 0)
    assert "an alignment of at most 1 MiB" in refused(gguf(tmp_path / "x", 1, 1, entry + info))


def test_gguf_tensors_that_share_their_bytes_are_refused(tmp_path, refused):
    """9,000 tensors at the same place stand for 9,000 times its size."""
    infos = [gguf_text(b"%d" % n) + struct.pack("<IQIQ", 1, 10**6, 0, 0) for n in range(9_000)]
    path = gguf(tmp_path / "x", 9_000, 0, b"".join(infos) + bytes(4 * 10**6))
    assert "36000000000 bytes of tensors" in refused(path)


@pytest.mark.parametrize("heads", [(8, gguf_text(b"2")), (6, struct.pack("<f", 2)), (4, bytes(4))])
def test_gguf_heads_are_whole_numbers(v2, tmp_path, refused, heads):
    """The key is there as an integer; its type and value are replaced."""
    from tests.fakes.weight_files import write_gguf

    write_gguf(v2, tmp_path / "x", "f32")
    key = b"whisper.encoder.attention.head_count"
    before, after = (tmp_path / "x").read_bytes().split(key)
    kind, value = heads
    replaced = before + key + struct.pack("<I", kind) + value + after[8:]
    padding = b"" if len(value) == 4 else bytes(32 - (len(value) - 4) % 32)
    (tmp_path / "x").write_bytes(replaced + padding)
    text = refused(tmp_path / "x")
    assert "dims.n_audio_head to be a whole number" in text or "damaged" in text
