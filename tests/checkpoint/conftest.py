"""Small random networks of each vocabulary, and their files in every supported format."""

from dataclasses import replace

import numpy as np
import pytest

from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.checkpoint.schema import make_checkpoint
from maxwhisper.network.dims import Dims

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


@pytest.fixture
def assert_same_weights():
    def check(ours, theirs):
        assert ours.dims == theirs.dims
        assert list(ours.weights) == list(theirs.weights)
        for name, array in ours.weights.items():
            assert array.dtype == theirs.weights[name].dtype, name
            np.testing.assert_array_equal(array, theirs.weights[name], err_msg=name)

    return check
