"""CTranslate2 folders: same tokens, same encoder, converted once, never half written."""

import errno
import json

import numpy as np
import pytest

from maxwhisper.checkpoint import convert_ctranslate2
from maxwhisper.checkpoint.convert import to_openai
from maxwhisper.checkpoint.convert_ctranslate2 import ctranslate2_dir
from maxwhisper.checkpoint.hf_tokenizer import make_hf_tokenizer
from maxwhisper.errors import OutputError
from maxwhisper.text.tokenizer import get_tokenizer

ctranslate2 = pytest.importorskip("ctranslate2")
torch = pytest.importorskip("torch")


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def encoder_error(checkpoint, folder, compute_type="float32"):
    """Return the largest difference of the encoder outputs for the same random log-mel."""
    mel = np.random.default_rng(0).standard_normal((1, checkpoint.dims.n_mels, 3000))
    mel = mel.astype(np.float32)
    model = ctranslate2.models.Whisper(str(folder), compute_type=compute_type, intra_threads=1)
    ours = np.array(model.encode(ctranslate2.StorageView.from_array(mel), to_cpu=True))
    with torch.no_grad():
        theirs = to_openai(checkpoint).encoder(torch.from_numpy(mel)).numpy()
    return float(np.abs(ours - theirs).max())


def test_encoder_agrees_with_the_reference(small, cache, figure):
    error = encoder_error(small, ctranslate2_dir(small, cache))
    figure(error, 1e-4, f"encoder, CTranslate2 from our arrays, {small.dims.n_vocab} tokens")


def test_float16_weights_are_kept_and_agree(half, cache, figure):
    folder = ctranslate2_dir(half, cache)
    assert (folder / "model.bin").stat().st_size < 2.1 * sum(a.size for a in half.weights.values())
    figure(encoder_error(half, folder), 1e-4, "encoder, CTranslate2 from float16 arrays")


def test_config_holds_what_ctranslate2_needs(small, cache):
    folder = ctranslate2_dir(small, cache)
    tokenizer = get_tokenizer(small.dims)
    config = json.loads((folder / "config.json").read_text())
    assert config["suppress_ids_begin"] == [220, tokenizer.eot]
    assert {tokenizer.sot, tokenizer.no_speech} <= set(config["suppress_ids"])
    assert config["lang_ids"] == list(tokenizer.all_language_tokens)
    assert config["alignment_heads"] == [list(pair) for pair in small.alignment_heads]
    vocabulary = json.loads((folder / "vocabulary.json").read_text())
    assert len(vocabulary) == small.dims.n_vocab
    assert vocabulary[tokenizer.encode(" the")[0]] == "\u0120the"
    assert vocabulary[tokenizer.no_speech] == "<|nospeech|>"
    assert vocabulary[-1] == "<|30.00|>"
    preprocessor = json.loads((folder / "preprocessor_config.json").read_text())
    assert preprocessor["feature_size"] == small.dims.n_mels


def test_hf_tokenizer_equals_ours(small):
    ours, hf = get_tokenizer(small.dims), make_hf_tokenizer(get_tokenizer(small.dims))
    texts = [
        "And so, my fellow Americans: don't ask!",
        "Zwölf Boxkämpfer — 1,234.56 «quoted» …",
        "敏捷的棕色狐狸 いろはにほへと 키스의 ทดสอบ",
        "  two  spaces\t\n\n trailing  ",
        "🎤🤖👩‍👩‍👧‍👦 ♪♪ \u00a0\u200b\u3000",
        "xX" * 40,
    ]
    for text in texts:
        tokens = ours.encode(text)
        assert hf.encode(text, add_special_tokens=False).ids == tokens
        assert hf.decode(tokens) == text
    for token in (ours.eot, ours.sot, ours.transcribe, ours.no_speech, ours.no_timestamps):
        assert hf.token_to_id(ours.decode([token])) == token


def test_the_folder_is_written_once(v2, half, tmp_path, monkeypatch):
    folder = ctranslate2_dir(v2, tmp_path)
    monkeypatch.setattr(convert_ctranslate2, "to_ctranslate2", None)  # a second call would fail
    assert ctranslate2_dir(v2, tmp_path) == folder
    with pytest.raises(TypeError):
        ctranslate2_dir(half, tmp_path)  # other numbers need a folder of their own


def test_a_failed_conversion_leaves_nothing_behind(v2, tmp_path, monkeypatch):
    def fail(checkpoint, folder):
        (folder / "model.bin").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(convert_ctranslate2, "to_ctranslate2", fail)
    with pytest.raises(OutputError, match=r"disk full; free some space.*MAXWHISPER_CACHE"):
        ctranslate2_dir(v2, tmp_path)
    (lock,) = (tmp_path / "ctranslate2").iterdir()
    assert lock.suffix == ".lock"


FILES = [
    "model.bin",
    "config.json",
    "vocabulary.json",
    "tokenizer.json",
    "preprocessor_config.json",
]


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_damaged_folder_is_converted_again(v2, cache, tmp_path, monkeypatch, name):
    """Empty, cut, a bit flipped, missing or a folder: every file is as it was."""
    sound = ctranslate2_dir(v2, cache)
    kept = {file: (sound / file).read_bytes() for file in [*FILES, "manifest.json"]}

    def convert(checkpoint, folder):  # seconds, once for each damage
        for file in FILES:
            (folder / file).write_bytes(kept[file])

    monkeypatch.setattr(convert_ctranslate2, "to_ctranslate2", convert)
    path = ctranslate2_dir(v2, tmp_path) / name
    content = bytearray(kept[name])
    content[len(content) // 2] ^= 1
    for damage in (b"", kept[name][: len(kept[name]) // 2], bytes(content), None, path):
        path.unlink()
        if damage is path:
            path.mkdir()
        elif damage is not None:
            path.write_bytes(damage)
        lines = []
        assert ctranslate2_dir(v2, tmp_path, lines.append) == path.parent
        assert lines == ["converting random for CTranslate2"]
        assert {file: (path.parent / file).read_bytes() for file in kept} == kept
