"""The voices, and the synthesis of a sentence in any of them: 16 kHz samples with phone and word
times.

Owns the list of voices, their shares, and which one training never hears. In: text as it is spoken.
Out: `Speech`. Debian packages: flite, espeak-ng, festival, festlex-cmu, festlex-poslex,
festvox-us-slt-hts, festvox-kallpc16k, festvox-kdlpc16k, rhvoice-english and libttspico-utils;
README.md explains festvox-rablpc16k and festvox-don.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import soxr

from maxwhisper.network.dims import SAMPLE_RATE
from tools.train_demo import espeak
from tools.train_demo.phones import SILENCE, british_phone, espeak_phone, flite_phone
from tools.train_demo.warping import carried_over

Int16 = npt.NDArray[np.int16]
Result = TypeVar("Result")
PACKAGES = {
    "flite": "flite",
    "festival": "festival festlex-cmu festlex-poslex festvox-us-slt-hts festvox-kallpc16k"
    " festvox-kdlpc16k, and two more as tools/train_demo/README.md says",
    "RHVoice-test": "rhvoice rhvoice-english",
    "pico2wave": "libttspico-utils",
}
MAX_PHONE_S = 0.6  # longer phones mean that times transferred from another voice are wrong


@dataclass(frozen=True)
class Voice:
    """One voice. `share`: of all utterances, before normalisation. `name` is the program's own."""

    program: str  # "flite", "espeak", "festival", "rhvoice", "pico"
    name: str
    share: float

    @property
    def label(self) -> str:
        return f"{self.program} {self.name}"


@dataclass(frozen=True)
class Speech:
    """Synthesised speech. `phones` are (index, end sample) without gaps; `words` are (start, end)
    samples, one per spoken word, or empty if the synthesiser does not report them."""

    samples: Int16
    phones: tuple[tuple[int, int], ...]
    words: tuple[tuple[int, int], ...]


# espeak-ng-data/lang/gmw file -> share. Fewer accents are learnt sooner: with 208 formant voices, a
# network trained on two cores stayed at 62 % of phones after 26,000 utterances.
_ACCENTS = {"en-US": 0.06, "en": 0.03, "en-GB-x-rp": 0.01}
# Glottal sources and formants of different sex and age; without rough, robotic and joke variants.
_VARIANTS = ("", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+f1", "+f2", "+f3", "+f4", "+f5")

KAL, RAB, DON = (
    Voice("festival", f"{name}_diphone", share)
    for name, share in (("kal", 0.09), ("rab", 0.06), ("don", 0.04))
)
# Statistical voices sound most like people, and get most of the time. RHVoice's others are not free
# for any purpose.
SEEN: tuple[Voice, ...] = (
    Voice("flite", "slt", 0.14),
    Voice("flite", "rms", 0.14),
    Voice("flite", "awb", 0.13),
    Voice("flite", "kal16", 0.06),
    Voice("festival", "cmu_us_slt_arctic_hts", 0.06),
    KAL,
    RAB,
    DON,
    Voice("rhvoice", "bdl", 0.07),
    Voice("rhvoice", "clb", 0.06),
    Voice("rhvoice", "alan", 0.06),
    Voice("pico", "en-US", 0.04),
    Voice("pico", "en-GB", 0.03),
    *(
        Voice("espeak", f"gmw/{accent}{variant}", share / len(_VARIANTS))
        for accent, share in _ACCENTS.items()
        for variant in _VARIANTS
    ),
)
# Another speaker, recorded elsewhere, with another synthesiser's diphones; never trained on.
UNSEEN = Voice("festival", "ked_diphone", 0.5)
# And accents of espeak-ng, with glottal sources and formants, that no training used.
UNSEEN_VOICES: tuple[Voice, ...] = (
    UNSEEN,
    Voice("espeak", "gmw/en-GB-scotland+Annie", 0.25),
    Voice("espeak", "gmw/en-US-nyc+Michael", 0.25),
)

_BRITISH = (RAB, DON)  # in festival's British phones
_ANY_PITCH = (KAL, RAB, DON)  # the statistical one has its own

# flite's voice nearest in sex and accent to a voice that does not report its phone times.
_TIMED_BY = {"bdl": "rms", "clb": "slt", "alan": "awb", "en-US": "slt", "en-GB": "slt"}


def require_synthesisers() -> None:
    """Synthesise a word with every voice; exit with the packages to install if one fails.

    This runs before worker processes start: a worker that exited there would leave its parent
    waiting.
    """
    for voice in (*SEEN, *UNSEEN_VOICES):
        if speak(voice, ["Hello there."], random.Random(0)) == [None]:
            sys.exit(f"expected speech from {voice.label}, got none: is its Debian package whole?")


def speak(voice: Voice, texts: Sequence[str], rng: random.Random) -> list[Speech | None]:
    """Synthesise every text in one voice, at a random rate and pitch; None for a text without a
    usable result.

    Exits with the packages to install if the synthesiser is missing.
    """
    said: Sequence[Speech | None]
    if voice.program == "festival":
        said = _tried(partial(_festival, voice, texts, rng)) or [None] * len(texts)
    else:
        one = _PROGRAMS[voice.program]
        said = [_tried(partial(one, voice, text, rng)) for text in texts]
    return [
        speech if speech and _usable(speech, text) else None
        for speech, text in zip(said, texts, strict=True)
    ]


def _tried(synthesise: Callable[[], Result]) -> Result | None:
    """Run a program. If it fails on a sentence, only that sentence is lost (with festival its
    batch), not the run; `speech` counts and prints them."""
    try:
        return synthesise()
    except (subprocess.CalledProcessError, FileNotFoundError, wave.Error):
        return None


def _usable(speech: Speech, text: str) -> bool:
    """Return True if the speech is not silent, has some phone, and has a plausible speed."""
    seconds = len(speech.samples) / SAMPLE_RATE
    sounds = any(phone != SILENCE for phone, _ in speech.phones) and bool(np.any(speech.samples))
    return sounds and 0.03 * len(text) < seconds < 0.3 * len(text) + 2


def _run(*command: str, cwd: Path | None = None) -> str:
    if shutil.which(command[0]) is None:
        sys.exit(
            f"expected the program {command[0]}, found none: apt-get install {PACKAGES[command[0]]}"
        )
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd).stdout


