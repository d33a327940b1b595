"""What a benchmark measures: modes, models and clips, from the words of the command line.

In: names. Out: a `Job` for every engine: the same samples and the same options. Random weights
decode a fixed number of tokens in every window, so that engines do equal work and speed can be
measured without a trained network. Knows no engine.
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

from maxwhisper import audio, checkpoint
from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.checkpoint.registry import OFFICIAL_MODELS
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.dims import CHUNK_LENGTH_S, HOP_LENGTH, N_FRAMES, SAMPLE_RATE, Dims
from maxwhisper.engine import Progress, Waveform
from maxwhisper.errors import OptionError
from maxwhisper.options import GREEDY, TranscribeOptions
from maxwhisper.tokenizer import get_tokenizer

EXAMPLES = Path(__file__).parents[1] / "examples" / "clips"
TALK = EXAMPLES / "talk.flac"  # the project's standard benchmark clip, 161.5 s
SHORT = EXAMPLES / "plain.flac"  # two sentences in 10 s
SHORT_ENOUGH_S = 15  # up to here a clip of a given length is made of SHORT, beyond of TALK
RANDOM = "random:"
MODE_KEYS = ("greedy", "beam5", "batched")

_LENGTH = re.compile(r"([1-9]\d*)(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Clip:
    """A decoded recording; `reference` is what is said in it, where that is known. `file` is where
    it was read from: reading it again is timed."""

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
        """Windows of 30 s, where each is read whole."""
        return math.ceil(len(self.waveform) // HOP_LENGTH / N_FRAMES)


@dataclass(frozen=True)
class Model:
    """A checkpoint by name or path, or seeded random weights of `dims`, which decode `tokens`."""

    name: str
    dims: Dims | None = None
    tokens: int | None = None

    def load(self, cache_dir: Path | None = None, progress: Progress | None = None) -> Checkpoint:
        if self.dims is not None:
            return random_checkpoint(self.dims, name=self.name)
        return checkpoint.load(self.name, cache_dir=cache_dir, progress=progress)


@dataclass(frozen=True)
class Mode:
    """How a recording is decoded: window after window, or `batch_size` windows together."""

    name: str
    options: TranscribeOptions
    batch_size: int | None = None

    def to_dict(self) -> dict[str, Any]:
        vad = None if self.batch_size is None else "each engine's own"
        return {"options": self.options.to_dict(), "batch_size": self.batch_size, "vad": vad}


@dataclass(frozen=True)
class Job:
    """One inference, the same for every engine; the fields are `Engine.transcribe`'s arguments."""

    waveform: Waveform
    options: TranscribeOptions
    batch_size: int | None = None
    vad: bool | None = None


def find_mode(key: str, language: str | None, batch_size: int) -> Mode:
    """The mode called `key`, one of `MODE_KEYS`: nothing random, so that engines can be compared.

    Raises `OptionError` for another name.
    """
    options = GREEDY.changed({"language": language}).validate()
    if key == "greedy":
        return Mode("sequential greedy", options)
    if key == "beam5":
        return Mode("sequential beam 5", options.changed({"beam_size": 5}))
    if key == "batched":
        return Mode(f"batched {batch_size}", options, batch_size)
    raise OptionError(f"no mode called {key!r}: choose from {', '.join(MODE_KEYS)}")


def find_model(name: str, tokens: int) -> Model:
    """ "random:tiny" is random weights of tiny's dims; any other name is a checkpoint's.

    Raises `OptionError` for dims that no official model has.
    """
    if not name.startswith(RANDOM):
        return Model(name)
    official = OFFICIAL_MODELS.get(name.removeprefix(RANDOM))
    if official is None:
        raise OptionError(f"no dims for {name!r}: {RANDOM} goes with {', '.join(OFFICIAL_MODELS)}")
    most = official.dims.n_text_ctx // 2
    if not 1 <= tokens <= most:
        raise OptionError(f"expected 1 to {most} tokens a window, got {tokens}")
    return Model(name, official.dims, tokens)


def make_job(mode: Mode, model: Model, clip: Clip) -> Job:
    """What every engine is asked to do with a clip."""
    if model.dims is None or model.tokens is None:
        return Job(clip.waveform, mode.options, mode.batch_size)
    options = fixed_tokens(mode.options, model.dims, model.tokens)
    if mode.batch_size is None:
        return Job(clip.waveform, options)
    # Speech detection would cut where it hears speech: the windows are given instead.
    options = options.changed({"clip_timestamps": whole_windows(clip.audio_s)})
    return Job(clip.waveform, options, mode.batch_size, vad=False)


def fixed_tokens(options: TranscribeOptions, dims: Dims, n_tokens: int) -> TranscribeOptions:
    """The options with which any network decodes `n_tokens` of text in every 30 s, once.

    Neither end of text nor a timestamp can be sampled, so windows follow each other whole; nothing
    prompts a window, and none is decoded again or taken for silence.
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
    """Starts and ends of the windows of 30 s in a recording, as `clip_timestamps`."""
    starts = range(0, math.ceil(audio_s), CHUNK_LENGTH_S)
    return tuple(
        time_s for start in starts for time_s in (start, min(start + CHUNK_LENGTH_S, audio_s))
    )


def find_clip(name: str, folder: Path) -> Clip:
    """A recording by path, "talk", or a length made of the example clips: "1s", "11s", "1h".

    What is made is written to `folder`, so that reading it can be timed. The words of a recording
    are in NAME.txt or clips.json beside it. Raises `AudioError` for what cannot be read.
    """
    if match := _LENGTH.fullmatch(name):
        return _made(name, int(match[1]) * _SECONDS[match[2]], folder)
    path = TALK if name == "talk" else Path(name)
    waveform = audio.decode(path)
    return Clip(path.name, waveform, _reference(path), f"{path.name} as it is", path)


def _made(name: str, length_s: int, folder: Path) -> Clip:
    """An example clip, repeated up to `length_s`; an utterance that would be cut is left silent,
    but for the first one, whose words nobody knows then."""
    path = SHORT if length_s <= SHORT_ENOUGH_S else TALK
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
    # Read back: every engine gets what is in the file that is timed.
    return Clip(name, audio.decode(file), " ".join(said) or None, source, file)


def _utterances(path: Path, repeat_s: float) -> Iterator[tuple[float, dict[str, Any]]]:
    """(start in seconds, entry) of what is said when the clip is repeated for ever."""
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
    """What is said in a clip: NAME.txt beside it, or its entry in the folder's clips.json."""
    script = path.with_suffix(".txt")
    if script.is_file():
        return script.read_text(encoding="utf-8")
    return _listed(path).get("text")


def _listed(path: Path) -> dict[str, Any]:
    """The entry of a clip in the clips.json of its folder, or nothing."""
    listing = path.with_name("clips.json")
    entries: Sequence[dict[str, Any]] = (
        json.loads(listing.read_text(encoding="utf-8")) if listing.is_file() else []
    )
    return next((entry for entry in entries if entry["file"] == path.name), {})
