"""The installed synthesisers: usable speech, phones in order, words in place."""

import ctypes.util
import random
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from maxwhisper.network.dims import SAMPLE_RATE
from tools.train_demo import voices
from tools.train_demo.phones import PHONES, SILENCE, UNLABELLED, espeak_phone, flite_phone
from tools.train_demo.speech import plan
from tools.train_demo.text import Sentence

TEXT = "The dog ran down to the river."
ESPEAK = next(v for v in voices.SEEN if v.name == "gmw/en-US")
RHVOICE, PICO = (next(v for v in voices.SEEN if v.program == name) for name in ("rhvoice", "pico"))
COMMANDS = {"rhvoice": ("RHVoice-test", "flite"), "pico": ("pico2wave", "flite")}


def installed(voice):
    if voice in voices._BRITISH:  # these need more than `apt-get install`
        return any(Path("/usr/share/festival/voices").glob(f"*/{voice.name}"))
    if voice.program == "espeak":
        return ctypes.util.find_library("espeak-ng") is not None
    return all(shutil.which(name) for name in COMMANDS.get(voice.program, (voice.program,)))


@pytest.mark.parametrize(
    "voice",
    [voices.SEEN[0], ESPEAK, RHVOICE, PICO, voices.RAB, voices.DON, *voices.UNSEEN_VOICES],
    ids=lambda v: v.label,
)
def test_a_voice_speaks(voice):
    if not installed(voice):
        pytest.skip(f"{voice.program} is not installed: apt-get install {voice.program}")
    speech, again = (voices.speak(voice, [TEXT], random.Random(3))[0] for _ in range(2))
    if voice.program != "espeak":  # its sentences depend on earlier ones
        np.testing.assert_array_equal(speech.samples, again.samples)
    assert 1 < len(speech.samples) / SAMPLE_RATE < 5
    ends = [end for _, end in speech.phones]
    assert ends == sorted(ends)
    assert ends[-1] <= len(speech.samples) * 1.02
    said = [PHONES[phone] for phone, _ in speech.phones if phone not in (SILENCE, UNLABELLED)]
    assert said[:5] in (["dh", "ax", "d", "ao", "g"], ["dh", "ax", "d", "aa", "g"])
    if voice.program in ("espeak", "festival"):
        assert len(speech.words) == len(TEXT.split())
        assert all(0 <= start < end <= len(speech.samples) for start, end in speech.words)


@pytest.mark.parametrize("voice", [voices.RAB, voices.DON], ids=lambda v: v.label)
def test_british_voices_say_no_r_before_a_consonant_and_need_no_lexicon_of_their_own(voice):
    if not installed(voice):
        pytest.skip(f"{voice.name} is not installed: see tools/train_demo/README.md")
    (speech,) = voices.speak(voice, ["Three dark rivers are here."], random.Random(3))
    said = [PHONES[phone] for phone, _ in speech.phones if phone != SILENCE]
    expected = "th r iy d aa k r ih v ax z aa hh ih"
    assert " ".join(said).replace("er", "ax") == expected


def test_a_voice_of_any_pitch_is_not_the_held_out_one():
    assert not set(voices.UNSEEN_VOICES) & set(voices._ANY_PITCH)


def test_unusable_speech_is_refused(monkeypatch):
    silent = voices.Speech(np.zeros(16_000, np.int16), ((SILENCE, 16_000),), ())
    monkeypatch.setitem(voices._PROGRAMS, "flite", lambda *arguments: silent)
    assert voices.speak(voices.SEEN[0], [TEXT], random.Random(0)) == [None]


def test_a_synthesiser_that_fails_on_a_sentence_loses_that_sentence(monkeypatch):
    def fail(*command, **settings):
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(shutil, "which", lambda program: program)
    monkeypatch.setattr(subprocess, "run", fail)
    for voice in (voices.SEEN[0], voices.UNSEEN):
        assert voices.speak(voice, [TEXT, TEXT], random.Random(0)) == [None, None]
    with pytest.raises(SystemExit, match="is its Debian package whole"):
        voices.require_synthesisers()


def test_a_missing_synthesiser_names_its_package(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    with pytest.raises(SystemExit, match="apt-get install flite"):
        voices.speak(voices.SEEN[0], [TEXT], random.Random(0))


def test_phone_names():
    assert flite_phone("pau") == SILENCE
    assert flite_phone("no such phone") == UNLABELLED
    assert espeak_phone("_:") == SILENCE
    assert espeak_phone(";") is None
    assert PHONES[espeak_phone("3:")] == "er"


def test_held_out_sentences_and_voice_are_never_trained_on(tmp_path):
    sentences = [Sentence(f"Sentence {i}.", "", held_out=i % 5 == 0) for i in range(700)]
    jobs = plan(sentences, tmp_path, n_train=4, seed=0)
    train = [job for job in jobs if job.folder.name == "train"]
    held_out = [job for job in jobs if job.folder.name != "train"]
    assert not any(s.held_out for job in train for s in job.sentences)
    assert all(s.held_out for job in held_out for s in job.sentences)
    assert not any(set(job.voices) & set(voices.UNSEEN_VOICES) for job in train)
    unseen = [job for job in held_out if job.folder.name.endswith("unseen")]
    assert not any(set(job.voices) & set(voices.SEEN) for job in unseen)
    assert {job.folder.name for job in held_out} == {
        *("seen", "unseen", "validation_seen", "validation_unseen", "test_seen", "test_unseen")
    }
