"""The rule that page and benchmark share, who is faster and when nobody is; and the one factor."""

import statistics

import hypothesis.strategies as st
import pytest
from hypothesis import given

from maxwhisper.engines.load import Load
from maxwhisper.engines.race import EngineResult
from maxwhisper.engines.verdict import Factor, factor_of, ruling_of, verdict_of
from maxwhisper.transcript import Transcript


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ((1.0,), (1.03,), "faster"),
        ((1.0,), (1.029,), "even"),
        ((1.029,), (1.0,), "even"),
        ((1.03,), (1.0,), "slower"),
        ((1.0, 1.1), (1.11, 1.2), "faster"),
        ((1.0, 1.1), (1.1, 1.2), "even"),
        ((1.0, 9.0), (2.0, 3.0), "even"),
        ((1.11, 1.2), (1.0, 1.1), "slower"),
        ((1.0, 1.2, 1.1), (1.13,), "even"),
        ((1.0, 1.2, 1.1), (2.0,), "faster"),
    ],
)
def test_one_round_has_a_margin_and_several_have_a_range(ours, theirs, verdict):
    assert verdict_of(ours, theirs) == verdict
    opposite = {"faster": "slower", "slower": "faster", "even": "even"}[verdict]
    assert verdict_of(theirs, ours) == opposite


def result(engine, *seconds, **fields):
    return EngineResult(engine, Transcript("", "en", (), 2.0), seconds, **fields)


def test_the_factor_is_the_fastest_baseline_over_ours_with_the_range_of_the_rounds():
    seconds = {
        "openai-whisper": (9.0, 9.0, 9.0),
        "faster-whisper": (3.0, 4.0, 5.0),
        "maxwhisper": (2.0, 1.0, 2.0),
    }
    found = factor_of(seconds)
    assert found == Factor(2.0, 1.5, 4.0, "faster-whisper", 3)
    assert (found.text, found.spread) == ("2.0×", "1.5–4.0×")


def test_a_slower_engine_of_ours_has_a_factor_below_one():
    found = factor_of({"openai-whisper": (1.0,), "maxwhisper": (4.0,)})
    assert found == Factor(0.25, 0.25, 0.25, "openai-whisper", 1)
    assert (found.text, found.spread) == ("0.25×", "")


@pytest.mark.parametrize("engines", [("maxwhisper",), ("openai-whisper", "faster-whisper"), ()])
def test_without_ours_or_a_baseline_there_is_no_factor(engines):
    assert factor_of(dict.fromkeys(engines, (1.0,))) is None
    assert ruling_of([result(engine, 1.0) for engine in engines]).factor is None


TIMES = st.lists(st.tuples(*[st.floats(0.01, 100)] * 2), min_size=1, max_size=5)


@given(TIMES, st.integers(0, 4))
def test_the_factor_lies_within_its_spread(times, n_missing):
    ours, theirs = zip(*times, strict=True)
    theirs = theirs[: max(1, len(theirs) - n_missing)]
    found = factor_of({"faster-whisper": theirs, "maxwhisper": ours})
    assert found.low <= found.times <= found.high
    assert found.times == statistics.median(theirs) / statistics.median(ours)
    assert found.rounds == len(theirs)


def test_a_factor_is_called_only_without_a_doubt():
    clear = [result("faster-whisper", 2.0, 2.2), result("maxwhisper", 1.0, 1.1)]
    assert ruling_of(clear).factor.times == pytest.approx(2.0)
    close = [result("faster-whisper", 1.0, 1.2), result("maxwhisper", 0.9, 1.1)]
    assert ruling_of(close).factor is None
    assert ruling_of(close).doubts == ("the rounds of maxwhisper and faster-whisper overlap",)
    loading = [*clear, result("openai-whisper", 9.0, disturbed_by=("faster-whisper",))]
    assert ruling_of(loading).doubts == ("faster-whisper was still loading during the race",)
    both = ("openai-whisper", "faster-whisper")
    loading = [clear[0], result("maxwhisper", 1.0, 1.1, disturbed_by=both)]
    assert ruling_of(loading).doubts == (
        "faster-whisper and openai-whisper were still loading during the race",
    )


@pytest.mark.parametrize(
    ("again", "load", "doubts"),
    [
        ((1.0, 1.08), Load(0.19, 2.0), ()),
        ((1.05, 1.17), None, ("maxwhisper run twice differed by 6%",)),
        ((0.94, 1.04), None, ("maxwhisper run twice differed by 6%",)),
        ((), Load(0.22, 2.0), ("other programs took 11% of the processor",)),
    ],
)
def test_noise_and_load_beyond_the_limits_withhold_the_factor(again, load, doubts):
    quiet = None if load is None else Load(0.0, 0.0)
    ours = result("maxwhisper", 1.0, 1.1, again=again, load=load)
    ruling = ruling_of([result("faster-whisper", 2.0, 2.2, load=quiet), ours])
    assert ruling.doubts == doubts
    assert (ruling.factor is None) is bool(doubts)
