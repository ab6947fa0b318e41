"""A Parquet file as vectors and as tables of its other columns."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from cohorts.connectors.base import Collection, Vectors
from cohorts.errors import InputError
from cohorts.loaders.even_tables import even_tables
from cohorts.loaders.export_format import DEFINITION, definition_of
from cohorts.loaders.file_checks import check_names, readable
from cohorts.loaders.matrices import float32
from cohorts.loaders.stated_metric import check_metric
from cohorts.records.headers import listed

_BUFFER_BYTES = 1 << 20
_PANDAS = b"PANDAS_ATTRS"


class _ParquetVectors:
    """A column of lists of numbers, all as long as the first that there is."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        file = _parquet(path)
        self._check_type(file.schema_arrow.field(name).type)
        self.rows: int = file.metadata.num_rows
        self.dim = self._first_length(file)

    def pages(self, rows: int) -> Iterator[Vectors]:
        first = 0
        for table in _parquet_pages(self._path, [self._name], rows):
            lists = table.column(self._name).combine_chunks()
            self._check_lengths(lists, first)
            page = np.full((len(lists), self.dim), np.nan, dtype=np.float32)
            there = lists.is_valid().to_numpy(zero_copy_only=False)
            # flatten() leaves out the lists that are missing; a missing number becomes NaN.
            page[there] = float32(lists.flatten().to_numpy(zero_copy_only=False)).reshape(-1, self.dim)
            yield page
            first += len(lists)

    def _check_type(self, kind: Any) -> None:
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        number = is_list and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))
        if not number:
            raise InputError(
                f"Column {self._name} of {self._path} is {kind}; vectors must be lists of numbers (list<float>)."
            )

    def _first_length(self, file: Any) -> int:
        kind = file.schema_arrow.field(self._name).type
        length = kind.list_size if pa.types.is_fixed_size_list(kind) else None
        if length is None:
            tables = _parquet_pages(self._path, [self._name], 1_000)
            length = next(
                (first for table in tables if (first := _first(pc.list_value_length(table[self._name])))), 0
            )
        if not length:
            raise InputError(
                f"Column {self._name} of {self._path} holds no vector that has a length; there is nothing to load."
            )
        return int(length)

    def _check_lengths(self, lists: Any, first: int) -> None:
        lengths = pc.fill_null(pc.list_value_length(lists), self.dim).to_numpy(zero_copy_only=False)
        wrong = np.flatnonzero(lengths != self.dim)
        if len(wrong):
            raise InputError(
                f"{self._path}: the vector in row {first + wrong[0]} (from 0) has {lengths[wrong[0]]} numbers and the "
                f"first one {self.dim}; all must be as long."
            )


class ParquetPart:
    """The columns of a Parquet file, but the one left out."""

    def __init__(self, path: Path, leave_out: str | None = None) -> None:
        self.path = path
        file = _parquet(path)
        self.rows: int = file.metadata.num_rows
        self.schema = pa.schema([field for field in file.schema_arrow if field.name != leave_out])
        check_names(path, file.schema_arrow.names)

    def pages(self, rows: int) -> Iterator[Any]:
        """Yield the rows as tables of `rows` rows, the last shorter."""
        return _parquet_pages(self.path, self.schema.names, rows)


def open_parquet(
    path: Path, id_column: str, vector_column: str
) -> tuple[_ParquetVectors, ParquetPart, Collection | None]:
    """Return the vectors, the columns beside them, and the collection that an exported file was."""
    schema = _parquet(path).schema_arrow
    for name in (id_column, vector_column):
        if schema.names.count(name) != 1:
            raise InputError(
                f"{path} has {'no' if name not in schema.names else 'more than one'} column {name}. It has: "
                f"{listed(schema.names, (id_column, vector_column), proven=_is_typed(schema))}."
            )
    check_metric(path, *_stated(schema), schema.field(vector_column).metadata or {})
    vectors = _ParquetVectors(path, vector_column)
    part = ParquetPart(path, leave_out=vector_column)
    return vectors, part, definition_of(path, schema, vectors.dim)


def _stated(schema: Any) -> Iterator[Mapping[Any, Any]]:
    """Yield what a file says of itself: its keys, the attributes of a pandas frame, and an export's definition."""
    about = schema.metadata or {}
    yield about
    for key in (_PANDAS, DEFINITION):
        try:
            found = json.loads(about.get(key, b"{}"))
        except (ValueError, RecursionError):
            continue  # whoever reads a damaged one tells of it
        if isinstance(found, dict):
            yield found


def _is_typed(schema: Any) -> bool:
    return any(not pa.types.is_string(kind) and not pa.types.is_large_string(kind) for kind in schema.types)


def _parquet(path: Path) -> Any:
    # Otherwise a row group is fetched whole, and a file may be one row group.
    return pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False)


def _parquet_pages(path: Path, names: Sequence[str], rows: int) -> Iterator[Any]:
    with readable(path), _parquet(path) as file:
        schema = pa.schema([file.schema_arrow.field(name) for name in names])
        yield from even_tables(file.iter_batches(rows, columns=list(names)), schema, rows)


def _first(lengths: Any) -> int | None:
    there: list[int] = lengths.drop_null().slice(0, 1).to_pylist()
    return there[0] if there else None
