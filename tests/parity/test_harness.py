"""The exactness harness itself: a planted difference is found, located and, where it is one, called
a tie. Slow: a small grid of the numpy network against openai-whisper."""

import copy
import itertools
import json
import math
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import fake_engines
import numpy as np
import pytest
from audio_files import tone, wav

from maxwhisper import cli
from maxwhisper.bench_cases import Clip
from maxwhisper.checkpoint.download import sha256_of
from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.cli.output import json_text
from maxwhisper.dims import Dims
from maxwhisper.engine import OURS, EngineInfo, load_engine
from maxwhisper.errors import OptionError, RecordError
from maxwhisper.options import GREEDY
from maxwhisper.parity import cases, compare, page, plan, report, run
from maxwhisper.parity.cases import MULTILINGUAL_SETS, OPTION_SETS, Subject
from maxwhisper.selftest.numpy_network import NumpyNetwork
from maxwhisper.transcribe import sequential
from maxwhisper.transcript import Segment, Transcript, Word

EXAMPLES = Path(__file__).parents[2] / "examples" / "clips"
TINY = Dims(80, 1500, 64, 2, 1, 51_864, 448, 64, 2, 1)
SUBJECT = Subject("tiny random", random_checkpoint(TINY))
CLIP = Clip("clip.wav", np.full(16_000, 0.1, np.float32))
CLIPS = [CLIP, replace(CLIP, name="second.wav")]
WORDS = (Word(" And", 0.0, 0.4, 0.9), Word(" so", 0.4, 0.8, 0.8))
SEGMENT = Segment(0, 0, 0.0, 1.0, " And so", (7, 8, 9), 0.0, -0.5, 1.25, 0.01, WORDS)
TRANSCRIPT = Transcript(
    " And so on", "en", (SEGMENT, replace(SEGMENT, id=1, start=1.0, end=2.0, words=())), 2.0
)


class Says:
    """An engine that answers with a transcript, an error, or a function of the samples."""

    def __init__(self, answer):
        self.answer = answer
        self.info = EngineInfo("fake", "1", "fake", "cpu", "it is all there is", "float32")

    def transcribe(self, waveform, options, on_segment=None):
        answer = self.answer(waveform) if callable(self.answer) else self.answer
        if isinstance(answer, Exception):
            raise answer
        return answer


def first_segment(**changes):
    """`TRANSCRIPT` with fields of its first segment changed."""
    return replace(TRANSCRIPT, segments=(replace(SEGMENT, **changes), *TRANSCRIPT.segments[1:]))


def differences(ours, theirs=TRANSCRIPT):
    return [figure for figure in compare.figures(ours, theirs) if figure.differs]


def record_of(ours, theirs=TRANSCRIPT, only=("greedy",)):
    engines = {OURS: Says(ours), run.THEIRS: Says(theirs)}
    record = run.run([SUBJECT], [CLIP], lambda name, subject: engines[name], only=only)
    report.validate(record)
    return record


class Counting(Says):
    """Counts how often it is asked."""

    n = 0

    def transcribe(self, waveform, options, on_segment=None):
        self.n += 1
        return super().transcribe(waveform, options)


def grid(clips, ours=None, **more):
    """The record of engines that agree, on `clips`."""
    engines = {OURS: ours or Says(TRANSCRIPT), run.THEIRS: Says(TRANSCRIPT)}
    return run.run([SUBJECT], clips, lambda name, subject: engines[name], **more)


def json_copy(record):
    """The record as it is read from its file."""
    return json.loads(json_text(record))


