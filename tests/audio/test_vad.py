"""Voice activity detection: compared with faster-whisper and with the known clips."""

import functools
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from maxwhisper.audio import vad
from maxwhisper.audio.load import decode
from maxwhisper.audio.vad import (
    Span,
    VoiceMonitor,
    padded,
    spans_of,
    speech_probabilities,
    speech_spans,
)
from maxwhisper.errors import EngineUnavailable, OptionError
from maxwhisper.options import VadOptions

CLIPS = Path(__file__).parents[2] / "examples" / "clips"
SPEECH = ("plain", "noisy", "two_voices", "talk")
OPTIONS = (
    VadOptions(),
    VadOptions(min_silence_duration_ms=160, max_speech_duration_s=30),
    VadOptions(min_silence_duration_ms=500, max_speech_duration_s=4, speech_pad_ms=30),
    VadOptions(min_silence_duration_ms=2000, max_speech_duration_s=2),  # splits without a pause
    VadOptions(threshold=0.7, neg_threshold=0.6, min_speech_duration_ms=1500),
)


@functools.cache
def clip(name):
    return decode(CLIPS / f"{name}.flac")


@pytest.mark.parametrize("options", OPTIONS)
def test_spans_are_those_of_faster_whisper(options):
    from faster_whisper.vad import VadOptions as PeerOptions
    from faster_whisper.vad import get_speech_timestamps

    for name in SPEECH:
        waveform = clip(name)
        theirs = get_speech_timestamps(waveform.copy(), PeerOptions(**asdict(options)))
        ours = speech_spans(waveform, options)
        assert [span._asdict() for span in ours] == theirs, name


def test_defaults_are_those_of_faster_whisper():
    from faster_whisper.vad import VadOptions as PeerOptions

    assert asdict(VadOptions()) == asdict(PeerOptions())


@pytest.mark.parametrize("options", OPTIONS)
def test_span_rules_are_theirs_on_any_probabilities(options, monkeypatch):
    """Random-walk probabilities, so that every combination of rules occurs."""
    from faster_whisper import vad as peer

    random = np.random.default_rng(7)
    for _ in range(30):
        steps = random.normal(0, 0.2, 2000)
        probabilities = 0.5 + 0.5 * np.sin(np.cumsum(steps)).astype(np.float32)
        n = len(probabilities) * vad.BLOCK_SAMPLES - 1
        monkeypatch.setattr(peer, "get_vad_model", lambda found=probabilities: lambda _: found)
        theirs = peer.get_speech_timestamps(
            np.zeros(n, np.float32), peer.VadOptions(**asdict(options))
        )
        ours = padded(spans_of(probabilities, n, options), n, options)
        assert [span._asdict() for span in ours] == theirs


@pytest.mark.parametrize("name", ["plain", "two_voices", "talk"])
def test_words_of_the_clips_are_within_speech(name):
    described = json.loads((CLIPS / "clips.json").read_text())
    (words,) = (clip["words"] for clip in described if clip["file"] == f"{name}.flac")
    spans = speech_spans(clip(name), VadOptions(min_silence_duration_ms=160))
    middles = [(word["start"] + word["end"]) / 2 * 16_000 for word in words]
    assert len(middles) > 20
    assert all(any(span.start <= middle < span.end for span in spans) for middle in middles)


def test_no_speech_in_clips_without_speech():
    assert speech_spans(clip("silence")) == []
    # The onset of the melody counts as 32 ms of speech, shorter than any word.
    assert speech_spans(clip("tones"), VadOptions(min_speech_duration_ms=64)) == []


@pytest.mark.parametrize("n", [0, 1, 41, 159, 160, 200, 201, 511, 512, 513, 1600, 8000])
def test_short_recordings(n):
    assert speech_spans(np.zeros(n, np.float32)) == []


