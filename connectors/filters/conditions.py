"""A small filter language, parsed by sqlglot into a few frozen conditions that every engine can compile.

`age >= 60 and sex = 'F'`, `codes contains 'E11'`, `sex in ('F', 'M')`, `age between 40 and 60`, `died is null`,
`admitted >= '2101-10-20'`, `not (...)`, `or`, parentheses. Values are text in single quotes, numbers, true and false;
a date is written as ISO text, YYYY-MM-DD. Other text can be asked for equality only. A name of letters, digits,
`_`, `-` and `.` stands as it is; another, or a word of the language, in double quotes: `"Admission Type" = 'URGENT'`.

Logic has two values: a missing value meets no comparison (`!=`, `not in`, `not between` and `x not contains 'y'` are
comparisons too), and `not (...)` holds exactly where its inside doesn't. So `sex != 'F'` leaves out those whose sex is
unknown, and `not (sex = 'F')` keeps them. `is null` asks for what is missing; an empty list counts as missing.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from cohorts.errors import FilterError

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


def parse_filter(text: str) -> Filter:
    """Read a filter expression. Raises FilterError, which says what was not understood."""
    from cohorts.connectors.filters.parsing import condition, parse

    try:
        text.encode()
        filter_ = condition(parse(text))
    except UnicodeEncodeError as error:
        raise FilterError("The filter is no valid Unicode text.") from error
    except RecursionError as error:
        raise _too_deep() from error
    if _depth(filter_) > MAX_DEPTH:
        raise _too_deep()
    return filter_


def quoted(field: str) -> str:
    """Return a field's name as a filter takes it: in double quotes where it can't stand bare."""
    either = OneOf(field, (1,), negated=True), Comparison(field, "=", True), Comparison(field, ">", 1)
    try:
        bare = parse_filter(f"{field} not in (1) or {field} or 1 < {field}") == AnyOf(either)
    except FilterError:
        bare = False
    return field if bare else '"' + field.replace('"', '""') + '"'


def _too_deep() -> FilterError:
    return FilterError(
        f"The filter is nested more than {MAX_DEPTH} deep; use in (…) for a long list of values."
    )


def _depth(filter_: Filter) -> int:
    match filter_:
        case All(parts) | AnyOf(parts):
            return 1 + max(_depth(part) for part in parts)
        case Not(part):
            return 1 + _depth(part)
    return 0


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


def check_filter(filter_: Filter, fields: Mapping[str, Any]) -> None:
    """Raise FilterError where the filter names a field that is not there, or compares it with another type."""
    match filter_:
        case All(parts) | AnyOf(parts):
            for part in parts:
                check_filter(part, fields)
        case Not(part):
            check_filter(part, fields)
        case _:
            field = filter_.field  # type: ignore[attr-defined]
            if field not in fields:
                raise FilterError(f"There is no field {field!r} to filter by. {known_fields(field, fields)}")
            _check_type(filter_, fields[field])


def known_fields(field: str, fields: Iterable[str]) -> str:
    """Return the fields that there are, those first that are spelt most alike."""
    folded = {name.casefold(): quoted(name) for name in fields}
    near = ", ".join(folded[name] for name in difflib.get_close_matches(field.casefold(), folded))
    return f"{f'Nearest: {near}. ' if near else ''}Fields: {', '.join(map(quoted, fields)) or 'none'}."


def _check_type(filter_: Filter, kind: Any) -> None:
    match filter_:
        case Contains(field, _) if kind != list[str]:
            raise FilterError(f"{quoted(field)} is no list; contains asks whether a list holds a value.")
        case Comparison(field, _) | OneOf(field, _) if kind == list[str]:
            raise FilterError(f"{quoted(field)} is a list; ask {quoted(field)} contains 'value'.")
        case Comparison(field, op, value):
            if op not in ("=", "!=") and kind not in (int, float, date):
                raise FilterError(
                    f"{quoted(field)} is no number and no date: it can be compared by = and != only."
                )
            _check_value(field, value, kind)
        case OneOf(field, values):
            for value in values:
                _check_value(field, value, kind)


def _check_value(field: str, value: Value, kind: Any) -> None:
    numbers = (int, float)
    fits = (
        is_date(value) if kind is date else type(value) in numbers if kind in numbers else type(value) is kind
    )
    if not fits:
        names = {
            str: "text, in single quotes",
            bool: "true or false",
            int: "a number",
            float: "a number",
            date: "a date, 'YYYY-MM-DD'",
        }
        bare = kind in numbers and isinstance(value, str) and re.fullmatch(r"-?\d{1,15}(\.\d{1,15})?", value)
        hint = f" Write {value} without quotes." if bare else ""
        raise FilterError(f"{quoted(field)} is {names[kind]}; it can't be compared with {value!r}.{hint}")
    if kind in numbers and not abs(value) <= MAX_NUMBER:  # type: ignore[arg-type]
        raise FilterError(
            f"{quoted(field)} can't be compared with {value!r}: numbers lie between -2**53 and 2**53."
        )


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
