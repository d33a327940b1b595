"""A kept race looks as it did when it ended, and no word of an engine or a file name is markup."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from maxwhisper.options import TranscribeOptions
from maxwhisper.text.wer import NOTHING_SAID
from maxwhisper.web.server.run_store import RunStore
from maxwhisper.web.ui.errors import problem_html
from maxwhisper.web.ui.race.api import answer
from maxwhisper.web.ui.race.engine_panel import panel_html
from maxwhisper.web.ui.race.replay import MAX_TICKS, replay_html
from maxwhisper.web.ui.race.result_view import chart_page, scores_of, view_of
from maxwhisper.web.ui.race.share_links import recorded_html, share_links_html
from maxwhisper.web.ui.timings.accuracy_chart import accuracy_chart
from tests.fakes.runs import ENGINES, make_run, result, waveform

EVIL = "<img src=x onerror=alert(1)>"
TEXTS = ("the quick brown fox", "jumps over it")


class Tags(HTMLParser):
    """The tags of a page, and the value of its `data-race`."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.race = [], None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.race = json.loads(dict(attrs).get("data-race", "null")) or self.race


def test_lanes_chart_and_verdict_come_from_the_record():
    view = view_of(make_run(TEXTS), ENGINES)
    assert [lane.phase for lane in view.panels.values()] == ["done"] * 3
    assert view.sentences[0].startswith("maxwhisper was fastest: 1.3× as fast as faster-whisper")
    assert view.chart.count("<rect") == 3
    assert view.is_over
    lane = panel_html(view.panels["maxwhisper"])
    assert "0 substituted, 0 deleted, 0 inserted, of 7 words" in lane
    assert "<dt>first text</dt><dd>0.30 s</dd>" in lane


def test_a_race_has_one_factor_and_no_other():
    """Faster-whisper's median of 0.945 s over 0.735 s of ours; openai-whisper's 1.785 s would give
    2.4 or 1.9."""
    run = make_run(TEXTS)
    view = view_of(run, ENGINES)
    lanes = [panel_html(panel) for panel in view.panels.values()]
    shown = [*lanes, *view.sentences, view.chart, chart_page(run)]
    factors = re.findall(r"[\d.–]+×", " ".join(shown))
    # lane, lead with its spread, chart for screen readers and as drawn; then the page of the ZIP
    lead, chart = ["1.3×", "1.3–1.3×"], ["1.3×", "1.3×"]
    assert factors == ["1.3×", *lead, *chart, *lead, *chart]
    assert "1.3×" in lanes[2]
    assert answer(view, has_link=False)["factor"]["times"] == pytest.approx(9 / 7)


def test_word_errors_are_counted_by_kind():
    run = make_run(TEXTS, reference="a quick brown fox jumps over it now")
    lane = panel_html(view_of(run, ENGINES).panels["maxwhisper"])
    assert "<dt>accuracy</dt><dd>25.0% <small>WER</small></dd>" in lane
    assert "1 substituted, 1 deleted, 0 inserted, of 8 words" in lane


def test_without_the_correct_transcript_the_same_column_has_the_agreement():
    lanes = view_of(make_run(TEXTS, reference=""), ENGINES).panels
    agreed = "<dt>accuracy</dt><dd>100% <small>agreement</small></dd>"
    assert [agreed in panel_html(lane) for lane in lanes.values()] == [False, True, True]
    assert "<dt>accuracy</dt><dd>–</dd>" in panel_html(lanes["openai-whisper"])
    two = view_of(make_run(TEXTS, reference="", results=make_run(TEXTS).results[1:]), ENGINES)
    assert agreed in panel_html(two.panels["maxwhisper"]), "with faster-whisper's text"


@pytest.mark.parametrize(
    ("figures", "limits", "why"),
    [
        ({"avg_logprob": -0.99, "compression_ratio": 2.4, "no_speech_prob": 0.6}, {}, ""),
        ({"avg_logprob": -1.01}, {}, "improbable words in 1 of 2 segments"),
        ({"compression_ratio": 2.41}, {}, "text that repeats itself in 1 of 2 segments"),
        ({"no_speech_prob": 0.61}, {}, "text where it hears no speech in 1 of 2 segments"),
        ({"no_speech_prob": 0.61, "text": " "}, {}, ""),
        ({"avg_logprob": -1.01}, {"logprob_threshold": -2.0}, ""),
        ({"avg_logprob": -9.0}, {"logprob_threshold": None}, ""),
    ],
)
def test_an_engine_that_doubts_its_text_is_called_unsure(figures, limits, why):
    ours = make_run(TEXTS).results[2]
    first, *rest = ours.transcript.segments
    segments = (replace(first, **figures), *rest)
    doubted = replace(ours, transcript=replace(ours.transcript, segments=segments))
    options = TranscribeOptions(temperature=0.0, **limits)
    view = view_of(
        make_run(results=(make_run(TEXTS).results[0], doubted), options=options), ENGINES
    )
    lanes = {name: panel_html(panel) for name, panel in view.panels.items()}
    assert (f"<strong>unsure</strong> {why}</p>" in lanes["maxwhisper"]) is bool(why)
    assert ("unsure" in lanes["maxwhisper"]) is bool(why)
    assert "unsure" not in lanes["openai-whisper"]


