"""A filter as text, from which `parse_filter` makes the same one."""

from decimal import Decimal

from cohorts.connectors.filters.conditions import (
    All,
    AnyOf,
    Comparison,
    Contains,
    Filter,
    IsNull,
    Not,
    OneOf,
    Value,
)
from cohorts.connectors.filters.reading import quoted


def written(filter_: Filter) -> str:
    """Return a filter in the language that filters are read from."""
    match filter_:
        case Comparison(field, op, value):
            return f"{quoted(field)} {op} {_literal(value)}"
        case OneOf(field, values, negated):
            return f"{quoted(field)} {'not ' * negated}in ({', '.join(map(_literal, values))})"
        case Contains(field, value, negated):
            return f"{quoted(field)} {'not ' * negated}contains {_literal(value)}"
        case IsNull(field, negated):
            return f"{quoted(field)} is {'not ' * negated}null"
        case Not(part):
            return f"not ({written(part)})"
        case All(parts):
            return " and ".join(f"({written(part)})" for part in parts)
        case AnyOf(parts):
            return " or ".join(f"({written(part)})" for part in parts)
    raise AssertionError(type(filter_))


def _literal(value: Value) -> str:
    if isinstance(value, str):
        return f"'{value.replace(chr(39), chr(39) * 2)}'"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else f"{Decimal(repr(value)):f}"
