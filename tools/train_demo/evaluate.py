"""What the exported network can do, measured through the engines themselves.

In: a folder of `export`, the held-out speech, the example clips, and real recordings where they are
at hand. Out: one JSON record: word error rates by set, voice and engine, segment times, no-speech
probabilities, and where the engines' texts differ. Every goal that is missed is in it with its
figure; `card` prints it.

`python -m tools.train_demo.evaluate maxwhisper/assets/demo speech --recordings ../shared/audio`
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maxwhisper import audio, machine, scoring
from maxwhisper import checkpoint as checkpoints
from maxwhisper.checkpoint.convert import write_json
from maxwhisper.dims import N_SAMPLES, SAMPLE_RATE
from maxwhisper.engine import ENGINES, Engine, Waveform, load_engine
from maxwhisper.options import TranscribeOptions
from maxwhisper.transcript import Transcript
from tools.train_demo import augment
from tools.train_demo.corpus import Corpus
from tools.train_demo.placing import as_float, place

RECORD = "evaluation.json"
CLIPS = Path("examples/clips")
NOISY_SNR_DB = 10.0
SEGMENT_TOLERANCE_S = 0.2
REAL = ("core", "harvard", "librispeech", "librivox", "ljspeech")  # read speech, English
N_SILENT = 40  # windows of noise and silence
_EVERY_SEGMENT = TranscribeOptions(language="en", no_speech_threshold=None)


@dataclass(frozen=True)
class Item:
    """One recording. `reference` "" is no speech. `segments` are (start, end) s, where known."""

    group: str
    name: str
    waveform: Waveform
    reference: str
    segments: tuple[tuple[float, float], ...] = ()


def held_out(folder: Path, limit: int) -> Iterator[Item]:
    """Sentences of seen voices, clean and at 10 dB, and of the unseen voice."""
    for name in ("seen", "unseen"):
        corpus = Corpus(folder / name)
        for index in range(min(limit, len(corpus))):
            utterance = corpus[index]
            placed = place(utterance, 0, 1.0)
            times = (placed.speech_start / SAMPLE_RATE, placed.speech_end / SAMPLE_RATE)
            label, samples = f"{utterance.voice}: {index}", as_float(utterance.samples)
            yield Item(name, label, samples, utterance.text, (times,))
            if name == "seen":
                sound = augment.coloured_noise(len(samples), np.random.default_rng(index))
                noisy = augment.add_noise(samples, sound, NOISY_SNR_DB)
                yield Item("noisy", label, noisy, utterance.text, (times,))


def clips(folder: Path = CLIPS) -> Iterator[Item]:
    """The project's own clips; "talk" is the long one."""
    for entry in json.loads((folder / "clips.json").read_text()):
        waveform = audio.decode(folder / entry["file"])
        group = "talk" if entry["file"].startswith("talk") else "clips"
        yield Item(group, entry["file"], waveform, entry["text"])


def silences(count: int = N_SILENT) -> Iterator[Item]:
    """Seeded windows of 30 s without speech: zeros, hiss, hum, knocks, music."""
    for index in range(count):
        rng = np.random.default_rng(10_000 + index)
        sound = np.zeros(N_SAMPLES, np.float32)
        if index % 5:
            level = 10 ** rng.uniform(-3, -0.3)
            sound = augment.at_level(augment.NOISES[index % 4](N_SAMPLES, rng), level)
        yield Item("no speech", str(index), sound, "")


def real_recordings(folder: Path, longest_s: float) -> Iterator[Item]:
    """Recordings of people in `REAL` folders of an index.json, up to `longest_s`, as they are."""
    for entry in json.loads((folder / "index.json").read_text()):
        file = entry["file"]
        group = file.split("/")[0]
        is_usable = entry["reference"] and not file.endswith(".npy")
        if group in REAL and is_usable and entry["duration_s"] <= longest_s:
            yield Item(f"real: {group}", file, audio.decode(folder / file), entry["reference"])