def in_japanese(reference):
    """A run that heard one character of nine wrong."""
    heard = [
        replace(r, transcript=replace(r.transcript, language="ja", text="今日は悪い天気です"))
        for r in make_run().results
    ]
    return make_run(results=tuple(heard), reference=reference)


def test_where_no_spaces_part_words_rates_are_of_characters_and_say_so():
    run = in_japanese("今日は良い天気です。")
    view = view_of(run, ENGINES)
    lane = panel_html(view.panels["maxwhisper"])
    assert "<dt>accuracy</dt><dd>11.1% <small>CER</small></dd>" in lane
    assert "1 substituted, 0 deleted, 0 inserted, of 9 characters" in lane
    rates = ", ".join(f"{engine} 11.1%" for engine in ENGINES)
    assert f"Character error rate: {rates}." in view.sentences
    figure = accuracy_chart(scores_of(run))
    assert ">character error rate, %<" in figure
    assert "11.1 % CER" in figure
    assert "Character error rate" in chart_page(run)
    errors = answer(view, has_link=False)["scores"]["maxwhisper"]["word_errors"]
    assert (errors["unit"], errors["wer"]) == ("character", None)
    assert errors["cer"] == pytest.approx(1 / 9)
    shown = lane + "".join(view.sentences) + figure + chart_page(run)
    assert not re.search(r"WER|[Ww]ord error rate:|of 9 words", shown)


def test_characters_invented_are_called_so():
    view = view_of(in_japanese(NOTHING_SAID), ENGINES)
    assert "9 characters where nobody speaks" in panel_html(view.panels["maxwhisper"])
    counts = ", ".join(f"{engine} 9" for engine in ENGINES)
    assert f"Nobody speaks in this recording. Invented characters: {counts}." in view.sentences


def test_words_invented_are_counted_in_every_lane():
    run = make_run(("you",), reference=NOTHING_SAID)
    for lane in view_of(run, ENGINES).panels.values():
        assert "<dt>accuracy</dt><dd>1 <small>invented</small></dd>" in panel_html(lane)
        assert "1 word where nobody speaks" in panel_html(lane)


def test_a_translation_is_scored_as_the_english_it_is():
    spoken = [
        replace(r, transcript=replace(r.transcript, language="zh")) for r in make_run().results
    ]
    run = make_run(results=tuple(spoken), options=TranscribeOptions(task="translate"))
    assert {s.errors.n_words for s in scores_of(run)} == {7}


def test_what_refused_was_stopped_or_was_not_there_is_said():
    run = make_run(TEXTS)
    only_ours = make_run(
        results=run.results[2:],
        refused={"openai-whisper": EVIL},
        engines={"faster-whisper": run.engines["faster-whisper"]},
    )
    view = view_of(only_ours, (*ENGINES, "newer"))
    phases = {name: lane.phase for name, lane in view.panels.items()}
    assert phases == {
        "openai-whisper": "refused",
        "faster-whisper": "stopped",
        "maxwhisper": "done",
        "newer": "idle",
    }
    assert "<img" not in panel_html(view.panels["openai-whisper"])
    assert view.sentences[1] == "You stopped the race."
    by_link = view_of(only_ours, ENGINES, is_recorded=True)
    assert by_link.sentences[1] == "The race was stopped before its end."


def test_who_stopped_a_race_before_any_result_reads_only_that():
    assert view_of(make_run(results=()), ENGINES).sentences == ["You stopped the race."]


def test_an_engine_that_failed_in_a_later_round_was_not_stopped():
    run = make_run(TEXTS, rounds=3, refused=dict.fromkeys(ENGINES, "crashed"))
    said = view_of(run, ENGINES).sentences
    assert not any("stopped" in sentence for sentence in said)
    names = " and ".join(ENGINES)
    assert f"Some rounds are missing: {names} failed." in said


