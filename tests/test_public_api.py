"""The public API, through `import maxwhisper` alone."""

import ast
import builtins
import inspect
import json
import logging
import pickle
import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

import maxwhisper

CLIP = Path(__file__).parents[1] / "examples" / "clips" / "plain.flac"  # 6 s and a bit of English


def exported():
    return {name: getattr(maxwhisper, name) for name in maxwhisper.__all__}


def test_it_exports_what_a_caller_needs():
    assert all(exported().values())
    needed = {"load", "Whisper", "VadOptions", "StreamOptions", "SomeFailed", "AudioError"}
    assert needed | {"Update", "from_array", "Transcript"} <= set(maxwhisper.__all__)
    assert maxwhisper.__version__
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        maxwhisper.laod  # noqa: B018


def mentioned(function):
    """The names in the annotations of a function that are neither built in nor of a library."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    arguments = tree.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.kwarg]
    annotations = [each.annotation for each in every if each] + [tree.returns]
    for annotation in filter(None, annotations):
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = ast.parse(annotation.value, mode="eval")
        for node in ast.walk(annotation):
            if isinstance(node, ast.Name) and not hasattr(builtins, node.id):
                yield node.id


LIBRARIES = {"Any", "Callable", "Generator", "Mapping", "Path", "Self", "Sequence", "Unpack"} | {
    *("Iterable", "Iterator"),
    "Buffer",  # MAX's
    "np",
    "npt",
}
INTERNAL = {"Allowed", "Voice", "WindowTranscriber", "Option"}  # of what a user does not construct


def test_everything_that_a_signature_mentions_is_exported():
    n_functions, missing = 0, set()
    for name, value in exported().items():
        if name == "MaxNetwork":  # a type, for those who annotate; `load` makes it
            continue
        methods = vars(value).items() if inspect.isclass(value) else [(name, value)]
        for method, function in methods:
            function = getattr(function, "__func__", getattr(function, "fget", function))
            if (method.startswith("_") and method != "__init__") or not inspect.isfunction(
                function
            ):
                continue
            if "dataclass" in str(inspect.getsourcefile(function)) or function.__name__ != method:
                continue
            if method == "__init__" and getattr(value, "__dataclass_fields__", None):
                continue
            n_functions += 1
            missing |= {(name, method, each) for each in mentioned(function)}
    known = set(maxwhisper.__all__) | LIBRARIES | INTERNAL
    assert n_functions > 30
    assert {each for each in missing if each[2] not in known} == set()


def raises_of(function):
    """The names of errors that a docstring mentions, without those of Python."""
    names = re.findall(r"`(\w+Error)`", function.__doc__ or "")
    return {name for name in names if not hasattr(builtins, name)}


def test_every_error_that_a_docstring_names_is_exported():
    named = raises_of(maxwhisper.load)
    for value in filter(inspect.isclass, exported().values()):
        for function in filter(inspect.isfunction, vars(value).values()):
            named |= raises_of(function)
    assert {"ArtifactError", "CheckpointError", "OptionError"} <= named
    assert named <= set(maxwhisper.__all__)


def test_a_file_that_cannot_be_written_is_an_error_of_the_package(tmp_path):
    with pytest.raises(maxwhisper.OutputError, match="cannot write"):
        TRANSCRIPT.save(tmp_path / "no_folder" / "talk.srt")


def test_importing_it_does_not_import_max():
    code = "import sys, maxwhisper; print('max' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


@pytest.mark.parametrize("method", ["transcribe", "transcribe_many", "stream"])
def test_options_are_keywords(method):
    signature = inspect.signature(getattr(maxwhisper.Whisper, method))
    assert signature.parameters["changes"].kind is inspect.Parameter.VAR_KEYWORD


def test_a_recording_is_transcribed(engine):
    segments = []
    transcript = engine.transcribe(CLIP, language="en", on_segment=segments.append)
    assert isinstance(transcript, maxwhisper.Transcript)
    assert transcript.segments == tuple(segments)
    assert transcript.text.strip()
    assert all(isinstance(segment, maxwhisper.Segment) for segment in segments)
    greedy = maxwhisper.TranscribeOptions(temperature=0.0)
    assert engine.transcribe(CLIP.read_bytes(), greedy, language="en").text == transcript.text


@pytest.mark.parametrize("how", [{}, {"beam_size": 2}, {"batch_size": 2}], ids=str)
def test_text_is_told_while_it_is_decoded_and_changes_nothing(engine, how, monkeypatch):
    monkeypatch.setattr("maxwhisper.decoding.partial.TEXT_EVERY_S", 0.0)  # a fast machine tells all
    told = []
    transcript = engine.transcribe(CLIP, language="en", on_text=told.append, **how)
    plain = engine.transcribe(CLIP, language="en", **how)
    assert transcript.segments == plain.segments
    assert transcript.text == plain.text
    assert len(told) >= 2
    assert not any("…" in text for text in told), "one text for one window"
    assert all(len(text) < len(later) for text, later in pairwise(told)) or "beam_size" in how
    first_words = told[0].split()
    assert first_words == plain.text.split()[: len(first_words)] or "beam_size" in how


def test_who_stops_in_the_middle_of_a_window_leaves_a_sound_model(engine):
    plain = engine.transcribe(CLIP, language="en")

    def stop(text):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        engine.transcribe(CLIP, language="en", on_text=stop)
    assert engine.transcribe(CLIP, language="en").segments == plain.segments


def test_recordings_are_transcribed_in_batches(engine):
    options = maxwhisper.TranscribeOptions(word_timestamps=True, temperature=0.0)
    vad = maxwhisper.VadOptions(min_silence_duration_ms=200)
    (one,) = engine.transcribe_many([CLIP], options, batch_size=2, vad=vad)
    assert isinstance(one.words[0], maxwhisper.Word)
    with pytest.raises(maxwhisper.SomeFailed) as caught:
        engine.transcribe_many([CLIP, b"not audio"], options, batch_size=2, vad=vad)
    assert caught.value.transcripts[0].text == one.text
    assert isinstance(caught.value.errors[1], maxwhisper.AudioError)


def test_a_live_transcription_ends_with_a_transcript(engine):
    silence = bytes(32_000)  # 1 s of 16-bit samples
    stream = engine.stream(how=maxwhisper.StreamOptions(hop_s=0.5), language="en")
    stream.feed(memoryview(silence).cast("h"))
    assert stream.finish().text == ""


@pytest.mark.parametrize(
    "changes", [{"beam_siz": 5}, {"beam_size": 0}, {"beam_size": "5"}], ids=str
)
def test_a_wrong_option_is_refused(engine, changes):
    with pytest.raises(maxwhisper.OptionError, match="beam_siz"):
        engine.transcribe(CLIP, **changes)


def test_a_model_that_does_not_exist_is_an_error():
    with pytest.raises(maxwhisper.MaxWhisperError, match="no_such_model"):
        maxwhisper.load("no_such_model")


def test_a_model_without_a_name_is_not_loaded_in_silence(monkeypatch, caplog):
    from maxwhisper import whisper

    monkeypatch.setattr(whisper, "create_engine", lambda checkpoint, **_: checkpoint)
    whisper._warn_of_demo.cache_clear()
    with caplog.at_level(logging.INFO, "maxwhisper"):
        assert maxwhisper.load("demo").name == "demo"
        assert not caplog.records
        assert maxwhisper.load().name == maxwhisper.load(None).name == "demo"
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("maxwhisper", "WARNING")
    assert "synthesised speech" in record.message
    assert "load('base')" in record.message


def test_nobody_waits_in_silence(monkeypatch, caplog):
    from maxwhisper import whisper

    now_s = [100.0]
    monkeypatch.setattr(whisper.time, "monotonic", lambda: now_s[0])
    progress = whisper._LoggedProgress()
    with caplog.at_level(logging.INFO, "maxwhisper"):
        for now_s[0] in (100.0, 102.0, 114.0, 115.0, 131.0):
            progress(f"compiling: {now_s[0]:.0f} s")
    assert [record.levelname for record in caplog.records] == [
        *("WARNING", "INFO", "INFO", "WARNING", "WARNING"),
    ]


def test_the_number_of_threads_is_set_before_max_starts():
    code = """