def test_batches_equal_one_long_call(monkeypatch):
    waveform = clip("plain")
    whole = speech_probabilities(waveform)
    monkeypatch.setattr(vad, "BATCH_BLOCKS", 7)
    in_batches = speech_probabilities(waveform)
    assert whole.shape == (len(waveform) // 512 + 1,)
    assert np.abs(whole - in_batches).max() < 1e-5


def test_padding_meets_halfway_and_stays_inside():
    options = VadOptions(speech_pad_ms=100)  # 1600 samples
    spans = padded([Span(500, 5000), Span(6000, 9000), Span(30_000, 40_000)], 40_500, options)
    assert spans == [Span(0, 5500), Span(5500, 10_600), Span(28_400, 40_500)]


@pytest.mark.parametrize(
    "option",
    [
        {"threshold": 1.5},
        {"neg_threshold": -0.1},
        {"min_speech_duration_ms": -1},
        {"min_silence_duration_ms": -1},
        {"speech_pad_ms": -1},
        {"max_speech_duration_s": 0.8},
        {"max_speech_duration_s": float("nan")},
        {"min_silence_duration_ms": float("nan")},
        {"threshold": "0.5"},
        {"threshold": None},
        {"neg_threshold": True},
        {"min_speech_duration_ms": "250"},
        {"max_speech_duration_s": None},
        {"speech_pad_ms": [400]},
    ],
)
def test_impossible_options_are_refused(option):
    with pytest.raises(OptionError, match=next(iter(option))):
        speech_spans(np.zeros(1600, np.float32), VadOptions(**option))


def test_the_error_names_what_to_install(monkeypatch):
    vad._session.cache_clear()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # import then raises ImportError
    with pytest.raises(EngineUnavailable, match="pip install onnxruntime"):
        speech_spans(np.zeros(1600, np.float32))


def test_a_monitor_equals_the_whole_recording():
    waveform = clip("two_voices")
    expected = speech_probabilities(waveform)
    chance, at, found = np.random.default_rng(3), 0, []
    monitor = VoiceMonitor()
    assert monitor.speech_end == 0
    while at < len(waveform):
        n = int(chance.integers(1, 20_000))
        found.append(monitor.hear(waveform[at : at + n]))
        at += n
    found = np.concatenate(found)
    np.testing.assert_allclose(found, expected[: len(found)], atol=1e-5)
    assert len(found) == len(waveform) // vad.BLOCK_SAMPLES
    speech = speech_spans(waveform, VadOptions(speech_pad_ms=0, min_silence_duration_ms=100))
    assert abs(monitor.speech_end - speech[-1].end) <= vad.BLOCK_SAMPLES


@pytest.mark.parametrize(
    "options",
    [
        VadOptions(),
        VadOptions(min_silence_duration_ms=100, min_speech_duration_ms=300),
        VadOptions(threshold=0.8, neg_threshold=0.2, min_speech_duration_ms=1500),
        VadOptions(threshold=0.3, neg_threshold=0.1, min_silence_duration_ms=0),
    ],
)
def test_a_monitor_applies_the_same_rules(options, monkeypatch):
    """At any time, `speech_end` is the end of the last span if only silence followed."""
    random = np.random.default_rng(11)
    for _ in range(2):
        probabilities = 0.5 + 0.5 * np.sin(np.cumsum(random.normal(0, 0.4, 150)))
        coming = iter(probabilities)
        monkeypatch.setattr(vad, "_Silero", lambda found=coming: lambda _: [next(found)])
        monitor = VoiceMonitor(options)
        for n in range(1, len(probabilities) + 1):
            monitor.hear(np.zeros(vad.BLOCK_SAMPLES, np.float32))
            silence = np.zeros(int(options.min_silence_duration_ms / 32) + 2)
            then = np.concatenate([probabilities[:n], silence])
            spans = spans_of(then, len(then) * vad.BLOCK_SAMPLES, options)
            assert monitor.speech_end == (spans[-1].end if spans else 0)


def test_a_monitor_finds_no_speech_in_silence():
    monitor = VoiceMonitor()
    assert monitor.hear(clip("silence")).max() < 0.5
    assert monitor.hear(np.zeros(0, np.float32)).shape == (0,)
    assert monitor.speech_end == 0


def test_a_monitor_recovers_from_a_failing_network(monkeypatch):
    waveform, heard = clip("plain")[:16_000], []

    def run(blocks):
        heard.append(blocks)
        if len(heard) == 1:
            raise RuntimeError("out of memory")
        return np.zeros(len(blocks), np.float32)

    monkeypatch.setattr(vad, "_Silero", lambda: run)
    monitor = VoiceMonitor()
    with pytest.raises(RuntimeError):
        monitor.hear(waveform)
    monitor.hear(waveform)
    np.testing.assert_array_equal(heard[1], heard[0])
