"""What the benchmark measures: clips of any length with their words, fixed tokens, equal jobs."""

import json

import numpy as np
import pytest

from maxwhisper.audio import load as audio
from maxwhisper.checkpoint.registry import OFFICIAL_MODELS
from maxwhisper.errors import OptionError
from maxwhisper.evaluation.bench.cases import (
    SHORT,
    TALK,
    Clip,
    Model,
    find_clip,
    find_mode,
    find_model,
    make_job,
    whole_windows,
)
from maxwhisper.options import GREEDY

RATE = 16_000


@pytest.mark.parametrize(
    ("name", "seconds", "n_windows", "words"),
    [
        ("1s", 1, 1, None),
        ("11s", 11, 1, "garden wall."),
        ("3m", 180, 6, "a small network that listens"),
    ],
)
def test_clips_of_any_length_are_made_of_the_examples(tmp_path, name, seconds, n_windows, words):
    clip = find_clip(name, tmp_path)
    assert (clip.audio_s, clip.n_windows) == (seconds, n_windows)
    assert (clip.reference is None) is (words is None)
    assert words is None or words in clip.reference
    assert np.array_equal(audio.decode(clip.file), clip.waveform), "the file that is timed"
    assert np.abs(clip.waveform).max() > 0.05


def test_a_repeated_clip_says_its_words_again_and_cuts_none(tmp_path):
    """3 min of the talk (161.5 s): all of it, then the first sentences; the rest is silent."""
    entries = json.loads(TALK.with_name("clips.json").read_text())
    (talk,) = (entry for entry in entries if entry["file"] == TALK.name)
    clip = find_clip("3m", tmp_path)
    whole = [u for u in talk["utterances"] if 161.5 + u["end"] <= 180]
    cut = talk["utterances"][len(whole)]
    assert clip.reference.endswith(whole[-1]["text"])
    assert clip.reference.count(whole[0]["text"]) == 2
    assert not clip.waveform[round((161.5 + cut["start"]) * RATE) :].any()
    assert clip.waveform[round((161.5 + whole[-1]["start"]) * RATE) :].any()


def test_recordings_have_their_words_beside_them(tmp_path):
    talk = find_clip("talk", tmp_path)
    assert (talk.name, talk.audio_s, talk.file) == ("talk.flac", 161.5, TALK)
    assert "network" in talk.reference
    alone = tmp_path / "alone.flac"
    alone.write_bytes(SHORT.read_bytes())
    assert find_clip(str(alone), tmp_path).reference is None
    alone.with_suffix(".txt").write_text("The kettle")
    assert find_clip(str(alone), tmp_path).reference == "The kettle"


def test_models_are_checkpoints_or_random_weights_of_official_dims():
    assert find_model("demo", 64) == Model("demo")
    turbo = find_model("random:turbo", 64)
    assert (turbo.dims, turbo.tokens) == (OFFICIAL_MODELS["large-v3-turbo"].dims, 64)
    with pytest.raises(OptionError, match=r"random: goes with tiny\.en, tiny"):
        find_model("random:huge", 64)
    with pytest.raises(OptionError, match="1 to 224 tokens"):
        find_model("random:tiny", 225)
    with pytest.raises(OptionError, match="choose from greedy, beam5, batched"):
        find_mode("fast", "en", 8)


def test_trained_weights_decode_what_the_mode_says():
    clip = Clip("c", np.zeros(40 * RATE, np.float32))
    job = make_job(find_mode("batched", "en", 4), Model("demo"), clip)
    assert (job.batch_size, job.vad) == (4, None), "each engine finds speech its own way"
    assert job.options == GREEDY.changed({"language": "en"})


def test_random_weights_decode_fixed_tokens_in_whole_windows():
    clip = Clip("c", np.zeros(round(61.5 * RATE), np.float32))
    model = find_model("random:tiny", 32)
    job = make_job(find_mode("batched", "en", 4), model, clip)
    assert (job.batch_size, job.vad) == (4, False)
    assert job.options.clip_timestamps == (0, 30, 30, 60, 60, 61.5)
    assert job.options.sample_len == 32
    assert set(range(50_257, 51_865)) <= set(job.options.suppress_tokens), "eot, timestamps, all"
    sequential = make_job(find_mode("beam5", "en", 4), model, clip)
    assert (sequential.batch_size, sequential.options.clip_timestamps) == (None, "0")
    assert sequential.options.beam_size == 5
    assert clip.n_windows == 3


def test_whole_windows_of_a_whole_number_of_windows():
    assert whole_windows(60.0) == (0, 30, 30, 60)
