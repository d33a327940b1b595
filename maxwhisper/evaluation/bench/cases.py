"""What a benchmark measures: modes, models and clips, by their names on the command line.

Input: names. Output: a `Job` for every engine, with the same samples and the same options. Random
weights decode a fixed number of tokens in every window, so that engines do equal work and speed can
be measured without a trained network. Knows no engine.
"""

import json
import math
import re
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from maxwhisper import checkpoint
from maxwhisper.audio import load as audio
from maxwhisper.audio.waveform import Waveform
from maxwhisper.checkpoint.places import RANDOM
from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.checkpoint.registry import OFFICIAL_MODELS
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.engine import Progress
from maxwhisper.errors import OptionError
from maxwhisper.evaluation.bench.record import ModeEntry
from maxwhisper.network.dims import CHUNK_LENGTH_S, HOP_LENGTH, N_FRAMES, SAMPLE_RATE, Dims
from maxwhisper.options import GREEDY, TranscribeOptions
from maxwhisper.text.tokenizer import get_tokenizer

EXAMPLES = Path(__file__).parents[3] / "examples" / "clips"
CLIPS = Path(__file__).parents[2] / "assets" / "clips"  # two of EXAMPLES, in the wheel as well
TALK = CLIPS / "talk.flac"  # the project's standard benchmark clip, 161.5 s
SHORT = CLIPS / "plain.flac"  # two sentences in 10 s
MAX_SHORT_S = 15  # clips up to this length are made from SHORT, longer ones from TALK
MODE_KEYS = ("greedy", "beam5", "batched")

