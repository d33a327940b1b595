"""Whole recordings, greedily: text, tokens and times equal openai-whisper's, same weights."""

import numpy as np
import pytest

from maxwhisper.options import GREEDY
from tests.fakes.parity_helpers import assert_same, openai_transcribe

CLIPS = ("plain", "numbers", "noisy", "two_voices", "silence", "tones")
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


@pytest.mark.parametrize("name", CLIPS)
def test_clips(engine, openai_model, clip, name):
    waveform = clip(name)
    got = engine.transcribe(waveform, GREEDY)
    assert_same(got, openai_transcribe(openai_model, waveform))
    assert bool(got.text) is (name not in ("silence", "tones"))


def test_three_minutes(engine, openai_model, clip):
    """The talk and two more clips: many windows, prompts, seeks."""
    waveform = np.concatenate([clip(name) for name in ("talk", "numbers", "plain")])
    assert len(waveform) > 180 * 16_000
    got = engine.transcribe(waveform, GREEDY)
    assert_same(got, openai_transcribe(openai_model, waveform))
    assert len({segment.seek for segment in got.segments}) >= 6


@pytest.mark.parametrize("name", OPTION_SETS)
def test_options(engine, openai_model, clip, name):
    waveform = np.concatenate([clip("noisy"), clip("two_voices")] * 2)
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


def test_segments_arrive_as_they_are_found(engine, clip):
    seen = []
    transcript = engine.transcribe(
        clip("two_voices"), GREEDY.changed({"sample_len": 20}), on_segment=seen.append
    )
    assert tuple(seen) == transcript.segments
