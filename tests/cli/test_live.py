"""`python -m maxwhisper live`, on a scripted transcriber in this process."""

import io
import json
import os
import signal
import sys

import numpy as np
import pytest

from maxwhisper.cli import live, main
from maxwhisper.errors import NumericError
from maxwhisper.options import StreamOptions, VadOptions
from maxwhisper.transcribe.stream import Stream
from tests.fakes.scripted_transcriber import RATE, ScriptedTranscriber, ScriptedVoice, ramp, script

WORDS = script(["Good morning, all.", "I shall be brief"], pause_s=3.0)


class PatientTranscriber(ScriptedTranscriber):
    """16-bit samples are no exact ramp: hears the script without looking at them."""

    def transcribe(self, waveform, seek):
        first = seek * RATE // 100
        return super().transcribe(ramp((first + len(waveform)) / RATE)[first:], seek)


class FakeEngine:
    def stream(self, options, how):
        self.options, self.how = options, how
        return Stream(PatientTranscriber(WORDS, edge_errors=False), how, ScriptedVoice(WORDS))


@pytest.fixture
def engine(monkeypatch):
    fake = FakeEngine()
    monkeypatch.setattr(sys.modules[live.__module__], "load_engine", lambda args, name: fake)
    return fake


@pytest.fixture
def speak(monkeypatch):
    """Put so many seconds of samples, and some bytes, on standard input."""

    def put(seconds, rest=b""):
        data = np.full(round(seconds * RATE), 1000, "<i2").tobytes() + rest
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return put


def test_sentences_are_printed_as_they_end(engine, speak, capfd):
    speak(7)
    assert main(["live", "-"]) == 0
    out, err = capfd.readouterr()
    texts = [line.split("] ")[1] for line in out.splitlines()]
    assert texts == ["Good morning, all.", "I shall be brief"]
    assert out.startswith("[00:00.")
    assert "… I shall" in err
    assert "real-time factor" in err


def test_json_is_one_object_a_line(engine, speak, capfd):
    speak(7)
    assert main(["live", "-", "--json", "--hop_s", "0.5", "--language", "en"]) == 0
    *updates, last = map(json.loads, capfd.readouterr().out.splitlines())
    assert last["transcript"]["text"] == " Good morning, all. I shall be brief"
    assert last["transcript"]["duration"] == 7
    committed = "".join(word["word"] for update in updates for word in update["committed"])
    assert last["transcript"]["text"].startswith(committed)
    assert " Good morning," in committed
    assert set(updates[0]) == {
        "committed",
        "tentative",
        "received_s",
        "lag_s",
        "real_time_factor",
    }
    assert (engine.how.hop_s, engine.options.language) == (0.5, "en")


@pytest.mark.parametrize("flags", [[], ["--json"]], ids=str)
def test_an_error_of_the_network_costs_nothing_that_was_committed(
    engine, speak, capfd, flags, monkeypatch
):
    transcribe = PatientTranscriber.transcribe

    def fail_after_3_s(window, waveform, seek):
        if seek * RATE // 100 + len(waveform) > 3 * RATE:
            raise NumericError("no numbers")
        return transcribe(window, waveform, seek)

    monkeypatch.setattr(PatientTranscriber, "transcribe", fail_after_3_s)
    monkeypatch.setattr(sys.modules[live.__module__], "SENTENCE_END_MARKS", ("nothing",))
    speak(7)
    assert main(["live", "-", "--pause_s", "9", *flags]) == 1
    out, err = capfd.readouterr()
    assert err.endswith("maxwhisper: error: no numbers\n")
    if flags:
        last = json.loads(out.splitlines()[-1])
        assert last["error"] == "no numbers"
        assert "Good morning," in last["transcript"]["text"]
    else:
        assert "Good morning," in out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_prints_what_is_final(engine, speak, capfd, monkeypatch, number, code):
    transcribe = PatientTranscriber.transcribe

    def interrupt_after_5_s(window, waveform, seek):
        if seek * RATE // 100 + len(waveform) > 5 * RATE:
            os.kill(os.getpid(), number)
        return transcribe(window, waveform, seek)

    monkeypatch.setattr(PatientTranscriber, "transcribe", interrupt_after_5_s)
    speak(7)
    assert main(["live", "-", "--json"]) == code
    last = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert last["transcript"]["text"].startswith(" Good morning, all.")


def test_speech_is_looked_for_as_the_flags_say(engine, speak):
    speak(1)
    assert main(["live", "-", "--vad_threshold", "0.7", "--vad_speech_pad_ms", "100"]) == 0
    assert engine.how == StreamOptions(vad=VadOptions(threshold=0.7, speech_pad_ms=100))
    speak(1)
    assert main(["live", "-", "--vad", "False"]) == 0
    assert engine.how == StreamOptions(vad=False)


def test_half_a_sample_at_the_end_is_said_so(engine, speak, capfd):
    speak(1, rest=b"\x01")
    assert main(["live", "-"]) == 0
    assert "ended within a sample" in capfd.readouterr().err


def test_no_sound_at_all_is_an_empty_transcript(engine, speak, capfd):
    speak(0)
    assert main(["live", "-", "--json"]) == 0
    (last,) = capfd.readouterr().out.splitlines()
    assert json.loads(last)["transcript"]["text"] == ""


def test_seconds_are_numbers(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["live", "-", "--hop_s", "None"])
    assert "--hop_s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.wav"], "none.wav"),
        (["-", "--hop_s", "0"], "hop_s"),
        (["-", "--pause_s", "0"], "pause_s"),
        (["-", "--vad", "False", "--vad_threshold", "0.7"], "--vad_threshold"),
        (
            ["-", "--vad_max_speech_duration_s", "9"],
            "live transcription does not support max_speech",
        ),
    ],
)
def test_errors_are_one_line(engine, speak, capfd, arguments, message):
    speak(1)
    assert main(["live", *arguments]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert message in err
    assert err.startswith("maxwhisper: error: ")
    assert len(err.splitlines()) == 1
