"""Synthesise the example clips: `python examples/make_clips.py` rewrites examples/clips.

Owns their texts, voices and sounds. In: the programs flite and espeak-ng (Debian packages of those
names) and talk.txt. Out: 16 kHz mono 16-bit flac files, and clips.json with the transcript, times
and checksum of each clip. The result is reproducible: the only random part is seeded noise.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cache
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soxr

Samples = npt.NDArray[np.float32]  # (n,) mono at RATE

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "clips"
RATE = 16_000  # Hz
TALK_SAMPLES = 2_584_000  # 161.5 s: the length of the standard benchmark clip
PAUSE_S = 0.35  # between sentences, in addition to the 0.25 s of silence that the voices add
PEAK = 0.2  # -14 dBFS: each bit less saves 2 kB of flac a second, and speech stays far above noise
SNR_DB = 10.0
LICENCE = "Apache-2.0, synthesised by this project"


@dataclass(frozen=True)
class Timed:
    """A text with its start and end in seconds from the start of the clip."""

    text: str
    start: float
    end: float

    def shifted(self, seconds: float) -> "Timed":
        return Timed(self.text, self.start + seconds, self.end + seconds)


@dataclass
class Speech:
    """Samples with the times of their sentences and words; espeak-ng reports no word times."""

    samples: Samples
    utterances: list[Timed] = field(default_factory=list)
    words: list[Timed] = field(default_factory=list)


def run(*command: str) -> str:
    """Return the standard output of a synthesiser. Exits with a message if it is not installed."""
    if shutil.which(command[0]) is None:
        sys.exit(f"expected the program {command[0]}, found none: apt-get install espeak-ng flite")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def read_wav(path: Path) -> Samples:
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / np.float32(32768)
        return soxr.resample(samples, file.getframerate(), RATE, quality="HQ")


def say(voice: str, text: str, stretch: float = 1.0) -> Speech:
    """Synthesise one sentence with espeak-ng if `voice` contains "-" (as "en-us"), else flite."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        if "-" in voice:
            run("espeak-ng", "-v", voice, "-s", "155", "-w", str(path), text)
            phones = []
        else:
            slowed = ("--setf", f"duration_stretch={stretch}")
            spoken = run("flite", "-voice", voice, *slowed, "-psdur", "-t", text, "-o", str(path))
            phones = timed_phones(spoken)
        samples = read_wav(path)
    words = word_times(voice, text, phones) if phones else []
    return Speech(samples, [Timed(text, 0.0, len(samples) / RATE)], words)


def timed_phones(spoken: str) -> list[Timed]:
    """Parse flite's "phone:end_s" list into timed phones, without its pauses ("pau")."""
    ends = [(phone, float(end)) for phone, end in (item.split(":") for item in spoken.split())]
    spans = pairwise([("", 0.0), *ends])
    return [Timed(phone, start, end) for (_, start), (phone, end) in spans if phone != "pau"]


@cache
def phones_of_word(voice: str, word: str) -> tuple[str, ...]:
    spoken = run("flite", "-voice", voice, "-psdur", "-t", word, "-o", "none")
    return tuple(phone.text for phone in timed_phones(spoken))


def word_times(voice: str, text: str, phones: list[Timed]) -> list[Timed]:
    """Derive the times of the words of a sentence from the times of its phones.

    flite does not report where words begin, and pronounces some differently alone ("the", "a").
    Therefore the phones of the isolated words are aligned with those of the sentence.
    """
    words = text.split()
    alone = [phones_of_word(voice, word) for word in words]
    expected = [phone for word in alone for phone in word]
    edits = SequenceMatcher(
        None, expected, [phone.text for phone in phones], autojunk=False
    ).get_opcodes()

    def spoken_index(index: int) -> int:
        """Return the position of the boundary before expected[index] among the spoken phones."""
        _, a, _, b, b_end = next(edit for edit in edits if index < edit[2])
        return min(b + index - a, b_end)

    starts = np.cumsum([0] + [len(word) for word in alone])[:-1]
    bounds = [*(spoken_index(int(start)) for start in starts), len(phones)]
    if any(first >= then for first, then in pairwise(bounds)):
        sys.exit(f"expected a phone for every word of {text!r}, got {bounds}: reword it")
    return [
        Timed(word, phones[first].start, phones[then - 1].end)
        for word, (first, then) in zip(words, pairwise(bounds), strict=True)
    ]


def join(parts: list[Speech], pause_s: float, n_samples: int | None = None) -> Speech:
    """Concatenate parts with a pause after each, padded with silence to `n_samples`."""
    pause = np.zeros(round(pause_s * RATE), np.float32)
    whole = Speech(np.zeros(0, np.float32))
    chunks: list[Samples] = []
    at = 0
    for part in parts:
        whole.utterances += [timed.shifted(at / RATE) for timed in part.utterances]
        whole.words += [timed.shifted(at / RATE) for timed in part.words]
        chunks += [part.samples, pause]
        at += len(part.samples) + len(pause)
    chunks.append(np.zeros(max(0, (n_samples or 0) - at), np.float32))
    whole.samples = np.concatenate(chunks)[:n_samples]
    return whole


def conversation(lines: list[tuple[str, str]]) -> Speech:
    return join([say(voice, text) for voice, text in lines], PAUSE_S)


