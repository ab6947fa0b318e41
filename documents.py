"""JSON documents that may have been cut or changed since they were written: read whole, every value of its kind.

A kind is a type: str, bool, int, float, None, Any, Literal, unions, list[…], tuple[…, ...], dict[str, …] (or Sequence
and Mapping), dataclasses, NamedTuples and TypedDicts of these; or Annotated[kind, check, …], each check a function that
returns what is wrong with a value, in words that follow its place, or "". What is read never holds NaN or infinity, a
whole number beyond 2**53, or text that has no UTF-8. Messages name places and kinds; they quote no value, which may be
a record's: only a check may.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from cohorts.errors import CohortsError, InputError

T = TypeVar("T")

_LARGEST = 2**53
_NAMES: Mapping[Any, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    NoneType: "null",
    list: "a list",
    dict: "an object",
}


class _Wrong(Exception):
    """What is wrong with a value, and where it stands."""


def read_json(file: Path, kind: type[T], *, error: type[CohortsError] = InputError, remedy: str = "") -> T:
    """Return what a file holds, as the kind that is expected.

    Raises `error`, which names the file and what is wrong, and ends with the `remedy`.
    """
    try:
        text = file.read_bytes()
    except OSError as fault:
        raise error(f"{file} can't be read: {fault.strerror}. {remedy}".rstrip()) from fault
    return parse_json(text, kind, str(file), error=error, remedy=remedy)


def parse_json(
    text: str | bytes, kind: type[T], of: str, *, error: type[CohortsError] = InputError, remedy: str = ""
) -> T:
    """Return what a text holds, as the kind that is expected; `of` says what it is. Raises as `read_json` does."""
    try:
        value = json.loads(text)
    except (ValueError, TypeError, RecursionError) as fault:
        raise error(f"{of} is damaged: it holds no JSON. {remedy}".rstrip()) from fault
    return conform(value, kind, of, error=error, remedy=remedy)


def conform(
    value: Any,
    kind: type[T],
    of: str,
    *,
    error: type[CohortsError] = InputError,
    remedy: str = "",
    verdict: str = "is damaged",
) -> T:
    """Return a value out of JSON or TOML as the kind that is expected. Raises as `read_json` does."""
    try:
        made: T = _made(value, kind, "it")
    except _Wrong as wrong:
        raise error(f"{of} {verdict}: {wrong}. {remedy}".rstrip()) from wrong
    return made


def is_text(value: object) -> bool:
    """Tell whether it is text that can be written as UTF-8: a lone surrogate can't."""
    if not isinstance(value, str):
        return False
    try:
        return value.isascii() or bool(value.encode())
    except UnicodeEncodeError:
        return False


def names_a_field(text: str) -> bool:
    """Tell whether it can name a payload field to filter by: Qdrant has no path to a key with a `"` or a backslash."""
    return bool(text.strip()) and text.isprintable() and '"' not in text and "\\" not in text


def _made(value: Any, kind: Any, at: str) -> Any:
    if kind in _SCALARS:
        if not _SCALARS[kind](value):
            raise _Wrong(f"{at} {_is(value)}; it must be {_NAMES[kind]}")
        return float(value) if kind is float else value
    if kind is Any:
        return value
    origin = get_origin(kind)
    for origins, make in _COMPOSED:
        if origin in origins:
            return make(value, get_args(kind), at)
    return _record(value, kind, at)


def _one_of(value: Any, kinds: Sequence[Any], at: str) -> Any:
    """Return the value as the first of several kinds that it is; what is wrong is told of the last one but null."""
    wrong = None
    for kind in sorted(kinds, key=lambda kind: kind is not NoneType):
        try:
            return _made(value, kind, at)
        except _Wrong as found:
            wrong = found
    if all(kind in _NAMES for kind in kinds):
        raise _Wrong(f"{at} {_is(value)}; it must be {' or '.join(_NAMES[kind] for kind in kinds)}")
    raise wrong or _Wrong(at)


def _checked(value: Any, kinds: Sequence[Any], at: str) -> Any:
    made = _made(value, kinds[0], at)
    for check in kinds[1:]:
        if wrong := check(made):
            raise _Wrong(f"{at} {wrong}")
    return made


def _literal(value: Any, allowed: Sequence[Any], at: str) -> Any:
    if not any(type(value) is type(one) and value == one for one in allowed):
        raise _Wrong(f"{at} {_is(value)}; it must be one of {', '.join(map(str, allowed))}")
    return value


def _list(value: Any, kinds: Sequence[Any], at: str) -> list[Any]:
    if type(value) is not list:
        raise _Wrong(f"{at} {_is(value)}; it must be a list")
    fits = _SCALARS.get(kinds[0])
    if fits is not None and kinds[0] is not float and all(map(fits, value)):
        return value  # a vocabulary has some 100,000 words
    return [_made(one, kinds[0], f"{at}[{place}]") for place, one in enumerate(value)]


def _tuple(value: Any, kinds: Sequence[Any], at: str) -> tuple[Any, ...]:
    return tuple(_list(value, kinds, at))


def _dict(value: Any, kinds: Sequence[Any], at: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise _Wrong(f"{at} {_is(value)}; it must be an object")
    return {
        _made(key, str, f"a key of {at}"): _made(one, kinds[1], _inside(at, key))
        for key, one in value.items()
    }


def _record(value: Any, kind: Any, at: str) -> Any:
    """Return a dataclass, NamedTuple or TypedDict. What it refuses itself is wrong with the document."""
    given, hints = _dict(value, (str, Any), at), get_type_hints(kind, include_extras=True)
    for name in given:
        if name not in hints:
            raise _Wrong(f"{at} holds {name[:80]!r}, which is not known; known are {', '.join(hints)}")
    for name in _required(kind):
        if name not in given:
            raise _Wrong(f"{at} lacks {name}")
    made = {name: _made(one, hints[name], _inside(at, name)) for name, one in given.items()}
    try:
        return kind(**made)
    except InputError as refused:
        raise _Wrong(str(refused).removesuffix(".")) from refused


def _required(kind: Any) -> Sequence[str]:
    if is_dataclass(kind):
        known = fields(kind)
        return [one.name for one in known if one.default is MISSING and one.default_factory is MISSING]
    if is_typeddict(kind):
        return sorted(kind.__required_keys__)
    return [name for name in kind._fields if name not in kind._field_defaults]


def _inside(at: str, name: str) -> str:
    return name if at == "it" else f"{at}.{name}"


def _is(value: Any) -> str:
    """Say what a value is, and not which."""
    if isinstance(value, float) and not math.isfinite(value):
        return "is no finite number"
    if type(value) is int and abs(value) > _LARGEST:
        return "is a number beyond 2**53"
    return f"is {_NAMES.get(type(value), 'a ' + type(value).__name__)}"  # TOML has dates and times


def _is_whole(value: Any) -> bool:
    return type(value) is int and abs(value) <= _LARGEST


_SCALARS: Mapping[Any, Any] = {
    str: is_text,
    bool: lambda value: type(value) is bool,
    int: _is_whole,
    float: lambda value: _is_whole(value) or (type(value) is float and math.isfinite(value)),
    NoneType: lambda value: value is None,
}
_COMPOSED: Sequence[tuple[tuple[Any, ...], Any]] = (
    ((Annotated,), _checked),
    ((Union, UnionType), _one_of),
    ((Literal,), _literal),
    ((list, Sequence), _list),
    ((tuple,), _tuple),
    ((dict, Mapping), _dict),
)
