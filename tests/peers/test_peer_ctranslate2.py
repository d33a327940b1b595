"""CTranslate2's Whisper tests: numbers of OpenAI's checkpoints, if they are on disk.

Float32 on a CPU. Windows are padded with zeros in the log-mel domain, unless a test says otherwise.
Texts are compared as words; tokens and paths must be equal.
"""

import json

import numpy as np
import pytest

from maxwhisper.decoding.alignment import alignment_costs, token_probabilities, warp
from maxwhisper.decoding.language import detect_language
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.text.wer import word_error_rate
from tests.fakes.one_window import decode, encode

pytestmark = pytest.mark.weights

CLIPS = {"quilter": "core/mr_quilter_ct2.npy", "jfk": "core/jfk_ct2.npy"}
SAID = {
    "quilter": (
        "Mr. Quilter is the apostle of the middle classes and we are glad to welcome his gospel."
    ),
    "jfk": (
        "And so my fellow Americans ask not what your country can do for you ask what you can do"
        " for your country."
    ),
}


@pytest.mark.parametrize(
    ("model", "clip", "without_timestamps"),
    [
        ("tiny", "quilter", True),
        ("tiny", "quilter", False),
        ("tiny", "jfk", False),
        ("tiny.en", "quilter", False),
        ("tiny.en", "jfk", False),
    ],
)
def test_two_beams_hear_the_words(official, recording, model, clip, without_timestamps):
    engine = official(model)
    encoded = encode(engine, recording(CLIPS[clip]), silence=False)
    result = decode(engine, encoded, beam_size=2, without_timestamps=without_timestamps)
    assert word_error_rate(SAID[clip], result.text).wer == 0.0, result.text
    begin = get_tokenizer(engine.dims).timestamp_begin
    if without_timestamps:
        assert max(result.tokens) < begin
    else:
        assert begin <= result.tokens[0] < result.tokens[-1]


@pytest.mark.parametrize("clip", CLIPS)
def test_tiny_is_sure_of_english(official, recording, clip):
    engine = official("tiny")
    encoded = encode(engine, recording(CLIPS[clip]), silence=False)
    spoken = detect_language(engine.network, encoded, get_tokenizer(engine.dims))
    assert spoken.probabilities["en"] > 0.9


def test_a_prefix_is_gone_on_from(official, recording):
    """Even from a word that is not spoken; our result does not contain it."""
    engine = official("tiny")
    encoded = encode(engine, recording(CLIPS["jfk"]), silence=False)
    options = {"beam_size": 2, "without_timestamps": True, "prefix": "And thus my"}
    result = decode(engine, encoded, **options)
    rest = SAID["jfk"].removeprefix("And so my ")
    assert word_error_rate(rest, result.text).wer == 0.0, result.text


def test_a_prompt_changes_the_no_speech_probability(official, recording):
    engine = official("tiny.en")
    encoded = encode(engine, recording(CLIPS["jfk"]), silence=False)
    prompt = get_tokenizer(engine.dims).encode(" And then the President shouted:")
    result = decode(engine, encoded, prompt, beam_size=2)
    assert result.quality.no_speech_prob == pytest.approx(0.008309835568070412, abs=1e-3)
    assert word_error_rate(SAID["jfk"], result.text).wer == 0.0, result.text


def test_what_was_encoded_before_is_decoded(official, recording):
    """Padded with true silence."""
    engine = official("tiny.en")
    result = decode(engine, encode(engine, recording(CLIPS["jfk"])), without_timestamps=True)
    assert word_error_rate(SAID["jfk"], result.text).wer == 0.0, result.text


@pytest.mark.parametrize("clips", [("jfk",), ("jfk", "jfk"), ("quilter", "jfk")], ids=str)
def test_alignment_paths(official, recording, shared_audio, clips):
    """Every cell of the path, in a batch and alone. Padded with true silence."""
    engine = official("tiny.en")
    tokenizer, network = get_tokenizer(engine.dims), engine.network
    names = [CLIPS[clip].replace("_ct2.npy", "_alignments_ct2.json") for clip in clips]
    wanted = [json.loads((shared_audio / name).read_text()) for name in names]
    mels = [network.log_mel(recording(CLIPS[clip]), 480_000)[:3000] for clip in clips]
    n_text = max(len(want["text_tokens"]) for want in wanted)
    tokens = np.full((len(clips), 2 + n_text + 1), tokenizer.eot, np.int64)
    tokens[:, :2] = tokenizer.sot_sequence_including_notimestamps
    for row, want in zip(tokens, wanted, strict=True):
        row[2 : 2 + len(want["text_tokens"])] = want["text_tokens"]
    encoded = network.encode(np.stack(mels))
    logits, scores = network.align(encoded, tokens, range(1, 1 + n_text))
    for row, want in enumerate(wanted):
        text = want["text_tokens"]
        probabilities = token_probabilities(logits[row], text, tokenizer.eot)
        assert probabilities.sum() == pytest.approx(want["expected_text_token_probs_sum"], abs=1e-3)
        costs = alignment_costs(scores[row, :, : len(text) + 3], want["num_frames"])[1:-1]
        assert np.stack(warp(costs), axis=1).tolist() == want["expected_alignments"]