import os
import maxwhisper
from maxwhisper.runtime.device import _n_threads, _tasks, limit_threads
allowed = os.sched_getaffinity(0)
limit_threads(1)
assert _n_threads() == 1, _n_threads()
assert all(os.sched_getaffinity(int(task.name)) == allowed for task in _tasks())
limit_threads(1)
for wrong in (2, 0, 1000, True, "1"):
    try:
        limit_threads(wrong)
    except maxwhisper.DeviceError as error:
        print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert len(lines) == 5
    assert "1 threads in this process" in lines[0] or "threads must be 1" in lines[0]
    assert all("threads must be 1 to" in line for line in lines[1:])


SEGMENT = maxwhisper.Segment(
    id=0, seek=0, start=0.0, end=2.5, text=" A long time ago." * 100, tokens=tuple(range(500)),
    temperature=0.0, avg_logprob=-0.1, compression_ratio=1.0, no_speech_prob=0.0,
)  # fmt: skip
TRANSCRIPT = maxwhisper.Transcript(SEGMENT.text * 9, "en", (SEGMENT,) * 9, 22.5, {"total": 1.0})


def test_everything_prints_in_a_line(engine):
    for value in (TRANSCRIPT, SEGMENT, engine, engine.stream(), maxwhisper.Word(" a", 0, 1, 0.5)):
        assert len(repr(value)) < 120
        assert "\n" not in repr(value)
    assert repr(TRANSCRIPT).startswith("<Transcript of 22.5 s in 'en', 9 segments: ' A long time")


