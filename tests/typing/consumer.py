"""A program that uses the public API, for type checkers: `test_consumer.py` runs them on it."""

from typing import assert_type

import maxwhisper
from maxwhisper import StreamOptions, TranscribeChanges, TranscribeOptions, Transcript, VadOptions


def transcribe(path: str) -> str:
    model = maxwhisper.load("demo", device="cpu", progress=print)
    transcript = model.transcribe(path, language="en", beam_size=5, word_timestamps=True)
    assert_type(transcript, Transcript)
    for segment in transcript.segments:
        print(f"{segment.start:7.2f} {segment.end:7.2f} {segment.text}")
    return transcript.text


def in_batches(model: maxwhisper.Whisper, paths: list[str]) -> list[Transcript]:
    changes: TranscribeChanges = {"temperature": 0.0, "initial_prompt": "kernel"}
    quiet = VadOptions(threshold=0.6, min_silence_duration_ms=200)
    try:
        return model.transcribe_many(paths, batch_size=4, vad=quiet, **changes)
    except maxwhisper.SomeFailed as error:
        return [transcript for transcript in error.transcripts if transcript is not None]


def live(model: maxwhisper.Whisper, samples: list[float]) -> Transcript:
    stream = model.stream(TranscribeOptions(task="translate"), StreamOptions(hop_s=0.5), seed=1)
    stream.feed(samples)
    return stream.finish()


def spoken(model: maxwhisper.Whisper, path: str) -> str:
    return model.detect_language(path).code
