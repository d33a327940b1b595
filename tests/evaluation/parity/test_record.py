"""The committed parity record: sound, and docs/parity.md says what it says."""

from pathlib import Path

from maxwhisper.evaluation.parity.document import document
from maxwhisper.evaluation.parity.record import ParityRecord

ROOT = Path(__file__).parents[3]
RECORD = ROOT / "results" / "parity" / "cpu.json"


def test_the_document_is_written_from_the_record():
    assert (ROOT / "docs" / "parity.md").read_text() == document(ParityRecord.load(RECORD))


def test_every_difference_of_the_record_is_explained():
    assert not ParityRecord.load(RECORD).failed
