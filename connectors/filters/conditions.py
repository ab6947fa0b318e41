"""A small filter language, parsed by sqlglot into a few frozen conditions that every engine can compile.

`age >= 60 and sex = 'F'`, `codes contains 'E11'`, `sex in ('F', 'M')`, `age between 40 and 60`, `died is null`,
`admitted >= '2101-10-20'`, `not (...)`, `or`, parentheses. Values are text in single quotes, numbers, true and false;
a date is written as ISO text, YYYY-MM-DD. Other text can be asked for equality only. A name of letters, digits,
`_`, `-` and `.` stands as it is; another, or a word of the language, in double quotes: `"Admission Type" = 'URGENT'`.

Logic has two values: a missing value meets no comparison (`!=`, `not in`, `not between` and `x not contains 'y'` are
comparisons too), and `not (...)` holds exactly where its inside doesn't. So `sex != 'F'` leaves out those whose sex is
unknown, and `not (sex = 'F')` keeps them. `is null` asks for what is missing; an empty list counts as missing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

Value = str | int | float | bool
MAX_NUMBER = 2**53  # engines compare numbers as float64: beyond it two whole numbers fall together
MAX_DEPTH = 20  # gRPC refuses messages nested much deeper
ALLOWED = (
    "= != < <= > >=, in (…), between … and …, contains, is null, and, or, not, parentheses; a name with blanks or "
    'signs in it stands in "double quotes"'
)


class Filter:
    """A condition on payload fields."""


@dataclass(frozen=True)
class Comparison(Filter):
    """`field op value` with op of = != < <= > >=."""

    field: str
    op: str
    value: Value


@dataclass(frozen=True)
class OneOf(Filter):
    """The field is (`negated`: is not) one of the values."""

    field: str
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True)
class Contains(Filter):
    """The list in the field holds (`negated`: does not hold) the value."""

    field: str
    value: str
    negated: bool = False


@dataclass(frozen=True)
class IsNull(Filter):
    """The field is missing, null or an empty list (`negated`: it is none of these)."""

    field: str
    negated: bool = False


@dataclass(frozen=True)
class Not(Filter):
    """The part doesn't hold; it doesn't hold for a missing value either, so this does."""

    part: Filter


@dataclass(frozen=True)
class All(Filter):
    """Every part holds."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class AnyOf(Filter):
    """At least one part holds."""

    parts: tuple[Filter, ...]


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def matches(filter_: Filter, payload: Mapping[str, Any]) -> bool:
    """Tell whether a payload meets the filter: the reference that every engine agrees with."""
    match filter_:
        case All(parts):
            return all(matches(part, payload) for part in parts)
        case AnyOf(parts):
            return any(matches(part, payload) for part in parts)
        case Not(part):
            return not matches(part, payload)
        case IsNull(field, negated):
            return _is_null(payload.get(field)) is not negated
    value: Any = payload.get(filter_.field)  # type: ignore[attr-defined]
    if _is_null(value):
        return False
    match filter_:
        case Comparison(_, op, wanted):
            return _COMPARE[op](value, wanted)
        case OneOf(_, values, negated):
            return (value in values) is not negated
        case Contains(_, wanted, negated):
            return (wanted in value) is not negated
        case _:
            raise TypeError(f"not a filter: {filter_!r}")


def renamed(filter_: Filter, name_of: Callable[[str], str]) -> Filter:
    """Return the same filter over fields of other names."""
    match filter_:
        case All(parts) | AnyOf(parts):
            return replace(filter_, parts=tuple(renamed(part, name_of) for part in parts))
        case Not(part):
            return Not(renamed(part, name_of))
    return replace(filter_, field=name_of(filter_.field))  # type: ignore[attr-defined,type-var]


def is_date(value: object) -> bool:
    """Tell whether the value is a date in ISO's long form, the one whose order as text is that of time."""
    if not isinstance(value, str) or not value.isascii():
        return False
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _is_null(value: Any) -> bool:
    return value is None or value == []