def test_one_reason_of_all_engines_is_said_once():
    reason = "this model cannot translate"
    refused = {name: f"{name}: {reason}" for name in ENGINES}
    view = view_of(make_run(results=(), refused=refused), ENGINES)
    assert view.problem == f"No engine gave a result: {reason}"
    assert view.sentences == []
    lanes = "".join(panel_html(panel) for panel in view.panels.values())
    assert reason not in lanes
    assert lanes.count('<span class="state">refused</span>') == 3
    several = view_of(make_run(results=(), refused={**refused, "maxwhisper": "crashed"}), ENGINES)
    assert several.problem == ""
    lane = panel_html(several.panels["faster-whisper"])
    assert f'<span class="state">{reason}</span>' in lane, "the lane has the engine's name"


def test_a_race_in_batches_says_so_and_who_sat_out():
    refused = {"openai-whisper": "openai-whisper: it has no batches"}
    changes = {"refused": refused, "batch_size": 8, "vad": True}
    run = make_run(TEXTS, results=make_run(TEXTS).results[1:], **changes)
    sat_out = "openai-whisper did not take part: it has neither batches nor speech detection."
    assert sat_out in view_of(run, ENGINES).sentences
    assert sat_out not in view_of(make_run(TEXTS), ENGINES).sentences
    banner = recorded_html(run).replace("\N{NO-BREAK SPACE}", " ")
    assert "batches of 8 · voice activity detection · 2 rounds" in banner


def test_a_run_of_a_model_this_page_does_not_know_can_be_shown():
    assert view_of(make_run(TEXTS, model="somebody's"), ENGINES).sentences[0]


def test_replay_holds_the_recorded_times_of_every_segment():
    page = Tags(replay_html(make_run(TEXTS)))
    assert page.race["end_s"] == pytest.approx(1.7)  # the slowest: two segments of 0.8 s, and 0.1 s
    ours = next(lane for lane in page.race["engines"] if lane["engine"] == "maxwhisper")
    assert ours["total_s"] == pytest.approx(0.7)
    assert [text for _, text in ours["said"]] == list(TEXTS)
    assert [at_s for at_s, _ in ours["said"]] == pytest.approx([0.3, 0.6])


def test_replay_has_no_markup_of_strangers_and_no_flood_of_ticks():
    run = make_run(results=(result("maxwhisper", [EVIL] * (MAX_TICKS + 50)),))
    page = replay_html(run)
    assert "img" not in Tags(page).tags
    assert page.count('<b style="left') == MAX_TICKS
    assert replay_html(None) == replay_html(make_run(results=())) == ""


def test_a_stored_run_says_when_where_and_that_it_is_not_now():
    banner = recorded_html(make_run(audio_name=EVIL, model=EVIL, machine={"cpu": EVIL}))
    assert "Recorded race: measured on 2 January 2026, 03:04 UTC.</strong>" in banner
    assert banner.count("&lt;img") == 3
    assert "“<bdi>&lt;img" in banner, "a name that runs right to left turns round itself alone"
    assert "<img" not in banner + problem_html(EVIL)


def test_the_link_says_how_long_it_works(tmp_path):
    run, store = make_run(), RunStore(tmp_path, keep_days=7, keep_runs=200)
    page = share_links_html(run, store)
    assert f"?run={run.id}" in page
    assert "7 days" in page
    assert "200 races" in page
    assert share_links_html(None, store) == share_links_html(make_run(results=()), store) == ""


def test_the_chart_of_the_zip_needs_no_network_and_obeys_nobody():
    page = chart_page(make_run([EVIL], audio_name=EVIL, reference=""))
    assert "<img src=x" not in page
    assert not re.search(r"<(?:script|link)[^>]+(?:src|href)=", page)
    assert "<script" not in page
    assert page.count('class="bar"') == 3
    assert "</bdi>, 4.0 s, raced on 2 January 2026, 03:04 UTC</p>" in page


def test_a_changed_run_keeps_its_age_and_loses_its_old_zip(tmp_path):
    store = RunStore(tmp_path, keep_days=7, keep_runs=3)
    run = make_run()
    store.save(run, waveform())
    packed, record = store.zip_path(run.id), store.audio_path(run.id).with_name("run.json")
    changed_at = record.stat().st_mtime
    changed = make_run(id=run.id, reference="other words")
    store.update(changed)
    assert store.load(run.id) == changed
    assert record.stat().st_mtime == changed_at
    assert not packed.exists()
