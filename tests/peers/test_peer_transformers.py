"""transformers' Whisper tests of features and tokens; its logits and generated tokens with OpenAI's
checkpoints if they are on disk. Float32 on a CPU, windows padded with true silence."""

import numpy as np
import pytest

from maxwhisper.decoding.window import WindowQuality, WindowResult
from maxwhisper.network import reference
from maxwhisper.network.dims import N_SAMPLES, Dims
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.transcribe.segments import Window, window_segments
from tests.fakes.one_window import decode, encode

ENGLISH = Dims(80, 1500, 64, 1, 1, 51_864, 448, 64, 1, 1)
MULTILINGUAL = Dims(80, 1500, 64, 1, 1, 51_865, 448, 64, 1, 1)
QUILTER = "core/mr_quilter_ct2.npy"  # sample 0 of LibriSpeech there

# fmt: off
FIRST_FRAMES = (  # of the lowest mel bin
    0.1193, -0.0946, -0.1098, -0.0196, 0.0225, -0.0690, -0.1736, 0.0951, 0.0971, -0.0817, -0.0702,
    0.0162, 0.0260, 0.0017, -0.0192, -0.1678, 0.0709, -0.1867, -0.0655, -0.0274, -0.0234, -0.1884,
    -0.0516, -0.0554, -0.0274, -0.1425, -0.1423, 0.0837, 0.0377, -0.0854,
)
SMALL_EN_LOGITS = (
    -3.6784, -7.7211, -9.5070, -11.9286, -7.6489, -9.7026, -5.6188, -8.0104, -4.6238, -5.1833,
    -9.0485, -3.4079, -5.4874, -2.6935, -6.3479, -7.3398, -6.9558, -7.6867, -7.4748, -8.3463,
    -9.9781, -10.8389, -10.3105, -11.7201, -9.7261, -7.1590, -5.9272, -12.4509, -11.1146, -8.1918,
)
LARGE_LOGITS = (
    2.1382, 0.9381, 4.4671, 3.5589, 2.4022, 3.8576, -0.6521, 2.5472, 1.8301, 1.9957, 2.3432, 1.4678,
    0.5459, 2.2597, 1.5179, 2.5357, 1.1624, 0.6194, 1.0757, 1.8259, 2.4076, 1.6601, 2.3503, 1.3376,
    1.9891, 1.8635, 3.8931, 5.3699, 4.4772, 3.9184,
)
PANGRAM = {  # the tokens of one Korean sentence
    ENGLISH: (
        46695, 97, 167, 252, 234, 168, 98, 238, 220, 169, 245, 234, 23821, 111, 229, 167, 108, 242,
        169, 222, 112, 168, 245, 238, 220, 169, 225, 222, 166, 111, 254, 169, 234, 234,
    ),
    MULTILINGUAL: (
        9835, 22855, 168, 98, 238, 13431, 234, 43517, 229, 47053, 169, 222, 19086, 19840, 1313,
        17974,
    ),
}
LARGE_TRANSLATES = (
    2221, 13, 2326, 388, 391, 307, 264, 50244, 295, 264, 2808, 5359, 293, 321, 366, 5404,
)
# fmt: on


@pytest.mark.parametrize("computed", ["MAX", "numpy"])
def test_log_mel_of_their_first_sample(engine, recording, computed):
    waveform = recording(QUILTER)
    padding = N_SAMPLES - len(waveform)
    if computed == "MAX":
        mel = engine.network.log_mel(waveform, padding)[:]
    else:
        mel = reference.log_mel_spectrogram(waveform, 80, padding)
    assert mel.shape == (3000, 80)
    np.testing.assert_allclose(mel[:30, 0], FIRST_FRAMES, atol=1e-4)


@pytest.mark.parametrize("dims", PANGRAM, ids=["en", "multilingual"])
def test_tokens_of_a_korean_sentence(dims):
    tokenizer, text = get_tokenizer(dims), "다람쥐 헌 쳇바퀴에 타고파"
    assert tuple(tokenizer.encode(text)) == PANGRAM[dims]
    assert tokenizer.decode(PANGRAM[dims]) == text


def test_timestamps_become_the_offsets_of_a_segment():
    tokenizer = get_tokenizer(MULTILINGUAL)
    tokens = (51492, 406, 3163, 1953, 466, 13, 51612, 51612)
    result = WindowResult(tokens, "", WindowQuality(0.0, 0.0, 1.0, 0.0))
    (segment,), seek = window_segments(result, Window(0, 3000), tokenizer, 0)
    assert segment.text == " not worth thinking about."
    assert (segment.start, segment.end) == pytest.approx((22.56, 24.96))
    assert seek == 2496  # frames of 10 ms: the next window begins there


@pytest.mark.weights
@pytest.mark.parametrize(
    ("name", "text", "logits"),
    [
        ("small.en", None, SMALL_EN_LOGITS),  # None: start of transcript
        ("large-v1", "This part of the speech", LARGE_LOGITS),
    ],
)
def test_logits_of_the_first_position(official, recording, name, text, logits):
    engine = official(name)
    tokenizer = get_tokenizer(engine.dims)
    tokens = [tokenizer.sot] if text is None else tokenizer.encode(text)
    decoder = engine.network.decoder(encode(engine, recording(QUILTER)))
    found = decoder.prefill(np.array([tokens]), [0])[0, 0, : len(logits)]
    np.testing.assert_allclose(found, logits, atol=2e-3)


@pytest.mark.weights
@pytest.mark.parametrize(
    ("name", "beam_size", "most", "said"),
    [
        (
            *("tiny.en", 5, 18),
            "Mr. Quilter is the apostle of the middle classes, and we are glad to",
        ),
        ("tiny", 5, 16, "Mr. Quilter is the apostle of the middle classes and we are glad"),
        ("large-v1", None, 16, "Mr. Quilter is the apostle of the middle classes and we are glad"),
    ],
)
def test_twenty_tokens(official, recording, name, beam_size, most, said):
    """Theirs count the prompt: 2 tokens for `.en`, 4 otherwise."""
    engine = official(name)
    options = {"beam_size": beam_size, "sample_len": most, "without_timestamps": True}
    result = decode(engine, encode(engine, recording(QUILTER)), **options)
    assert result.text == said
    assert len(result.tokens) == most


@pytest.mark.weights
def test_large_translates_english_into_itself(official, recording):
    engine = official("large-v1")
    options = {"task": "translate", "sample_len": 16, "without_timestamps": True}
    result = decode(engine, encode(engine, recording(QUILTER)), **options)
    assert result.tokens == LARGE_TRANSLATES
