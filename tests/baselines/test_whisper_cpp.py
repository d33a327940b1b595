"""whisper.cpp with our weights: its text, its tokens, and what it refuses."""

import numpy as np
import pytest

from baselines import whisper_cpp_engine as cpp
from maxwhisper import checkpoint
from maxwhisper.audio.load import decode
from maxwhisper.checkpoint.convert_ggml import PRECISIONS, ggml_file
from maxwhisper.engine import load_engine
from maxwhisper.errors import DeviceError, OptionError
from maxwhisper.evaluation.bench import cases
from maxwhisper.options import GREEDY
from tests.fakes import weight_files

ENGLISH = GREEDY.changed({"language": "en"})


@pytest.fixture(scope="module")
def demo():
    return checkpoint.load("demo")


@pytest.fixture(scope="module")
def clip():
    return decode(cases.SHORT)


@pytest.fixture(scope="module")
def engine(demo, tmp_path_factory):
    return load_engine("whisper.cpp", demo, cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize(("precision", "kind"), [("float16", "f16"), ("int8", "q8_0")])
def test_the_file_is_as_its_own_tools_write_it(demo, tmp_path, precision, kind):
    weight_files.write_ggml(demo, tmp_path / "expected.bin", kind)
    found = ggml_file(demo, precision, tmp_path / "cache")
    assert found.read_bytes() == (tmp_path / "expected.bin").read_bytes()
    assert ggml_file(demo, precision, tmp_path / "cache") == found


@pytest.mark.parametrize("precision", PRECISIONS)
def test_it_hears_what_we_hear(demo, clip, tmp_path, precision):
    ours = load_engine("maxwhisper", demo).transcribe(clip, ENGLISH)
    engine = load_engine("whisper.cpp", demo, dtype=precision, cache_dir=tmp_path)
    heard = []
    found = engine.transcribe(clip, ENGLISH, heard.append)
    assert found.text == ours.text
    assert found.language == "en"
    assert tuple(heard) == found.segments
    assert [len(segment.tokens) > 5 for segment in found.segments] == [True, True]
    for mine, theirs in zip(ours.segments, found.segments, strict=True):
        assert abs(mine.start - theirs.start) < 0.2
        assert abs(mine.end - theirs.end) < 0.2
        assert -0.5 < theirs.avg_logprob < 0


def test_beams_and_windows(engine, clip):
    twice = np.concatenate([np.pad(clip, (0, 30 * 16_000 - len(clip))), clip])
    found = engine.transcribe(twice, ENGLISH.changed({"beam_size": 5}))
    assert found.text.count("kettle") == 2
    assert found.segments[-1].start > 30


def test_random_weights_decode_a_fixed_number_of_tokens(tmp_path):
    """Which the benchmark needs: equal work for every engine."""
    model = cases.find_model("random:tiny", 16)
    waveform = 0.1 * np.random.default_rng(0).standard_normal(40 * 16_000).astype(np.float32)
    job = cases.make_job(cases.find_mode("greedy", "en", 8), model, cases.Clip("40s", waveform))
    engine = load_engine("whisper.cpp", model.load(), cache_dir=tmp_path)
    assert engine.transcribe(job.waveform, job.options).n_tokens == 2 * 16


@pytest.mark.parametrize(
    ("changes", "mode", "reason"),
    [
        ({"word_timestamps": True}, {}, "does not honour word_timestamps"),
        ({"temperature": 0.5}, {}, "one temperature here, 0"),
        ({"suppress_tokens": (13,)}, {}, "cannot suppress single tokens"),
        ({"clip_timestamps": "1,2"}, {}, "does not honour clip_timestamps"),
        ({}, {"batch_size": 8}, "no batches of windows"),
        ({}, {"vad": True}, "no speech detection"),
    ],
)
def test_what_it_would_ignore_is_refused(engine, clip, changes, mode, reason):
    with pytest.raises(OptionError, match=reason):
        engine.transcribe(clip, ENGLISH.changed(changes), **mode)


def test_only_what_it_computes_with_is_offered(demo):
    with pytest.raises(DeviceError, match=r"expected device 'auto' or 'cpu' for whisper\.cpp"):
        cpp.create_engine(demo, device="gpu")
    with pytest.raises(DeviceError, match=r"expected dtype \['float16', 'int8'\]"):
        cpp.create_engine(demo, dtype="float32")
