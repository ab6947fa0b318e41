"""Paths to the values of a payload, nested by dots, and the names of fields that stand for them."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from cohorts.connectors.collection import OUR_PREFIX


def field_names(paths: Iterable[str]) -> dict[str, str]:
    """Return the path of each field, by a name that every engine takes: `subject` for metadata.subject.

    Where several paths end alike, the nested ones are called by the whole path (metadata_subject).
    """
    paths = sorted(paths, key=lambda path: (len(keys_of(path)), path))
    ends = Counter(_end(path) for path in paths)
    names: dict[str, str] = {}
    for path in paths:
        name = _end(path) if ends[_end(path)] == 1 else _as_name(unquoted(path))
        while name in names:
            name += "_"
        names[name] = path
    return names


def field_name(path: str, taken: Mapping[str, str]) -> str:
    """Return a name for one more path beside those `taken`: its end, or else the whole path."""
    end = _end(path)
    return end if taken.get(end, path) == path else _as_name(unquoted(path))


def paths_meant(asked: str, paths: Iterable[str]) -> list[str]:
    """Return the paths that a text may mean: the very one, or those that end so, with or without odd characters.

    Quotes about a key may be left out.
    """
    bare = {path: unquoted(path) for path in paths}
    if asked in bare:
        return [asked]
    wanted = unquoted(asked)
    same = [path for path, text in bare.items() if text == wanted]
    ends = same or [path for path, text in bare.items() if text.endswith(f".{wanted}")]
    return ends or [path for path in bare if _end(path) == asked]


def unquoted(path: str) -> str:
    """Return a path without the quotes in which Qdrant has keys that hold blanks, dots or signs."""
    return ".".join(keys_of(path))


def keys_of(path: str) -> list[str]:
    """Return the keys that a path leads through, without their quotes."""
    return [key.strip('"') for key in re.findall(r'"[^"]*"|[^."]+', path)] or [path]


def dig(payload: Mapping[str, Any], path: str) -> Any:
    """Return the value at a path, nested by dots; None where there is none."""
    value: Any = payload
    for key in keys_of(path):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _end(path: str) -> str:
    return _as_name(keys_of(path)[-1])


def _as_name(text: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_]", "_", text)
    return name if re.match(r"[A-Za-z_]", name) and not name.startswith(OUR_PREFIX) else f"field_{name}"
