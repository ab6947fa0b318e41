"""Rows of a table as Arrow text, before anything is made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from cohorts.records.tables.csv_records import Broken, Record


@dataclass(frozen=True)
class Strings:
    """Some rows of a table: the columns that were asked for, in that order, none of them null, and where each row is.

    `places` has the columns `row` (records from 1 after the header) and `line` (the record's first one, 0 in Parquet),
    both int64. `broken` holds (row, line, reason) of rows that can't be split into columns. `recoded` counts the bytes
    that are no UTF-8 and were read as Windows-1252; of the text, `bytes_fast` were read by a library and `bytes_strict`
    record by record.
    """

    columns: Sequence[pa.Array]
    places: Mapping[str, pa.Array]
    broken: Sequence[tuple[int, int, str]] = ()
    recoded: int = 0
    bytes_fast: int = 0
    bytes_strict: int = 0

    def __len__(self) -> int:
        """Return the number of rows that are not broken."""
        return len(self.places["row"])

    def kept(self, mask: pa.Array) -> "Strings":
        """Return the rows for which the mask holds; broken ones stay."""
        return replace(
            self,
            columns=[column.filter(mask) for column in self.columns],
            places={name: place.filter(mask) for name, place in self.places.items()},
        )


def empty_columns(many: int, rows: int) -> list[pa.Array]:
    """Return columns without a text in them."""
    return [pa.repeat("", rows)] * many


def places(rows: "np.ndarray | Sequence[int]", lines: "np.ndarray | Sequence[int]") -> dict[str, pa.Array]:
    """Return where rows stand as `Strings` has it."""
    return {"row": pa.array(rows, pa.int64()), "line": pa.array(lines, pa.int64())}


class StrictRows:
    """Records while they are collected, of the fields at some places; at place -1 is nothing."""

    def __init__(self, wanted: Sequence[int]) -> None:
        self._wanted = wanted
        self._fields: list[list[str]] = []
        self._numbers: list[int] = []
        self._lines: list[int] = []
        self._broken: list[tuple[int, int, str]] = []

    def __len__(self) -> int:
        """Return the number of records, broken ones among them."""
        return len(self._numbers) + len(self._broken)

    def add(self, record: Record | Broken | None) -> None:
        """Take a record in; None is none."""
        if isinstance(record, Broken):
            self._broken.append((record.number, record.line, record.reason))
        elif record is not None:
            padded = (*record.fields, "")
            self._fields.append([padded[place] for place in self._wanted])
            self._numbers.append(record.number)
            self._lines.append(record.line)

    def strings(self, bytes_read: int, recoded: int) -> Strings:
        """Return the records as columns."""
        columns = [pa.array(column, pa.string()) for column in zip(*self._fields, strict=True)]
        return Strings(
            columns or empty_columns(len(self._wanted), 0),
            places(self._numbers, self._lines),
            self._broken,
            recoded,
            bytes_strict=bytes_read,
        )
