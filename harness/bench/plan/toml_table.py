"""A table of a TOML file, taken key by key: each checked, and those refused that nobody took."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cohorts.errors import InputError

_REQUIRED: Any = object()


class Kind(NamedTuple):
    """What a value must be, in words that end a message, and the test of it."""

    words: str
    fits: Callable[[Any], bool]


TEXT = Kind("text that is not empty", lambda value: isinstance(value, str) and bool(value.strip()))
BOOLEAN = Kind("true or false", lambda value: isinstance(value, bool))
TABLE = Kind("a table", lambda value: isinstance(value, dict))


def whole(low: int, high: int) -> Kind:
    """Return the kind of a whole number within bounds."""
    return Kind(
        f"a whole number from {low:,} to {high:,}", lambda value: type(value) is int and low <= value <= high
    )


def above(low: float, high: float) -> Kind:
    """Return the kind of a number above `low` and at most `high`."""
    return Kind(
        f"a number above {low:,g} and at most {high:,g}",
        lambda value: type(value) in (int, float) and low < value <= high,
    )


class Table:
    """One table of a TOML file; `where` names it in messages. Every method raises InputError."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self._values, self._where = dict(values), where
        self._known: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def one(self, key: str, kind: Kind, default: Any = _REQUIRED) -> Any:
        """Return the value of a key."""
        value = self._take(key, kind.words, default)
        if value is not default and not kind.fits(value):
            raise InputError(f"{self._where}: {key} is {value!r}; it must be {kind.words}.")
        return value

    def several(
        self, key: str, kind: Kind, default: Any = _REQUIRED, *, empty: bool = False
    ) -> tuple[Any, ...]:
        """Return the values of a list, which may be empty only where that means something."""
        words = f"a list, each of it {kind.words}"
        values = self._take(key, words, default)
        if values is default:
            return tuple(default)
        if not isinstance(values, list):
            raise InputError(f"{self._where}: {key} is {values!r}; it must be {words}.")
        if not values and not empty:
            raise InputError(f"{self._where}: {key} is empty; it must be {words}. Leave nothing to guess.")
        for place, value in enumerate(values):
            if not kind.fits(value):
                raise InputError(f"{self._where}: {key} holds {value!r}; each of it must be {kind.words}.")
            if value in values[:place]:
                raise InputError(f"{self._where}: {key} holds {value!r} twice; take one of them out.")
        return tuple(values)

    def done(self) -> None:
        """Refuse the keys that were not asked for: a misspelt one would be a setting that is not in effect."""
        unknown = sorted(set(self._values) - set(self._known))
        if unknown:
            raise InputError(
                f"{self._where} has no key {', '.join(unknown)}. Keys: {', '.join(self._known)}."
            )

    def _take(self, key: str, words: str, default: Any) -> Any:
        self._known.append(key)
        if key not in self._values and default is _REQUIRED:
            raise InputError(f"{self._where}: {key} is missing; it must be {words}.")
        return self._values.get(key, default)
