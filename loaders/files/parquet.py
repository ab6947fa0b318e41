"""Parquet files of one schema as vectors and as tables of their other columns."""

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
from cohorts.loaders.files.checks import check_names, readable
from cohorts.loaders.files.columns import shown_name
from cohorts.loaders.files.even_tables import even_tables
from cohorts.loaders.files.format import AS, DEFINITION, EMPTY, KEY, definition_of
from cohorts.loaders.files.npy import float32
from cohorts.loaders.files.stated_metric import check_metric
from cohorts.records.tables.headers import listed

_BUFFER_BYTES = 1 << 20
_PANDAS = b"PANDAS_ATTRS"


class ParquetFiles:
    """Parquet files of one schema, row after row: one file, or the parts that a job wrote; `path` names them all.

    Raises InputError for a part that has other columns, or other types, than those before it.
    """

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self.path, self.files = path, files
        heads = [_head(file) for file in files]
        self._rows = [rows for rows, _ in heads]
        self.rows = sum(self._rows)
        self.schemas = [schema for _, schema in heads]
        self.schema = self.schemas[0]
        for file, schema in zip(files[1:], self.schemas[1:], strict=True):
            self.schema = _joined(self.schema, schema, file)

    def tables(self, names: Sequence[str], rows: int) -> Iterator[Any]:
        """Yield these columns as tables of `rows` rows, the last shorter."""
        schema = pa.schema([self.schema.field(name) for name in names])
        return even_tables(self._batches(schema, rows), schema, rows)

    def place(self, row: int) -> tuple[Path, int]:
        """Return the file that a row is in, and its number there."""
        for file, rows in zip(self.files, self._rows, strict=True):
            if row < rows:
                return file, row
            row -= rows
        raise IndexError("the files have no such row")

    def _batches(self, schema: Any, rows: int) -> Iterator[Any]:
        for file in self.files:
            with readable(file), _parquet(file) as opened:
                for batch in opened.iter_batches(rows, columns=schema.names):
                    yield batch if len(self.files) == 1 else batch.select(schema.names).cast(schema)


class _ParquetVectors:
    """A column of lists of numbers, all as long as the first that there is."""

    def __init__(self, files: ParquetFiles, name: str) -> None:
        self._files, self._name = files, name
        self._check_type(files.schema.field(name).type)
        self.files: Sequence[Path] = files.files
        self.rows, self.dim = files.rows, self._length()

    def pages(self, rows: int) -> Iterator[Vectors]:
        first = 0
        for table in self._files.tables([self._name], rows):
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
                f"Column {self._name} of {self._files.path} is {kind}; vectors must be lists of numbers (list<float>)."
            )

    def _length(self) -> int:
        """Return the length of all vectors; a part without one has no say."""
        kind = self._files.schema.field(self._name).type
        if pa.types.is_fixed_size_list(kind):
            lengths = {self._files.path: int(kind.list_size)}
        else:
            lengths = {file: _first_length(file, self._name) for file in self._files.files}
        lengths = {file: length for file, length in lengths.items() if length}
        if not lengths:
            raise InputError(
                f"Column {self._name} of {self._files.path} holds no vector that has a length; there is nothing to "
                "load."
            )
        first, dim = next(iter(lengths.items()))
        for file, length in lengths.items():
            if length != dim:
                raise InputError(
                    f"The vectors of {file} have {length} numbers and those of {first} {dim}; all must be as long."
                )
        return dim

    def _check_lengths(self, lists: Any, first: int) -> None:
        lengths = pc.fill_null(pc.list_value_length(lists), self.dim).to_numpy(zero_copy_only=False)
        wrong = np.flatnonzero(lengths != self.dim)
        if len(wrong):
            file, row = self._files.place(first + int(wrong[0]))
            raise InputError(
                f"{file}: the vector in row {row} (from 0) has {lengths[wrong[0]]} numbers and the first one "
                f"{self.dim}; all must be as long."
            )


