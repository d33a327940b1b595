"""Evaluate the exported network with the engines themselves.

In: a folder of `export`, the speech that was never trained on, the example clips, and real
recordings if available. Out: evaluation.json beside the weights: what each set is, word error rates
by set, voice and engine, segment times, no-speech probabilities, every goal with its verdict, and
where the engines' texts differ. `card` prints it, and `maxwhisper.checkpoint.bundled` quotes it.

`python -m tools.train_demo.evaluate maxwhisper/assets/demo speech --recordings ../shared/audio`
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maxwhisper import checkpoint as checkpoints
from maxwhisper import machine
from maxwhisper.checkpoint.bundled import EVALUATION
from maxwhisper.checkpoint.convert import write_json
from maxwhisper.engine import ENGINES, Engine, load_engine
from maxwhisper.text import wer as scoring
from maxwhisper.transcript import Transcript
from tools.train_demo import goals
from tools.train_demo.material import (
    SETS,
    Item,
    clips,
    everyday_sentences,
    held_out,
    real_recordings,
    silences,
    windows,
)
from tools.train_demo.record import Evaluation

SEGMENT_TOLERANCE_S = 0.2
PROGRAMS = ("flite", "espeak", "festival", "rhvoice", "pico")
# Description for people -> the group with its word error rate.
PLACES = {
    "on everyday sentences in voices of its training": "test seen",
    "on everyday sentences in other synthetic voices": "test unseen",
    "on people reading": "real",
    "on sentences of the grammars it was trained on": "grammar seen",
}
BY_PROGRAM = ("test seen", "test unseen", "grammar seen")  # with figures for each synthesiser


@dataclass(frozen=True)
class Heard:
    """An item with an engine's transcript."""

    item: Item
    transcript: Transcript
    errors: scoring.WordErrors

    @property
    def wrong_words(self) -> int:
        return self.errors.substitutions + self.errors.deletions + self.errors.insertions

    @property
    def no_speech_prob(self) -> float | None:
        """The probability of the first window, or None if the engine reports no segment."""
        segments = self.transcript.segments
        return segments[0].no_speech_prob if segments else None

    @property
    def right_times(self) -> int:
        """Count the true segments for which the transcript has a segment whose start and end are
        within the tolerance."""
        found = [(segment.start, segment.end) for segment in self.transcript.segments]
        return sum(
            any(
                max(abs(start - found_start), abs(end - found_end)) <= SEGMENT_TOLERANCE_S
                for found_start, found_end in found
            )
            for start, end in self.item.segments
        )


def hear(engine: Engine, items: Sequence[Item]) -> list[Heard]:
    """Transcribe every item with one engine and print the progress."""
    heard = []
    for count, item in enumerate(items, 1):
        transcript = engine.transcribe(item.waveform, item.options)
        errors = scoring.word_error_rate(item.reference, transcript.text)
        heard.append(Heard(item, transcript, errors))
        if count % 50 == 0 or count == len(items):
            print(f"{engine.info.name}: {count} of {len(items)} recordings", flush=True)
    return heard


def summarise(heard: Sequence[Heard]) -> dict[str, Any]:
    """Return the figures that a group provides: WER over all words, words in recordings without
    speech, segment times, no-speech probabilities."""
    n_words = sum(one.errors.n_words for one in heard)
    figures: dict[str, Any] = {"items": len(heard), "words": n_words}
    if n_words:
        figures["wer"] = round(sum(one.wrong_words for one in heard) / n_words, 4)
    else:
        figures["words_in_no_speech"] = sum(one.errors.insertions for one in heard)
    if n_segments := sum(len(one.item.segments) for one in heard):
        right = sum(one.right_times for one in heard)
        figures["segments_within_0.2_s"] = round(right / n_segments, 4)
    probabilities = [one.no_speech_prob for one in heard if one.no_speech_prob is not None]
    if len(probabilities) == len(heard):  # faster-whisper omits segments without text
        above, below = (p > 0.6 for p in probabilities), (p < 0.3 for p in probabilities)
        figures["no_speech_prob_above_0.6"] = round(sum(above) / len(heard), 4)
        figures["no_speech_prob_below_0.3"] = round(sum(below) / len(heard), 4)
    return figures


