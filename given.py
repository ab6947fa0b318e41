"""What a user gives, as the kind that is taken; any other is refused in one sentence.

Numbers, arrays and columns of numpy and pandas are taken where their plain counterparts are.
"""

import os
import shlex
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from cohorts.connectors.filters.conditions import Filter
from cohorts.connectors.filters.reading import parse_filter
from cohorts.connectors.index import Index, SearchParams, index_from_json, parse_index, parse_search
from cohorts.documents import conform
from cohorts.errors import InputError, VectorError

E = TypeVar("E", bound=StrEnum)
PathLike = str | os.PathLike[str]
Id = str | int | np.integer[Any]
Count = int | np.integer[Any]
INDEX = "a text as in 'hnsw:m=32', a dict as in {'kind': 'hnsw', 'm': 32}, or cohorts.Hnsw(m=32)"
SEARCH = "a text as in 'ef_search=128', a dict, or cohorts.SearchParams(ef_search=128)"
PATIENT = "one id: a text or a whole number"


def refused(what: str, taken: str, value: object) -> InputError:
    """Return the error for a value of a kind that is not taken; the value itself may be a patient's."""
    kind = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
    return InputError(f"{what} takes {taken}; got {kind}.")


def as_text(what: str, value: object) -> str:
    """Return a text. Raises InputError."""
    if not isinstance(value, str):
        raise refused(what, "a text", value)
    return value


def as_path(what: str, value: object) -> Path:
    """Return a path. Raises InputError."""
    if isinstance(value, str | os.PathLike) and isinstance(path := os.fspath(value), str):
        return Path(path).expanduser()
    raise refused(what, "a path: a text or a pathlib.Path", value)


def as_place(what: str, value: object) -> Path | str:
    """Return a path, or the address of a database as it is, as in postgresql://host/name. Raises InputError."""
    return value if isinstance(value, str) and "://" in value else as_path(what, value)


def as_paths(what: str, value: object) -> list[Path]:
    """Return several paths, or the one given. Raises InputError."""
    if isinstance(value, str | os.PathLike):
        return [as_path(what, value)]
    if not isinstance(value, Iterable) or isinstance(value, bytes | Mapping):
        raise refused(what, "paths: a list of texts or of pathlib.Path", value)
    return [as_path(what, one) for one in value]


def as_choice(what: str, kind: type[E], value: object) -> E:
    """Return one of a few words. Raises InputError, which names them."""
    words = " or ".join(repr(one.value) for one in kind)
    if not isinstance(value, str):
        raise refused(what, words, value)
    try:
        return kind(value)
    except ValueError:
        raise InputError(f"{what} takes {words}; got {value!r}.") from None


def as_flag(what: str, value: object) -> bool:
    """Return True or False. Raises InputError."""
    if not isinstance(value, bool | np.bool_):
        raise refused(what, "True or False", value)
    return bool(value)


def as_count(what: str, value: object) -> int:
    """Return a whole number from 1. Raises InputError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise refused(what, "a whole number from 1", value)
    if value < 1:
        raise InputError(f"{what} takes a whole number from 1; got {value}.")
    return int(value)


def as_share(what: str, value: object) -> float:
    """Return a number from 0 to 1. Raises InputError."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise refused(what, "a number from 0 to 1", value)
    if not 0 <= value <= 1:
        raise InputError(f"{what} takes a number from 0 to 1; got {value}.")
    return float(value)


def as_names(what: str, value: object) -> list[str]:
    """Return names out of a text as in `a,"b, c"`, or out of a list or a column. Raises InputError.

    In a text, a name that holds a comma stands in double quotes.
    """
    if isinstance(value, str):
        return _split(what, value)
    if not isinstance(value, Iterable) or isinstance(value, bytes | Mapping):
        raise refused(what, "names: a list, or a text with commas between them", value)
    return [as_text(f"Each of {what}", one) for one in value]


def _split(what: str, text: str) -> list[str]:
    words = shlex.shlex(text, posix=True)
    words.whitespace, words.whitespace_split = ",", True
    words.quotes, words.escape, words.commenters = '"', "", ""
    try:
        return [name.strip() for name in words if name.strip()]
    except ValueError as error:
        raise InputError(f"{what} has a double quote that is not closed: {text!r}.") from error


