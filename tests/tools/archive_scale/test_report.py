"""The record of stage costs, its page, and one small measurement."""

import pytest

from maxwhisper.evaluation.records import written_below
from tools.archive_scale import measure
from tools.archive_scale.__main__ import DOCUMENT, RECORD, START
from tools.archive_scale.record import Costs, ScaleRecord
from tools.archive_scale.report import GPUS, PRICE, SPEEDS, report, runs


@pytest.fixture(scope="module")
def record():
    return ScaleRecord.load(RECORD)


def test_the_page_is_written_from_the_record(record):
    text = DOCUMENT.read_text(encoding="utf-8")
    hint = "run: python -m tools.archive_scale report"
    assert text == written_below(START, text, report(record)), hint


def test_the_record_is_of_a_clean_tree_and_five_rounds(record):
    assert not record.machine["commit"].endswith("+")
    assert record.n_rounds >= 5


def test_a_cost_that_cannot_be_is_refused(record):
    document = record.to_dict()
    document["costs"]["driver_s"] = 0.0
    with pytest.raises(ValueError, match="expected a positive driver_s, got 0"):
        ScaleRecord.from_dict(document)


def test_the_page_says_what_is_assumed(record):
    text = report(record)
    for speed in SPEEDS:
        assert f"Assumed: one GPU transcribes {speed:.0f}× real time." in text
    assert "The speed of a GPU and its price are assumed: no GPU was measured." in text
    for n_gpus, run in zip(GPUS, runs(record, SPEEDS[0]), strict=True):
        assert f"${n_gpus * run.seconds / 3600 * PRICE:,.0f}" in text


@pytest.mark.slow
def test_costs_are_measured_with_a_run_s_own_stages(monkeypatch):
    monkeypatch.setattr(measure, "N_EMPTY", 40)
    lines = []
    found = measure.measure("demo", "cpu", 1, lines.append)
    assert lines == ["round 1 of 1"]
    assert 6000 < found.source_bytes < 10_000, "64 kbit/s"
    assert set(found.spread.values()) == {0.0}, "one round"
    costs = found.costs
    assert costs.decode_s < costs.transcribe_s < 1, "faster than real time"
    assert 0 < costs.driver_s < 1
    assert 0.1 < costs.load_s < 120
    assert list(found.spread) == list(Costs.__struct_fields__)
