"""Two transcripts, figure by figure: a planted difference is found and located."""

import math
from dataclasses import replace

import pytest

from maxwhisper.evaluation.parity import compare
from tests.fakes.parity import SEGMENT, TRANSCRIPT, WORDS, case_of, first_segment


def differences(ours, theirs=TRANSCRIPT):
    return [figure for figure in compare.figures(ours, theirs) if figure.differs]


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
    assert (case.status, case.cause) == ("different", None)
    assert case.difference.where == difference.where
    assert case.n_differences == 1


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
    assert case.status == "identical"
    assert case.worst_errors["avg_logprob"] == pytest.approx(5e-4)
    assert case.worst_errors["word.end"] == pytest.approx(0.02)
    assert case.n_tokens == 6
    nan = first_segment(avg_logprob=math.nan)
    assert differences(nan, nan) == []
