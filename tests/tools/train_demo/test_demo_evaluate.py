"""Evaluation: the sets, and correct figures, goals and differences."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from maxwhisper.checkpoint import bundled
from maxwhisper.network.dims import N_SAMPLES, SAMPLE_RATE
from maxwhisper.transcript import Segment, Transcript
from tests.fakes.audio_files import tone, wav
from tests.tools.train_demo.conftest import tones
from tools.train_demo import card, everyday, goals, material
from tools.train_demo.evaluate import by_group, differences, hear, record_of, summarise
from tools.train_demo.material import EVERY_WINDOW, Item
from tools.train_demo.speech import Job, write_shard
from tools.train_demo.text import Sentence
from tools.train_demo.voices import Voice

ROOT = Path(__file__).parents[3]
BUNDLED = ROOT / "maxwhisper" / "assets" / "demo"
SILENCE = np.zeros(SAMPLE_RATE, np.float32)
SPOKEN = "the red dog ran"


class FakeEngine:
    """Returns rows of (start, end, text, no_speech_prob), one list of rows per item."""

    def __init__(self, *said):
        self.said = iter(said)
        self.info = type("Info", (), {"name": "fake"})

    def transcribe(self, waveform, options):
        segments = tuple(
            Segment(i, 0, start, end, text, (1,), 0.0, -0.1, 1.0, no_speech)
            for i, (start, end, text, no_speech) in enumerate(next(self.said))
        )
        return Transcript("".join(s.text for s in segments), "en", segments, 1.0)


def item(group="grammar seen", reference=SPOKEN, segments=()):
    return Item(group, "flite a: 0", SILENCE, reference, segments)


def test_word_errors_are_pooled_over_words():
    engine = FakeEngine([(0, 1, " The red dog ran.", 0.1)], [(0, 1, " red", 0.1)])
    assert summarise(hear(engine, [item(), item(reference="red dog")])) == {
        "items": 2,
        "words": 6,
        "wer": pytest.approx(1 / 6, abs=1e-4),
        "no_speech_prob_above_0.6": 0.0,
        "no_speech_prob_below_0.3": 1.0,
    }


def test_a_segment_is_right_where_both_its_times_are():
    truth = ((0.5, 2.0), (3.0, 4.0), (5.0, 6.0))
    said = [(0.4, 2.15, " one", 0.0), (3.0, 4.5, " two", 0.0), (4.7, 6.0, " three", 0.0)]
    heard = hear(FakeEngine(said), [item("grammar windows", segments=truth)])
    assert summarise(heard)["segments_within_0.2_s"] == pytest.approx(1 / 3, abs=1e-4)


def test_words_where_nothing_is_said_are_counted():
    engine = FakeEngine([(0, 1, " thank you", 0.2)], [])
    figures = summarise(hear(engine, [item("noise", ""), item("noise", "")]))
    assert figures["words_in_no_speech"] == 2
    assert "wer" not in figures
    assert "no_speech_prob_above_0.6" not in figures, "one item has no segment to tell it"


def test_real_recordings_and_synthesisers_are_summed_up_too():
    said = [[(0, 1, f" {SPOKEN}", 0.0)]] * 3
    items = [item("real: core"), item("real: harvard"), item("test seen")]
    figures = by_group(hear(FakeEngine(*said), items))
    assert set(figures) == {"real: core", "real: harvard", "real", "test seen", "test seen: flite"}
    assert figures["real"]["items"] == 2


def test_goals_are_met_missed_or_not_measured():
    rows = goals.judge(
        {
            "a": {"test seen": {"wer": 0.08}, "noise": {"words_in_no_speech": 1}},
            "b": {"grammar windows": {"segments_within_0.2_s": 0.9}},
        }
    )
    met = {(row["engine"], row["group"], row["figure"]): row["met"] for row in rows}
    assert len(rows) == 2 * len(goals.GOALS)
    assert met["a", "test seen", "wer"] is True
    assert met["a", "noise", "words_in_no_speech"] is False
    assert met["b", "grammar windows", "segments_within_0.2_s"] is True
    assert met["b", "test seen", "wer"] is None


@pytest.fixture
def heard():
    """Three clips: the same text, another word, another full stop."""
    whole = [(0, 1, f" {SPOKEN}", 0.0)]
    ours = FakeEngine(whole, [(0, 1, " One", 0), (1, 2, " cat", 0)], whole)
    theirs = FakeEngine(
        whole, [(0, 1, " One", 0), (1.5, 2, " dog", 0)], [(0, 1, f" {SPOKEN}.", 0.0)]
    )
    items = [item("clips")] * 3
    return {"maxwhisper": hear(ours, items), "other": hear(theirs, items)}


def test_every_difference_is_located_and_weighed(heard):
    words, writing = differences(heard)
    assert (words["same_words"], words["from_s"]) == (False, 1)
    assert words["texts"] == {"maxwhisper": " One cat", "other": " One dog"}
    assert (writing["same_words"], writing["from_s"]) == (True, 0)


def test_the_record_holds_what_the_card_and_the_page_say(heard, tmp_path):
    record = json.loads(json.dumps(record_of("digest", heard).to_dict()))
    assert record["agreement"] == {"clips": {"items": 3, "differ": 2}}
    assert record["word_error_rates"] == {}, "none of the places was measured"
    counters = {"step": 1, "examples": 1, "audio_s": 1, "spent_s": 1, "seed": 0, "tokens_used": 1}
    counters["began_with"] = None
    training = {
        "dims": {"n_audio_state": 1, "n_audio_layer": 1, "n_text_layer": 1, "n_vocab": 1},
        "stored_as": "float16",
        "speech": {"utterances": 1, "hours": {"flite": 1.0}, "voices": 1},
        "training": counters,
        "alignment_heads": [],
        "word_start_error_s": 0.1,
        "sha256": {},
        "bytes": {},
    }
    (tmp_path / "training.json").write_text(json.dumps(training))
    (tmp_path / "evaluation.json").write_text(json.dumps(record))
    text = card.card(tmp_path)
    assert "differ in at least one character in 2 of 3 recordings; in 1 of them in words" in text
    assert "| clips: flite a: 0 | words | 1.00 s |" in text


def test_the_committed_card_is_what_the_records_say():
    """Its verdicts follow from the record's figures, and the pages quote its error rate."""
    record = json.loads((BUNDLED / "evaluation.json").read_text())
    assert record["goals"] == goals.judge(record["engines"])
    again = "run: python -m tools.train_demo.card maxwhisper/assets/demo"
    assert (BUNDLED / "README.md").read_text() == card.card(BUNDLED), again
    ours = record["engines"]["maxwhisper"]
    shown = {group.partition(":")[0] for group in ours}
    assert record["sets"] == {name: material.SETS[name] for name in shown}
    assert bundled.limits() in (ROOT / "docs" / "limits.md").read_text().replace("\n  ", " ")