def with_noise(speech: Speech) -> Speech:
    """Add low-pass noise, like wind or traffic, at SNR_DB below the speech."""
    white = np.random.default_rng(2026).normal(size=len(speech.samples))
    noise = np.convolve(white, np.exp(-np.arange(64) / 4), mode="same")  # 3 dB at about 640 Hz
    power = np.mean(speech.samples**2) / np.mean(noise**2) / 10 ** (SNR_DB / 10)
    noisy = (speech.samples + np.sqrt(power) * noise).astype(np.float32)
    return Speech(noisy, speech.utterances, speech.words)


def plain() -> Speech:
    lines = [
        ("rms", "The kettle was already singing when she opened the kitchen door."),
        ("rms", "Outside, the first snow of the year lay quietly on the garden wall."),
    ]
    return conversation(lines)


def numbers() -> Speech:
    lines = [
        ("en-us", "Please write down these numbers."),
        ("en-us", "Four, nineteen, seventy three, two hundred and six."),
        ("en-us", "The train leaves at a quarter past eight, from platform eleven."),
    ]
    return conversation(lines)


def noisy() -> Speech:
    lines = [
        ("slt", "Turn left after the bridge, and follow the river for two miles."),
        ("slt", "The boat house has a red roof."),
    ]
    return with_noise(conversation(lines))


def two_voices() -> Speech:
    lines = [
        ("slt", "Did you remember to bring the tickets for the concert?"),
        ("awb", "Of course. They are in the pocket of my old brown coat."),
        ("slt", "The one that you left on the train this morning?"),
        ("awb", "Then we had better find a telephone."),
    ]
    return conversation(lines)


def silence() -> Speech:
    return Speech(np.zeros(5 * RATE, np.float32))


def tones() -> Speech:
    """Sixteen plucked notes of half a second each: music without words."""
    scale = [261.63, 293.66, 329.63, 392.00, 440.00, 523.25]  # Hz, pentatonic from c'
    melody = [0, 2, 3, 4, 3, 2, 0, 1, 2, 4, 5, 4, 3, 1, 2, 0]
    t = np.arange(RATE // 2) / RATE
    partials = ((1, 1.0), (2, 0.4), (3, 0.2))
    notes = [
        sum(level * np.sin(2 * np.pi * scale[note] * n * t) for n, level in partials)
        * np.exp(-4 * t)
        * np.minimum(1, t / 0.01)  # 10 ms attack: no click
        for note in melody
    ]
    return Speech(np.concatenate(notes).astype(np.float32))


def talk() -> Speech:
    """The benchmark clip: talk.txt in one voice, with pauses that make it 161.5 s long."""
    sentences = [line for line in (HERE / "talk.txt").read_text().splitlines() if line]
    parts = [say("slt", sentence, stretch=1.1) for sentence in sentences]
    silent = TALK_SAMPLES - sum(len(part.samples) for part in parts)
    pause_s = silent // len(parts) / RATE
    if not 0.2 <= pause_s <= 1.2:
        sys.exit(f"expected pauses of 0.2 to 1.2 s, got {pause_s:.2f}: change the text's length")
    return join(parts, pause_s, TALK_SAMPLES)


def write_flac(path: Path, samples: Samples) -> None:
    """Write samples as 16-bit flac with the common peak level."""
    loudest = float(np.abs(samples).max())
    pcm = np.round(samples * (PEAK / loudest if loudest else 0) * 32767).astype(np.int16)
    with av.open(str(path), "w", format="flac") as out:
        stream = out.add_stream("flac", rate=RATE, options={"compression_level": "12"})
        stream.layout, stream.format = "mono", "s16"
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        out.mux([*stream.encode(frame), *stream.encode(None)])


def rounded(timed: list[Timed], key: str) -> list[dict[str, str | float]]:
    return [
        {key: one.text, "start": round(one.start, 3), "end": round(one.end, 3)} for one in timed
    ]


@dataclass(frozen=True)
class Clip:
    name: str
    title: str
    description: str
    voice: str
    make: Callable[[], Speech]


CLIPS = (
    Clip("plain", "Plain speech", "Two sentences, one voice.", "flite rms", plain),
    Clip("numbers", "Numbers", "Numbers, a time, a platform.", "espeak-ng en-us", numbers),
    Clip("noisy", "Noisy speech", f"Noise {SNR_DB:g} dB below the voice.", "flite slt", noisy),
    Clip("two_voices", "Two voices", "Two people taking turns.", "flite slt and awb", two_voices),
    Clip("silence", "Silence", "No sound: the right transcript is empty.", "", silence),
    Clip("tones", "Tones", "A plucked melody: the right transcript is empty.", "", tones),
    Clip("talk", "Talk", "The 2:42 talk used in the benchmarks.", "flite slt", talk),
)


def record(clip: Clip, path: Path, speech: Speech) -> dict[str, object]:
    """Return the clip's entry in clips.json; examples/README.md describes its keys."""
    return {
        "file": path.name,
        "title": clip.title,
        "description": clip.description,
        "duration_s": len(speech.samples) / RATE,
        "sample_rate": RATE,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "text": " ".join(utterance.text for utterance in speech.utterances),
        "voice": clip.voice,
        "utterances": rounded(speech.utterances, "text"),
        "words": rounded(speech.words, "word"),
        "licence": LICENCE,
    }


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    records = []
    for clip in CLIPS:
        path = FOLDER / f"{clip.name}.flac"
        speech = clip.make()
        write_flac(path, speech.samples)
        records.append(record(clip, path, speech))
        print(f"{path.name:18} {len(speech.samples) / RATE:7.2f} s {path.stat().st_size:9} bytes")
    (FOLDER / "clips.json").write_text(json.dumps(records, indent=1) + "\n")


if __name__ == "__main__":
    main()