def _read_wav(path: Path) -> Int16:
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return _at_16_khz(samples, file.getframerate())


def _at_16_khz(samples: Int16, rate: int) -> Int16:
    if rate == SAMPLE_RATE or not len(samples):
        return samples
    return np.asarray(soxr.resample(samples, rate, SAMPLE_RATE, quality="HQ"))


def _scratch() -> "tempfile.TemporaryDirectory[str]":
    """Return a folder in memory if there is one: 25 files per second and core would wear a disk."""
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK)
    return tempfile.TemporaryDirectory(dir=memory if usable else None)


def _flite(voice: Voice, text: str, rng: random.Random) -> Speech:
    """Synthesise with flite, which prints "phone:end_s" for each phone. rms ignores the pitch
    (measured)."""
    stretch, pitch = rng.uniform(0.8, 1.25), rng.uniform(85, 220)
    settings = ["--setf", f"duration_stretch={stretch:.3f}"]
    if rng.random() < 0.5:
        settings += ["--setf", f"int_f0_target_mean={pitch:.0f}"]
    with _scratch() as folder:
        path = Path(folder) / "said.wav"
        said = _run("flite", "-voice", voice.name, *settings, "-psdur", "-t", text, "-o", str(path))
        samples = _read_wav(path)
    timed = (item.rsplit(":", 1) for item in said.split())
    phones = tuple((flite_phone(name), round(float(end) * SAMPLE_RATE)) for name, end in timed)
    return Speech(samples, phones, ())


def _espeak(voice: Voice, text: str, rng: random.Random) -> Speech:
    said = espeak.speak(
        voice.name, text, rng.randint(130, 200), rng.randint(30, 70), rng.randint(35, 70)
    )
    scale = SAMPLE_RATE / said.rate
    samples = _at_16_khz(said.samples, said.rate)
    n = len(samples)
    starts = [(round(start * scale), espeak_phone(name)) for start, name in said.phones]
    spans: list[tuple[int, int]] = [(SILENCE, starts[0][0])] if starts else []
    for (_, phone), (end, _) in pairwise([*starts, (n, None)]):
        spans.append((spans[-1][0] if phone is None else phone, end))
    return Speech(samples, tuple(spans), _espeak_words(said, text, scale, n))