def test_the_committed_record_has_every_set_and_says_what_training_aimed_at():
    record = json.loads((BUNDLED / "evaluation.json").read_text())
    for groups in record["engines"].values():
        assert {goal.group for goal in goals.GOALS} <= set(groups)
        for name in everyday.NAMES:
            for voices in ("seen", "unseen"):
                assert groups[f"{name} {voices}"]["items"] == len(everyday.read(name))
    assert all("a target of training" in record["sets"][name] for name in ("talk", "clips"))


def test_rates_are_quoted_by_place():
    said = [[(0, 1, f" {SPOKEN}", 0.0)]] * 2
    heard = hear(FakeEngine(*said), [item("test seen"), item("real: core", "the red dog")])
    rates = record_of("digest", {"maxwhisper": heard}).word_error_rates
    assert rates == {
        "on everyday sentences in voices of its training": 0.0,
        "on people reading": pytest.approx(1 / 3, abs=1e-4),
    }


def test_windows_hold_utterances_at_known_times(speech_folder):
    windows = list(material.windows(speech_folder, 5))
    assert len(windows) == 5
    for window in windows:
        assert len(window.waveform) == N_SAMPLES
        assert window.options == EVERY_WINDOW
        assert len(window.segments) >= 2
        sounding = np.abs(window.waveform) > 0.01
        edges = np.array(window.segments) * SAMPLE_RATE
        for start, end in edges.astype(int):
            assert sounding[start : start + 800].any()
            assert not sounding[end + 320 : end + 1600].any()


def test_held_out_sentences_come_clean_noisy_and_unseen(speech_folder):
    groups = [item.group for item in material.held_out(speech_folder, 2)]
    assert Counter(groups) == {"grammar seen": 2, "grammar noisy": 2, "grammar unseen": 2}


def test_everyday_sentences_come_in_seen_and_unseen_voices_and_some_noisy(tmp_path, monkeypatch):
    """Speech of a sentence that is not in the list any more is skipped."""
    monkeypatch.setattr(everyday, "read", lambda name: ["The red dog ran", "A big cat sat"])
    for voices in ("seen", "unseen"):
        said = [
            (Voice("tones", "a", 1.0), Sentence(text, text, held_out=True), tones(text))
            for text in ("The red dog ran", "One old cat", "A big cat sat")
        ]
        write_shard(Job(tmp_path / f"test_{voices}", 0, 0, (), ()), said)
    items = list(material.everyday_sentences(tmp_path, "test", noisy=1))
    assert [(item.group, item.reference) for item in items] == [
        *((f"test {v}", text) for v in ("seen", "unseen") for text in everyday.read("test")),
        ("test noisy", "The red dog ran"),
    ]
    clean, noisy = items[0].waveform, items[-1].waveform
    ratio = np.mean(clean**2) / np.mean((noisy - clean) ** 2)
    assert 10 * np.log10(ratio) == pytest.approx(material.NOISY_SNR_DB, abs=3)


def test_windows_without_speech_are_asked_twice():
    items = list(material.silences(3))
    assert [item.group for item in items] == ["noise", "no speech"] * 3
    assert all(item.reference == "" and len(item.waveform) == N_SAMPLES for item in items)
    assert not items[0].waveform.any()


def test_real_recordings_have_words_and_a_bound(tmp_path):
    """Three of each folder are short enough and have a text; two are asked for."""
    entries = [
        {"file": f"{folder}/{name}.wav", "reference": text, "duration_s": seconds}
        for folder in (*material.REAL, "elsewhere")
        for name, text, seconds in [
            ("a", "", 1),
            ("b", "too long", 10),
            *((name, f"the text of {name}", 9) for name in "cde"),
        ]
    ]
    (tmp_path / "index.json").write_text(json.dumps(entries))
    for entry in entries:
        path = tmp_path / entry["file"]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(wav(tone(SAMPLE_RATE, entry["duration_s"])))
    items = list(material.real_recordings(tmp_path, longest_s=9, limit=2))
    assert [(item.group, item.reference) for item in items] == [
        (f"real: {folder}", f"the text of {name}") for folder in material.REAL for name in "cd"
    ]
    assert {len(item.waveform) for item in items} == {9 * SAMPLE_RATE}
