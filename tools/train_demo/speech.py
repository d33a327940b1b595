"""Synthesise the speech: shards of utterances on disk, on all cores, resumable.

In: sentences of `text`, voices of `voices`. Out: for each shard `00012.npy`, all samples
concatenated, and `00012.json`, which is written last, so a shard with both files is complete. The
content, speed and pitch of a shard depend only on the seed and its number; espeak-ng's samples also
depend a little on its earlier sentences. `corpus` reads the shards. The sets:

* train: training sentences, seen voices;
* seen: the held-out sentences in seen voices; unseen: the same in the voice that is never trained
on;
* validation_seen, test_seen: the sentences of `everyday` in seen voices; validation_unseen,
test_unseen: the same in voices that are never trained on.

`python -m tools.train_demo.speech sentences.jsonl speech --hours 200`
"""

import argparse
import json
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np

from maxwhisper.network.dims import SAMPLE_RATE
from tools.train_demo import everyday
from tools.train_demo.text import Sentence, read
from tools.train_demo.voices import (
    SEEN,
    UNSEEN,
    UNSEEN_VOICES,
    Speech,
    Voice,
    require_synthesisers,
    speak,
)

SHARD_UTTERANCES = 250  # an interruption loses at most a minute
MEAN_UTTERANCE_S = 3.0  # of 1,750 utterances; turns hours into shards


@dataclass(frozen=True)
class Job:
    """One shard to make."""

    folder: Path
    number: int
    seed: int
    sentences: tuple[Sentence, ...]
    voices: tuple[Voice, ...]

    @property
    def paths(self) -> tuple[Path, Path]:
        name = f"{self.number:05d}"
        return self.folder / f"{name}.npy", self.folder / f"{name}.json"

    @property
    def is_done(self) -> bool:
        return all(path.is_file() for path in self.paths)


def plan(sentences: Sequence[Sentence], folder: Path, n_train: int, seed: int) -> list[Job]:
    """Return the sets for evaluation first, then `n_train` training shards, which cycle through the
    sentences."""
    held_out = [sentence for sentence in sentences if sentence.held_out]
    sets = [("seen", held_out, SEEN), ("unseen", held_out, (UNSEEN,))]
    for name in everyday.NAMES:
        written = [Sentence(text, text, held_out=True) for text in everyday.read(name)]
        sets += [(f"{name}_seen", written, SEEN), (f"{name}_unseen", written, UNSEEN_VOICES)]
    train = [sentence for sentence in sentences if not sentence.held_out]
    random.Random(seed).shuffle(train)
    jobs: list[Job] = []
    for name, spoken, voices in sets:
        for number, start in enumerate(range(0, len(spoken), SHARD_UTTERANCES)):
            chosen = tuple(spoken[start : start + SHARD_UTTERANCES])
            jobs.append(Job(folder / name, number, seed, chosen, voices))
    for number in range(n_train):
        first = number * SHARD_UTTERANCES
        chosen = tuple(train[(first + i) % len(train)] for i in range(SHARD_UTTERANCES))
        jobs.append(Job(folder / "train", number, seed, chosen, SEEN))
    return jobs


def make(job: Job) -> tuple[float, int]:
    """Synthesise and write one shard. Returns the hours of speech in it, and the failed
    sentences."""
    rng = random.Random(f"{job.seed} {job.folder.name} {job.number}")
    chosen = rng.choices(job.voices, [voice.share for voice in job.voices], k=len(job.sentences))
    of_voice: dict[Voice, list[Sentence]] = defaultdict(list)
    for voice, sentence in zip(chosen, job.sentences, strict=True):
        of_voice[voice].append(sentence)
    spoken: list[tuple[Voice, Sentence, Speech]] = []
    for voice, sentences in of_voice.items():
        said = speak(voice, [sentence.spoken for sentence in sentences], rng)
        spoken += [(voice, s, speech) for s, speech in zip(sentences, said, strict=True) if speech]
    return write_shard(job, spoken), len(job.sentences) - len(spoken)


def write_shard(job: Job, spoken: Sequence[tuple[Voice, Sentence, Speech]]) -> float:
    """Write samples first and labels last, each atomically. Returns the hours of speech."""
    samples = np.concatenate([speech.samples for _, _, speech in spoken])
    entries: list[dict[str, Any]] = [
        {
            "text": sentence.text,
            "voice": voice.label,
            "n_samples": len(speech.samples),
            "phones": [phone for phone, _ in speech.phones],
            "phone_ends": [end for _, end in speech.phones],
            # Times belong to spoken words; they are used if those equal the written ones.
            "words": speech.words if sentence.text == sentence.spoken else (),
        }
        for voice, sentence, speech in spoken
    ]
    audio, labels = job.paths
    job.folder.mkdir(parents=True, exist_ok=True)
    partial = audio.with_suffix(".partial")
    with partial.open("wb") as out:
        np.save(out, samples)
    os.replace(partial, audio)
    partial.write_text(json.dumps(entries, separators=(",", ":")))
    os.replace(partial, labels)
    return len(samples) / SAMPLE_RATE / 3600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sentences", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hours", type=float, default=30.0, help="of training speech, about")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after as many")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    n_train = max(1, round(options.hours * 3600 / MEAN_UTTERANCE_S / SHARD_UTTERANCES))
    jobs = plan(read(options.sentences), options.folder, n_train, options.seed)
    missing = [job for job in jobs if not job.is_done]
    print(f"{len(jobs) - len(missing)} of {len(jobs)} shards are there", file=sys.stderr)
    require_synthesisers()
    started, hours, lost = time.monotonic(), 0.0, 0
    with Pool(options.workers) as pool:
        for count, (made, unusable) in enumerate(pool.imap_unordered(make, missing), 1):
            hours, lost = hours + made, lost + unusable
            elapsed_s = time.monotonic() - started
            print(
                f"{count}/{len(missing)} shards, {hours:.2f} h of speech in {elapsed_s:.0f} s, "
                f"{lost} sentences unusable",
                flush=True,
            )
            if elapsed_s > 60 * options.minutes:
                break  # leaving the block ends the workers; incomplete shards have no .json


if __name__ == "__main__":
    main()
