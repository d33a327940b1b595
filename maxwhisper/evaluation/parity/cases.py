"""The option sets, checkpoints and clips that are compared.

All options are deterministic: two libraries draw different random numbers when they sample.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maxwhisper.audio.load import decode
from maxwhisper.checkpoint import DEFAULT_MODEL, load
from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.engine import Progress
from maxwhisper.errors import AudioError, OptionError
from maxwhisper.evaluation.bench.cases import Clip
from maxwhisper.network.dims import Dims
from maxwhisper.options import GREEDY, TranscribeOptions

SUFFIXES = (".aiff", ".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav", ".wma")
LONGEST_CLIP_S = 300.0  # ten windows and more; a longer one costs a minute in every option set

Options = Mapping[str, Any]
WORDS: Options = {"word_timestamps": True}

OPTION_SETS: dict[str, Options] = {
    "greedy": {},
    "without timestamps": {"without_timestamps": True},
    "initial prompt": {"initial_prompt": "Printing, in the only sense."},
    "carried prompt": {"initial_prompt": "Printing.", "carry_initial_prompt": True},
    "no previous text": {"condition_on_previous_text": False},
    "beam 2": {"beam_size": 2},
    "beam 5": {"beam_size": 5},
    "beam 5, patience 0.5": {"beam_size": 5, "patience": 0.5},
    "beam 3, patience 2": {"beam_size": 3, "patience": 2.0},
    "beam 3, length penalty 0": {"beam_size": 3, "length_penalty": 0.0},
    "beam 3, length penalty 0.6": {"beam_size": 3, "length_penalty": 0.6},
    "beam 3, length penalty 1": {"beam_size": 3, "length_penalty": 1.0},
    "best of 3 at temperature 0": {"best_of": 3},
    "nothing suppressed": {"suppress_tokens": ""},
    "own suppression": {"suppress_tokens": (13, 30)},
    "own and default suppression": {"suppress_tokens": "-1,13"},
    "blank allowed": {"suppress_blank": False},
    "start at any time": {"max_initial_timestamp": None},
    "start limit 0": {"max_initial_timestamp": 0.0},
    "start within 0.5 s": {"max_initial_timestamp": 0.5},
    "10 tokens a window": {"sample_len": 10},
    "prefix": {"prefix": "And so"},
    "prefix and prompt": {"prefix": "And so", "initial_prompt": "My fellow Americans."},
    "language": {"language": "English"},
    "skip doubtful": {"no_speech_threshold": 0.0, "logprob_threshold": None},
    "skip improbable": {"no_speech_threshold": 0.0},
    "never skip": {"no_speech_threshold": None},
    "no log-probability limit": {"logprob_threshold": None},
    "no compression limit": {"compression_ratio_threshold": None},
    "fallback that never fires": {
        "temperature": (0.0, 0.2, 0.4),
        "logprob_threshold": None,
        "compression_ratio_threshold": None,
    },
    "words": WORDS,
    "words, beam 2": {**WORDS, "beam_size": 2},
    "words, no timestamps": {**WORDS, "without_timestamps": True},
    "words, initial prompt": {**WORDS, "initial_prompt": "Printing."},
    "words, own punctuation": {**WORDS, "prepend_punctuations": "(", "append_punctuations": ",)"},
    "words, silence of 0.5 s": {**WORDS, "hallucination_silence_threshold": 0.5},
    "words, silence of 2 s": {**WORDS, "hallucination_silence_threshold": 2.0},
    "clip": {"clip_timestamps": "0.5,2"},
    "clip without end": {"clip_timestamps": "1"},
    "two clips": {"clip_timestamps": (0.0, 1.0, 1.5, 2.5)},
    "clip past the end": {"clip_timestamps": "1,999"},
    "words, two clips": {**WORDS, "clip_timestamps": (0.0, 1.0, 1.5, 2.5)},
}
# Only for networks with more than one language.
MULTILINGUAL_SETS: dict[str, Options] = {
    "German": {"language": "de"},
    "translate": {"language": "de", "task": "translate"},
    "translate from what is detected": {"task": "translate"},
    "Japanese words": {**WORDS, "language": "ja"},  # no spaces between words
}


@dataclass(frozen=True)
class MeantRefusal:
    """An option set that this project refuses by a message of these words, because the reference
    ignores the options: it answers as it does without them."""

    message: str
    ignored: Options  # their values where they are not given

    def __str__(self) -> str:
        return f"openai-whisper ignores {', '.join(self.ignored)} here: it answers the same without"


MEANT_REFUSALS = {
    "best of 3 at temperature 0": MeantRefusal("best_of needs a temperature", {"best_of": None})
}

RANDOM_SUBJECTS = ("multilingual", "v3")
SUBJECTS = ("model", *RANDOM_SUBJECTS)
MULTILINGUAL_DIMS = Dims(80, 1500, 128, 2, 2, 51_865, 448, 128, 2, 2)
V3_DIMS = Dims(128, 1500, 128, 2, 2, 51_866, 448, 128, 2, 1)  # fewer text layers, as in turbo
# A random network never ends a text by itself: 224 tokens a window would be most of the time.
_BRIEF: Options = {"sample_len": 64}


@dataclass(frozen=True)
class Subject:
    """Weights to compare on, and options of every set on them unless the set has its own."""

    name: str
    checkpoint: Checkpoint
    options: Options = field(default_factory=dict)

    def option_sets(self) -> dict[str, TranscribeOptions]:
        """The option sets that make sense for these weights; engines validate them."""
        dims = self.checkpoint.dims
        sets = OPTION_SETS | (MULTILINGUAL_SETS if dims.is_multilingual else {})
        return {
            name: GREEDY.changed({**self.options, **options})
            for name, options in sets.items()
            if dims.can_translate or options.get("task") != "translate"
        }


def load_subject(
    name: str,
    model: str | Path = DEFAULT_MODEL,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> Subject:
    """The subject called "model" (the checkpoint `model`), "multilingual" or "v3" (both random)."""
    if name == "model":
        checkpoint = load(model, cache_dir=cache_dir, progress=progress)
        return Subject(checkpoint.name, checkpoint)
    if name == "multilingual":
        return Subject(name, random_checkpoint(MULTILINGUAL_DIMS, seed=2, name=name), _BRIEF)
    if name == "v3":
        return Subject(name, random_checkpoint(V3_DIMS, seed=1, name=name), _BRIEF)
    raise OptionError(f"unknown checkpoint {name!r}: choose from {', '.join(SUBJECTS)}")


def find_clips(
    folder: Path, limit: int | None = None, longest_s: float = LONGEST_CLIP_S
) -> tuple[list[Clip], dict[str, str]]:
    """The first `limit` recordings of at most `longest_s` seconds under `folder` by name, and
    {name: why} of those left out. Raises `OptionError` where there is none."""
    clips: list[Clip] = []
    left_out: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if len(clips) == limit:
            break
        if path.suffix.lower() not in SUFFIXES:
            continue
        name = path.relative_to(folder).as_posix()
        try:
            clips.append(Clip(name, decode(path, max_seconds=longest_s), file=path))
        except AudioError as error:
            left_out[name] = str(error)
    if not clips:
        reasons = "".join(f"; {name}: {why}" for name, why in left_out.items())
        raise OptionError(
            f"expected recordings ({', '.join(SUFFIXES)}) in {folder}, found none{reasons}"
        )
    return clips, left_out
