"""Documents as a disk, or an attacker, leaves them: every value of a JSON file put wrong in turn, and all of it."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cohorts.errors import CohortsError

WRONG: list[Any] = [
    None,
    True,
    -1,
    1.5,
    10**30,
    float("nan"),
    "",
    "../../../secrets",
    "a\x00b",
    "x" * 5_000,
    "\ud800",
    [],
    {},
]
RUBBISH = [b"", b"\x00\xff\xfe rubbish", b"null", b"[]", b"7", b"[" * 100_000, '{"a": "b"}'.encode("utf-16")]


def tampered(text: str) -> Iterator[bytes]:
    """Yield the document with one value wrong or missing, for every value; then cut, with more, and as rubbish."""
    document = json.loads(text)
    for path in _paths(document):
        changed = copy.deepcopy(document)
        holder = changed
        for key in path[:-1]:
            holder = holder[key]
        for value in WRONG:
            holder[path[-1]] = value
            yield json.dumps(changed).encode()
        del holder[path[-1]]
        yield json.dumps(changed).encode()
    yield json.dumps({**document, "unknown": 1}).encode()
    yield text.encode()[: len(text) // 2]
    yield from RUBBISH


def _paths(document: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value; of a list, to the first one alone."""
    if isinstance(document, dict | list):
        inner = document.items() if isinstance(document, dict) else enumerate(document[:1])
        for key, value in inner:
            yield (*at, key)
            yield from _paths(value, (*at, key))


def only_clear_errors(file: Path, contents: Iterator[bytes], use: Callable[[], object]) -> list[str]:
    """Use what a file holds, for each content in turn: it works, or the error is ours. Return the messages."""
    before, told = file.read_bytes(), []
    for content in contents:
        file.write_bytes(content)
        try:
            use()
        except CohortsError as error:
            told.append(str(error))
        except BaseException as error:
            raise AssertionError(f"{file.name}: {content[:2_000]!r}") from error
    file.write_bytes(before)
    return told
