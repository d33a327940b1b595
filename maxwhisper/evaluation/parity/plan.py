"""The order in which cases are compared, and how an interrupted comparison is resumed.

Input: names and records. Output: cases by name, or a record that continues an earlier one. Runs no
engine.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import msgspec

from maxwhisper.errors import RecordError
from maxwhisper.evaluation.parity.record import CheckpointEntry, ParityRecord
from maxwhisper.evaluation.records import to_dict


class Key(NamedTuple):
    """The names that identify a case."""

    checkpoint: str
    clip: str
    option_set: str


def spread(sets: Mapping[str, Sequence[str]], clips: Sequence[str]) -> Iterator[Key]:
    """Every clip with every option set of every checkpoint in `sets`, once.

    Wherever the iteration stops, the numbers of cases of any two checkpoints or clips differ by at
    most one. Option sets are spread almost as evenly: each round gives every clip one set, and
    neighbouring clips different ones.
    """
    for number in range(max(map(len, sets.values()), default=0)):
        for place, clip in enumerate(clips):
            for checkpoint, names in sets.items():
                if number < len(names):
                    yield Key(checkpoint, clip, names[(number + place) % len(names)])


def remaining(
    record: ParityRecord, sets: Mapping[str, Iterable[str]], clips: Sequence[str]
) -> list[Key]:
    """The cases of `spread` that the record does not have, in the same order."""
    done = {Key(case.checkpoint, case.clip, case.option_set) for case in record.cases}
    keys = spread({name: list(of_one) for name, of_one in sets.items()}, clips)
    return [key for key in keys if key not in done]


def not_run(record: ParityRecord) -> list[Key]:
    """The cases of the record's own checkpoints, option sets and clips that it does not have."""
    sets = {name: found.option_sets for name, found in record.checkpoints.items()}
    return remaining(record, sets, list(record.clips))


def resumed(record: ParityRecord, earlier: ParityRecord) -> ParityRecord:
    """`record`, which has no cases yet, as the next run of `earlier`: the contents of both, without
    the cases of checkpoints whose weights have changed.

    Raises `RecordError` where the two use one name for different things.
    """
    _require_same("settings", earlier.settings, record.settings)
    both = deepcopy(earlier)
    both.runs += record.runs
    for name, clip in record.clips.items():
        _require_same(f"clip {name}", both.clips.setdefault(name, clip), clip)
    for name, new in record.checkpoints.items():
        old = both.checkpoints.get(name, new)
        if old.digest != new.digest:
            both.cases = [case for case in both.cases if case.checkpoint != name]
            old = new
        merged = _with_sets_of(old, new)
        _require_same(
            f"checkpoint {name}", _what_counts(merged), _what_counts(_with_sets_of(new, old))
        )
        both.checkpoints[name] = msgspec.structs.replace(merged, source=new.source)
    left_out = both.left_out | record.left_out
    both.left_out = {name: why for name, why in left_out.items() if name not in both.clips}
    return both


def _with_sets_of(checkpoint: CheckpointEntry, other: CheckpointEntry) -> CheckpointEntry:
    sets = checkpoint.option_sets
    return msgspec.structs.replace(checkpoint, option_sets=sets | other.option_sets | sets)


def _what_counts(checkpoint: CheckpointEntry) -> dict[str, Any]:
    """Without the reason for a device: it contains the number of threads, which each run has in
    its `machine`; and without the place and the description of the weights, whose digest counts."""
    document = to_dict(checkpoint)
    engines = [{**one, "device_reason": None, "weights": None} for one in document["engines"]]
    return {**document, "source": None, "engines": engines}


def _require_same(what: str, old: object, new: object) -> None:
    for where, before, now in _differences(what, to_dict(old), to_dict(new)):
        raise RecordError(
            f"expected {where} as in the record to resume: {before}, got {now}; start a new "
            "record, or use what that one was started with"
        )


def _differences(where: str, old: object, new: object) -> Iterator[tuple[str, object, object]]:
    """Every value that differs, and where it is."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            yield from _differences(f"{where}, {key}", old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, pair in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{where}, number {number}", *pair)
    elif old != new:
        yield where, old, new
