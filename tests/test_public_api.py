"""The public API, through `import maxwhisper` alone."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import maxwhisper

CLIP = Path(__file__).parents[1] / "examples" / "clips" / "plain.flac"  # 6 s and a bit of English


def test_it_exports_what_a_caller_needs():
    assert set(maxwhisper.__all__) == {
        *("load", "Whisper"),
        *("TranscribeOptions", "TranscribeChanges", "VadOptions", "StreamOptions"),
        *("Transcript", "Segment", "Word"),
        *("MaxWhisperError", "AudioError", "OptionError", "SomeFailed"),
    }
    for name in maxwhisper.__all__:
        assert getattr(maxwhisper, name).__module__.startswith("maxwhisper")
    assert maxwhisper.__version__
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        maxwhisper.laod  # noqa: B018


def test_importing_it_does_not_import_max():
    code = "import sys, maxwhisper; print('max' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


@pytest.mark.parametrize("method", ["transcribe", "transcribe_many", "stream"])
def test_options_are_keywords(method):
    signature = inspect.signature(getattr(maxwhisper.Whisper, method))
    assert signature.parameters["changes"].kind is inspect.Parameter.VAR_KEYWORD


def test_a_recording_is_transcribed(engine):
    segments = []
    transcript = engine.transcribe(CLIP, language="en", on_segment=segments.append)
    assert isinstance(transcript, maxwhisper.Transcript)
    assert transcript.segments == tuple(segments)
    assert transcript.text.strip()
    assert all(isinstance(segment, maxwhisper.Segment) for segment in segments)
    greedy = maxwhisper.TranscribeOptions(temperature=0.0)
    assert engine.transcribe(CLIP.read_bytes(), greedy, language="en").text == transcript.text


def test_recordings_are_transcribed_in_batches(engine):
    options = maxwhisper.TranscribeOptions(word_timestamps=True, temperature=0.0)
    vad = maxwhisper.VadOptions(min_silence_duration_ms=200)
    (one,) = engine.transcribe_many([CLIP], options, batch_size=2, vad=vad)
    assert isinstance(one.words[0], maxwhisper.Word)
    with pytest.raises(maxwhisper.SomeFailed) as caught:
        engine.transcribe_many([CLIP, b"not audio"], options, batch_size=2, vad=vad)
    assert caught.value.transcripts[0].text == one.text
    assert isinstance(caught.value.errors[1], maxwhisper.AudioError)


def test_a_live_transcription_ends_with_a_transcript(engine):
    silence = bytes(32_000)  # 1 s of 16-bit samples
    stream = engine.stream(how=maxwhisper.StreamOptions(hop_s=0.5), language="en")
    stream.feed(memoryview(silence).cast("h"))
    assert stream.finish().text == ""


@pytest.mark.parametrize(
    "changes", [{"beam_siz": 5}, {"beam_size": 0}, {"beam_size": "5"}], ids=str
)
def test_a_wrong_option_is_refused(engine, changes):
    with pytest.raises(maxwhisper.OptionError, match="beam_siz"):
        engine.transcribe(CLIP, **changes)


def test_a_model_that_does_not_exist_is_an_error():
    with pytest.raises(maxwhisper.MaxWhisperError, match="no_such_model"):
        maxwhisper.load("no_such_model")
