"""openai-whisper's own tests, applied to our API: docs/peers.md lists them one by one.

On the bundled checkpoint and on numbers made here; on OpenAI's checkpoints if they are on disk.
"""

from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage

from maxwhisper.audio.load import decode
from maxwhisper.checkpoint.registry import OFFICIAL_MODELS
from maxwhisper.decoding.alignment import median_filter, warp
from maxwhisper.network.dims import Dims
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.text.wer import normalize

CLIPS = Path(__file__).parents[2] / "examples" / "clips"
ENGLISH = Dims(80, 1500, 64, 1, 1, 51_864, 448, 64, 1, 1)
MULTILINGUAL = Dims(80, 1500, 64, 1, 1, 51_865, 448, 64, 1, 1)

FORMS = {
    "name": str,
    "path": Path,
    "bytes": lambda name: Path(name).read_bytes(),
    "float64": lambda name: decode(name).astype(np.float64),
    "int16": lambda name: np.round(decode(name) * 32_768).astype(np.int16),
}


@pytest.fixture(scope="module")
def heard_from_samples(engine):
    return engine.transcribe(decode(CLIPS / "plain.flac"), temperature=0.0)


@pytest.mark.parametrize("form", FORMS)
def test_a_recording_is_heard_alike_in_any_form(engine, heard_from_samples, form):
    recording = FORMS[form](str(CLIPS / "plain.flac"))
    heard = engine.transcribe(recording, temperature=0.0)
    assert heard.segments == heard_from_samples.segments != ()
    assert heard.duration == heard_from_samples.duration


@pytest.mark.parametrize("name", ["plain", "noisy", "two_voices", "silence", "tones"])
def test_log_mel_spans_two_at_most(engine, name):
    """From the loudest bin to the floor, 8 powers of ten below it: 2 after normalising."""
    mel = engine.network.log_mel(decode(CLIPS / f"{name}.flac"), 480_000)[:]
    span = 0.0 if name == "silence" else 2.0
    assert mel.max() - mel.min() == pytest.approx(span, abs=1e-5)


@pytest.mark.parametrize(
    ("spoken", "normal"),
    [
        ("four", "4"),
        ("twenty eight", "28"),
        ("six forty one", "641"),
        ("nineteen eighty four", "1984"),
        ("twenty thirteen", "2013"),
        ("nineteen twenties", "1920s"),
        ("two double o four", "2004"),
        ("double oh nine", "009"),
        ("double zero nine", "009"),
        ("one one two", "112"),
        ("four double three", "433"),
        ("two triple oh five", "20005"),
        ("five thousand sixty one", "5061"),
        ("ninety eight thousand one hundred twelve", "98112"),
        ("ninety eight thousand one hundred and twelve", "98112"),
        ("eleven thousand and six hundred and forty fourth", "11644th"),
        ("twenty second", "22nd"),
        ("three thousandth", "3000th"),
        ("7 th", "7th"),
        ("21st", "21st"),
        ("thousands", "1000s"),
        ("seven billion", "7000000000"),
        ("one point two million", "1200000"),
        ("three point one billions", "3100000000s"),
        ("two and a half million", "2500000"),
        ("70 thousand", "70000"),
        ("70 thousand dollars", "$70000"),
        ("$5 million", "$5000000"),
        ("€8.6 million", "€8600000"),
        ("£12 thousands", "£12000s"),
        ("six point four five dollars", "$6.45"),
        ("sixteen and a half dollars", "$16.5"),
        ("nine dollars and thirty cents", "$9.30"),
        ("seven euros and twenty cents", "€7.20"),
        ("8 cents", "¢8"),
        ("$0.15", "¢15"),
        ("5 20", "5 20"),
        ("5.20", "5.20"),
        ("5 point 7", "5.7"),
        ("seventeen point 5", "17.5"),
        ("eighty percent", "80%"),
        ("twelve per cent", "12%"),
        ("minus 40", "-40"),
        ("positive six thousand", "+6000"),
        ("march first twenty nineteen", "march 1st 2019"),
        ("a380", "a 380"),
    ],
)
def test_numbers_are_written_in_one_way(spoken, normal):
    assert normalize(spoken) == normal


@pytest.mark.parametrize(
    ("british", "american"),
    [("organisation", "organization"), ("travelled", "traveled"), ("colour", "color")],
)
def test_spelling_is_american(british, american):
    assert normalize(british) == normalize(american) == american


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("They're late", "they are late"),
        ("it's been raining", "it has been raining"),
        ("It's raining", "it is raining"),
        ("Won't you?", "will not you"),
        ("5kg", "5 kg"),
        ("20cm", "20 cm"),
        ("USB3", "usb 3"),
        (
            "Dr. Ames met Prof. Wu and Capt. Orr Sr.",
            "doctor ames met professor wu and captain orr senior",
        ),
    ],
)
def test_contractions_units_and_titles_are_spelled_out(text, normal):
    assert normalize(text) == normal