def test_results_and_options_survive_pickling_and_json():
    for value in (TRANSCRIPT, maxwhisper.TranscribeOptions(beam_size=5), maxwhisper.VadOptions()):
        assert pickle.loads(pickle.dumps(value)) == value
    assert maxwhisper.Transcript.from_dict(TRANSCRIPT.to_dict()) == TRANSCRIPT


def test_a_transcript_is_saved_in_the_format_of_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    begins = {
        "TXT": TRANSCRIPT.segments[0].text.strip(),
        "VTT": "WEBVTT\n\n00:00.000 --> ",
        "SRT": "1\n00:00:00,000 --> ",
        "TSV": "start\tend\ttext\n0\t",
        "JSON": '{"text": ' + json.dumps(TRANSCRIPT.text),
    }
    for ending, beginning in begins.items():
        TRANSCRIPT.save(f"~/talk.{ending}")
        saved = (tmp_path / f"talk.{ending}").read_text()
        assert saved.startswith(beginning)
        assert all(segment.text.strip() in saved for segment in TRANSCRIPT.segments)
    word = maxwhisper.Word(" A", 0.5, 1.0, 1.0)
    TRANSCRIPT.__class__(" A", "en", (replace(SEGMENT, words=(word,)),), 1.0).save(
        tmp_path / "a.srt"
    )
    assert "00:00:00,500 --> 00:00:01,000" in (tmp_path / "a.srt").read_text()
    for name in ("talk", "talk.doc", ".srt"):
        with pytest.raises(maxwhisper.OptionError, match=r"ends in \.txt, \.vtt, \.srt"):
            TRANSCRIPT.save(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("beam_siz", "no option called beam_siz: did you mean beam_size\\?"),
        ("batchsize", "did you mean batch_size\\?"),
        ("samplerate", "did you mean sample_rate\\?"),
        ("vad_filter", "of faster-whisper.*: give vad=True"),
        ("vad_parameters", "of faster-whisper.*VadOptions"),
        ("log_prob_threshold", "its name here is logprob_threshold"),
        ("max_new_tokens", "its name here is sample_len"),
        ("fp16", "of openai-whisper.*dtype"),
        ("zzz", "no option called zzz: choose from .*beam_size"),
    ],
)
def test_misspelt_and_foreign_options_are_told_what_to_type(engine, name, words):
    with pytest.raises(maxwhisper.OptionError, match=words):
        engine.transcribe(CLIP, **{name: 1})
