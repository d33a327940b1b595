"""The committed parity record: sound, and docs/parity.md says what it says."""

from pathlib import Path

from maxwhisper.parity import page, report

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "results" / "parity" / "cpu.json"


def test_the_page_is_written_from_the_record():
    assert (ROOT / "docs" / "parity.md").read_text() == page.page(report.load(RECORD))


def test_every_difference_of_the_record_is_explained():
    assert not report.failed(report.load(RECORD))
