"""Small random networks of each vocabulary, and their files in every supported format."""

import json
from dataclasses import replace

import numpy as np
import pytest

from maxwhisper.checkpoint.convert import save_hf
from maxwhisper.checkpoint.hf_folder import hf_name
from maxwhisper.checkpoint.hf_tokenizer import make_hf_tokenizer
from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.checkpoint.schema import make_checkpoint
from maxwhisper.network.dims import Dims
from maxwhisper.text.tokenizer import get_tokenizer

V2 = Dims(80, 1500, 64, 2, 1, 51_865, 448, 64, 4, 1)
SMALL_DIMS = {
    "en": replace(V2, n_vocab=51_864),
    "v2": V2,
    "v3": replace(V2, n_mels=128, n_vocab=51_866, n_text_layer=2),
}


@pytest.fixture(autouse=True)
def no_other_caches(tmp_path, monkeypatch):
    """Hide the caches of the user who runs the tests, and what forbids the network."""
    for variable in ("MAXWHISPER_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "caches" / "huggingface"))


@pytest.fixture(scope="session", params=SMALL_DIMS)
def small(request):
    """A random checkpoint with `.en`, v2 (80 mels) and v3 (128 mels) vocabulary in turn."""
    return random_checkpoint(SMALL_DIMS[request.param], seed=1)


@pytest.fixture(scope="session")
def v2():
    return random_checkpoint(V2, seed=1)


@pytest.fixture(scope="session")
def half(v2):
    """The same network in float16, with its own alignment heads."""
    weights = {name: array.astype(np.float16) for name, array in v2.weights.items()}
    return make_checkpoint("half", v2.dims, weights, [(0, 1), (0, 3)], "a test")


@pytest.fixture(scope="session")
def transformers_model(v2, tmp_path_factory):
    """The network in transformers."""
    torch = pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("hf")
    transformers = pytest.importorskip("transformers")
    save_hf(v2, folder)
    files = (folder / name for name in ("config.json", "generation_config.json"))
    config, generation = (json.loads(file.read_text()) for file in files)
    model = transformers.WhisperForConditionalGeneration(transformers.WhisperConfig(**config))
    state = {hf_name(name): torch.tensor(array) for name, array in v2.weights.items()}
    model.load_state_dict(state | {"proj_out.weight": state["model.decoder.embed_tokens.weight"]})
    model.generation_config = transformers.GenerationConfig(**generation)
    return model


@pytest.fixture(scope="session")
def transformers_folder(transformers_model, v2, tmp_path_factory):
    """The folder that transformers saves, with its tokenizer."""
    folder = tmp_path_factory.mktemp("transformers") / "net"
    transformers_model.save_pretrained(folder)
    make_hf_tokenizer(get_tokenizer(v2.dims)).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "WhisperTokenizerFast"}')
    return folder


@pytest.fixture(scope="session")
def converted(transformers_folder, tmp_path_factory):
    """converted(type): the folder that CTranslate2's converter makes of transformers' folder."""
    ctranslate2 = pytest.importorskip("ctranslate2")
    folders = {}

    def convert(quantisation):
        if quantisation not in folders:
            folder = tmp_path_factory.mktemp("ct2") / f"net-{quantisation}"
            converter = ctranslate2.converters.TransformersConverter(str(transformers_folder))
            converter.convert(str(folder), quantization=quantisation)
            folders[quantisation] = folder
        return folders[quantisation]

    return convert


@pytest.fixture
def assert_same_weights():
    def check(ours, theirs):
        assert ours.dims == theirs.dims
        assert list(ours.weights) == list(theirs.weights)
        for name, array in ours.weights.items():
            assert array.dtype == theirs.weights[name].dtype, name
            np.testing.assert_array_equal(array, theirs.weights[name], err_msg=name)

    return check


@pytest.fixture
def assert_stored():
    """assert_stored(loaded, checkpoint, kind): the numbers of a GGML or GGUF file of that type."""
    from tests.fakes.weight_files import stored_values

    def check(loaded, checkpoint, kind):
        assert loaded.dims == checkpoint.dims
        assert list(loaded.weights) == list(checkpoint.weights)
        for name, array in checkpoint.weights.items():
            expected = stored_values(name, array, kind)
            np.testing.assert_array_equal(loaded.weights[name], expected, strict=True, err_msg=name)

    return check
