"""What is checked of every file, and how a damaged one is told of."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError

import pyarrow as pa
from cohorts.connectors.collection import OUR_PREFIX
from cohorts.errors import InputError
from cohorts.records.tables.file_kinds import Kind, foreign

# What libraries raise at damaged files: numpy takes a header for Python, h5py sizes of nonsense for sizes.
_BROKEN = (
    *(OSError, ValueError, KeyError, TypeError, RuntimeError, OverflowError, MemoryError, SyntaxError),
    *(EOFError, TokenError, pa.ArrowException),
)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the libraries raise at a damaged file into InputError, without their words, which may quote it."""
    try:
        yield
    except _BROKEN as error:
        why = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
        raise InputError(f"{path} can't be read{why}. Is the file complete, and not damaged?") from None


def check_file(path: Path, kind: Kind) -> None:
    """Raise InputError where there is no such file, or where its first bytes are those of another kind."""
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    with readable(path):
        fault = foreign(path, kind)
    if fault:
        raise InputError(fault)


def check_names(path: Path, names: Sequence[str]) -> None:
    """Raise InputError for a column that is there twice, or that is called as ours are."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        places = " and ".join(str(place) for place, name in enumerate(names, start=1) if name == twice)
        raise InputError(f"Columns {places} of {path} have one name; rename or drop one of them.")
    ours = [name for name in names if name.startswith(OUR_PREFIX)]
    if ours:
        raise InputError(f"{path} has a column {ours[0]}; {OUR_PREFIX} is ours, so rename or drop it.")
