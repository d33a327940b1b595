"""`python -m tools.record_schemas` writes results/schema: the JSON schema of every record type.

Out: one file per type. Descriptions are omitted, so a schema changes only with the format.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from maxwhisper.cli.output import json_text, write_file
from maxwhisper.evaluation.bench.record import BenchRecord
from maxwhisper.evaluation.parity.record import ParityRecord
from maxwhisper.evaluation.profiling.record import Profile
from maxwhisper.evaluation.records import Record
from maxwhisper.web.server.run import Run
from tools.archive_scale.record import ScaleRecord
from tools.defects.record import DefectsRecord
from tools.gpu_proof.proof import ProofRecord
from tools.robustness.record import RobustnessRecord
from tools.train_demo.record import Evaluation

FOLDER = Path(__file__).parents[1] / "results" / "schema"
RECORDS: Mapping[str, type[Record]] = {
    "archive_scale": ScaleRecord,
    "bench": BenchRecord,
    "defects": DefectsRecord,
    "evaluation": Evaluation,
    "parity": ParityRecord,
    "profile": Profile,
    "proof": ProofRecord,
    "race": Run,
    "robustness": RobustnessRecord,
}


def schema_text(record: type[Record]) -> str:
    """Return the JSON schema of a record type, as in its file."""
    return json_text(_without_descriptions(msgspec.json.schema(record)))


def _without_descriptions(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_descriptions(item)
            for key, item in value.items()
            if not (key == "description" and isinstance(item, str))
        }
    if isinstance(value, list):
        return [_without_descriptions(item) for item in value]
    return value


def main() -> None:
    for name, record in RECORDS.items():
        write_file(FOLDER / f"{name}.json", schema_text(record))


if __name__ == "__main__":
    main()
