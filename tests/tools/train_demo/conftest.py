"""A language of tones: every letter is a phone with its own pitch, so no synthesiser is needed."""

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT))  # the installed package has no tools

from maxwhisper.network.dims import SAMPLE_RATE, Dims  # noqa: E402
from maxwhisper.text.tokenizer import get_tokenizer  # noqa: E402
from tools.train_demo.corpus import Corpus  # noqa: E402
from tools.train_demo.phones import SILENCE  # noqa: E402
from tools.train_demo.speech import Job, write_shard  # noqa: E402
from tools.train_demo.text import Sentence  # noqa: E402
from tools.train_demo.voices import Speech, Voice  # noqa: E402

TINY = Dims(80, 1500, 32, 2, 1, 51_864, 448, 32, 2, 1)
WORDS = ("one", "two", "big", "red", "dog", "cat", "ran", "sat")
LETTER_S, PAUSE_S = 0.06, 0.1


def tones(text: str) -> Speech:
    """Return 60 ms of a tone for each letter, a pause for each space, and pauses at both ends."""
    samples, phones, words = [np.zeros(1600, np.int16)], [(SILENCE, 1600)], []
    for word in text.lower().strip(".").split():
        start = phones[-1][1]
        for letter in word:
            number = ord(letter) - ord("a")
            t = np.arange(round(LETTER_S * SAMPLE_RATE)) / SAMPLE_RATE
            samples.append((9000 * np.sin(2 * np.pi * (300 + 120 * number) * t)).astype(np.int16))
            phones.append((1 + number, phones[-1][1] + len(t)))
        words.append((start, phones[-1][1]))
        samples.append(np.zeros(round(PAUSE_S * SAMPLE_RATE), np.int16))
        phones.append((SILENCE, phones[-1][1] + len(samples[-1])))
    return Speech(np.concatenate(samples), tuple(phones), tuple(words))


def sentences(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [
        " ".join(rng.choice(WORDS, int(rng.integers(2, 6)))).capitalize() + "."
        for _ in range(count)
    ]


@pytest.fixture(scope="session")
def tokenizer():
    return get_tokenizer(TINY)


@pytest.fixture(scope="session")
def speech_folder(tmp_path_factory):
    """Shards as `speech` writes them: 60 training utterances, 4 of each held-out set."""
    folder = tmp_path_factory.mktemp("speech")
    for seed, (name, count) in enumerate({"train": 60, "seen": 4, "unseen": 4}.items()):
        for number, start in enumerate(range(0, count, 30)):
            texts = sentences(count, seed)[start : start + 30]
            job = Job(folder / name, number, 0, (), ())
            voices = [Voice("tones", "abc"[i % 3], 1.0) for i in range(len(texts))]
            spoken = [
                (voice, Sentence(text, text, held_out=name != "train"), tones(text))
                for voice, text in zip(voices, texts, strict=True)
            ]
            write_shard(job, spoken)
    return folder


@pytest.fixture(scope="session")
def corpus(speech_folder):
    return Corpus(speech_folder / "train")
