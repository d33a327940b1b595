"""Place one utterance in a window: its samples, its phone for every encoder position, its times.

Everything is in samples of the window. Knows nothing of the window's other content.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from maxwhisper.network.dims import HOP_LENGTH, INPUT_STRIDE, SAMPLE_RATE
from tools.train_demo import augment
from tools.train_demo.corpus import Utterance
from tools.train_demo.labels import n_sounds
from tools.train_demo.phones import SILENCE

POSITION = HOP_LENGTH * INPUT_STRIDE  # samples per audio position: 20 ms


# Words that are capitalised only at the beginning of a sentence.
OPENINGS = (
    "A An And As At Before But By Each Every He Her His How I If In It Its My No Not On One Our"
    " She So Some That The Their Then There These They This Those To Two We What When Where Which"
    " While Who With You Your"
)


@dataclass(frozen=True)
class Placed:
    """A placed utterance. `phones` are those of the positions from `start` on. `speech_start` and
    `speech_end` exclude the synthesiser's silence; `speech_end` may be beyond the window. `sounds`
    are the middles of the phones that are not silence."""

    text: str
    samples: augment.Samples
    phones: npt.NDArray[np.int16]
    sounds: npt.NDArray[np.float64]
    start: int
    speech_start: int
    speech_end: int


def place(utterance: Utterance, start: int, speed: float) -> Placed:
    """Place an utterance at `start`, rounded down to a position, played at `speed`."""
    start = start // POSITION * POSITION
    samples = augment.change_speed(as_float(utterance.samples), speed)
    ends = utterance.phone_ends / speed
    centres = np.arange(len(samples) // POSITION) * POSITION + POSITION // 2
    which = np.minimum(np.searchsorted(ends, centres, side="right"), len(ends) - 1)
    sounding = utterance.sounding
    first, last = sounding[0], sounding[-1]
    return Placed(
        text=utterance.text,
        samples=augment.at_level(samples, 0.5),
        phones=utterance.phones[which].astype(np.int16),
        sounds=start + _middles(ends)[sounding],
        start=start,
        speech_start=start + int(ends[first - 1] if first else 0),
        speech_end=start + int(min(ends[last], len(samples))),
    )


def without_beginning(utterance: Utterance, rng: np.random.Generator) -> tuple[str, Utterance]:
    """Return the words before a word of the utterance, and the utterance from that word on, with up
    to 0.15 s of the previous word: the content of a window that begins within a sentence. Of the
    last word only the end may be left, which is not a word."""
    words = utterance.text.split()
    first = int(rng.integers(1, len(words) + 1))
    sounding = utterance.sounding
    said = np.cumsum([0.0, *(n_sounds(word) for word in words)])
    ends = np.concatenate([[0], utterance.phone_ends])
    begins = [*ends[sounding], ends[sounding[-1] + 1]]
    start = np.interp(said[first], np.linspace(0, said[-1], len(begins)), begins)
    cut = int(max(0, start - rng.uniform(0.02, 0.15) * SAMPLE_RATE))
    kept = utterance.phone_ends > cut
    rest = replace(
        utterance,
        samples=utterance.samples[cut:],
        text=" ".join(words[first:]),
        phones=utterance.phones[kept],
        phone_ends=utterance.phone_ends[kept] - cut,
        words=utterance.words[:0],
    )
    return " ".join(words[:first]), rest


def joined(first: Utterance, second: Utterance, pause: int) -> Utterance | None:
    """Join two sentences into one long one, with up to `pause` samples of silence after the first
    between them. Returns None if the capital of the second sentence's first word may be its own."""
    opening, _, rest = second.text.partition(" ")
    if not first.text.endswith(".") or opening not in OPENINGS.split():
        return None
    opening = opening if opening == "I" else opening.lower()
    last = first.sounding[-1]
    end = min(int(first.phone_ends[last]) + pause, len(first.samples))
    begin = second.sounding[0]
    start = int(second.phone_ends[begin - 1]) if begin else 0
    phone_ends = (first.phone_ends[: last + 1], [end], second.phone_ends[begin:] - start + end)
    phones = (first.phones[: last + 1], [SILENCE], second.phones[begin:])
    return replace(
        first,
        samples=np.concatenate([first.samples[:end], second.samples[start:]]),
        text=f"{first.text[:-1]}, {opening} {rest}",
        phones=np.concatenate(phones).astype(np.int32),
        phone_ends=np.concatenate(phone_ends).astype(np.int32),
        words=first.words[:0],
    )


def _middles(ends: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return (np.concatenate([[0.0], ends[:-1]]) + ends) / 2


def as_float(samples: npt.NDArray[np.int16]) -> augment.Samples:
    return samples.astype(np.float32) / np.float32(32768)