def _espeak_words(
    said: espeak.EspeakSpeech, text: str, scale: float, n: int
) -> tuple[tuple[int, int], ...]:
    """Convert word events to (start, end); empty unless there is exactly one per written word."""
    positions = [i for i, c in enumerate(text) if c != " " and (i == 0 or text[i - 1] == " ")]
    if [position for _, position in said.words] != positions:
        return ()
    pauses = [start for start, name in said.phones if name.startswith("_")]
    starts = [start for start, _ in said.words]
    bounds = []
    for start, following in pairwise([*starts, round(n / scale)]):
        end = next((pause for pause in pauses if start < pause < following), following)
        bounds.append((round(start * scale), round(end * scale)))
    return tuple(bounds)


def _rhvoice(voice: Voice, text: str, rng: random.Random) -> Speech | None:
    rate, pitch = rng.uniform(80, 120), rng.uniform(85, 115)  # per cent of the voice's own
    with _scratch() as folder:
        said, path = Path(folder) / "said.txt", Path(folder) / "said.wav"
        said.write_text(text)
        settings = ("-p", voice.name, "-r", f"{rate:.0f}", "-t", f"{pitch:.0f}")
        _run("RHVoice-test", *settings, "-i", str(said), "-o", str(path))
        samples = _read_wav(path)
    return _as_flite_times_it(voice, text, samples, rng)


def _pico(voice: Voice, text: str, rng: random.Random) -> Speech | None:
    speed, pitch = rng.uniform(80, 125), rng.uniform(80, 120)  # per cent of the voice's own
    with _scratch() as folder:
        path = Path(folder) / "said.wav"
        marked = f'<speed level="{speed:.0f}"><pitch level="{pitch:.0f}">{text}</pitch></speed>'
        _run("pico2wave", "-l", voice.name, "-w", str(path), marked)
        samples = _read_wav(path)
    return _as_flite_times_it(voice, text, samples, rng)


def _as_flite_times_it(
    voice: Voice, text: str, samples: Int16, rng: random.Random
) -> Speech | None:
    """Add the phones of a flite voice for the same text, at times transferred by warping."""
    model = _flite(Voice("flite", _TIMED_BY[voice.name], 1.0), text, rng)
    ends = carried_over([end for _, end in model.phones], model.samples, samples)
    phones = tuple((phone, end) for (phone, _), end in zip(model.phones, ends, strict=True))
    longest = max(
        (end - start for (_, start), (phone, end) in pairwise(((0, 0), *phones)) if phone),
        default=0,
    )
    return Speech(samples, phones, ()) if longest < MAX_PHONE_S * SAMPLE_RATE else None


_PROGRAMS: dict[str, Callable[[Voice, str, random.Random], Speech | None]] = {
    "flite": _flite,
    "espeak": _espeak,
    "rhvoice": _rhvoice,
    "pico": _pico,
}

_FESTIVAL = Path(__file__).with_name("festival.scm")


def _festival(voice: Voice, texts: Sequence[str], rng: random.Random) -> list[Speech]:
    """Synthesise all texts in one process, which takes half a second to start; diphones at any
    pitch."""
    lines = [_FESTIVAL.read_text(), f"(voice_{voice.name})"]
    for n, text in enumerate(texts):
        if voice in _ANY_PITCH:
            lines.append(f"(at_pitch {rng.uniform(80, 170):.0f})")
        lines.append(f'(say {n} "{text}" {rng.uniform(0.85, 1.25):.3f})')
    with _scratch() as name:
        folder = Path(name)
        (folder / "say.scm").write_text("\n".join(lines))
        _run("festival", "-b", "say.scm", cwd=folder)
        phone_of = british_phone if voice in _BRITISH else flite_phone
        return [_read_festival(folder, n, text, phone_of) for n, text in enumerate(texts)]


def _read_festival(folder: Path, n: int, text: str, phone_of: Callable[[str], int]) -> Speech:
    samples = _read_wav(folder / f"{n}.wav")
    segments, starts, ends = (
        line.split() for line in (folder / f"{n}.txt").read_text().split("\n")
    )
    phones = [
        (phone_of(name), round(float(end) * SAMPLE_RATE))
        for name, end in zip(segments[::2], segments[1::2], strict=True)
    ]
    words = tuple(
        (round(float(start) * SAMPLE_RATE), round(float(end) * SAMPLE_RATE))
        for start, end in zip(starts[1::2], ends[1::2], strict=True)
    )
    return Speech(samples, tuple(phones), words if len(words) == len(text.split()) else ())