class ParquetPart:
    """The columns of Parquet files, but the one left out."""

    def __init__(self, files: ParquetFiles, leave_out: str | None = None) -> None:
        self._files = files
        check_names(files.path, files.schema.names)
        self.path, self.files, self.rows = files.path, files.files, files.rows
        self.schema = pa.schema([field for field in files.schema if field.name != leave_out])

    def pages(self, rows: int) -> Iterator[Any]:
        """Yield the rows as tables of `rows` rows, the last shorter."""
        return self._files.tables(self.schema.names, rows)

    def place(self, row: int) -> tuple[Path, int]:
        """Return the file that a row is in, and its number there."""
        return self._files.place(row)


def open_parquet(
    path: Path, files: Sequence[Path], id_column: str, vector_column: str
) -> tuple[_ParquetVectors, ParquetPart, Collection | None]:
    """Return the vectors of the files, the columns beside them, and the collection that was exported to them.

    `path` names the files: it is the one, or their folder or pattern.
    """
    read = ParquetFiles(path, files)
    for name in (id_column, vector_column):
        if read.schema.names.count(name) != 1:
            raise InputError(
                f"{path} has {'no' if name not in read.schema.names else 'more than one'} column {name}. It has: "
                f"{listed(read.schema.names, (id_column, vector_column), proven=_is_typed(read.schema))}."
            )
    for file, schema in zip(files, read.schemas, strict=True):
        check_metric(file, *_stated(schema), schema.field(vector_column).metadata or {})
    vectors = _ParquetVectors(read, vector_column)
    part = ParquetPart(read, leave_out=vector_column)
    return vectors, part, definition_of(path, read.schema, vectors.dim)


def _joined(known: Any, schema: Any, file: Path) -> Any:
    """Return the schema of the parts so far and one more; a column of missing values alone has the type of the others.

    Raises InputError where they differ.
    """
    check_names(file, schema.names)
    if sorted(known.names) != sorted(schema.names):
        others = [shown_name(name) for name in {*known.names} ^ {*schema.names}]
        raise InputError(
            f"{file} has other columns than the parts before it: {', '.join(sorted(others)) or 'one is there twice'}. "
            "Write all parts with the same columns."
        )
    for field in known:
        other = schema.field(field.name)
        if not _is_alike(field.type, other.type) or _marks(field) != _marks(other):
            raise InputError(
                f"Column {shown_name(field.name)} of {file} is {other.type}, and {field.type} in the parts before it. "
                "Write all parts with the same types."
            )
    if (known.metadata or {}).get(DEFINITION) != (schema.metadata or {}).get(DEFINITION):
        raise InputError(f"{file} was exported from another collection than the parts before it.")
    return pa.unify_schemas([known, schema])


def _is_alike(one: Any, other: Any) -> bool:
    """Tell whether two types are the same, or what is missing of one tells no type."""
    if pa.types.is_list(one) and pa.types.is_list(other):
        return _is_alike(one.value_type, other.value_type)
    return bool(one == other or pa.types.is_null(one) or pa.types.is_null(other))


def _marks(field: Any) -> tuple[bytes | None, ...]:
    return tuple((field.metadata or {}).get(mark) for mark in (KEY, AS, EMPTY))


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


def _head(file: Path) -> tuple[int, Any]:
    with readable(file), _parquet(file) as opened:
        return opened.metadata.num_rows, opened.schema_arrow


def _first_length(file: Path, column: str) -> int:
    """Return the length of the first list in a column that has one; 0 for none."""
    with readable(file), _parquet(file) as opened:
        if pa.types.is_null(opened.schema_arrow.field(column).type):
            return 0
        for batch in opened.iter_batches(1_000, columns=[column]):
            lengths = pc.list_value_length(batch.column(0))
            there = lengths.filter(pc.greater(lengths, 0))
            if len(there):
                return int(there[0].as_py())
    return 0
