"""Both baselines on the same random weights: equal tokens, loud refusals, honest absence."""

import sys
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest

from baselines.faster_options import batch_arguments, sequential_arguments
from baselines.openai_lines import SegmentLines
from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.decoding import partial
from maxwhisper.engine import installed, load_engine
from maxwhisper.errors import DeviceError, EngineUnavailable, OptionError
from maxwhisper.evaluation.bench.cases import Clip, Model, find_mode, make_job
from maxwhisper.evaluation.bench.measure import measure
from maxwhisper.evaluation.parity.compare import figures
from maxwhisper.evaluation.selftest.numpy_network import NumpyNetwork
from maxwhisper.network.dims import Dims
from maxwhisper.options import TranscribeOptions, VadOptions
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.whisper import Whisper

pytest.importorskip("whisper")
pytest.importorskip("faster_whisper")

NAMES = ("openai-whisper", "faster-whisper")
EN = Dims(80, 1500, 64, 2, 1, 51_864, 448, 64, 4, 1)
V3 = replace(EN, n_mels=128, n_vocab=51_866)
OPTIONS = TranscribeOptions(language="en", temperature=0.0)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def both(dims, cache):
    """Both engines on the same weights; one thread each, as small networks gain from no more."""
    checkpoint = random_checkpoint(dims, seed=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        return [load_engine(name, checkpoint, device="cpu", cache_dir=cache) for name in NAMES]


@pytest.fixture(scope="session")
def engines(cache):
    return both(EN, cache)


@pytest.fixture(scope="session")
def clip():
    """33 s, so two windows at least: noise whose loudness and colour wander."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(33 * 16_000)
    rumble = np.convolve(noise, np.ones(16) / 16, mode="same")
    mix = np.sin(np.arange(len(noise)) / 9_000)
    loud = 0.1 + 0.1 * np.sin(np.arange(len(noise)) / 25_000)
    return (loud * (mix * noise + (1 - mix) * rumble)).astype(np.float32)


def tokens(transcript):
    return [segment.tokens for segment in transcript.segments]


def test_weights_that_cannot_be_opened_on_a_cpu_blame_no_cuda_library(cache, monkeypatch):
    def full(*_, **__):
        raise RuntimeError("no memory")

    monkeypatch.setattr("faster_whisper.WhisperModel", full)
    with pytest.raises(EngineUnavailable, match=r"faster-whisper cannot run on cpu: no memory$"):
        load_engine(NAMES[1], random_checkpoint(EN, seed=3), device="cpu", cache_dir=cache)


@pytest.mark.parametrize("dims", [EN, V3], ids=["en", "v3"])
def test_greedy_tokens_text_and_times_are_equal(dims, cache, clip):
    ours, theirs = (engine.transcribe(clip, OPTIONS) for engine in both(dims, cache))
    assert len(ours.segments) >= 2
    assert ours.segments[-1].seek > 0  # the second window is prompted with the first
    assert tokens(ours) == tokens(theirs)
    assert ours.text == theirs.text
    for a, b in zip(ours.segments, theirs.segments, strict=True):
        assert (a.id, a.seek, a.temperature) == (b.id, b.seek, b.temperature)
        assert (a.start, a.end) == pytest.approx((b.start, b.end))
        assert a.avg_logprob == pytest.approx(b.avg_logprob, abs=1e-4)
        assert a.compression_ratio == pytest.approx(b.compression_ratio)


@pytest.mark.parametrize(
    "change",
    [
        {"without_timestamps": True},
        {"beam_size": 2},
        {"initial_prompt": "Hello there"},
        {"suppress_tokens": (13, 50_000), "suppress_blank": False},
        {"suppress_tokens": None},
        {"max_initial_timestamp": None},
        {"clip_timestamps": (1.0, 2.5)},
        {"clip_timestamps": "1,99"},  # an end past the file
        {"condition_on_previous_text": False},
    ],
    ids=lambda change: ",".join(change),
)
def test_options_mean_the_same_in_both(engines, clip, change):
    options = replace(OPTIONS, **change)
    ours, theirs = (engine.transcribe(clip[:48_000], options) for engine in engines)
    assert tokens(ours) == tokens(theirs)
    assert ours.segments


def test_words_are_equal(engines, clip):
    options = replace(OPTIONS, word_timestamps=True)
    ours, theirs = (engine.transcribe(clip[:48_000], options) for engine in engines)
    assert [w.word for w in ours.words] == [w.word for w in theirs.words]
    times = [[(w.start, w.end, w.probability) for w in x.words] for x in (ours, theirs)]
    np.testing.assert_allclose(times[0], times[1], atol=0.03)  # a frame of 20 ms and rounding
    assert ours.words


def test_segments_are_reported_and_clocked(engines, clip):
    for engine in engines:
        seen = []
        transcript = engine.transcribe(clip[:48_000], OPTIONS, seen.append)
        reported = [(s.start, s.end, s.text) for s in seen]
        assert reported == [(s.start, s.end, s.text) for s in transcript.segments]
        assert transcript.timings["total"] > 0
        assert (transcript.duration, transcript.language) == (3.0, "en")
        assert [segment.id for segment in seen] == list(range(len(seen)))


@pytest.mark.parametrize("change", [{}, {"word_timestamps": True}], ids=str)
def test_stages_measured_from_outside_fill_the_time_of_both(engines, clip, change):
    for engine in engines:
        timings = engine.transcribe(clip, replace(OPTIONS, **change)).timings
        stages = {"mel", "encoder", "decode"} | ({"words"} if change else set())
        prompt = {"prefill"} if engine.info.name == NAMES[0] else set()  # part of one call there
        assert set(timings) == stages | prompt | {"total"}
        inside_s = sum(timings.values()) - timings["total"]
        assert 0.5 < inside_s / timings["total"] < 1.0


def test_nothing_of_the_clock_stays_in_a_model(engines, clip):
    openai, faster = (engine.model for engine in engines)
    kept = (faster.model, faster.feature_extractor)
    for engine in engines:
        engine.transcribe(clip[:16_000], OPTIONS)
    assert (faster.model, faster.feature_extractor) == kept
    for part in (openai.encoder, openai.decoder):
        assert not part._forward_hooks
        assert not part._forward_pre_hooks


def test_openai_whisper_tells_its_greedy_text_and_says_the_same(clip, cache, monkeypatch):
    """What its decoder is given as a prompt, or to find the language, is no text."""
    monkeypatch.setattr(partial, "TEXT_EVERY_S", 0.0)
    engine, _ = both(V3, cache)
    options = replace(OPTIONS, language=None, without_timestamps=True, sample_len=12)
    told = []
    heard = engine.transcribe(clip, options, on_text=told.append)
    plain = engine.transcribe(clip, options)
    assert not any(figure.differs for figure in figures(heard, plain))
    tokenizer = get_tokenizer(V3)
    last = np.array(heard.segments[-1].tokens)  # of the second window; the first has no length
    so_far = [partial.partial_text(last[:n], tokenizer) for n in range(len(last))]
    newly = [text for before, text in pairwise(so_far) if text != before]
    assert len(newly) >= 8
    assert told[-len(newly) :] == newly
    assert len(told) > len(newly), "the first window was told as well"
    assert not engine.model.decoder._forward_pre_hooks, "it is let go of"


def test_who_cannot_tell_its_text_does_not(engines, clip):
    told = []
    openai, faster = engines
    openai.transcribe(clip[:48_000], replace(OPTIONS, beam_size=2), on_text=told.append)
    faster.transcribe(clip[:48_000], OPTIONS, on_text=told.append)
    assert told == []


def test_openai_whisper_that_remembers_its_windows_says_the_same(clip, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    engine = load_engine("openai-whisper", random_checkpoint(V3, seed=3), device="cpu")
    words = replace(OPTIONS, language=None, word_timestamps=True, sample_len=8)
    encoded = []
    engine.model.encoder.conv1.register_forward_hook(lambda *_: encoded.append(1))
    fresh = engine.transcribe(clip, words)
    n_fresh = len(encoded)
    assert fresh.timings["language"] > 0, "detected by a call of its own"

    engine.remember_windows()
    found = [engine.transcribe(clip, words) for _ in range(2)]
    n_windows = len({segment.seek for segment in fresh.segments})
    assert (len(encoded) - n_fresh, n_fresh) == (n_windows, 2 * n_windows + 1)
    # Not bit for bit: torch's sums depend on where its arrays lie, from one call to the next.
    assert not any(figure.differs for one in found for figure in figures(one, fresh))


def test_openai_whisper_reports_a_window_before_it_hears_the_next(engines, clip, capsys):
    engine, encoded, seen = engines[0], [], []
    hook = engine.model.encoder.register_forward_hook(lambda *_: encoded.append(1))
    try:
        transcript = engine.transcribe(clip, OPTIONS, lambda s: seen.append((len(encoded), s)))
    finally:
        hook.remove()
    assert len(seen) == len(transcript.segments)
    assert seen[0][0] < len(encoded), "told of the first window before the last was encoded"
    for (_, told), final in zip(seen, transcript.segments, strict=True):
        assert (told.start, told.end) == pytest.approx((final.start, final.end), abs=1e-3)
        assert told.text == final.text or final.text == ""  # it clears segments of no length
        assert told.tokens == ()
    assert capsys.readouterr().out == "", "what it prints is listened to, not passed on"


def test_a_line_of_text_cannot_pass_for_a_time_or_another_segment():
    seen = []
    lines = SegmentLines(seen.append)
    print("Detected language: English", file=lines)
    print("[1:02:03.500 --> 1:02:04.000]  a\n[00:00.000 --> 00:01.000] b", file=lines)
    assert [(s.start, s.end, s.text) for s in seen] == [
        (3723.5, 3724.0, " a\n[00:00.000 --> 00:01.000] b")
    ]


def test_stopping_at_a_segment_ends_openai_whisper(engines, clip):
    def stop(segment):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        engines[0].transcribe(clip, OPTIONS, stop)


def test_nothing_in_nothing_out(engines):
    for engine in engines:
        assert engine.transcribe(np.zeros(0, np.float32), OPTIONS).segments == ()


def test_engines_say_what_they_are(engines):
    for engine, name in zip(engines, NAMES, strict=True):
        info = engine.info
        assert (info.name, info.model, info.device, info.dtype) == (
            name,
            "random",
            "cpu",
            "float32",
        )
        assert name in info.version
        assert "1 CPU thread" in info.device_reason


@pytest.mark.parametrize(
    "change",
    [
        {"length_penalty": 0.5},
        {"sample_len": 10},
        {"prefix": "So"},
        {"seed": 1},
        {"initial_prompt": "x", "carry_initial_prompt": True},
        {"hallucination_silence_threshold": 2.0},
    ],
    ids=lambda change: ",".join(change),
)
def test_faster_whisper_refuses_what_it_does_otherwise(engines, clip, change):
    with pytest.raises(OptionError, match=f"faster-whisper does not support {list(change)[-1]}"):
        engines[1].transcribe(clip, replace(OPTIONS, **change))


@pytest.mark.parametrize(
    ("dims", "key"),
    [(EN, "greedy"), (EN, "beam5"), (EN, "batched"), (V3, "greedy")],
    ids=["greedy", "beam5", "batched", "v3"],
)
def test_benchmarks_decode_as_many_tokens_as_they_are_told_to(dims, cache, clip, key):
    """33 s are two windows; ours, here in numpy, and theirs say the same in as many tokens."""
    model, mode = Model("random", dims, 8), find_mode(key, "en", 2)
    job = make_job(mode, model, Clip("noise", clip[:-37]))
    checkpoint = random_checkpoint(dims, seed=3)
    read = {"batch_size": job.batch_size} if job.batch_size else {}
    ours = Whisper(checkpoint, NumpyNetwork(checkpoint)).transcribe(
        job.waveform, job.options, vad=job.vad, **read
    )
    theirs, fasters = both(dims, cache)
    assert ours.n_tokens == 16
    assert tokens(measure(fasters, job).transcript) == tokens(ours)
    if key == "batched":
        with pytest.raises(OptionError, match="openai-whisper has no batches of windows"):
            measure(theirs, job)
    else:
        assert tokens(measure(theirs, job).transcript) == tokens(ours)


def test_batches_find_speech_themselves_and_refuse_what_they_would_ignore(engines, clip):
    faster = engines[1]
    assert faster.transcribe(np.zeros(32_000, np.float32), OPTIONS, batch_size=2).segments == ()
    for change, complaint in (
        ({"temperature": (0.0, 0.2)}, "no temperature fallback"),
        ({"clip_timestamps": "0,5"}, "clip_timestamps as numbers"),
        ({"initial_prompt": "So"}, "does not support initial_prompt"),
    ):
        with pytest.raises(OptionError, match=complaint):
            faster.transcribe(clip, replace(OPTIONS, **change), batch_size=2)


def test_how_speech_is_looked_for_reaches_faster_whisper_and_is_refused_by_the_other(engines, clip):
    how = VadOptions(0.7, 0.2, 100, 20.0, 500, 50)
    arguments = sequential_arguments(OPTIONS, EN, how)
    assert arguments["vad_filter"]
    assert asdict(arguments["vad_parameters"]) == asdict(how)
    assert sequential_arguments(OPTIONS, EN, True)["vad_parameters"] is None
    for longest_s in (20.0, float("inf")):
        how = replace(how, max_speech_duration_s=longest_s)
        given = batch_arguments(OPTIONS, 2, how, 33.0)["vad_parameters"]
        assert asdict(given) == asdict(replace(how, max_speech_duration_s=min(longest_s, 30)))
    with pytest.raises(OptionError, match="threshold must be between 0 and 1"):
        engines[1].transcribe(clip, OPTIONS, vad=VadOptions(threshold=2))
    with pytest.raises(OptionError, match="vad must be of type"):
        engines[1].transcribe(clip, OPTIONS, vad="no")
    with pytest.raises(OptionError, match="batch_size must be of type int, got '2'"):
        engines[1].transcribe(clip, OPTIONS, batch_size="2")
    with pytest.raises(OptionError, match="does not detect speech beside clip_timestamps"):
        engines[1].transcribe(clip, replace(OPTIONS, clip_timestamps="0,5"), vad=how)
    with pytest.raises(OptionError, match="openai-whisper has no speech detection"):
        engines[0].transcribe(clip, OPTIONS, vad=how)


def test_sample_len_beside_a_prompt_is_refused(engines, clip):
    short = replace(OPTIONS, sample_len=3, condition_on_previous_text=False)
    with pytest.raises(OptionError, match="sample_len must be between 1 and 224"):
        engines[1].transcribe(clip, replace(short, sample_len=300))
    assert len(engines[1].transcribe(clip[:16_000], short).segments[0].tokens) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"hotwords": "ComfyUI"},
        {"repetition_penalty": 1.2},
        {"prompt_reset_on_temperature": 0.4},
        {"initial_prompt": (13, 14)},
        {"initial_prompt": [13, 14]},
    ],
    ids=lambda change: ",".join(change),
)
def test_openai_whisper_refuses_what_it_has_no_name_for(engines, clip, change):
    with pytest.raises(OptionError, match=f"openai-whisper .*{list(change)[-1]}"):
        engines[0].transcribe(clip, replace(OPTIONS, **change))


def test_a_list_of_tokens_is_left_as_it_is(engines, clip):
    """The reference itself appends to it."""
    listed = [13, 50_000]
    engines[0].transcribe(clip[:16_000], replace(OPTIONS, suppress_tokens=listed))
    assert listed == [13, 50_000]


def test_options_of_faster_whisper_reach_it(engines, clip):
    plain, changed = (
        engines[1].transcribe(clip[:48_000], replace(OPTIONS, **change)).text
        for change in ({}, {"hotwords": "ComfyUI", "repetition_penalty": 1.5})
    )
    assert plain != changed


def test_a_seed_repeats_the_sampling_of_openai_whisper(engines, clip):
    texts = [
        engines[0].transcribe(clip[:48_000], replace(OPTIONS, temperature=1.0, seed=seed)).text
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_languages_and_tasks_the_network_lacks_are_refused(cache):
    english = random_checkpoint(EN, seed=3)
    v2 = random_checkpoint(replace(EN, n_vocab=51_865))
    turbo = random_checkpoint(replace(V3, n_audio_layer=32, n_text_layer=4))
    silence = np.zeros(16_000, np.float32)
    for name in NAMES:
        engine = load_engine(name, english, device="cpu", cache_dir=cache)
        for change in ({"language": "de"}, {"task": "translate"}):
            with pytest.raises(OptionError, match="English-only"):
                engine.transcribe(silence, replace(OPTIONS, **change))
        engine = load_engine(name, v2, device="cpu", cache_dir=cache)
        with pytest.raises(OptionError, match="yue"):
            engine.transcribe(silence, TranscribeOptions(language="Cantonese"))
        engine = load_engine(name, turbo, device="cpu", cache_dir=cache)
        with pytest.raises(OptionError, match="not trained to translate"):
            engine.transcribe(silence, replace(OPTIONS, task="translate"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("device", "dtype"), [("gpu:99", "auto"), ("tpu", "auto"), ("gpu:x", "auto"), ("cpu", "int3")]
)
def test_devices_and_precisions_that_are_not_there_are_refused(name, device, dtype, cache):
    with pytest.raises(DeviceError, match="expected"):
        load_engine(
            name, random_checkpoint(EN, seed=3), device=device, dtype=dtype, cache_dir=cache
        )


@pytest.mark.parametrize(
    ("name", "package"), [("openai-whisper", "whisper"), ("faster-whisper", "faster_whisper")]
)
def test_a_missing_package_makes_the_engine_unavailable(name, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)  # import then raises ImportError
    monkeypatch.delitem(sys.modules, "baselines.openai_engine", raising=False)
    monkeypatch.delitem(sys.modules, "baselines.faster_engine", raising=False)
    assert name not in installed()
    with pytest.raises(EngineUnavailable, match=f"{name} cannot run here: .*{package}"):
        load_engine(name, random_checkpoint(EN, seed=3))