@dataclass(frozen=True)
class Heard:
    """An item with what an engine made of it."""

    item: Item
    transcript: Transcript
    errors: scoring.WordErrors

    @property
    def wrong_words(self) -> int:
        return self.errors.substitutions + self.errors.deletions + self.errors.insertions

    @property
    def no_speech_prob(self) -> float | None:
        """That of the first window; None where the engine reports no segment."""
        segments = self.transcript.segments
        return segments[0].no_speech_prob if segments else None


def hear(engine: Engine, items: Iterable[Item]) -> list[Heard]:
    heard = []
    for item in items:
        transcript = engine.transcribe(item.waveform, _EVERY_SEGMENT)
        errors = scoring.word_error_rate(item.reference, transcript.text)
        heard.append(Heard(item, transcript, errors))
    return heard


def summarise(heard: Sequence[Heard]) -> dict[str, Any]:
    """Figures of one group: WER over all words together, times, no-speech."""
    n_words = sum(one.errors.n_words for one in heard)
    probabilities = [one.no_speech_prob for one in heard if one.no_speech_prob is not None]
    figures: dict[str, Any] = {
        "items": len(heard),
        "words": n_words,
        "wer": round(sum(one.wrong_words for one in heard) / n_words, 4) if n_words else None,
        "words_in_no_speech": None if n_words else sum(one.errors.insertions for one in heard),
        "no_speech_prob_above_0.6": _share(p > 0.6 for p in probabilities),
        "no_speech_prob_below_0.3": _share(p < 0.3 for p in probabilities),
    }
    if any(one.item.segments for one in heard):
        figures["segments_within_0.2_s"] = _share(_times_are_right(one) for one in heard)
    return figures


def _share(values: Iterable[bool]) -> float | None:
    found = list(values)
    return round(sum(found) / len(found), 4) if found else None


def _times_are_right(heard: Heard) -> bool:
    """First start and last end of the transcript, both within the tolerance of the speech's."""
    segments, truth = heard.transcript.segments, heard.item.segments
    if not segments:
        return False
    off_s = max(abs(segments[0].start - truth[0][0]), abs(segments[-1].end - truth[-1][1]))
    return off_s <= SEGMENT_TOLERANCE_S


def by_group(heard: Sequence[Heard]) -> dict[str, dict[str, Any]]:
    groups = list(dict.fromkeys(one.item.group for one in heard))
    figures = {g: summarise([one for one in heard if one.item.group == g]) for g in groups}
    for program in ("flite", "espeak", "festival"):
        chosen = [h for h in heard if h.item.group == "seen" and h.item.name.startswith(program)]
        if chosen:
            figures[f"seen: {program}"] = summarise(chosen)
    return figures


def differences(heard: dict[str, list[Heard]]) -> list[dict[str, str]]:
    """Items whose texts are not the same in all engines, with every engine's text."""
    found = []
    for row in zip(*heard.values(), strict=True):
        texts = {name: one.transcript.text for name, one in zip(heard, row, strict=True)}
        if len(set(texts.values())) > 1:
            found.append({"item": f"{row[0].item.group}: {row[0].item.name}", **texts})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="a Hugging Face folder, as `export` writes")
    parser.add_argument("speech", type=Path)
    parser.add_argument("--recordings", type=Path, help="folder of real recordings with index.json")
    parser.add_argument("--longest-s", type=float, default=120.0, help="of a real recording")
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--limit", type=int, default=500, help="sentences of each held-out set")
    options = parser.parse_args()

    items = [*held_out(options.speech, options.limit), *clips(), *silences()]
    if options.recordings:
        items += real_recordings(options.recordings, options.longest_s)
    checkpoint = checkpoints.load(options.folder)
    heard = {}
    for name in options.engines:
        engine = load_engine(name, checkpoint, progress=print)
        heard[name] = hear(engine, items)
        print(name, json.dumps(by_group(heard[name]), indent=1))
    record = {
        "checkpoint": checkpoint.digest,
        "machine": machine.describe(),
        "engines": {name: by_group(results) for name, results in heard.items()},
        "items": len(items),
        "texts_that_differ": differences(heard),
    }
    write_json(options.folder / RECORD, record)


if __name__ == "__main__":
    main()
