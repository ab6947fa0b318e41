"""What is checked of every file, and how a damaged one is told of."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from cohorts.connectors.checks import OUR_PREFIX
from cohorts.errors import InputError

_BROKEN = (OSError, ValueError, KeyError, RuntimeError, OverflowError, pa.ArrowException)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the libraries raise at a damaged file into InputError."""
    try:
        yield
    except _BROKEN as error:
        raise InputError(f"{path} can't be read: {error}. Is the file complete?") from error


def check_file(path: Path) -> None:
    """Raise InputError where there is no such file."""
    if not path.is_file():
        raise InputError(f"There is no file {path}.")


def check_names(path: Path, names: Sequence[str]) -> None:
    """Raise InputError for a column that is there twice, or that is called as ours are."""
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{path} has more than one column {twice[0]}; rename or drop one of them.")
    ours = [name for name in names if name.startswith(OUR_PREFIX)]
    if ours:
        raise InputError(f"{path} has a column {ours[0]}; {OUR_PREFIX} is ours, so rename or drop it.")


def listed(names: Sequence[str]) -> str:
    """Return names for a message."""
    return ", ".join(names) or "none"
