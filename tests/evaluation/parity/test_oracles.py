"""Published numbers of the official checkpoints: they run where the weights are on disk.

`python -m maxwhisper models` says which are. Sources: transformers test_modeling_whisper.py,
CTranslate2 test_transformers.py, mlx-examples whisper/test.py; all float32 on a CPU.
"""

import numpy as np
import pytest

from maxwhisper.decoding.language import detect_language
from maxwhisper.text.tokenizer import get_tokenizer
from tests.fakes.one_window import decode, encode

pytestmark = pytest.mark.weights

QUILTER, JFK, LS = "core/mr_quilter_ct2.npy", "core/jfk_ct2.npy", "core/ls_test.flac"


def test_tiny_logits(official, recording):
    engine = official("tiny")
    decoder = engine.network.decoder(encode(engine, recording(QUILTER)))
    logits = decoder.prefill(np.array([[50258, 50259, 50359]]), [0])[0, 0, :10]
    want = (-1.4651, -2.6944, 2.7821, 2.3793, 4.0738, 0.0188, -3.3203, 1.9836, 0.0520, 0.7095)
    np.testing.assert_allclose(logits, want, atol=2e-3)


def test_tiny_en_greedy_tokens(official, recording):
    engine = official("tiny.en")
    encoded = encode(engine, recording(QUILTER))
    result = decode(engine, encoded, without_timestamps=True, sample_len=18)
    want = (1770, 13, 2264, 346, 353, 318, 262, 46329, 286, 262, 3504, 6097, 11, 290, 356, 389)
    assert result.tokens[: len(want)] == want


@pytest.mark.parametrize(
    ("model", "clip", "probability", "tolerance"),
    [
        ("tiny", QUILTER, 0.0022832120303, 1e-4),
        ("tiny", JFK, 0.0688589438796, 1e-3),
        ("tiny.en", QUILTER, 0.0264454670250, 1e-4),
        ("tiny.en", JFK, 0.0623801015317, 1e-3),
    ],
)
def test_no_speech_probability(official, recording, model, clip, probability, tolerance):
    engine = official(model)
    result = decode(engine, encode(engine, recording(clip), silence=False), sample_len=1)
    assert result.quality.no_speech_prob == pytest.approx(probability, abs=tolerance)


def test_tiny_with_timestamps(official, recording):
    engine = official("tiny")
    text = engine.transcribe(recording(JFK), language="en").text
    assert text == (
        " And so, my fellow Americans, ask not what your country can do for you, ask what you can"
        " do for your country."
    )


def test_tiny_detects_english(official, recording):
    engine = official("tiny")
    encoded = encode(engine, recording(LS))
    spoken = detect_language(engine.network, encoded, get_tokenizer(engine.dims))
    assert spoken.probabilities["en"] == pytest.approx(0.9947282671928406, abs=1e-4)


def test_tiny_window_figures(official, recording):
    engine = official("tiny")
    result = decode(engine, encode(engine, recording(LS)))
    # fmt: off
    assert result.tokens == (
        50364, 1396, 264, 665, 5133, 23109, 25462, 264, 6582, 293, 750, 632, 42841, 292, 370, 938,
        294, 4054, 293, 12653, 356, 50620, 50620, 23563, 322, 3312, 13, 50680,
    )
    # fmt: on
    assert result.quality.avg_logprob == pytest.approx(-0.49754554, abs=1e-3)
    assert result.quality.no_speech_prob == pytest.approx(0.00963124, abs=1e-4)
    assert result.quality.compression_ratio == pytest.approx(1.2359550561797752)
