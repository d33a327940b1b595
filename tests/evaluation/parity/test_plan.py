"""In which order cases are compared, and how a comparison that was cut short goes on."""

import itertools
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import msgspec
import pytest

from maxwhisper.errors import RecordError
from maxwhisper.evaluation.parity import plan, run
from maxwhisper.evaluation.parity.tables import summary
from tests.fakes.parity import CLIP, CLIPS, SUBJECT, TRANSCRIPT, Says, grid, json_copy


class Counting(Says):
    """Counts how often it is asked."""

    n = 0

    def transcribe(self, waveform, options, on_segment=None):
        self.n += 1
        return super().transcribe(waveform, options)


def seconds_apart(monkeypatch, step_s):
    """Each look at the clock is `step_s` after the one before. For `run` alone: other tests leave
    threads behind, which look at the common clock."""
    clock = SimpleNamespace(monotonic=itertools.count(step=step_s).__next__)
    monkeypatch.setattr(run, "time", clock)


@pytest.mark.parametrize(("step_s", "n_kept"), [(0, [4]), (run.KEEP_S, [1, 2, 3, 4, 4])])
def test_the_record_is_kept_every_few_seconds_and_at_the_end(monkeypatch, step_s, n_kept):
    seconds_apart(monkeypatch, step_s)
    kept = []

    def keep(record):
        record.check()
        kept.append(len(record.cases))

    grid(CLIPS, option_sets=["greedy", "words"], keep=keep)
    assert kept == n_kept


def test_a_comparison_that_is_interrupted_keeps_what_it_has_found():
    class Interrupted(Counting):
        def transcribe(self, waveform, options, on_segment=None):
            if self.n == 2:
                raise KeyboardInterrupt
            return super().transcribe(waveform, options)

    kept = []
    with pytest.raises(KeyboardInterrupt):
        grid(CLIPS, Interrupted(TRANSCRIPT), option_sets=["greedy", "words"], keep=kept.append)
    assert len(kept[-1].cases) == 2


def test_an_interrupted_comparison_goes_on(monkeypatch):
    """What a record has is not asked again; runs, clips and option sets are added up."""
    seconds_apart(monkeypatch, 40)
    asked = Counting(TRANSCRIPT)
    first = grid(CLIPS, asked, option_sets=["greedy", "words"], minutes=1)
    assert len(first.cases) == asked.n == 2
    assert "2 not run" in summary(first)
    assert first.check() is None

    both = grid(CLIPS, asked, option_sets=["greedy", "words", "clip"], earlier=json_copy(first))
    both.check()
    assert len(both.cases) == asked.n == 6
    assert [case.run for case in both.cases] == [0, 0, 1, 1, 1, 1]
    assert len(both.runs) == 2
    assert "not run" not in summary(both)

    third = grid([replace(CLIP, name="third.wav")], asked, option_sets=["greedy"], earlier=both)
    assert list(third.clips) == ["clip.wav", "second.wav", "third.wav"]
    assert "2 not run" in summary(third)


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.settings.tolerances.update(more="another"),
        lambda record: setattr(record.clips["clip.wav"], "sha256", "another"),
        lambda record: setattr(record.checkpoints[SUBJECT.name], "dims", "another"),
    ],
    ids=["settings", "clips", "checkpoints"],
)
def test_only_the_same_comparison_goes_on(change):
    earlier = grid(CLIPS, option_sets=["greedy"])
    change(earlier)
    with pytest.raises(RecordError, match=r"to resume: .*another.* start a new record"):
        grid(CLIPS, option_sets=["greedy"], earlier=earlier)
    sets = grid(CLIPS, option_sets=["greedy"])
    sets.checkpoints[SUBJECT.name].option_sets["greedy"] = {"beam_size": 2}
    where = "expected checkpoint tiny random, option_sets, greedy, beam_size as in the record"
    with pytest.raises(RecordError, match=f"{where} to resume: 2, got None; start a new"):
        grid(CLIPS, option_sets=["greedy"], earlier=sets)
    version = grid(CLIPS, option_sets=["greedy"])
    engines = version.checkpoints[SUBJECT.name].engines
    engines[1] = replace(engines[1], version="openai-whisper 1")
    with pytest.raises(RecordError, match="tiny random, engines, number 1, version as in the"):
        grid(CLIPS, option_sets=["greedy"], earlier=version)


def test_a_comparison_goes_on_with_fewer_threads():
    earlier = grid(CLIPS, option_sets=["greedy"])
    engines = earlier.checkpoints[SUBJECT.name].engines
    engines[1] = replace(engines[1], device_reason="asked for; 96 threads")
    both = grid(CLIPS, option_sets=["greedy", "words"], earlier=earlier)
    assert len(both.cases) == 2 * len(earlier.cases)


def test_a_comparison_goes_on_when_the_same_weights_are_described_anew():
    earlier = grid(CLIPS, option_sets=["greedy"])
    earlier.checkpoints[SUBJECT.name].source = "what was said of them before"
    both = grid(CLIPS, option_sets=["greedy", "words"], earlier=json_copy(earlier))
    assert len(both.cases) == 2 * len(earlier.cases)
    assert both.checkpoints[SUBJECT.name].source == SUBJECT.checkpoint.source


def test_other_weights_begin_anew_and_leave_the_rest_of_the_record_alone():
    """As when the bundled checkpoint was trained on: the other checkpoints' cases still hold."""
    asked = Counting(TRANSCRIPT)
    earlier = grid(CLIPS, option_sets=["greedy"])
    kept = msgspec.structs.replace(earlier.checkpoints[SUBJECT.name], digest="of weights that rest")
    other = [msgspec.structs.replace(case, checkpoint="resting") for case in earlier.cases]
    earlier.checkpoints["resting"] = kept
    earlier.cases += other
    earlier.checkpoints[SUBJECT.name].digest = "of weights before training"

    both = grid(CLIPS, asked, option_sets=["greedy"], earlier=json_copy(earlier))
    both.check()
    assert asked.n == len(CLIPS), "none of the earlier answers is taken for one of these weights"
    assert [case for case in both.cases if case.checkpoint == "resting"] == other
    assert len(both.cases) == 2 * len(CLIPS)
    assert both.checkpoints[SUBJECT.name].digest == SUBJECT.checkpoint.digest


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
