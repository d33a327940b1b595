"""In which order cases are compared, and how a comparison that was cut short goes on.

In: names, and records. Out: cases by name, and a record that holds an earlier one. Runs nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

from maxwhisper.errors import RecordError


class Key(NamedTuple):
    """A case by its names."""

    checkpoint: str
    clip: str
    option_set: str


def spread(sets: Mapping[str, Sequence[str]], clips: Sequence[str]) -> Iterator[Key]:
    """Every clip with every option set of every checkpoint, `sets`, once.

    However early one stops, checkpoints and clips have had equally many cases, to within one, and
    option sets nearly so: each round gives every clip one set, another than its neighbours'.
    """
    for number in range(max(map(len, sets.values()), default=0)):
        for place, clip in enumerate(clips):
            for checkpoint, names in sets.items():
                if number < len(names):
                    yield Key(checkpoint, clip, names[(number + place) % len(names)])


def left(
    record: Mapping[str, Any], sets: Mapping[str, Iterable[str]], clips: Sequence[str]
) -> list[Key]:
    """What `spread` says, without the cases that the record has."""
    done = {Key(*(case[name] for name in Key._fields)) for case in record["cases"]}
    keys = spread({name: list(of_one) for name, of_one in sets.items()}, clips)
    return [key for key in keys if key not in done]


def not_run(record: Mapping[str, Any]) -> list[Key]:
    """The cases that the checkpoints and clips of a record have, and its cases leave out."""
    sets = {name: found["option_sets"] for name, found in record["checkpoints"].items()}
    return left(record, sets, list(record["clips"]))


def resumed(record: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """`record`, which has no cases yet, as the next run of `earlier`: all that either has, but for
    cases of a checkpoint whose weights are others now.

    Raises `RecordError` where the two call different things by one name.
    """
    _require_same("settings", earlier["settings"], record["settings"])
    both = deepcopy(dict(earlier))
    both["runs"] += record["runs"]
    for name, clip in record["clips"].items():
        _require_same(f"clip {name}", both["clips"].setdefault(name, clip), clip)
    for name, new in record["checkpoints"].items():
        old = both["checkpoints"].get(name, new)
        if old["digest"] != new["digest"]:
            both["cases"] = [case for case in both["cases"] if case["checkpoint"] != name]
            old = new
        merged = _with_sets_of(old, new)
        _require_same(
            f"checkpoint {name}", _what_counts(merged), _what_counts(_with_sets_of(new, old))
        )
        both["checkpoints"][name] = merged
    left_out = both["left_out"] | record["left_out"]
    both["left_out"] = {name: why for name, why in left_out.items() if name not in both["clips"]}
    return both


def _with_sets_of(checkpoint: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    sets = checkpoint["option_sets"]
    return {**checkpoint, "option_sets": sets | other["option_sets"] | sets}


def _what_counts(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Without the reason for a device, which tells how many threads it has, as the run does."""
    engines = [{**engine, "device_reason": None} for engine in checkpoint["engines"]]
    return {**checkpoint, "engines": engines}


def _require_same(what: str, old: object, new: object) -> None:
    for where, before, now in _differences(what, old, new):
        raise RecordError(
            f"expected {where} as in the record that is to go on: {before}, got {now}; "
            "begin another record, or give what it was begun with"
        )


def _differences(where: str, old: object, new: object) -> Iterator[tuple[str, object, object]]:
    """Every value that is not the same, and where it is."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            yield from _differences(f"{where}, {key}", old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, pair in enumerate(zip(old, new, strict=True)):
            yield from _differences(f"{where}, number {number}", *pair)
    elif old != new:
        yield where, old, new
