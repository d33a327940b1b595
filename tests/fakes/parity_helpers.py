"""Comparing a transcript with openai-whisper's result on the same weights."""

import pytest


def assert_same(got, want, avg_logprob_tolerance=1e-3):
    assert got.text == want["text"]
    assert got.language == want["language"]
    assert len(got.segments) == len(want["segments"])
    for segment, other in zip(got.segments, want["segments"], strict=True):
        assert list(segment.tokens) == other["tokens"]
        assert (segment.id, segment.seek) == (other["id"], other["seek"])
        assert (segment.start, segment.end) == (other["start"], other["end"])
        assert segment.text == other["text"]
        assert segment.compression_ratio == other["compression_ratio"]
        assert segment.avg_logprob == pytest.approx(other["avg_logprob"], abs=avg_logprob_tolerance)
        assert segment.no_speech_prob == pytest.approx(other["no_speech_prob"], abs=1e-4)


def openai_transcribe(model, waveform, **options):
    options.setdefault("temperature", 0.0)
    return model.transcribe(waveform, fp16=False, **options)
