"""The recordings for the evaluation of the exported network, with their texts and times.

Owns what each set is. In: speech that was never trained on, the example clips, real recordings if
available. Out: `Item`s, the same for the same inputs. Knows no engine.
"""

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from maxwhisper.audio import load as audio
from maxwhisper.audio.waveform import Waveform
from maxwhisper.network.dims import N_SAMPLES, SAMPLE_RATE
from maxwhisper.options import TranscribeOptions
from tools.train_demo import augment, everyday
from tools.train_demo.corpus import Corpus
from tools.train_demo.placing import Placed, as_float, place

CLIPS = Path("examples/clips")
NOISY_SNR_DB = 10.0
REAL = ("core", "harvard", "librispeech", "librivox", "ljspeech")  # read speech, English
# Files of `core` whose "reference" describes the content instead of the words.
DESCRIBED = ("hotwords.mp3", "multilingual.mp3", "stereo_diarization.wav")
MAX_WINDOWS = 100  # of several utterances: about 300 segments, so 1 % is 3 of them
MAX_SILENT = 40  # windows of noise and silence
_GRAMMAR = "sentences, not trained on, of the grammars and the dictionary it was trained on"
SETS = {
    "test seen": "everyday sentences that no training text quotes, in voices of its training; only "
    "reported",
    "test unseen": "the same sentences in voices that no training used; only reported",
    "test noisy": "some of `test seen` with noise at 10 dB; only reported",
    "validation seen": "other everyday sentences, in voices of its training; they choose the next "
    "weights",
    "validation unseen": "the same sentences in voices that no training used; they choose the next "
    "weights",
    "grammar seen": f"{_GRAMMAR}, in voices of its training",
    "grammar unseen": f"{_GRAMMAR}, in a voice that no training used",
    "grammar noisy": "`grammar seen` with noise at 10 dB",
    "grammar windows": f"windows of 30 s with two to four {_GRAMMAR}",
    "talk": "the long example clip: a target of training. A grammar was written for its field once "
    "its errors were known, and its error rate chose between weights",
    "clips": "the other example clips with speech: a target of training. A grammar of everyday "
    "scenes was written once their errors were known",
    "noise": "recordings without speech, decoded as usual",
    "no speech": "the same without the no-speech rule",
    "real": "people reading",
}

PLAIN = TranscribeOptions(language="en", temperature=0.0)  # greedy: no figure depends on chance
# With the no-speech rule, an engine drops the windows whose probability is measured.
EVERY_WINDOW = replace(PLAIN, no_speech_threshold=None)


@dataclass(frozen=True)
class Item:
    """One recording. An empty `reference` means no speech. `segments` are (start, end) in seconds,
    if known."""

    group: str
    name: str
    waveform: Waveform
    reference: str
    segments: tuple[tuple[float, float], ...] = ()
    options: TranscribeOptions = PLAIN


def held_out(folder: Path, limit: int) -> Iterator[Item]:
    """Return held-out sentences of the grammars: in seen voices, clean and with noise at 10 dB, and
    in the unseen voice; at most `limit` of each."""
    for voices in ("seen", "unseen"):
        corpus = Corpus(folder / voices)
        yield from _alone(corpus, f"grammar {voices}", _spread(corpus, limit))
    corpus = Corpus(folder / "seen")
    yield from _noisy(corpus, "grammar noisy", _spread(corpus, limit))


def everyday_sentences(folder: Path, name: str, noisy: int = 0) -> Iterator[Item]:
    """Return all sentences of `validation` or `test`, in seen and unseen voices, and `noisy` of
    those in seen voices with noise at 10 dB."""
    texts = set(everyday.read(name))
    seen, unseen = (Corpus(folder / f"{name}_{voices}", texts) for voices in ("seen", "unseen"))
    yield from _alone(seen, f"{name} seen", range(len(seen)))
    yield from _alone(unseen, f"{name} unseen", range(len(unseen)))
    yield from _noisy(seen, f"{name} noisy", _spread(seen, noisy))


