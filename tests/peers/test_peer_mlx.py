"""mlx-examples' Whisper tests, with OpenAI's `tiny` if it is on disk."""

from pathlib import Path

import pytest

from maxwhisper.audio.load import decode
from maxwhisper.text.wer import word_error_rate

CLIP = Path(__file__).parents[2] / "examples" / "clips" / "plain.flac"
LS = "core/ls_test.flac"
# The text of openai-whisper with `tiny`; it contains errors.
TINY_HEARS = (
    "Then the good soul openly sorted the boat and she had buoyed so long in secret and bravely"
    " stretched on alone."
)
# Word, end in seconds, probability; a word begins where the previous one ends.
TINY_WORDS = [
    ("Then", 0.94, 0.8555),
    ("the", 1.12, 0.6500),
    ("good", 1.32, 0.5504),
    ("soul", 1.56, 0.4676),
    ("openly", 2.0, 0.9841),
    ("sorted", 2.38, 0.2417),
    ("the", 2.58, 0.9875),
    ("boat", 2.8, 0.5857),
    ("and", 2.98, 0.9134),
    ("she", 3.1, 0.9914),
    ("had", 3.32, 0.9953),
    ("buoyed", 3.58, 0.6412),
    ("so", 3.8, 0.9683),
    ("long", 4.06, 0.9954),
    ("in", 4.26, 0.6746),
    ("secret", 4.56, 0.9905),
    ("and", 4.9, 0.8560),
    ("bravely", 5.28, 0.8477),
]


def test_hardly_any_temperature_is_none(engine):
    """Dividing logits by 1e-8 leaves a single token with any probability: the likeliest."""
    waveform = decode(CLIP)
    cold, cool = (engine.transcribe(waveform, temperature=t) for t in (0.0, 1e-8))
    assert cold.segments
    assert [s.tokens for s in cool.segments] == [s.tokens for s in cold.segments]
    for segment, other in zip(cool.segments, cold.segments, strict=True):
        assert segment.avg_logprob == pytest.approx(other.avg_logprob, abs=1e-3)
        assert segment.no_speech_prob == pytest.approx(other.no_speech_prob, abs=1e-4)
        assert segment.compression_ratio == other.compression_ratio


@pytest.mark.weights
@pytest.mark.parametrize("temperature", [0.0, 1e-8])
def test_tiny_hears_what_it_always_hears(official, recording, temperature):
    transcript = official("tiny").transcribe(recording(LS), temperature=temperature)
    assert transcript.language == "en"
    assert word_error_rate(TINY_HEARS, transcript.text).wer == 0.0, transcript.text


@pytest.mark.weights
def test_tiny_times_its_words(official, recording):
    transcript = official("tiny").transcribe(recording(LS), language="en", word_timestamps=True)
    words = transcript.words[: len(TINY_WORDS)]
    begin = 0.0
    for word, (text, end, probability) in zip(words, TINY_WORDS, strict=True):
        assert word.word.strip() == text
        assert (word.start, word.end) == pytest.approx((begin, end), abs=0.05)
        assert word.probability == pytest.approx(probability, abs=0.05)
        begin = end
