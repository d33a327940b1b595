"""The registry equals the constants of the openai-whisper package."""

import base64
import gzip

import numpy as np
import pytest

from maxwhisper.checkpoint import n_parameters
from maxwhisper.checkpoint.registry import OFFICIAL_MODELS


def test_names_urls_and_heads_equal_the_reference():
    whisper = pytest.importorskip("whisper")
    assert {name: model.url for name, model in OFFICIAL_MODELS.items()} == whisper._MODELS
    for name, model in OFFICIAL_MODELS.items():
        packed = gzip.decompress(base64.b85decode(whisper._ALIGNMENT_HEADS[name]))
        mask = np.frombuffer(packed, dtype=bool)
        mask = mask.reshape(model.dims.n_text_layer, model.dims.n_text_head)
        assert model.alignment_heads == tuple(map(tuple, np.argwhere(mask).tolist())), name


@pytest.mark.parametrize(
    ("name", "millions"),  # as openai-whisper's README rounds them
    [("tiny", 39), ("base", 74), ("small", 244), ("medium", 769), ("large", 1550), ("turbo", 809)],
)
def test_sizes_are_the_published_ones(name, millions):
    assert n_parameters(OFFICIAL_MODELS[name].dims) / 1e6 == pytest.approx(millions, rel=0.04)


def test_vocabularies_follow_the_names():
    for name, model in OFFICIAL_MODELS.items():
        assert model.dims.is_multilingual is not name.endswith(".en")
        assert (model.dims.n_mels == 128) is (model.dims.num_languages == 100)
        assert model.dims.can_translate is not (name.endswith(".en") or "turbo" in name)