def by_group(heard: Sequence[Heard]) -> dict[str, dict[str, Any]]:
    """Return the figures of every group, of all real recordings together, and of the voices of each
    synthesiser."""
    groups: dict[str, list[Heard]] = {}
    for one in heard:
        names = [one.item.group]
        if one.item.group.startswith("real: "):
            names.append("real")
        if one.item.group in BY_PROGRAM:
            programs = (p for p in PROGRAMS if one.item.name.startswith(p))
            names += [f"{one.item.group}: {program}" for program in programs]
        for name in names:
            groups.setdefault(name, []).append(one)
    return {name: summarise(chosen) for name, chosen in groups.items()}


def differences(heard: Mapping[str, Sequence[Heard]]) -> list[dict[str, Any]]:
    """Return the items whose texts differ between engines: every text, whether the words are still
    the same, and the start in seconds of the first segment that differs."""
    found = []
    for row in zip(*heard.values(), strict=True):
        texts = {name: one.transcript.text for name, one in zip(heard, row, strict=True)}
        if len(set(texts.values())) > 1:
            found.append(
                {
                    "group": row[0].item.group,
                    "item": row[0].item.name,
                    "same_words": len(set(map(scoring.normalize, texts.values()))) == 1,
                    "from_s": _first_difference_s([one.transcript for one in row]),
                    "texts": texts,
                }
            )
    return found


def _first_difference_s(transcripts: Sequence[Transcript]) -> float | None:
    """Return the start of the first different segment, or None if one text is a prefix of the
    other."""
    spoken = [[s for s in t.segments if s.text.strip()] for t in transcripts]
    for segments in zip(*spoken, strict=False):
        if len({segment.text for segment in segments}) > 1:
            return min(segment.start for segment in segments)
    return None


def record_of(checkpoint_digest: str, heard: Mapping[str, Sequence[Heard]]) -> Evaluation:
    """Return everything that `card` prints, ready for JSON."""
    engines = {name: by_group(results) for name, results in heard.items()}
    quoted = engines.get("maxwhisper") or next(iter(engines.values()))
    rates = {place: quoted.get(group, {}).get("wer") for place, group in PLACES.items()}
    differing = differences(heard)
    counts = [one.item.group for one in next(iter(heard.values()))]
    document = {
        "checkpoint": checkpoint_digest,
        "machine": machine.describe(),
        "sets": {name: what for name, what in SETS.items() if name in quoted},
        "word_error_rates": {place: wer for place, wer in rates.items() if wer is not None},
        "goals": goals.judge(engines),
        "engines": engines,
        "agreement": {
            group: {
                "items": counts.count(group),
                "differ": sum(entry["group"] == group for entry in differing),
            }
            for group in dict.fromkeys(counts)
        },
        "differences": differing,
    }
    return Evaluation.from_dict(document)


def _items(options: argparse.Namespace) -> Iterable[Item]:
    if options.validation:
        yield from everyday_sentences(options.speech, "validation")
        return
    for name, noisy in (("validation", 0), ("test", options.limit)):
        yield from everyday_sentences(options.speech, name, noisy)
    yield from clips()
    yield from silences(options.limit)
    yield from windows(options.speech, options.limit)
    if options.recordings:
        yield from real_recordings(options.recordings, options.longest_s, options.limit)
    yield from held_out(options.speech, options.limit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="a Hugging Face folder, as `export` writes")
    parser.add_argument("speech", type=Path)
    parser.add_argument("--recordings", type=Path, help="folder of real recordings with index.json")
    parser.add_argument("--longest-s", type=float, default=120.0, help="of a real recording")
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--limit", type=int, default=500, help="recordings of each set, at most")
    parser.add_argument(
        "--validation",
        action="store_true",
        help="print the error rates of the set that chooses between weights; write nothing",
    )
    options = parser.parse_args()

    checkpoint = checkpoints.load(options.folder)
    items = list(_items(options))
    heard = {
        name: hear(load_engine(name, checkpoint, progress=print), items) for name in options.engines
    }
    record = record_of(checkpoint.digest, heard)
    if options.validation:
        print_rates(record)
        return
    write_json(options.folder / EVALUATION, record.to_dict())
    for row in record.goals:
        verdict = {True: "met", False: "missed", None: "not measured"}[row.met]
        print(f"{row.engine:15} {row.group:10} {row.figure:25}", end=" ")
        print(f"{row.value} (goal {row.goal}): {verdict}")


def print_rates(record: Evaluation) -> None:
    for name, groups in record.engines.items():
        for group, figures in groups.items():
            print(f"{name:15} {group:20} {100 * figures['wer']:.1f} % of {figures['words']} words")


if __name__ == "__main__":
    main()