_LENGTH = re.compile(r"([1-9]\d*)(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Clip:
    """A decoded recording; `reference` is its correct transcript, if known. `file` is its source:
    the benchmark times reading it again."""

    name: str
    waveform: Waveform
    reference: str | None = None
    source: str = "samples"
    file: Path | None = None

    @property
    def audio_s(self) -> float:
        return len(self.waveform) / SAMPLE_RATE

    @property
    def n_windows(self) -> int:
        """Number of 30 s windows if every window is decoded whole."""
        return math.ceil(len(self.waveform) // HOP_LENGTH / N_FRAMES)


@dataclass(frozen=True)
class Model:
    """A checkpoint by name or path, or seeded random weights of `dims`, which decode `tokens` in
    every window."""

    name: str
    dims: Dims | None = None
    tokens: int | None = None

    def load(self, cache_dir: Path | None = None, progress: Progress | None = None) -> Checkpoint:
        if self.dims is not None:
            return random_checkpoint(self.dims, name=self.name)
        return checkpoint.load(self.name, cache_dir=cache_dir, progress=progress)


@dataclass(frozen=True)
class Mode:
    """How a recording is decoded: one window after the other, or `batch_size` at once."""

    name: str
    options: TranscribeOptions
    batch_size: int | None = None

    def to_record(self) -> ModeEntry:
        vad = None if self.batch_size is None else "each engine's own"
        return ModeEntry(self.options.to_dict(), self.batch_size, vad)


@dataclass(frozen=True)
class Job:
    """One inference, the same for every engine; the fields are `Engine.transcribe`'s arguments."""

    waveform: Waveform
    options: TranscribeOptions
    batch_size: int | None = None
    vad: bool | None = None


def find_mode(key: str, language: str | None, batch_size: int) -> Mode:
    """The mode called `key`, one of `MODE_KEYS`. Nothing in it is random, so that engines can be
    compared. Raises `OptionError` for an unknown name."""
    options = GREEDY.changed({"language": language}).validate()
    if key == "greedy":
        return Mode("sequential greedy", options)
    if key == "beam5":
        return Mode("sequential beam 5", options.changed({"beam_size": 5}))
    if key == "batched":
        return Mode(f"batched {batch_size}", options, batch_size)
    raise OptionError(f"no mode called {key!r}: choose from {', '.join(MODE_KEYS)}")


def find_model(name: str, tokens: int) -> Model:
    """The model called `name`: "random:tiny" has random weights of tiny's dims, any other name is
    that of a checkpoint. Raises `OptionError` for dims that no official model has."""
    if not name.startswith(RANDOM):
        return Model(name)
    official = OFFICIAL_MODELS.get(name.removeprefix(RANDOM))
    if official is None:
        raise OptionError(f"no dims for {name!r}: {RANDOM} goes with {', '.join(OFFICIAL_MODELS)}")
    max_tokens = official.dims.n_text_ctx // 2
    if not 1 <= tokens <= max_tokens:
        raise OptionError(f"expected 1 to {max_tokens} tokens a window, got {tokens}")
    return Model(name, official.dims, tokens)


def make_job(mode: Mode, model: Model, clip: Clip) -> Job:
    """The inference that every engine runs on a clip."""
    if model.dims is None or model.tokens is None:
        return Job(clip.waveform, mode.options, mode.batch_size)
    options = fixed_tokens(mode.options, model.dims, model.tokens)
    if mode.batch_size is None:
        return Job(clip.waveform, options)
    # Speech detection would cut at pauses: give whole windows instead.
    options = options.changed({"clip_timestamps": whole_windows(clip.audio_s)})
    return Job(clip.waveform, options, mode.batch_size, vad=False)


def fixed_tokens(options: TranscribeOptions, dims: Dims, n_tokens: int) -> TranscribeOptions:
    """The options with which any network decodes exactly `n_tokens` in every 30 s window, once.

    Neither end of text nor a timestamp can be sampled, so every window is whole; no window has a
    prompt, is decoded twice or counts as silence.
    """
    specials = range(get_tokenizer(dims).eot, dims.n_vocab)
    return options.changed(
        {
            "sample_len": n_tokens,
            "suppress_tokens": (-1, *specials),
            "without_timestamps": True,
            "condition_on_previous_text": False,
            "compression_ratio_threshold": None,
            "logprob_threshold": None,
            "no_speech_threshold": None,
        }
    )


def whole_windows(audio_s: float) -> tuple[float, ...]:
    """Starts and ends of the 30 s windows of a recording, as `clip_timestamps`."""
    starts = range(0, math.ceil(audio_s), CHUNK_LENGTH_S)
    return tuple(
        time_s for start in starts for time_s in (start, min(start + CHUNK_LENGTH_S, audio_s))
    )


def find_clip(name: str, folder: Path) -> Clip:
    """A recording by path, "talk", or a length made from the example clips: "1s", "11s", "1h".

    A clip that is made is written to `folder`, so that reading it can be timed. The correct
    transcript is in NAME.txt or clips.json next to the recording. Raises `AudioError` for an
    unreadable file.
    """
    if match := _LENGTH.fullmatch(name):
        return _made(name, int(match[1]) * _SECONDS[match[2]], folder)
    path = TALK if name == "talk" else Path(name)
    waveform = audio.decode(path)
    return Clip(path.name, waveform, _reference(path), f"{path.name} as it is", path)


def _made(name: str, length_s: int, folder: Path) -> Clip:
    """An example clip, repeated up to `length_s`. An utterance that would be cut is silenced,
    unless it is the first one: then the clip has no reference."""
    path = SHORT if length_s <= MAX_SHORT_S else TALK
    one = audio.decode(path)
    waveform = np.resize(one, length_s * SAMPLE_RATE)
    said: list[str] = []
    for start_s, entry in _utterances(path, len(one) / SAMPLE_RATE):
        if start_s >= length_s:
            break
        if start_s + entry["end"] - entry["start"] > length_s:
            if said:
                waveform[round(start_s * SAMPLE_RATE) :] = 0
            break
        said.append(entry["text"])
    file = folder / f"{name}.wav"
    _write_wav(file, waveform)
    source = f"{path.name} repeated and cut to {length_s} s, 16-bit WAV"
    # Read back: every engine gets the samples of the file that is timed.
    return Clip(name, audio.decode(file), " ".join(said) or None, source, file)


def _utterances(path: Path, repeat_s: float) -> Iterator[tuple[float, dict[str, Any]]]:
    """(start in seconds, entry) of every utterance of the endlessly repeated clip."""
    entries = _listed(path)["utterances"]
    for number, entry in enumerate(cycle(entries)):
        yield number // len(entries) * repeat_s + entry["start"], entry


def _write_wav(path: Path, waveform: Waveform) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((waveform * 32767).round().astype("<i2").tobytes())


def _reference(path: Path) -> str | None:
    """The transcript of a clip: NAME.txt next to it, or its entry in the folder's clips.json."""
    script = path.with_suffix(".txt")
    if script.is_file():
        return script.read_text(encoding="utf-8")
    return _listed(path).get("text")


def _listed(path: Path) -> dict[str, Any]:
    """The entry of a clip in the clips.json of its folder; empty if there is none."""
    listing = path.with_name("clips.json")
    entries: Sequence[dict[str, Any]] = (
        json.loads(listing.read_text(encoding="utf-8")) if listing.is_file() else []
    )
    return next((entry for entry in entries if entry["file"] == path.name), {})
