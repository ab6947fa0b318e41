"""The tables of concepts that come with this package: CSV, mostly in xz, read when first asked for."""

import csv
import hashlib
import lzma
from collections.abc import Iterator
from importlib.resources import files


def packed(*names: str) -> bytes:
    """Return the bytes of some tables as they are kept, one behind the other."""
    return b"".join(_file(name) for name in names)


def read_packed(name: str) -> Iterator[list[str]]:
    """Yield the rows of a table, without its header."""
    held = lzma.decompress(_file(name)) if name.endswith(".xz") else _file(name)
    rows = csv.reader(held.decode("utf-8").splitlines())
    next(rows)
    return rows


def digest_of(*names: str) -> str:
    """Return a hash of some tables (hex)."""
    return hashlib.sha256(packed(*names)).hexdigest()[:16]


def _file(name: str) -> bytes:
    return files("cohorts.records.codes.concepts").joinpath("tables", name).read_bytes()
