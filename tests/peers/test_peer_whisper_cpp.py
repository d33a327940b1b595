"""whisper.cpp's tests, as far as they apply to Python, with `base.en` if it is on disk."""

from itertools import pairwise

import pytest

from maxwhisper.audio.vad import speech_probabilities, speech_spans
from maxwhisper.options import VadOptions
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.text.wer import word_error_rate
from tests.fakes.one_window import decode, encode

JFK = "core/jfk_whispercpp.wav"
JFK_SAYS = (
    "And so my fellow Americans, ask not what your country can do for you, ask what you can do for"
    " your country."
)
# Its defaults. The network is another version of Silero's, so probabilities are not compared.
VAD = VadOptions(
    threshold=0.5, min_speech_duration_ms=250, min_silence_duration_ms=100, speech_pad_ms=30
)


def test_speech_begins_and_ends_where_theirs_does(recording):
    """344 blocks of 512 samples; speech from 0.32 s to 10.51 s, in five pieces, theirs in four."""
    waveform = recording(JFK)
    assert len(speech_probabilities(waveform)) == 344
    spans = speech_spans(waveform, VAD)
    assert len(spans) == 5
    assert spans[0].start / 16_000 == pytest.approx(0.32, abs=0.05)
    assert spans[-1].end / 16_000 == pytest.approx(10.51, abs=0.05)
    assert all(span.end - span.start >= 0.25 * 16_000 for span in spans)
    assert all(before.end <= after.start for before, after in pairwise(spans))


@pytest.mark.weights
def test_base_hears_what_voice_activity_leaves(official, recording):
    transcript = official("base.en").transcribe(
        recording(JFK), beam_size=5, batch_size=8, vad=VAD, word_timestamps=True
    )
    assert word_error_rate(JFK_SAYS, transcript.text).wer == 0.0, transcript.text
    assert transcript.segments[0].start == pytest.approx(0.32, abs=0.3)
    assert transcript.segments[-1].end == pytest.approx(10.51, abs=0.3)
    starts = [word.start for word in transcript.words]
    assert starts == sorted(starts)
    assert all(0 <= word.start <= word.end for word in transcript.words)


@pytest.mark.weights
def test_base_writes_27_tokens(official, recording):
    """A timestamp, 25 text tokens, and the timestamp at which the recording ends: 11 s."""
    engine = official("base.en")
    tokenizer = get_tokenizer(engine.dims)
    result = decode(engine, encode(engine, recording(JFK)))
    assert tokenizer.decode_with_timestamps(result.tokens) == f"<|0.00|> {JFK_SAYS}<|11.00|>"
    assert len(result.tokens) == 27
