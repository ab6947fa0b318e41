"""Filters as text: read, checked against the fields that there are, and fields written as a filter takes them."""

import difflib
import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from cohorts.connectors.filters.conditions import (
    MAX_DEPTH,
    MAX_NUMBER,
    All,
    AnyOf,
    Comparison,
    Contains,
    Filter,
    Not,
    OneOf,
    Value,
    is_date,
)
from cohorts.errors import FilterError


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
