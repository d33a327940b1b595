"""A program that uses the public API, for type checkers: `test_consumer.py` runs them on it."""

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO, assert_type

import numpy as np
import numpy.typing as npt

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


def live(model: maxwhisper.Whisper, samples: list[float], pcm: bytes) -> Transcript:
    stream = model.stream(TranscribeOptions(task="translate"), StreamOptions(hop_s=0.5), seed=1)
    stream.feed(samples)
    stream.feed(pcm, sample_rate=48_000)
    return stream.finish()


def lazily(model: maxwhisper.Whisper, file: BinaryIO) -> Generator[str, None, Transcript]:
    segments = model.segments(file, progress=lambda done_s, total_s: print(done_s / total_s))
    for segment in segments:
        yield segment.text
    return model.transcribe(file)


async def together(model: maxwhisper.Whisper, arrays: list[npt.NDArray[np.int16]]) -> list[str]:
    tasks = (model.atranscribe(array, sample_rate=8_000, batch_size=2) for array in arrays)
    return [transcript.text for transcript in await asyncio.gather(*tasks)]


def all_inputs(array: npt.NDArray[np.float64]) -> None:
    with maxwhisper.load("demo") as model:
        model.transcribe(Path("~/talk.mp3"))
        model.transcribe(bytearray())
        model.transcribe((48_000, array))
        model.transcribe({"array": array, "sampling_rate": 48_000})
        model.detect_language(array, sample_rate=48_000)


def spoken(model: maxwhisper.Whisper, path: str) -> str:
    return model.detect_language(path).code
