"""The description of an option: what a dataclass field says beside its name, type and default.

`option` writes it into the field's metadata. Validation, command-line flags, page controls, the
HTTP endpoint and docs/options.md read it from there with `options_of`; nothing repeats it. Knows no
option by name.
"""

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

from maxwhisper.errors import OptionError, quoted

T = TypeVar("T")

_NUMBERS = {int: numbers.Integral, float: numbers.Real}  # includes numpy's numbers
_LARGEST = 2**63 - 1  # of an integer: more fits into no array
_KEY = "option"  # in the metadata of a field


@dataclass(frozen=True)
class Allowed:
    """The values that an option may have, apart from None. NaN is never allowed."""

    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None  # exclusive minimum
    is_finite: bool = False
    choices: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The rule as it follows "must": "be at least 1"."""
        if self.choices:
            return f"be {' or '.join(map(repr, self.choices))}"
        if self.minimum is not None and self.maximum is not None:
            return f"be between {self.minimum:g} and {self.maximum:g}"
        limits = {"above": self.above, "at least": self.minimum, "at most": self.maximum}
        rules = [f"{words} {limit:g}" for words, limit in limits.items() if limit is not None]
        return "be " + " and ".join([*(rules or ["a number"]), *["finite"] * self.is_finite])

    def includes(self, value: Any) -> bool:
        """True if the value, or each item of a tuple, is allowed."""
        if isinstance(value, tuple | list):
            return all(map(self.includes, value))
        if isinstance(value, str):
            return not self.choices or value in self.choices
        return not isinstance(value, numbers.Real) or self._includes(_float(value))

    def _includes(self, number: float) -> bool:
        return (
            not math.isnan(number)
            and (self.minimum is None or number >= self.minimum)
            and (self.maximum is None or number <= self.maximum)
            and (self.above is None or number > self.above)
            and (not self.is_finite or math.isfinite(number))
        )


def _float(number: Any) -> float:
    """The number as a float; one that is too large for it counts as infinite."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


ANY = Allowed()
AT_LEAST_0 = Allowed(minimum=0)
AT_LEAST_1 = Allowed(minimum=1)
FROM_0_TO_1 = Allowed(minimum=0, maximum=1)
ABOVE_0 = Allowed(above=0)
ABOVE_0_FINITE = Allowed(above=0, is_finite=True)
AT_LEAST_0_FINITE = Allowed(minimum=0, is_finite=True)


@dataclass(frozen=True)
class OptionInfo:
    """What `option` records of a field."""

    help: str  # one line, without a full stop
    allowed: Allowed = ANY
    unit: str = ""  # "seconds", "tokens"; empty for numbers without one
    unsupported: Mapping[str, str] = field(default_factory=dict)  # engine or mode -> short reason


@dataclass(frozen=True)
class Option:
    """A field of an options dataclass with everything that is known about it."""

    name: str
    kind: Any  # the field's type
    default: Any
    info: OptionInfo

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The members of a union type, else the type alone."""
        return get_args(self.kind) if isinstance(self.kind, UnionType) else (self.kind,)

    def check(self, value: Any) -> None:
        """Raise `OptionError` for a value of another type, or one that is not allowed."""
        check_value(self.name, value, self.kind, self.info.allowed)


def option(
    default: T,
    help: str,
    allowed: Allowed = ANY,
    *,
    unit: str = "",
    unsupported: Mapping[str, str] | None = None,
) -> T:
    """A dataclass field with its default value and its description.

    The declared type is the default's, so that type checkers see an ordinary default.
    """
    info = OptionInfo(help, allowed, unit, unsupported or {})
    described: T = field(default=default, metadata={_KEY: info})
    return described


def options_of(options: Any) -> dict[str, Option]:
    """The fields of an options dataclass, or of an instance of one, by name."""
    return {
        each.name: Option(each.name, each.type, each.default, each.metadata[_KEY])
        for each in fields(options)
    }


def check_options(options: Any) -> None:
    """Raise `OptionError` for the first field whose value is of another type or not allowed."""
    for name, each in options_of(options).items():
        each.check(getattr(options, name))


def check_value(name: str, value: Any, kind: Any, allowed: Allowed = ANY) -> None:
    """Raise `OptionError` if the value is not of the type `kind`, or is not allowed."""
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if not any(_is_a(value, each) for each in kinds):
        named = kind.__name__ if isinstance(kind, type) else kind
        raise OptionError(f"{name} must be of type {named}, got {quoted(value)}")
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise OptionError(f"{name} must fit into 64 bits, got {quoted(value)}")
    if isinstance(value, str) and not _is_unicode(value):
        raise OptionError(f"{name} must be Unicode text, got half a character in {quoted(value)}")
    if not allowed.includes(value):
        raise OptionError(f"{name} must {allowed.words}, got {quoted(value)}")


def supported(options: Any, engine: str) -> set[str]:
    """Names of the options that the engine or mode honours."""
    described = options_of(options)
    return {name for name, each in described.items() if engine not in each.info.unsupported}


def require_supported(options: Any, engine: str) -> None:
    """Raise `OptionError` if an option that `engine` does not honour differs from its default."""
    for name, each in options_of(options).items():
        value, reason = getattr(options, name), each.info.unsupported.get(engine)
        if reason and value != each.default:
            raise OptionError(
                f"{engine} does not support {name}={quoted(value)} ({reason}): "
                f"leave it at {each.default!r}"
            )


def _is_unicode(text: str) -> bool:
    """False for a lone surrogate: no tokenizer, file or network takes it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_a(value: Any, kind: Any) -> bool:
    """True if the value is of that type. An int serves as a float, a list as a tuple; a bool is no
    number."""
    if get_origin(kind) is tuple:
        return isinstance(value, tuple | list) and all(_is_a(v, get_args(kind)[0]) for v in value)
    if kind in _NUMBERS:
        return isinstance(value, _NUMBERS[kind]) and not isinstance(value, bool)
    return isinstance(value, kind)
