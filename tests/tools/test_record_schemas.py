"""The committed schemas are those of the record types, and every committed record is readable."""

import json
from pathlib import Path

import pytest

from maxwhisper.evaluation.bench.record import BenchRecord
from maxwhisper.evaluation.parity.record import ParityRecord
from maxwhisper.evaluation.profiling.record import Profile
from maxwhisper.web.server.run import Run
from tools.archive_scale.record import ScaleRecord
from tools.defects.record import DefectsRecord
from tools.record_schemas import FOLDER, RECORDS, schema_text
from tools.train_demo.record import Evaluation

ROOT = Path(__file__).parents[2]
COMMITTED = {
    "maxwhisper/assets/demo/evaluation.json": Evaluation,
    "results/*.json": BenchRecord,
    "results/archives/*.json": ScaleRecord,
    "results/defects/*.json": DefectsRecord,
    "results/parity/*.json": ParityRecord,
    "results/profiles/*.json": Profile,
    "results/races/*/run.json": Run,
}


@pytest.mark.parametrize("name", RECORDS)
def test_schemas_are_up_to_date(name):
    committed = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert committed == schema_text(RECORDS[name]), "run: python -m tools.record_schemas"


def test_there_is_no_schema_without_a_record_type():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(RECORDS)


@pytest.mark.parametrize("pattern", COMMITTED)
def test_committed_records_survive_reading_and_writing(pattern):
    """Nothing is lost, added or changed but the order of fields."""
    paths = sorted(ROOT.glob(pattern))
    assert paths
    for path in paths:
        document = json.loads(path.read_text(encoding="utf-8"))
        assert json.loads(json.dumps(COMMITTED[pattern].load(path).to_dict())) == document
