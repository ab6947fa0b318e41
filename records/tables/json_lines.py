"""Tables as JSON lines: one object a line, whose keys are the columns. A broken line costs nothing but itself."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, TextIO

from cohorts.documents import is_text
from cohorts.records.tables.csv_records import MAX_RECORD_CHARS, Broken, Record, is_too_long, read_line
from cohorts.records.tables.headers import folded

LOOKED_AT = 10_000  # lines, for the names of the columns: an object may leave out what it has no value for

_ARRAY = "the line holds an array, or begins one, and no JSON object"


def names(stream: TextIO) -> list[str]:
    """Return the keys of the first objects, each once, in order; none of a file that is one array."""
    found: dict[str, str] = {}
    for number, _, _, one in islice(_objects(stream), LOOKED_AT):
        if number == 1 and one == _ARRAY:
            return []
        if isinstance(one, dict):
            found |= {folded(key): key for key in one}
    return list(found.values())


def records(stream: TextIO, columns: Sequence[str]) -> Iterator[Record | Broken]:
    """Yield the values of some columns, as text; a key that an object lacks, and null, is nothing."""
    wanted = [folded(name) for name in columns]
    for number, line, chars, one in _objects(stream):
        if isinstance(one, str):
            yield Broken(number, line, one)
            continue
        cells = {folded(key): value for key, value in one.items()}
        fields = [_as_text(cells.get(name)) for name in wanted]
        if len(cells) < len(one):
            yield Broken(number, line, "two keys of the object differ in case or blanks alone")
        elif None in fields:
            name = columns[fields.index(None)]
            yield Broken(number, line, f"{name} holds a list, an object or text that is no Unicode")
        else:
            yield Record([field or "" for field in fields], number, line, chars)


def _objects(stream: TextIO) -> Iterator[tuple[int, int, int, dict[str, Any] | str]]:
    """Yield the number, line and length of every object, and the object, or what is wrong with it."""
    number = 0
    for line, text in enumerate(iter(lambda: read_line(stream), ""), start=1):
        if text.strip():
            number += 1
            yield number, line, len(text), _object(text)


def _object(text: str) -> dict[str, Any] | str:
    if is_too_long(text):
        return f"a line of more than {MAX_RECORD_CHARS:,} characters"
    if text.lstrip().startswith("["):
        return _ARRAY
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return "the line holds no JSON"
    return value if isinstance(value, dict) else "the line holds no JSON object"


def _as_text(value: object) -> str | None:
    """Return a value as the cell of a table, None for one that can be none."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value if is_text(value) else None
        case int() | float():
            return str(value)
    return None