def case_of(ours, theirs=TRANSCRIPT, **more):
    (case,) = record_of(ours, theirs, **more)["cases"]
    return case


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"tokens": (7, 8, 10)}, "segments[0].tokens[2]"),
        ({"tokens": (7, 8)}, "segments[0].tokens[2]"),
        ({"tokens": (7, 8, 9, 10)}, "segments[0].tokens[3]"),
        ({"seek": 1}, "segments[0].seek"),
        ({"text": " And  so"}, "segments[0].text"),
        ({"end": 1.03}, "segments[0].end"),
        ({"temperature": 0.2}, "segments[0].temperature"),
        ({"avg_logprob": -0.4989}, "segments[0].avg_logprob"),
        ({"avg_logprob": math.nan}, "segments[0].avg_logprob"),
        ({"no_speech_prob": 0.0102}, "segments[0].no_speech_prob"),
        ({"compression_ratio": 1.2501}, "segments[0].compression_ratio"),
        ({"words": WORDS[:1]}, "segments[0].words[1].word"),
        ({"words": (WORDS[0], replace(WORDS[1], start=0.43))}, "segments[0].words[1].start"),
        ({"words": (WORDS[0], replace(WORDS[1], probability=0.802))}, "words[1].probability"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_planted_difference_is_located(changes, where):
    (difference,) = differences(first_segment(**changes))
    assert difference.where.endswith(where)
    case = case_of(first_segment(**changes))
    assert (case["status"], case["cause"]) == ("different", None)
    assert case["difference"]["where"] == difference.where
    assert case["n_differences"] == 1


@pytest.mark.parametrize(
    ("ours", "where"),
    [
        (replace(TRANSCRIPT, language="de"), "language"),
        (replace(TRANSCRIPT, text=" And so"), "text"),
        (replace(TRANSCRIPT, segments=TRANSCRIPT.segments[:1]), "segments[1]"),
        (replace(TRANSCRIPT, segments=(*TRANSCRIPT.segments, SEGMENT)), "segments[2]"),
    ],
)
def test_a_planted_difference_of_the_whole_is_located(ours, where):
    assert [difference.where for difference in differences(ours)] == [where]


def test_times_without_words_are_exact():
    segments = (SEGMENT, replace(TRANSCRIPT.segments[1], start=1.01))
    (difference,) = differences(replace(TRANSCRIPT, segments=segments))
    assert difference.where == "segments[1].start"


def test_small_errors_are_allowed_and_the_worst_is_kept():
    ours = first_segment(
        end=1.02, avg_logprob=-0.4995, words=(WORDS[0], replace(WORDS[1], end=0.82))
    )
    case = case_of(ours)
    assert case["status"] == "identical"
    assert case["worst_errors"]["avg_logprob"] == pytest.approx(5e-4)
    assert case["worst_errors"]["word.end"] == pytest.approx(0.02)
    assert case["n_tokens"] == 6
    nan = first_segment(avg_logprob=math.nan)
    assert differences(nan, nan) == []


def test_identical_records_pass():
    record = record_of(TRANSCRIPT, only=None)
    assert len(record["cases"]) == len(OPTION_SETS)
    assert not report.failed(record)
    assert f"{len(OPTION_SETS)} of {len(OPTION_SETS)} cases identical" in report.summary(record)


def test_the_record_is_kept_after_every_case():
    """An interrupted comparison keeps what it has found."""
    kept = []

    def keep(record):
        report.validate(record)
        kept.append(len(record["cases"]))

    grid(CLIPS, only=["greedy", "words"], keep=keep)
    assert kept == [1, 2, 3, 4]


def test_an_interrupted_comparison_goes_on(monkeypatch):
    """What a record has is not asked again; runs, clips and option sets are added up."""
    monkeypatch.setattr(time, "monotonic", itertools.count(step=40).__next__)  # seconds
    asked = Counting(TRANSCRIPT)
    first = grid(CLIPS, asked, only=["greedy", "words"], minutes=1)
    assert len(first["cases"]) == asked.n == 2
    assert "2 not run" in report.summary(first)
    assert report.validate(first) is None

    both = grid(CLIPS, asked, only=["greedy", "words", "clip"], earlier=json_copy(first))
    report.validate(both)
    assert len(both["cases"]) == asked.n == 6
    assert [case["run"] for case in both["cases"]] == [0, 0, 1, 1, 1, 1]
    assert len(both["runs"]) == 2
    assert "not run" not in report.summary(both)

    third = grid([replace(CLIP, name="third.wav")], asked, only=["greedy"], earlier=both)
    assert list(third["clips"]) == ["clip.wav", "second.wav", "third.wav"]
    assert "2 not run" in report.summary(third)


@pytest.mark.parametrize("field", ["settings", "clips", "checkpoints"])
def test_only_the_same_comparison_goes_on(field):
    earlier = grid(CLIPS, only=["greedy"])
    changed = earlier["settings"] if field == "settings" else next(iter(earlier[field].values()))
    changed["more"] = "another"
    with pytest.raises(RecordError, match=r"to go on: .*another.* begin another record"):
        grid(CLIPS, only=["greedy"], earlier=earlier)
    sets = grid(CLIPS, only=["greedy"])
    sets["checkpoints"][SUBJECT.name]["option_sets"]["greedy"] = {"beam_size": 2}
    with pytest.raises(RecordError, match="checkpoint tiny random as in the record"):
        grid(CLIPS, only=["greedy"], earlier=sets)


def test_cases_are_spread_evenly():
    """Stopped anywhere: no clip and no checkpoint is two cases ahead; in the end all are there."""
    sets = {"one": list("abcde"), "other": list("abcdefg")}
    clips = ["x", "y", "z"]
    keys = list(plan.spread(sets, clips))
    assert sorted(keys) == sorted(
        plan.Key(checkpoint, clip, name)
        for checkpoint, names in sets.items()
        for clip in clips
        for name in names
    )
    for stop in range(1, 2 * 3 * 5):
        cells = Counter((key.checkpoint, key.clip) for key in keys[:stop])
        counts = [cells[checkpoint, clip] for checkpoint in sets for clip in clips]
        assert max(counts) - min(counts) <= 1
    assert len({key.option_set for key in keys[:6]}) == 3, "neighbouring clips get other sets"


def test_a_difference_fails_and_is_printed():
    record = record_of(first_segment(tokens=(7, 8, 10)))
    assert report.failed(record)
    text = report.table(record)
    assert "segments[0].tokens[2] is 10, 9 expected" in text
    assert "NOT EXPLAINED" in text
    assert "0 of 1 cases identical to openai-whisper, 1 different, 1 not explained" in text


def test_a_tie_is_explained():
    """The reference gives our answer as soon as the samples differ by a rounding error."""
    ours = first_segment(tokens=(7, 8, 10))
    record = record_of(ours, lambda x: TRANSCRIPT if x[0] == CLIP.waveform[0] else ours)
    (case,) = record["cases"]
    assert (case["status"], case["cause"][:5]) == ("different", "a tie")
    assert case["difference"] == {"where": "segments[0].tokens[2]", "ours": 10, "theirs": 9}
    assert not report.failed(record)
    assert "— a tie" in report.table(record)


def test_every_nudge_is_one_that_float32_can_tell():
    samples = CLIP.waveform
    nudged = {float((samples * np.float32(nudge))[0]) for nudge in run.NUDGES}
    assert len(nudged | {float(samples[0])}) == len(run.NUDGES) + 1


def test_refusals_need_a_reason():
    refusal = OptionError("maxwhisper does not support beam_size")
    case = case_of(refusal)
    assert (case["status"], case["cause"]) == ("refused", None)
    assert case["message"] == str(refusal)
    assert report.failed(record_of(refusal))
    meant = record_of(refusal, only=["best of 3 at temperature 0"])
    assert "ignores best_of" in meant["cases"][0]["cause"]
    assert not report.failed(meant)
    both = record_of(refusal, ValueError("no such\nthing"))
    assert "does not do it either: ValueError: no such thing" in both["cases"][0]["cause"]
    assert "greedy: refused 1 ×: maxwhisper does not support" in report.table(both)


def test_who_breaks_down_is_named():
    broken = record_of(RuntimeError("shape"))
    assert broken["cases"][0]["status"] == "failed"
    assert report.failed(broken)
    assert "greedy: failed 1 ×: RuntimeError: shape" in report.table(broken)
    theirs = record_of(TRANSCRIPT, ZeroDivisionError("division by zero"))
    assert theirs["cases"][0]["cause"] == "openai-whisper breaks down"
    assert not report.failed(theirs)
    assert "ZeroDivisionError: division by zero — openai-whisper" in report.table(theirs)
    assert report.failed(record_of(TRANSCRIPT, ValueError("beam_size"))), "we should refuse it too"


def test_a_record_becomes_a_page(tmp_path, capfd):
    """Every difference with its cause, what was left out and what was not run."""
    ours = first_segment(tokens=(7, 8, 10))
    record = grid(CLIPS, Says(ours), only=["greedy", "words"], left_out={"long.wav": "too long"})
    record["cases"].pop()
    path = tmp_path / "record.json"
    path.write_text(json_text(record))
    out = tmp_path / "parity.md"
    assert cli.main(["parity", "--report", str(path), "--output", str(out)]) == 1
    assert "0 of 3 cases identical" in capfd.readouterr().out
    text = out.read_text()
    assert text == page.page(json_copy(record))
    assert "| tiny random | 0 | 3 | 0 | 0 | 1 | 18 |" in text
    assert "| greedy | 0/1 | – | – | – |" in text
    line = "clip.wav · greedy: segments[0].tokens[2] is 10, 9 expected (1 of 1) — NOT EXPLAINED"
    assert f"* tiny random · {line}" in text
    assert "* v3: NOT RUN, no case at all" in text
    assert "2 clips of 2 s together, 1 to 2 cases each" in text
    assert "* `long.wav`: too long" in text
    path.write_text("{}")
    assert cli.main(["parity", "--report", str(path)]) == 1
    assert "is no parity record: record: expected a field 'schema'" in capfd.readouterr().err


def test_contradictory_records_are_refused():
    good = record_of(first_segment(tokens=(7, 8, 10)))
    for change, complaint in (
        ({"status": "identical"}, "identical where"),
        ({"status": "fine"}, "status: expected one of"),
        ({"n_differences": 0}, "contradict"),
        ({"option_set": "sideways"}, "no such checkpoint or option set"),
        ({"clip": "other.wav"}, "no such clip or run"),
        ({"run": 1}, "no such clip or run"),
        ({"n_tokens": "many"}, r"cases\[0\]\.n_tokens: expected int"),
        ({"difference": {"where": "text"}}, "expected a field 'ours'"),
    ):
        bad = copy.deepcopy(good)
        bad["cases"][0] |= change
        with pytest.raises(ValueError, match=complaint):
            report.validate(bad)
    with pytest.raises(ValueError, match=r"clip\.wav · greedy is in the record twice"):
        report.validate(good | {"cases": good["cases"] * 2})
    with pytest.raises(ValueError, match="at least one case"):
        report.validate(good | {"cases": []})
    with pytest.raises(ValueError, match="expected schema"):
        report.validate(good | {"schema": 99})


def test_option_sets():
    assert len(OPTION_SETS) >= 20
    english = SUBJECT.option_sets()
    assert set(english) == set(OPTION_SETS)
    multilingual = cases.load_subject("v3")
    assert set(multilingual.option_sets()) == set(OPTION_SETS) | set(MULTILINGUAL_SETS)
    assert multilingual.option_sets()["greedy"].sample_len == 64
    assert multilingual.option_sets()["10 tokens a window"].sample_len == 10
    assert cases.load_subject("multilingual").checkpoint.dims.num_languages == 99
    assert english["greedy"] == GREEDY
    assert set(cases.MEANT_REFUSALS) <= set(OPTION_SETS)
    sets = list(english.values())
    assert all(sets.count(options) == 1 for options in sets), "one set twice under two names"
    with pytest.raises(OptionError, match="unknown checkpoint"):
        cases.load_subject("large")
    with pytest.raises(OptionError, match="no option set called sideways"):
        record_of(TRANSCRIPT, only=["sideways"])


def test_clips_are_found_and_the_others_named(tmp_path):
    (tmp_path / "deep").mkdir()
    for name, seconds in (("b.wav", 1.0), ("a.wav", 3.0), ("deep/c.wav", 0.5)):
        (tmp_path / name).write_bytes(wav(tone(16_000, seconds)))
    (tmp_path / "notes.txt").write_text("no recording")
    clips, left_out = cases.find_clips(tmp_path, longest_s=2.0)
    assert [(clip.name, clip.audio_s) for clip in clips] == [("b.wav", 1.0), ("deep/c.wav", 0.5)]
    assert list(left_out) == ["a.wav"]
    assert len(cases.find_clips(tmp_path, limit=1)[0]) == 1
    with pytest.raises(OptionError, match="found none"):
        cases.find_clips(tmp_path / "nowhere")


def test_command_line(tmp_path, monkeypatch, capfd):
    (tmp_path / "one.wav").write_bytes(wav(tone(16_000, 1.0)))
    engines = {OURS: fake_engines.ENGINES["plain"], run.THEIRS: fake_engines.ENGINES["plain"]}
    monkeypatch.setattr("maxwhisper.engine.ENGINES", engines)
    arguments = ["parity", "--clips", str(tmp_path), "--checkpoints", "v3", "--limit", "1"]
    arguments += ["--option_sets", "greedy", "translate"]
    assert cli.main([*arguments, "--json", "--output", str(tmp_path / "out" / "r.json")]) == 0
    out, err = capfd.readouterr()
    record = json.loads(out)
    report.validate(record)
    assert json.loads((tmp_path / "out" / "r.json").read_text()) == record
    assert [case["option_set"] for case in record["cases"]] == ["greedy", "translate"]
    v3 = record["checkpoints"]["v3"]
    assert v3["dims"]["n_mels"] == 128
    translate = {"sample_len": 64, "language": "de", "task": "translate"}
    assert v3["option_sets"] == {"greedy": {"sample_len": 64}, "translate": translate}
    sha256 = sha256_of(tmp_path / "one.wav")
    assert record["clips"] == {"one.wav": {"audio_s": 1.0, "sha256": sha256}}
    assert {"commit", "cpu", "versions"} <= set(record["runs"][0]["machine"])
    assert "v3 · one.wav · greedy: identical" in err

    defaults = cli.build_parser().parse_args(["parity"])
    assert tuple(defaults.checkpoints) == cases.SUBJECTS
    assert cli.main([*arguments, "--resume"]) == 1
    assert "expected --output FILE beside --resume" in capfd.readouterr().err
    again = [*arguments, "--resume", "--output", str(tmp_path / "out" / "r.json")]
    assert cli.main(again) == 0
    assert "2 of 2 cases identical" in capfd.readouterr().out

    monkeypatch.setitem(engines, run.THEIRS, fake_engines.ENGINES["mute"])
    assert cli.main(arguments) == 1
    assert (
        "segments[0].text is ' and so my fellow Americans', '' expected" in capfd.readouterr().out
    )


class NumpyEngine(Says):
    """The sequential mode on the numpy network: no compiler, slow."""

    def __init__(self, checkpoint):
        super().__init__(None)
        self.network, self.heads = NumpyNetwork(checkpoint), checkpoint.alignment_heads

    def transcribe(self, waveform, options, on_segment=None):
        return sequential.transcribe(self.network, waveform, options, on_segment, self.heads)


@pytest.mark.slow
def test_a_small_grid_against_openai_whisper(figure):
    """Every option set on three seconds of speech, with a network small enough for numpy."""

    def load(name, subject):
        if name == OURS:
            return NumpyEngine(subject.checkpoint)
        return load_engine(name, subject.checkpoint, device="cpu")

    subject = replace(SUBJECT, options={"sample_len": 16})
    (clip,) = (clip for clip in cases.find_clips(EXAMPLES)[0] if clip.name == "plain.flac")
    short = Clip("plain.flac, 3 s", clip.waveform[: 3 * 16_000])
    record = run.run([subject], [short], load)
    report.validate(record)
    print(report.table(record))
    assert not report.failed(record), report.table(record)
    assert sum(case["n_tokens"] for case in record["cases"]) > 300
    worst = max(case["worst_errors"].get("avg_logprob", 0) for case in record["cases"])
    figure(worst, 1e-3, f"avg_logprob, worst of {len(record['cases'])} option sets, numpy network")