def planted(rng, n_rows, n_columns):
    """A monotonic path from corner to corner, (2, n), and costs (n_rows, n_columns) that are below
    0 on it and above 0 elsewhere, so no other path is as cheap."""
    costs = rng.uniform(0.01, 1.0, (n_rows, n_columns)).astype(np.float32)
    path = [(0, 0)]
    while path[-1] != (n_rows - 1, n_columns - 1):
        row, column = path[-1]
        steps = [(row + 1, column), (row, column + 1), (row + 1, column + 1)]
        possible = [step for step in steps if step[0] < n_rows and step[1] < n_columns]
        path.append(possible[rng.integers(len(possible))])
    rows, columns = np.array(path).T
    costs[rows, columns] -= 1.1
    return np.array([rows, columns]), costs


@pytest.mark.parametrize("shape", [(10, 20), (32, 16), (123, 1500), (234, 189)])
def test_a_planted_path_is_found(shape):
    path, costs = planted(np.random.default_rng(sum(shape)), *shape)
    np.testing.assert_array_equal(warp(costs), path)


@pytest.mark.parametrize("width", [3, 5, 7, 13])
@pytest.mark.parametrize("shape", [(10,), (1, 15), (4, 5, 345), (2, 3, 40, 128)])
def test_median_of_any_width_and_shape(shape, width):
    x = np.random.default_rng(width).standard_normal(shape).astype(np.float32)
    sides = (1,) * (len(shape) - 1)
    want = scipy.ndimage.median_filter(x, (*sides, width), mode="mirror")
    np.testing.assert_array_equal(median_filter(x, width), want)


@pytest.mark.parametrize("dims", [ENGLISH, MULTILINGUAL], ids=["en", "multilingual"])
def test_languages_and_start_lie_before_the_timestamps(dims):
    tokenizer = get_tokenizer(dims)
    assert tokenizer.sot in tokenizer.sot_sequence
    tokens, codes = tokenizer.all_language_tokens, tokenizer.all_language_codes
    assert len(tokens) == len(codes) == len(set(tokens)) == 99
    assert tokenizer.sot < min(tokens)
    assert max(tokens) < tokenizer.timestamp_begin


def test_a_multilingual_vocabulary_needs_fewer_tokens_for_korean():
    text = "안녕하세요, 반갑습니다"
    english, multilingual = (get_tokenizer(dims).encode(text) for dims in (ENGLISH, MULTILINGUAL))
    assert get_tokenizer(ENGLISH).decode(english) == text
    assert get_tokenizer(MULTILINGUAL).decode(multilingual) == text
    assert len(multilingual) < len(english)


def test_half_a_character_is_a_word_of_its_own():
    """Token 246 is a byte that begins no character: it decodes to a replacement character, and
    nothing is lost. Tokens that form one character stay together."""
    tokens = [8404, 871, 287, 6, 246, 526, 3210, 20378]
    tokenizer = get_tokenizer(MULTILINGUAL, language="ja")  # has no spaces to split at
    words, groups = tokenizer.split_to_word_tokens(tokens)
    assert words == [" elle", " est", " l", "'", "\ufffd", "é", "rit", "oire"]
    assert groups == [[token] for token in tokens]
    words, groups = tokenizer.split_to_word_tokens(tokenizer.encode("쳇바퀴"))
    assert words == ["쳇", "바", "퀴"]
    assert max(len(group) for group in groups) > 1


def assert_consistent(transcript, tokenizer):
    """Text, segments and tokens of one transcript agree, and it begins with a timestamp."""
    assert transcript.language == "en"
    assert transcript.text == "".join(segment.text for segment in transcript.segments) != ""
    tokens = [token for segment in transcript.segments for token in segment.tokens]
    assert tokenizer.decode(tokens) == transcript.text
    first_s = (tokens[0] - tokenizer.timestamp_begin) * 0.02
    assert 0 <= first_s <= 1.0  # as `max_initial_timestamp` requires


def test_a_transcript_agrees_with_itself(engine):
    clip = CLIPS / "two_voices.flac"
    transcript = engine.transcribe(clip, temperature=0.0, word_timestamps=True)
    assert_consistent(transcript, get_tokenizer(engine.dims))
    for word in transcript.words:
        assert 0 <= word.start <= word.end <= transcript.duration


@pytest.mark.weights
@pytest.mark.parametrize("name", OFFICIAL_MODELS)
def test_official_models_hear_the_speech(official, shared_audio, name):
    engine = official(name)
    language = "en" if name.endswith(".en") else None
    transcript = engine.transcribe(
        shared_audio / "core/jfk.flac", language=language, temperature=0.0, word_timestamps=True
    )
    assert_consistent(transcript, get_tokenizer(engine.dims))
    for phrase in ("my fellow americans", "your country", "do for you"):
        assert phrase in transcript.text.lower()
    assert all(word.start < word.end for word in transcript.words)
    named = [word for word in transcript.words if word.word.strip(" ,") == "Americans"]
    assert named
    assert all(word.start <= 1.8 <= word.end for word in named)
    assert transcript.segments[0].tokens[0] == get_tokenizer(engine.dims).timestamp_begin