def as_texts(what: str, value: object) -> list[str]:
    """Return texts out of one, or out of a list or a column of them. Raises InputError."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Iterable) or isinstance(value, bytes | Mapping):
        raise refused(what, "texts: one, or a list or column of them", value)
    return [as_text(f"Each of {what}", one) for one in value]


def as_numbers(what: str, value: object) -> list[float]:
    """Return numbers out of a list or a column, or out of a text as in `2,1,.5`. Raises InputError."""
    if isinstance(value, str):
        value = [_number(what, one) for one in value.split(",")]
    if not isinstance(value, Iterable) or isinstance(value, bytes | Mapping):
        raise refused(what, "numbers: a list, or a text with commas between them", value)
    return [as_number(f"Each of {what}", one) for one in value]


def as_number(what: str, value: object) -> float:
    """Return a number. Raises InputError."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.number):
        raise refused(what, "a number", value)
    return float(value)


def _number(what: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{what} takes numbers with commas between them; got {text.strip()!r}.") from None


def as_fields(what: str, value: object) -> tuple[str, ...] | None:
    """Return the names of fields as `as_names` does; () for the text `none`, None for None. Raises InputError."""
    if value is None:
        return None
    return () if value == "none" else tuple(as_names(what, value))


def as_pairs(what: str, value: object) -> dict[str, str]:
    """Return a mapping out of a dict, or out of a text as in `id=encounter_id,text=note`. Raises InputError."""
    if isinstance(value, Mapping):
        return {
            as_text(f"A key of {what}", key): as_text(f"{what} of {key}", one) for key, one in value.items()
        }
    if not isinstance(value, str):
        raise refused(what, "a dict of texts, or a text as in 'id=encounter_id,text=note'", value)
    pairs = [pair.partition("=") for pair in as_names(what, value)]
    found = {key.strip(): one.strip() for key, _, one in pairs}
    if len(found) < len(pairs):
        raise InputError(f"{what} gives a key twice: {value!r}. Leave one out.")
    return found


def as_id(what: str, value: object) -> str:
    """Return the id of one patient or unit as text; a column or array of one is taken for it. Raises InputError."""
    if not isinstance(value, str) and getattr(value, "size", 0) == 1 and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise refused(what, PATIENT, value)
    return str(value)


def as_ids(what: str, value: object) -> list[str]:
    """Return ids as texts, out of one or of a list, array or column of them. Raises InputError."""
    if isinstance(value, str | int | np.generic):
        return [as_id(what, value)]
    if not isinstance(value, Iterable) or isinstance(value, bytes | Mapping):
        raise refused(what, "ids: a list, array or column of texts or whole numbers", value)
    return [as_id(f"Each of {what}", one) for one in value]


def as_vector(value: object) -> npt.NDArray[np.float32]:
    """Return a vector (dim,) float32 out of numbers (dim,) or (1, dim). Raises VectorError."""
    try:
        vector = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        raise VectorError(f"A vector takes numbers (dim,); got {type(value).__name__}.") from None
    if vector.ndim == 2 and len(vector) == 1:
        vector = vector[0]
    if vector.ndim != 1 or not vector.size:
        raise VectorError(f"A vector takes numbers (dim,); got the shape {vector.shape}.")
    if not vector.any():
        raise VectorError("A vector of zeros has no direction to compare: give another.")
    return vector


def as_index(value: object) -> Index | None:
    """Return an index; None where the default is meant. Raises InputError."""
    if value is None or isinstance(value, Index):
        return value
    if isinstance(value, str):
        return parse_index(value)
    if not isinstance(value, Mapping):
        raise refused("index", INDEX, value)
    return index_from_json(value)


def as_search(value: object) -> SearchParams | None:
    """Return search parameters; None where the collection's own are meant. Raises InputError."""
    if value is None or isinstance(value, SearchParams):
        return value
    if isinstance(value, str):
        return parse_search(value)
    if not isinstance(value, Mapping):
        raise refused("search", SEARCH, value)
    return conform(value, SearchParams, "search")


def as_filter(value: object) -> Filter | None:
    """Return a filter; None for everybody. Raises InputError, FilterError."""
    if value is None or isinstance(value, Filter):
        return value
    if not isinstance(value, str):
        raise refused("where", """a text as in "age >= 60 and sex = 'F'", or a Filter""", value)
    return parse_filter(value)
