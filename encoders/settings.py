"""How the settings of encoders and trainings are read, and what they are checked by."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, get_type_hints

from cohorts.errors import EncoderError

_NAMED = re.compile(r"[a-z]\w*:")  # an encoder with settings
_KINDS = {int: "a whole number", float: "a number", str: "text"}


def one_of(encoder: str, settings: object, **allowed: Sequence[str]) -> None:
    """Raise EncoderError where a setting is none of the values that are allowed for it."""
    for name, values in allowed.items():
        value = getattr(settings, name)
        if value not in values:
            raise EncoderError(f"{encoder} {name} is {value!r}; it is one of {', '.join(values)}.")


def at_least_one(encoder: str, settings: object, *names: str, least: int = 1) -> None:
    """Raise EncoderError where one of these settings is below 1, or `least`."""
    for name in names:
        value = getattr(settings, name)
        if value < least:
            raise EncoderError(f"{encoder} {name} is {value}; it must be at least {least}.")


def check_share(encoder: str, settings: object, *names: str) -> None:
    """Raise EncoderError where one of these settings is no share: above 0, and at most 1."""
    for name in names:
        value = getattr(settings, name)
        if not 0 < value <= 1:
            raise EncoderError(f"{encoder} {name} is {value}; it is a share, above 0 and at most 1.")


def read_settings(kind: type[Any], text: str) -> Any:
    """Return settings of a kind (a dataclass) from `key=value,…`, as `read_values` reads them. Raises EncoderError."""
    return kind(**read_values(kind, text))


def read_values(kind: type[Any], text: str) -> dict[str, Any]:
    """Return what `key=value,…` says of the settings of a kind (a dataclass). Raises EncoderError.

    The first one may stand without its name where it is text. A value may be an encoder's name with settings of its
    own, as in `model=clinicalnotebert:tiny,simcse=note`: a key that is none of the kind's own belongs to it.
    """
    known = _known(kind)
    values: dict[str, Any] = {}
    parts = [part.strip() for part in text.split(",") if part.strip()]
    first, kind_of_first = next(iter(known.items()))
    if parts and "=" not in parts[0] and kind_of_first is str:
        parts[0] = f"{first}={parts[0]}"
    nested = ""
    for pair in parts:
        key, equals, value = (part.strip() for part in pair.partition("="))
        if nested and key not in known:
            values[nested] += f",{pair}"
            continue
        if key not in known or not equals:
            raise EncoderError(f"{pair!r} is no setting: write key=value with a key of {', '.join(known)}.")
        if key in values:
            raise EncoderError(f"{key} is given twice: {text!r}. Leave one out.")
        try:
            values[key] = known[key](value)
        except ValueError as error:
            raise EncoderError(f"{key}={value}: it is {_KINDS[known[key]]}.") from error
        if _NAMED.match(value):
            nested = key
    return values


def check_values(kind: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of the settings of a kind (a dataclass), numbers of numpy as Python's.

    Raises EncoderError for a key that it does not have, and for a value of another type.
    """
    known = _known(kind)
    for key in values:
        if key not in known:
            raise EncoderError(f"{key!r} is no setting: there are {', '.join(known)}.")
    return {key: _typed(key, value, known[key]) for key, value in values.items()}


def _typed(key: str, value: Any, kind: Any) -> Any:
    fits = {int: Integral, float: Real, str: str}.get(kind)
    if fits is None:
        return value
    if not isinstance(value, fits) or isinstance(value, bool):
        raise EncoderError(f"{key} is {value!r}, a {type(value).__name__}: it is {_KINDS[kind]}.")
    return kind(value)


def _known(kind: type[Any]) -> dict[str, Any]:
    """Return the types of a dataclass's fields by name, in their order."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
