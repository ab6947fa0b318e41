"""Columns of a Parquet file as text: every cell as Python writes its value, nothing as empty text.

A file that we made of others may tell in three columns where its rows stand in those, and which of them can't be used.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from cohorts.errors import SourceError
from cohorts.records.tables.strings import Strings, empty_columns, places

BATCH_BYTES = 8 * 1024 * 1024  # of a batch's cells, as the file's metadata tells them
BATCH_ROWS = 50_000

_FEWER_BITS = (pa.float16(), pa.float32())
_BITS = {pa.float16(): pa.int16()}  # of these, pyarrow 17 finds no distinct ones
ROW, LINE = "cohorts:row", "cohorts:line"  # int64
FAULT = "cohorts:fault"  # text, null in a row that can be used


class ParquetColumns:
    """One file. Raises SourceError where it is damaged, then and while it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._told():
            self._file = pyarrow.parquet.ParquetFile(path)
            self.names: list[str] = self._file.schema_arrow.names

    @property
    def content_bytes(self) -> int:
        """Return about how many bytes of text the file holds; a cell that the file writes once for many is some 8."""
        about = self._file.metadata
        groups = map(about.row_group, range(about.num_row_groups))
        written: int = sum(group.total_byte_size for group in groups)
        cells: int = about.num_rows * about.num_columns
        return max(written, cells * 8)

    def read(self, wanted: Sequence[int]) -> Iterator[Strings]:
        """Yield the columns at some places, piece by piece, at least one; of place -1, empty text.

        Raises SourceError for a column that holds no cells.
        """
        there = [self.names[place] for place in dict.fromkeys(wanted) if place >= 0]
        for name in there:
            kind = self._file.schema_arrow.field(name).type
            if pa.types.is_nested(kind) or "binary" in str(kind):
                raise SourceError(
                    f"Column {name} of {self._path} is {kind}: a cell must be text, a number, a flag or a time."
                )
        with self._told():
            first = 1
            own = [ROW, LINE, FAULT] if FAULT in self.names else []
            for batch in self._file.iter_batches(batch_size=self._rows_at_once(), columns=[*there, *own]):
                if own:
                    yield self._placed(batch, wanted)
                    first += len(batch)
                    continue
                cells = {name: _as_text(batch.column(name)) for name in there}
                columns = [self._column(cells, place, len(batch)) for place in wanted]
                numbers = np.arange(first, first + len(batch))
                size = sum(column.nbytes for column in cells.values())
                yield Strings(columns, places(numbers, np.zeros_like(numbers)), bytes_fast=size)
                first += len(batch)
            if first == 1:
                yield Strings(empty_columns(len(wanted), 0), places([], []))

    def _placed(self, batch: pa.RecordBatch, wanted: Sequence[int]) -> Strings:
        """Return rows that tell where they stand; those with a fault as broken ones."""
        good = batch.column(FAULT).is_null()
        bad = batch.filter(pc.invert(good))
        batch = batch.filter(good)
        cells = {
            name: _as_text(batch.column(name))
            for name in batch.schema.names
            if name not in (ROW, LINE, FAULT)
        }
        return Strings(
            [self._column(cells, place, len(batch)) for place in wanted],
            {"row": batch.column(ROW), "line": batch.column(LINE)},
            list(zip(*(bad.column(name).to_pylist() for name in (ROW, LINE, FAULT)), strict=True)),
            bytes_fast=sum(column.nbytes for column in cells.values()),
        )

    def _column(self, cells: dict[str, pa.Array], place: int, rows: int) -> pa.Array:
        return cells[self.names[place]] if place >= 0 else empty_columns(1, rows)[0]

    def _rows_at_once(self) -> int:
        groups = [self._file.metadata.row_group(group) for group in range(self._file.num_row_groups)]
        widest = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1)
        return max(1, min(BATCH_ROWS, int(BATCH_BYTES / max(1, widest))))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, ValueError, OverflowError):
            raise SourceError(f"{self._path} is damaged, or no Parquet file. Is it complete?") from None


def _as_text(cells: pa.Array) -> pa.Array:
    """Return the cells as text; a value is written once, however often it stands there."""
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
        return pc.fill_null(cells.cast(pa.string()), "")
    if pa.types.is_dictionary(cells.type):
        values, where = cells.dictionary, cells.indices
    else:
        encoded = cells.view(_BITS.get(cells.type, cells.type)).dictionary_encode()
        values, where = encoded.dictionary.view(cells.type), encoded.indices
    # With Python's 64 bits, 7.4 of 32 would be 7.400000095367432.
    own = values.to_numpy() if values.type in _FEWER_BITS else values.to_pylist()
    written = ["" if value is None else str(value) for value in own]
    return pc.fill_null(pa.array(written, pa.string()).take(where), "")
