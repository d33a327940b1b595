"""Whole recordings, greedily: text, tokens and times equal openai-whisper's, same weights."""

import numpy as np
import pytest

from maxwhisper.options import GREEDY
from tests.fakes.parity_helpers import assert_same, openai_transcribe

CORE = (
    "core/hotwords.mp3",
    "core/jfk.flac",
    "core/jfk_ct2.npy",
    "core/jfk_whispercpp.mp3",
    "core/jfk_whispercpp.wav",
    "core/ls_test.flac",
    "core/mr_quilter_ct2.npy",
    "core/multilingual.mp3",
    "core/stereo_diarization.wav",
)
OPTION_SETS = {
    "no previous text": {"condition_on_previous_text": False},
    "initial prompt": {"initial_prompt": "Printing, in the only sense."},
    "carried prompt": {"initial_prompt": "Printing.", "carry_initial_prompt": True},
    "no timestamps": {"without_timestamps": True},
    "blank allowed": {"suppress_blank": False},
    "nothing suppressed": {"suppress_tokens": ""},
    "own suppression": {"suppress_tokens": "13,30"},
    "late start": {"max_initial_timestamp": None},
    "short windows": {"sample_len": 10},
    "skip doubtful": {"no_speech_threshold": 0.0, "logprob_threshold": None},
}


@pytest.mark.parametrize("clip", CORE)
def test_core_clips(engine, openai_model, recording, clip):
    waveform = recording(clip)
    got = engine.transcribe(waveform, GREEDY)
    assert_same(got, openai_transcribe(openai_model, waveform))
    assert got.segments, "the random model always says something"


def test_three_minutes(engine, openai_model, recording):
    """The LJ Speech sentences one after another: many windows, prompts, seeks."""
    waveform = np.concatenate([recording(f"ljspeech/LJ001-{i:04d}.wav") for i in range(1, 25)])
    waveform = np.concatenate([waveform, waveform])[: 180 * 16_000]
    got = engine.transcribe(waveform, GREEDY)
    assert_same(got, openai_transcribe(openai_model, waveform))
    assert len({segment.seek for segment in got.segments}) >= 6


@pytest.mark.parametrize("name", OPTION_SETS)
def test_options(engine, openai_model, recording, name):
    waveform = np.concatenate([recording("core/ls_test.flac"), recording("core/jfk.flac")] * 2)
    options = {"sample_len": 40, **OPTION_SETS[name]}
    got = engine.transcribe(waveform, GREEDY.changed(options))
    assert_same(got, openai_transcribe(openai_model, waveform, **options))


@pytest.mark.parametrize("n_samples", [0, 1, 159, 160, 200, 201, 1600, 8000])
def test_short_recordings(engine, openai_model, n_samples):
    rng = np.random.default_rng(n_samples)
    waveform = (0.1 * rng.standard_normal(n_samples)).astype(np.float32)
    options = {"sample_len": 20}
    got = engine.transcribe(waveform, GREEDY.changed(options))
    assert_same(got, openai_transcribe(openai_model, waveform, **options))


def test_segments_arrive_as_they_are_found(engine, recording):
    seen = []
    transcript = engine.transcribe(
        recording("core/jfk.flac"), GREEDY.changed({"sample_len": 20}), on_segment=seen.append
    )
    assert tuple(seen) == transcript.segments
