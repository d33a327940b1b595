"""The verdict says what the numbers say, whoever wins."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from maxwhisper.engines.load import Load
from maxwhisper.engines.race import EngineResult
from maxwhisper.engines.verdict import factor_of
from maxwhisper.text.wer import NOTHING_SAID
from maxwhisper.transcript import Segment, Transcript
from maxwhisper.web.ui.race.speed_chart import speed_chart
from maxwhisper.web.ui.race.verdict import score, verdict

SAME_DEVICE = dict.fromkeys(("openai-whisper", "faster-whisper", "maxwhisper"), "cpu float32")


def lane(engine, *seconds, text=" a short clip", disturbed_by=(), temperature=0.0):
    segment = Segment(0, 0, 0.0, 2.0, text, (1, 2, 3), temperature, 0.0, 1.0, 0.0)
    return EngineResult(engine, Transcript(text, "en", (segment,), 2.0), seconds, disturbed_by)


MODEL = "demo is a small English Whisper."


def judge(*lanes, reference="", devices=SAME_DEVICE):
    return verdict(score(lanes, reference, "en"), devices, MODEL)


def test_the_winner_is_named_with_the_one_factor():
    first = judge(
        lane("openai-whisper", 4.0), lane("faster-whisper", 2.0), lane("maxwhisper", 1.0)
    )[0]
    assert first == "maxwhisper was fastest: 2.0× as fast as faster-whisper."
    rounds = judge(lane("openai-whisper", 4.0, 4.2), lane("maxwhisper", 1.0, 2.0))
    assert (
        rounds[0]
        == "maxwhisper was fastest: 2.7× as fast as openai-whisper (2.1–4.0× in 2 rounds)."
    )


def test_our_defeat_is_said_as_plainly_with_the_same_factor():
    first = judge(lane("openai-whisper", 4.0), lane("faster-whisper", 1.0), lane("maxwhisper", 1.5))
    assert first[0] == "faster-whisper was fastest: maxwhisper was 0.67× as fast."


def test_what_is_too_close_has_a_reason_and_no_factor():
    said = judge(lane("openai-whisper", 3.0), lane("faster-whisper", 1.0), lane("maxwhisper", 1.01))
    assert said[0] == (
        "Too close or too noisy to call: maxwhisper and faster-whisper are less than 3 % apart."
    )
    assert "×" not in " ".join(said)
    overlapping = judge(lane("openai-whisper", 1.0, 1.2, 1.4), lane("maxwhisper", 0.9, 1.0, 1.1))
    assert overlapping[0] == (
        "Too close or too noisy to call: the rounds of maxwhisper and openai-whisper overlap."
    )


def test_a_small_difference_is_not_called_one_time():
    first = judge(lane("openai-whisper", 1.04), lane("maxwhisper", 1.0))[0]
    assert first == "maxwhisper was fastest: 1.04× as fast as openai-whisper."


def test_without_our_engine_there_are_times_and_no_factor():
    first = judge(lane("openai-whisper", 3.0), lane("faster-whisper", 1.0))[0]
    assert first == "maxwhisper returned no result: faster-whisper 1.00 s, openai-whisper 3.00 s."


def test_one_engine_or_none():
    assert judge(lane("maxwhisper", 1.0))[0] == "Only maxwhisper returned a result, in 1.00 s."
    assert judge() == ["No engine returned a result."]


def test_identical_and_different_texts():
    same = judge(lane("openai-whisper", 1.0), lane("maxwhisper", 1.0))
    assert "All 2 transcripts are identical, character for character." in same
    other = judge(lane("openai-whisper", 1.0), lane("maxwhisper", 1.0, text=" a short trip"))
    assert "maxwhisper agrees with openai-whisper on 67% of the words." in other


def test_who_found_no_speech_is_not_said_to_agree():
    said = judge(lane("openai-whisper", 1.0, text=""), lane("maxwhisper", 1.0, text=""))
    assert "No engine found speech." in said
    assert not any("agree" in s for s in said)


def test_word_error_rate_needs_a_reference():
    lanes = lane("openai-whisper", 1.0), lane("maxwhisper", 1.0, text=" a short trip")
    assert not any("Word error" in s for s in judge(*lanes))
    known = judge(*lanes, reference="A short clip.")
    assert "Word error rate: openai-whisper 0.0%, maxwhisper 33.3%." in known


def test_what_the_weights_are_good_for_stands_beside_every_result():
    assert MODEL in judge(lane("maxwhisper", 1.0))
    assert MODEL in judge(lane("openai-whisper", 1.0), lane("maxwhisper", 1.0), reference="A clip.")


def test_every_reason_for_doubt_is_given():
    doubts = judge(
        lane("openai-whisper", 1.0, 2.0),
        lane("maxwhisper", 1.0, text="", disturbed_by=("faster-whisper",)),
        devices={"openai-whisper": "cpu float32", "maxwhisper": "gpu:0 bfloat16"},
    )
    assert any("maxwhisper returned no text" in s and "not a fast result" in s for s in doubts)
    assert doubts[0] == (
        "Too close or too noisy to call: faster-whisper was still loading during the race."
    )
    assert any("openai-whisper on cpu float32, maxwhisper on gpu:0 bfloat16" in s for s in doubts)
    assert any(s.startswith("Measured once") for s in doubts)


def test_chart_is_sorted_drawn_to_scale_and_has_one_factor():
    results = [lane("maxwhisper", 1.0, 1.2, 1.4), lane("openai-whisper", 3.6), lane("other", 0.6)]
    chart = speed_chart(score(results, "", "en"), factor_of({r.engine: r.seconds for r in results}))
    svg = ElementTree.fromstring(chart).find("svg")
    rows = svg.findall("g")
    assert [row.find("text").text for row in rows] == ["other", "maxwhisper", "openai-whisper"]
    assert [[part.text for part in row.iter("tspan")] for row in rows] == [
        ["0.60 s"],
        ["1.20 s", "0.50×"],
        ["3.60 s"],
    ]
    widths = [float(row.find("rect").get("width").rstrip("%")) for row in rows]
    assert widths == pytest.approx([100 / 6, 100 / 3, 100], abs=0.01)
    whiskers = next((line.get("x1"), line.get("x2")) for line in rows[1].iter("line"))
    assert whiskers == ("27.78%", "38.89%"), "from the fastest round to the slowest"
    assert not list(rows[2].iter("line")), "one round has no range"
    assert "maxwhisper 1.20 s (rounds from 1.00 to 1.40 s), 0.50× as fast as other" in svg.get(
        "aria-label"
    )
    assert svg.get("height") == "108", "known before it is drawn, so that nothing moves"
    assert speed_chart([], None) == ""


@pytest.mark.parametrize("temperature", [0.0, 0.4])
def test_words_drawn_by_chance_are_called_so(temperature):
    said = judge(lane("openai-whisper", 2.0), lane("maxwhisper", 1.0, temperature=temperature))
    assert any("sampled its own words" in sentence for sentence in said) is (temperature > 0)


def test_words_invented_where_nobody_speaks_are_counted_and_silence_is_no_failure():
    said = judge(
        lane("openai-whisper", 2.0, text=" Thank you for watching!"),
        lane("faster-whisper", 2.0, text=" [Music] ♪"),
        lane("maxwhisper", 1.0, text=""),
        reference=NOTHING_SAID,
    )
    counts = "openai-whisper 4, faster-whisper 0, maxwhisper 0"
    assert f"Nobody speaks in this recording. Invented words: {counts}." in said
    assert not any("failure" in s or "agree" in s or "Word error" in s for s in said)
    quiet = judge(lane("openai-whisper", 2.0, text=""), reference=NOTHING_SAID)
    assert "No engine found speech." in quiet
    assert "Nobody speaks in this recording. Invented words: openai-whisper 0." in quiet


def test_the_noise_is_told_and_what_was_not_measured_too():
    ours = replace(lane("maxwhisper", 1.0), again=(1.02,), load=Load(0.06, 2.0))
    theirs = replace(lane("openai-whisper", 2.0), load=Load(0.0, 1.0))
    noise = "Noise: maxwhisper run twice differed by 2.0%"
    assert f"{noise}, other programs took 2% of the processor." in judge(theirs, ours)
    elsewhere = replace(ours, load=None)
    assert f"{noise}. The load of other programs was not measured." in judge(theirs, elsewhere)
    recorded_before = judge(lane("openai-whisper", 2.0), lane("maxwhisper", 1.0))
    assert "The noise of the machine was not measured." in recorded_before


def test_a_noisy_machine_has_a_reason_and_no_factor():
    noisy = replace(lane("maxwhisper", 1.0), again=(1.3,))
    said = judge(lane("openai-whisper", 3.0), noisy)
    assert said[0] == ("Too close or too noisy to call: maxwhisper run twice differed by 30%.")
    assert "×" not in " ".join(said)
