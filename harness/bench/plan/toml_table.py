"""A table of a TOML file, read by a list of its keys: every value checked, and refused what is in no list."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cohorts.errors import InputError

REQUIRED: Any = object()


class Kind(NamedTuple):
    """What a value must be, in words that end a message, and the test of it."""

    words: str
    fits: Callable[[Any], bool]


TEXT = Kind("text that is not empty", lambda value: isinstance(value, str) and bool(value.strip()))
BOOLEAN = Kind("true or false", lambda value: isinstance(value, bool))
TABLE = Kind("a table", lambda value: isinstance(value, dict))
SHARE = Kind("a share between 0 and 1, both left out", lambda value: type(value) is float and 0 < value < 1)


def whole(low: int, high: int) -> Kind:
    """Return the kind of a whole number within bounds."""
    words = f"a whole number from {low:,} to {high:,}"
    return Kind(words, lambda value: type(value) is int and low <= value <= high)


def above(low: float, high: float) -> Kind:
    """Return the kind of a number above `low` and at most `high`."""
    words = f"a number above {low:,g} and at most {high:,g}"
    return Kind(words, lambda value: type(value) in (int, float) and low < value <= high)


class Key(NamedTuple):
    """A key of a table: its kind, or that of each value of a list, which may be empty where that means something."""

    kind: Kind
    default: Any = REQUIRED
    many: bool = False
    empty: bool = False


def read_table(values: Mapping[str, Any], keys: Mapping[str, Key], where: str) -> dict[str, Any]:
    """Return the value of every key, lists as tuples. Raises InputError, which names the table by `where`.

    A key that is not known is refused: a misspelt one would be a setting that is not in effect.
    """
    found = {name: _value(values.get(name, key.default), name, key, where) for name, key in keys.items()}
    if unknown := sorted(set(values) - set(keys)):
        raise InputError(f"{where} has no key {', '.join(unknown)}. Keys: {', '.join(keys)}.")
    return found


def _value(value: Any, name: str, key: Key, where: str) -> Any:
    words = f"a list, each of it {key.kind.words}" if key.many else key.kind.words
    if value is REQUIRED:
        raise InputError(f"{where}: {name} is missing; it must be {words}.")
    if value is key.default:
        return value
    if not (isinstance(value, list) if key.many else key.kind.fits(value)):
        raise InputError(f"{where}: {name} is {value!r}; it must be {words}.")
    if not key.many:
        return value
    if not value and not key.empty:
        raise InputError(f"{where}: {name} is empty; it must be {words}. Leave nothing to guess.")
    for place, one in enumerate(value):
        if not key.kind.fits(one):
            raise InputError(f"{where}: {name} holds {one!r}; each of it must be {key.kind.words}.")
        if one in value[:place]:
            raise InputError(f"{where}: {name} holds {one!r} twice; take one of them out.")
    return tuple(value)
