"""Whether the value of an option is of its type, and possible: for every object of options.

In: a name, a value, a type, and a rule where not every value of that type will do. Out: nothing, or
an `OptionError` that names all of them. Must not know what any option is for.
"""

import numbers
from collections.abc import Callable, Mapping
from dataclasses import fields
from types import UnionType
from typing import Any, get_args, get_origin

from maxwhisper.errors import OptionError

# Is this value, which is of the right type, possible; and what it must do. None always is.
Rule = tuple[Callable[[Any], bool], str]

AT_LEAST_1: Rule = (lambda v: v >= 1, "be at least 1")
AT_LEAST_0: Rule = (lambda v: v >= 0, "be 0 or more")
FROM_0_TO_1: Rule = (lambda v: 0 <= v <= 1, "lie in 0..1")

_NUMBERS = {int: numbers.Integral, float: numbers.Real}  # numpy's are among them


def check_options(options: Any, rules: Mapping[str, Rule]) -> None:
    """`check_value` for every field of a dataclass, with its rule where it has one."""
    for field in fields(options):
        check_value(field.name, getattr(options, field.name), field.type, rules.get(field.name))


def check_value(name: str, value: Any, kind: Any, rule: Rule | None = None) -> None:
    """Raise `OptionError` for a value that is not of the type `kind`, or breaks the rule."""
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if not any(_is_a(value, each) for each in kinds):
        named = kind.__name__ if isinstance(kind, type) else kind
        raise OptionError(f"{name} must be of type {named}, got {value!r}")
    if rule is not None and value is not None:
        is_possible, expected = rule
        if not is_possible(value):
            raise OptionError(f"{name} must {expected}, got {value!r}")


def _is_a(value: Any, kind: Any) -> bool:
    """Is it a value of that type? An int may be a float, a list a tuple; True is no number."""
    if get_origin(kind) is tuple:
        return isinstance(value, tuple | list) and all(_is_a(v, get_args(kind)[0]) for v in value)
    if kind in _NUMBERS:
        return isinstance(value, _NUMBERS[kind]) and not isinstance(value, bool)
    return isinstance(value, kind)