def _spread(corpus: Corpus, limit: int) -> list[int]:
    """Return up to `limit` numbers of utterances, spread over the whole corpus, because its voices
    follow one another."""
    numbers = np.linspace(0, len(corpus) - 1, min(limit, len(corpus)))
    return [int(number) for number in numbers.round()]


def _alone(corpus: Corpus, group: str, numbers: Iterable[int]) -> Iterator[Item]:
    for number in numbers:
        said = corpus[number]
        yield Item(group, f"{said.voice}: {number}", as_float(said.samples), said.text)


def _noisy(corpus: Corpus, group: str, numbers: Sequence[int]) -> Iterator[Item]:
    for number, item in zip(numbers, _alone(corpus, group, numbers), strict=True):
        sound = augment.coloured_noise(len(item.waveform), np.random.default_rng(number))
        yield replace(item, waveform=augment.add_noise(item.waveform, sound, NOISY_SNR_DB))


def windows(folder: Path, limit: int) -> Iterator[Item]:
    """Return windows of 30 s: two to four held-out sentences in seen voices, with pauses of 0.3 to
    1.5 s."""
    corpus = Corpus(folder / "seen")
    for index in range(min(limit, MAX_WINDOWS)):
        rng = np.random.default_rng(20_000 + index)
        placed = _side_by_side(corpus, int(rng.integers(2, 5)), rng)
        samples = np.zeros(N_SAMPLES, np.float32)
        for one in placed:
            samples[one.start : one.start + len(one.samples)] = one.samples
        times = tuple((p.speech_start / SAMPLE_RATE, p.speech_end / SAMPLE_RATE) for p in placed)
        text = " ".join(one.text for one in placed)
        yield Item("grammar windows", str(index), samples, text, times, EVERY_WINDOW)


def _side_by_side(corpus: Corpus, wanted: int, rng: np.random.Generator) -> list[Placed]:
    """Return up to `wanted` utterances that fit into a window, at least one."""
    placed: list[Placed] = []
    at = int(rng.uniform(0, 0.5) * SAMPLE_RATE)
    for index in rng.choice(len(corpus), wanted):
        one = place(corpus[int(index)], at, 1.0)
        at = one.start + len(one.samples) + int(rng.uniform(0.3, 1.5) * SAMPLE_RATE)
        if placed and one.start + len(one.samples) > N_SAMPLES:
            break
        placed.append(one)
    return placed


def clips(folder: Path = CLIPS) -> Iterator[Item]:
    """Return the project's own clips; "talk" is the long one, "noise" those without speech."""
    for entry in json.loads((folder / "clips.json").read_text()):
        group = (
            "talk" if entry["file"].startswith("talk") else "clips" if entry["text"] else "noise"
        )
        yield Item(group, entry["file"], audio.decode(folder / entry["file"]), entry["text"])


def silences(limit: int) -> Iterator[Item]:
    """Return seeded windows without speech (zeros, hiss, hum, knocks, music) twice: for the words
    that engines invent, and for their no-speech probability."""
    for index in range(min(limit, MAX_SILENT)):
        rng = np.random.default_rng(10_000 + index)
        sound = np.zeros(N_SAMPLES, np.float32)
        if index % 5:
            level = 10 ** rng.uniform(-3, -0.3)
            sound = augment.at_level(augment.NOISES[index % 4](N_SAMPLES, rng), level)
        yield Item("noise", str(index), sound, "")
        yield Item("no speech", str(index), sound, "", (), EVERY_WINDOW)


def real_recordings(folder: Path, longest_s: float, limit: int) -> Iterator[Item]:
    """Return recordings of people reading: the first `limit` of each `REAL` folder of an
    index.json."""
    entries = json.loads((folder / "index.json").read_text())
    for group in REAL:
        usable = (
            entry
            for entry in entries
            if entry["file"].startswith(f"{group}/")
            and entry["reference"]
            and not entry["file"].endswith((".npy", *DESCRIBED))
            and entry["duration_s"] <= longest_s
        )
        for entry in itertools.islice(usable, limit):
            waveform = audio.decode(folder / entry["file"])
            yield Item(f"real: {group}", entry["file"], waveform, entry["reference"])
