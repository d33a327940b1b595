"""Two engines, case by case: what explains a difference, the record, its page, the command line.
Slow: a small grid of the numpy network against openai-whisper."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maxwhisper import cli
from maxwhisper.cache import sha256_of
from maxwhisper.cli.output import json_text
from maxwhisper.engine import OURS, load_engine
from maxwhisper.errors import OptionError
from maxwhisper.evaluation.bench.cases import Clip
from maxwhisper.evaluation.parity import cases, run
from maxwhisper.evaluation.parity.cases import OPTION_SETS
from maxwhisper.evaluation.parity.document import document
from maxwhisper.evaluation.parity.record import ParityRecord
from maxwhisper.evaluation.parity.tables import summary, table
from maxwhisper.evaluation.records import to_dict
from maxwhisper.evaluation.selftest.numpy_network import NumpyNetwork
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.transcribe import sequential
from tests.fakes import engines as fake_engines
from tests.fakes.audio_files import tone, wav
from tests.fakes.parity import (
    CLIP,
    CLIPS,
    SUBJECT,
    TINY,
    TRANSCRIPT,
    Says,
    case_of,
    first_segment,
    grid,
    json_copy,
    record_of,
)

EXAMPLES = Path(__file__).parents[3] / "examples" / "clips"


def test_identical_records_pass():
    record = record_of(TRANSCRIPT, option_sets=None)
    assert len(record.cases) == len(OPTION_SETS)
    assert not record.failed
    assert f"{len(OPTION_SETS)} of {len(OPTION_SETS)} cases identical" in summary(record)


def test_a_case_without_a_word_counts_for_nothing():
    silence = replace(TRANSCRIPT, text="", segments=())
    record = record_of(silence, silence)
    assert not record.failed
    assert "0 of 0 cases identical" in summary(record)
    assert "1 more, in which neither says a word" in summary(record)
    assert "| greedy | – | – | – | – |" in document(record)
    assert "| tiny random | 0 | 0 | 0 | 1 | 0 | 0 | 0 |" in document(record)
    one_is_silent = record_of(silence)
    assert one_is_silent.failed
    assert "0 of 1 cases identical" in summary(one_is_silent)


def test_a_difference_fails_and_is_printed():
    record = record_of(first_segment(tokens=(7, 8, 10)))
    assert record.failed
    text = table(record)
    assert "segments[0].tokens[2] is 10, 9 expected" in text
    assert "NOT EXPLAINED" in text
    assert "0 of 1 cases identical to openai-whisper, 1 different, 1 not explained" in text


def test_a_tie_is_explained():
    """The reference gives our answer as soon as the samples differ by a rounding error."""
    ours = first_segment(tokens=(7, 8, 10))
    record = record_of(ours, lambda x: TRANSCRIPT if x[0] == CLIP.waveform[0] else ours)
    (case,) = record.cases
    assert (case.status, case.cause[:5]) == ("different", "a tie")
    assert to_dict(case.difference) == {"where": "segments[0].tokens[2]", "ours": 10, "theirs": 9}
    assert not record.failed
    assert "— a tie" in table(record)


def test_a_segment_before_the_recording_is_the_references_own():
    """It reads the first token, 7, as a time: 1007 s before the window. Ours begins with the
    window. Any other value, theirs or ours, is ours to mend."""
    read_s = (7 - get_tokenizer(TINY).timestamp_begin) * 0.02
    early, earlier = (first_segment(start=at, words=()) for at in (read_s, read_s - 0.02))
    assert read_s == pytest.approx(-1007.12)
    assert case_of(first_segment(words=()), early).cause.startswith("openai-whisper takes text")
    for wrong in ({"start": 0.5}, {"text": " No"}, {"start": 0.0, "end": 0.9}):
        assert case_of(first_segment(words=(), **wrong), early).cause is None, wrong
    assert case_of(first_segment(words=()), earlier).cause is None
    timed = [{"tokens": (50_363, 8, 9), "words": (), "start": at} for at in (0.0, read_s)]
    assert case_of(*(first_segment(**each) for each in timed)).cause is None, "no text came first"


def test_every_nudge_is_one_that_float32_can_tell():
    samples = CLIP.waveform
    nudged = {float((samples * np.float32(nudge))[0]) for nudge in run.NUDGES}
    assert len(nudged | {float(samples[0])}) == len(run.NUDGES) + 1


def test_refusals_need_a_reason():
    refusal = OptionError("maxwhisper does not support beam_size")
    case = case_of(refusal)
    assert (case.status, case.cause) == ("refused", None)
    assert case.message == str(refusal)
    assert record_of(refusal).failed
    assert record_of(refusal, option_sets=["best of 3 at temperature 0"]).failed, "other words"
    both = record_of(refusal, ValueError("no such\nthing"))
    assert "does not do it either: ValueError: no such thing" in both.cases[0].cause
    assert "greedy: refused: maxwhisper does not support" in table(both)
    assert record_of(refusal, RuntimeError("out of memory")).failed, "that is no refusal"


def test_a_meant_refusal_is_of_what_the_reference_ignores():
    """It answers the same without the option; where it does not, the option does something."""
    sets = ["best of 3 at temperature 0"]
    refusal = OptionError("best_of needs a temperature above 0: at 0 every sample is the same")
    (case,) = record_of(refusal, option_sets=sets).cases
    assert (case.status, case.cause[:28]) == ("refused", "openai-whisper ignores best_")

    class Heeds(Says):
        def transcribe(self, waveform, options, on_segment=None):
            return first_segment(tokens=(7, 8, options.best_of or 9))

    engines = {OURS: Says(refusal), run.THEIRS: Heeds(None)}
    plan = run.Plan([SUBJECT], [CLIP], option_sets=sets)
    assert run.run(plan, lambda name, subject: engines[name]).failed


def test_a_refusal_counts_once():
    """It follows from the options: every clip repeats it."""
    refusal = OptionError("best_of needs a temperature above 0")
    record = grid(CLIPS, Says(refusal), option_sets=["best of 3 at temperature 0"])
    assert len(record.cases) == 2
    assert "0 of 0 cases identical to openai-whisper, 1 option set refused" in summary(record)
    assert "| best of 3 at temperature 0 | refused | – | – | – |" in document(record)


def test_who_breaks_down_is_named():
    broken = record_of(RuntimeError("shape"))
    assert broken.cases[0].status == "failed"
    assert broken.failed
    assert "greedy: failed 1 ×: RuntimeError: shape — NOT EXPLAINED" in table(broken)
    theirs = record_of(TRANSCRIPT, ZeroDivisionError("division by zero"))
    assert theirs.failed, "nobody knows whether our answer is right"
    assert "ZeroDivisionError: division by zero — NOT EXPLAINED" in table(theirs)
    assert record_of(TRANSCRIPT, ValueError("beam_size")).failed, "we should refuse it too"


def test_a_record_becomes_a_page(tmp_path, capfd):
    """Every difference with its cause, what was left out and what was not run."""
    ours = first_segment(tokens=(7, 8, 10))
    record = grid(
        CLIPS, Says(ours), option_sets=["greedy", "words"], left_out={"long.wav": "too long"}
    )
    record.cases.pop()
    path = tmp_path / "record.json"
    path.write_text(json_text(record.to_dict()))
    out = tmp_path / "parity.md"
    assert cli.main(["parity", "--report", str(path), "--output", str(out)]) == 1
    assert "0 of 3 cases identical" in capfd.readouterr().out
    text = out.read_text()
    assert text == document(json_copy(record))
    assert "| tiny random | 0 | 3 | 0 | 0 | 0 | 1 | 18 |" in text
    assert "| greedy | 0/1 | – | – | – |" in text
    line = "clip.wav · greedy: segments[0].tokens[2] is 10, 9 expected (1 of 1) — NOT EXPLAINED"
    assert f"* tiny random · {line}" in text
    assert "* v3: NOT RUN, no case at all" in text
    assert "2 clips of 2 s together, 1 to 2 cases each" in text
    assert "* `long.wav`: too long" in text
    for damage, complaint in (
        ("{}", "missing required field `schema`"),
        ("3", "Expected `object`"),
    ):
        path.write_text(damage)
        assert cli.main(["parity", "--report", str(path)]) == 1
        err = capfd.readouterr().err
        assert "is no parity record: " in err
        assert complaint in err


def test_contradictory_records_are_refused():
    good = record_of(first_segment(tokens=(7, 8, 10))).to_dict()
    for change, complaint in (
        ({"status": "identical"}, "identical where"),
        ({"status": "fine"}, r"cases\[0\]\.status"),
        ({"n_differences": 0}, "contradict"),
        ({"option_set": "sideways"}, "no such checkpoint or option set"),
        ({"clip": "other.wav"}, "no such clip or run"),
        ({"run": 1}, "no such clip or run"),
        ({"n_tokens": "many"}, r"Expected `int`, got `str` - at `\$\.cases\[0\]\.n_tokens`"),
        ({"difference": {"where": "text"}}, "missing required field `ours`"),
    ):
        bad = copy.deepcopy(good)
        bad["cases"][0] |= change
        with pytest.raises(ValueError, match=complaint):
            ParityRecord.from_dict(bad)
    with pytest.raises(ValueError, match=r"clip\.wav · greedy is in the record twice"):
        ParityRecord.from_dict(good | {"cases": good["cases"] * 2})
    with pytest.raises(ValueError, match="at least one case"):
        ParityRecord.from_dict(good | {"cases": []})
    with pytest.raises(ValueError, match=r"Expected `object`, got `null` - at `\$\.clips"):
        ParityRecord.from_dict(good | {"clips": {"clip.wav": None}})
    with pytest.raises(ValueError, match="expected schema"):
        ParityRecord.from_dict(good | {"schema": 99})


def test_command_line(tmp_path, monkeypatch, capfd):
    (tmp_path / "one.wav").write_bytes(wav(tone(16_000, 1.0)))
    engines = {OURS: fake_engines.ENGINES["plain"], run.THEIRS: fake_engines.ENGINES["plain"]}
    monkeypatch.setattr("maxwhisper.engine.ENGINES", engines)
    arguments = ["parity", "--clips", str(tmp_path), "--checkpoints", "v3", "--limit", "1"]
    arguments += ["--option_sets", "greedy", "translate"]
    assert cli.main([*arguments, "--json", "--output", str(tmp_path / "out" / "r.json")]) == 0
    out, err = capfd.readouterr()
    record = json.loads(out)
    ParityRecord.from_dict(record)
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
    longer = ["--option_sets", "greedy", "--lengths", "90s", "--json"]
    assert cli.main([*arguments[:-3], *longer]) == 0
    made = json.loads(capfd.readouterr().out)
    assert {name: clip["audio_s"] for name, clip in made["clips"].items()} == {
        "one.wav": 1.0,
        "90s": 90.0,
    }

    monkeypatch.setitem(engines, run.THEIRS, fake_engines.ENGINES["mute"])
    assert cli.main(arguments) == 1
    assert (
        "segments[0].text is ' and so my fellow Americans', '' expected" in capfd.readouterr().out
    )


class NumpyEngine(Says):
    """The sequential mode on the numpy network: no compiler, slow."""

    def __init__(self, checkpoint):
        super().__init__(None)
        self.network = NumpyNetwork(checkpoint)

    def transcribe(self, waveform, options, on_segment=None):
        return sequential.transcribe(self.network, waveform, options, on_segment)


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
    record = run.run(run.Plan([subject], [short]), load)
    record.check()
    print(table(record))
    assert not record.failed, table(record)
    assert sum(case.n_tokens for case in record.cases) > 300
    worst = max(case.worst_errors.get("avg_logprob", 0) for case in record.cases)
    figure(worst, 1e-3, f"avg_logprob, worst of {len(record.cases)} option sets, numpy network")
