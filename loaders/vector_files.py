"""Ready vectors from a file, with ids and payloads: Parquet, npy or HDF5, read in batches and never whole.

A file is two streams that go side by side: its vectors, and tables of everything else (ids and payload columns).
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from cohorts.connectors.base import Collection, FieldType, Payload, PayloadValue, Points, Vectors
from cohorts.connectors.checks import OUR_PREFIX
from cohorts.connectors.definitions import from_json
from cohorts.errors import InputError, MissingExtra

ID, VECTOR = "id", "vector"
DEFINITION = b"cohorts"  # in the schema of an exported file: its collection's definition, as JSON
# In a column of an exported file: the payload key, where the column couldn't be called so; "json" where the values
# stand as JSON (types were mixed); "absent" where an empty cell means that the point had no such key at all.
KEY, AS, EMPTY = b"cohorts:key", b"cohorts:as", b"cohorts:empty"

PAYLOAD_TYPES = "text, whole numbers, floats, booleans, lists of text, dates, timestamps"
_BROKEN = (OSError, ValueError, KeyError, RuntimeError, OverflowError, pa.ArrowException)
_BUFFER_BYTES = 1 << 20
_CHUNK_CACHE_BYTES = 64 << 20  # without it a chunk of HDF5 larger than a batch is unpacked once per batch
_BENCHMARK_NAMES = ("train", "test", "neighbors", "distances")  # ann-benchmarks' own
_MISSING: Any = object()


class _Vectors(Protocol):
    """The vectors of a file; `pages` yields (rows, dim) float32, the last page shorter."""

    dim: int
    rows: int

    def pages(self, rows: int) -> Iterator[Vectors]: ...


class _Part(Protocol):
    """Tables of ids and payload columns, row by row beside the vectors; `pages` cuts them alike."""

    path: Path
    rows: int
    schema: Any

    def pages(self, rows: int) -> Iterator[Any]: ...


@dataclass(frozen=True)
class _Column:
    """A payload column: its place in the table, the payload's key, the type to filter by (None: mixed)."""

    name: str
    key: str
    kind: FieldType | None
    as_json: bool
    absent: bool

    def values(self, table: Any) -> list[Any]:
        """Return the column's plain values; `_MISSING` where a point has no such key."""
        cells: list[Any] = table.column(self.name).to_pylist()
        if self.as_json:
            return [_MISSING if cell is None else json.loads(cell) for cell in cells]
        empty = _MISSING if self.absent else None
        return [empty if cell is None else _plain(cell) for cell in cells]


class VectorFile:
    """Vectors of a file with their ids and payloads; made by `open_vectors`, opened again by every `points()`.

    `fields` are the payload keys to be indexed for filters and their types; `definition` is the collection that an
    exported file was, else None. Dates and timestamps come as ISO text, a missing value as None.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        vectors: _Vectors,
        parts: Sequence[_Part],
        *,
        id_column: str,
        filterable: Sequence[str],
        definition: Collection | None = None,
    ) -> None:
        self.name = name
        self.path = path
        self.dim = vectors.dim
        self.rows = vectors.rows
        self.definition = definition
        self._vectors = vectors
        self._parts = parts
        self._id_column = id_column
        self._columns = [_columns(part, id_column) for part in parts]
        self._check_parts()
        self.fields: Mapping[str, FieldType] = self._fields(filterable)

    @cached_property
    def fingerprint(self) -> str:
        """Return 16 hex digits that follow from the content of the file, or files, alone."""
        digest = hashlib.sha256()
        for path in dict.fromkeys((self.path, *(part.path for part in self._parts))):
            with _readable(path), path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()[:16]

    def points(self, rows: int = 1_000) -> Iterator[Points]:
        """Yield all points in the file's order, `rows` at a time; what an engine refuses is not refused here.

        A vector that is missing is all NaN. Raises InputError for a missing id, a vector of another size than the
        first, and a file that is damaged: on the way, for no file is read twice.
        """
        first = 0
        pages = zip(self._vectors.pages(rows), *(part.pages(rows) for part in self._parts), strict=True)
        for vectors, *tables in pages:
            with _readable(self.path):
                ids = self._ids(tables, first, len(vectors))
                payloads = self._payloads(tables, len(vectors))
            yield Points(ids, vectors, payloads)
            first += len(vectors)

    def _check_parts(self) -> None:
        for part in self._parts:
            if part.rows != self.rows:
                raise InputError(
                    f"{part.path} has {part.rows:,} rows and {self.path} {self.rows:,} vectors; row by row they "
                    "must be the same points."
                )
        keys = [column.key for columns in self._columns for column in columns]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise InputError(
                f"Payload column {twice[0]} is there twice beside {self.path}; rename or drop one of them."
            )
        if self._id_column != ID and not any(self._id_column in part.schema.names for part in self._parts):
            raise InputError(
                f"There is no column {self._id_column} to take the ids from. Columns: {_listed(keys)}."
            )

    def _fields(self, filterable: Sequence[str]) -> dict[str, FieldType]:
        known = {column.key: column.kind for columns in self._columns for column in columns}
        named: dict[str, FieldType] = {}
        for name in filterable:
            kind = known.get(name)
            if kind is None:
                usable = _listed([key for key, kind in known.items() if kind])
                why = "holds values of several types" if name in known else "is not there"
                raise InputError(
                    f"Column {name} can't be indexed for filters: it {why}. Columns that can: {usable}."
                )
            named[name] = kind
        return named | dict(self.definition.fields if self.definition else {})

    def _ids(self, tables: Sequence[Any], first: int, many: int) -> list[str]:
        found = [
            _id_texts(part.path, table.column(self._id_column), first)
            for part, table in zip(self._parts, tables, strict=True)
            if self._id_column in part.schema.names
        ]
        if not found:
            return [str(row) for row in range(first, first + many)]
        for other in found[1:]:
            if other != found[0]:
                row = next(row for row in range(many) if other[row] != found[0][row])
                raise InputError(
                    f"Row {first + row} (from 0) has one id in {self.path} and another in {self._parts[-1].path}: the "
                    "rows are not in the same order."
                )
        return found[0]

    def _payloads(self, tables: Sequence[Any], many: int) -> list[Payload]:
        keys = [column.key for columns in self._columns for column in columns]
        cells = [
            column.values(table)
            for columns, table in zip(self._columns, tables, strict=True)
            for column in columns
        ]
        if not keys:
            return [{} for _ in range(many)]
        rows = zip(*cells, strict=True)
        if not any(column.absent or column.as_json for columns in self._columns for column in columns):
            return [dict(zip(keys, row, strict=True)) for row in rows]
        return [
            {key: value for key, value in zip(keys, row, strict=True) if value is not _MISSING}
            for row in rows
        ]


def open_vectors(
    path: Path,
    *,
    id_column: str = ID,
    vector_column: str = VECTOR,
    payload: Path | None = None,
    filterable: Sequence[str] = (),
) -> VectorFile:
    """Return the vectors of a file (.parquet, .npy, .hdf5 or .h5), checked as far as its head goes.

    Parquet has a column of ids (text or whole numbers), one of vectors (lists), and payload columns. npy is a matrix;
    HDF5 has a matrix called `vector_column` or, as ann-benchmarks writes it, `train`, and one-dimensional datasets as
    long beside it. The rows of `payload`, a Parquet or CSV file, belong to the matrix's in order. Without a column of
    ids, those of a matrix are the row numbers from 0.

    Raises InputError where the file, a column or a name in `filterable` can't be used, MissingExtra without h5py.
    """
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        raise InputError(f"{path} has no suffix that is known. Vectors come as: {', '.join(_OPENERS)}.")
    _check_file(path)
    if payload is not None and opener is _open_parquet:
        raise InputError(
            f"{path} is Parquet and holds its payload itself; a payload file stands beside .npy and .hdf5."
        )
    beside = [] if payload is None else [_open_payload(payload, id_column)]
    with _readable(path):
        return opener(path, id_column, vector_column, beside, filterable)


def _open_parquet(
    path: Path, id_column: str, vector_column: str, beside: list[_Part], filterable: Sequence[str]
) -> VectorFile:
    schema = _parquet(path).schema_arrow
    for name in (id_column, vector_column):
        if schema.names.count(name) != 1:
            raise InputError(
                f"{path} has {'no' if name not in schema.names else 'more than one'} column {name}. It has: "
                f"{_listed(schema.names)}."
            )
    vectors = _ParquetVectors(path, vector_column)
    parts = [_ParquetPart(path, leave_out=vector_column), *beside]
    definition = _definition(path, schema, vectors.dim)
    return VectorFile(
        "parquet",
        path,
        vectors,
        parts,
        id_column=id_column,
        filterable=filterable,
        definition=definition,
    )


def _open_npy(
    path: Path, id_column: str, _: str, beside: list[_Part], filterable: Sequence[str]
) -> VectorFile:
    return VectorFile("npy", path, _NpyVectors(path), beside, id_column=id_column, filterable=filterable)


def _open_hdf5(
    path: Path, id_column: str, vector_column: str, beside: list[_Part], filterable: Sequence[str]
) -> VectorFile:
    h5py = _h5py()
    with h5py.File(path) as file:
        sets = {name: one for name, one in file.items() if isinstance(one, h5py.Dataset)}
        names = [vector_column, "train"] if vector_column == VECTOR else [vector_column]
        matrix = next((name for name in names if isinstance(file.get(name), h5py.Dataset)), None)
        if matrix is None:
            raise InputError(f"{path} has no dataset {' or '.join(names)}. It has: {_listed(list(sets))}.")
        _check_matrix(path, file[matrix].shape, file[matrix].dtype)
        vectors = _Hdf5Vectors(path, matrix, *file[matrix].shape)
        own = _Hdf5Part(path, vectors.rows, _hdf5_schema(sets, vectors.rows, id_column, path))
    return VectorFile("hdf5", path, vectors, [own, *beside], id_column=id_column, filterable=filterable)


def _open_payload(path: Path, id_column: str) -> _Part:
    parts: Mapping[str, Callable[[], _Part]] = {
        ".parquet": lambda: _ParquetPart(path),
        ".csv": lambda: _CsvPart(path, id_column),
    }
    if path.suffix.lower() not in parts:
        raise InputError(f"{path} has no suffix that is known. A payload comes as: {', '.join(parts)}.")
    _check_file(path)
    with _readable(path):
        return parts[path.suffix.lower()]()


_OPENERS: Mapping[str, Callable[[Path, str, str, list[_Part], Sequence[str]], VectorFile]] = {
    ".parquet": _open_parquet,
    ".npy": _open_npy,
    ".hdf5": _open_hdf5,
    ".h5": _open_hdf5,
}


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
            page[there] = _float32(lists.flatten().to_numpy(zero_copy_only=False)).reshape(-1, self.dim)
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


class _NpyVectors:
    """A matrix mapped into memory, not read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        matrix = self._map()
        _check_matrix(path, matrix.shape, matrix.dtype)
        self.rows, self.dim = matrix.shape

    def pages(self, rows: int) -> Iterator[Vectors]:
        with _readable(self._path):
            matrix = self._map()
        for first in range(0, self.rows, rows):
            yield _float32(matrix[first : first + rows])

    def _map(self) -> npt.NDArray[Any]:
        try:
            return np.lib.format.open_memmap(self._path, mode="r")
        except ValueError as error:
            if "Python objects" in str(error):  # a pickle, which could run anything
                raise InputError(
                    f"{self._path} holds Python objects; save a matrix of floats, float32 for example."
                ) from error
            raise


class _Hdf5Vectors:
    """A dataset of an HDF5 file, (rows, dim)."""

    def __init__(self, path: Path, name: str, rows: int, dim: int) -> None:
        self._path, self._name = path, name
        self.rows, self.dim = rows, dim

    def pages(self, rows: int) -> Iterator[Vectors]:
        with _readable(self._path), _h5py().File(self._path, rdcc_nbytes=_CHUNK_CACHE_BYTES) as file:
            for first in range(0, self.rows, rows):
                yield _float32(file[self._name][first : first + rows])


class _ParquetPart:
    """The columns of a Parquet file, but the one left out."""

    def __init__(self, path: Path, leave_out: str | None = None) -> None:
        self.path = path
        file = _parquet(path)
        self.rows: int = file.metadata.num_rows
        self.schema = pa.schema([field for field in file.schema_arrow if field.name != leave_out])
        _check_names(path, self.schema.names)

    def pages(self, rows: int) -> Iterator[Any]:
        return _parquet_pages(self.path, self.schema.names, rows)


class _CsvPart:
    """A CSV file (UTF-8, a header, commas); what type a column has is learned from all of its cells.

    Ids stay text, and so do numbers with leading zeros, for these are codes. An empty cell is a missing value.
    """

    def __init__(self, path: Path, id_column: str) -> None:
        self.path = path
        self._parse = pa.csv.ParseOptions(newlines_in_values=True)
        with self._readable():
            names = pa.csv.open_csv(path, parse_options=self._parse).schema.names
        _check_names(path, names)
        # In a file of one column an empty line is an empty cell, and leaving it out would shift all behind it.
        self._parse.ignore_empty_lines = len(names) > 1
        self.schema = pa.schema([(name, pa.string()) for name in names])
        self.rows, kinds = self._learn({name: list(_SHAPES) for name in names if name != id_column})
        self.schema = pa.schema([(name, kinds.get(name, pa.string())) for name in names])

    def pages(self, rows: int) -> Iterator[Any]:
        yield from _even(self._batches(), self.schema, rows)

    def _batches(self) -> Iterator[Any]:
        convert = pa.csv.ConvertOptions(
            column_types=self.schema,
            null_values=[""],
            strings_can_be_null=True,
            true_values=_TRUE,
            false_values=_FALSE,
        )
        with self._readable():
            yield from pa.csv.open_csv(self.path, parse_options=self._parse, convert_options=convert)

    def _learn(self, shapes: dict[str, list[Any]]) -> tuple[int, dict[str, Any]]:
        """Return the number of rows, and the types of the columns that are more than text."""
        rows = 0
        for table in self.pages(10_000):
            rows += len(table)
            for name, left in shapes.items():
                left[:] = [kind for kind in left if _fits(table.column(name), kind)]
        # All shapes are left where every cell is empty: nothing told a type.
        return rows, {name: left[0] for name, left in shapes.items() if 0 < len(left) < len(_SHAPES)}

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, pa.ArrowException) as error:
            # The parser's message repeats the row, which holds patients' facts.
            why = re.match(r"CSV parse error: (?:Row #\d+: )?Expected \d+ columns, got \d+", str(error))
            raise InputError(
                f"{self.path} can't be read as CSV{': ' + why[0].partition(': ')[2] if why else ''}. It must be UTF-8 "
                "with a header, commas, and as many cells in every row."
            ) from None


class _Hdf5Part:
    """The one-dimensional datasets of an HDF5 file."""

    def __init__(self, path: Path, rows: int, schema: Any) -> None:
        self.path, self.rows, self.schema = path, rows, schema
        _check_names(path, schema.names)

    def pages(self, rows: int) -> Iterator[Any]:
        with _readable(self.path), _h5py().File(self.path) as file:
            for first in range(0, self.rows, rows):
                yield pa.table(
                    [self._cells(file, field, slice(first, first + rows)) for field in self.schema],
                    schema=self.schema,
                )

    def _cells(self, file: Any, field: Any, rows: slice) -> Any:
        if pa.types.is_string(field.type):
            return pa.array(file[field.name].asstr()[rows], pa.string())
        return pa.array(np.asarray(file[field.name][rows], dtype=field.type.to_pandas_dtype()))


def _hdf5_schema(sets: Mapping[str, Any], rows: int, id_column: str, path: Path) -> Any:
    """Return the Arrow schema of the ids and payload columns; what is no column is left out."""
    if id_column in sets and sets[id_column].shape != (rows,):
        raise InputError(
            f"Dataset {id_column} of {path} has shape {sets[id_column].shape}; {rows:,} vectors need ({rows},)."
        )
    columns = {
        name: one for name, one in sets.items() if one.shape == (rows,) and name not in _BENCHMARK_NAMES
    }
    return pa.schema([(name, _hdf5_type(name, one, path)) for name, one in columns.items()])


def _hdf5_type(name: str, dataset: Any, path: Path) -> Any:
    if _h5py().check_string_dtype(dataset.dtype) is not None:
        return pa.string()
    if dataset.dtype.kind in "iufb":
        return pa.from_numpy_dtype(dataset.dtype)
    raise _unsupported(name, path, dataset.dtype)


def _columns(part: _Part, id_column: str) -> list[_Column]:
    """Return the payload columns. Raises InputError for a type that no payload holds, and for ids of a wrong one."""
    columns = []
    for field in part.schema:
        if field.name == id_column:
            if _kind(field.type) not in (str, int) or pa.types.is_timestamp(field.type):
                raise InputError(
                    f"Column {id_column} of {part.path} is {field.type}; ids are text or whole numbers."
                )
            continue
        marks = field.metadata or {}
        as_json = marks.get(AS) == b"json"
        kind = _kind(field.type)
        if kind is None:
            raise _unsupported(field.name, part.path, field.type)
        key = marks.get(KEY, field.name.encode()).decode()
        columns.append(
            _Column(field.name, key, None if as_json else kind, as_json, marks.get(EMPTY) == b"absent")
        )
    return columns


def _kind(arrow: Any) -> FieldType | None:
    """Return the payload type of an Arrow type, None where it has none."""
    if pa.types.is_dictionary(arrow):
        return _kind(arrow.value_type)
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow):
        return list[str] if _is_text(arrow.value_type) or pa.types.is_null(arrow.value_type) else None
    return next((kind for holds, kind in _KINDS if holds(arrow)), None)


def _is_text(arrow: Any) -> bool:
    return bool(
        pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow)
    )


_KINDS: Sequence[tuple[Callable[[Any], bool], FieldType]] = (
    (_is_text, str),
    (pa.types.is_integer, int),
    (pa.types.is_floating, float),
    (pa.types.is_boolean, bool),
    (pa.types.is_date, date),
    (pa.types.is_timestamp, str),
    (pa.types.is_null, str),
)


def _plain(cell: Any) -> PayloadValue:
    value: PayloadValue = cell.isoformat() if hasattr(cell, "isoformat") else cell
    return value


# What a CSV column may be, the narrowest first. More than 15 digits are no number but a key.
_TRUE, _FALSE = ["true", "True", "TRUE"], ["false", "False", "FALSE"]
_SHAPES: Mapping[Any, str] = {
    pa.int64(): r"^-?(0|[1-9]\d{0,14})$",
    pa.float64(): r"^-?(0|[1-9]\d{0,14})(\.\d+)?([eE][+-]?\d+)?$",
    pa.bool_(): f"^({'|'.join(_TRUE + _FALSE)})$",
    pa.date32(): r"^\d{4}-\d\d-\d\d$",
}


def _fits(cells: Any, kind: Any) -> bool:
    """Tell whether all cells that are not empty can be read as a type without loss."""
    if pc.all(pc.match_substring_regex(cells, _SHAPES[kind])).as_py() is False:
        return False
    if pa.types.is_date(kind):
        try:
            cells.cast(kind)
        except pa.ArrowInvalid:
            return False
    return True


def _id_texts(path: Path, column: Any, first: int) -> list[str]:
    if column.null_count:
        row = first + column.is_null().to_pylist().index(True)
        raise InputError(f"{path} has no id in row {row} (from 0); every vector needs one.")
    return [str(one) for one in column.to_pylist()]


def _definition(path: Path, schema: Any, dim: int) -> Collection | None:
    """Return the collection that an exported file was. Raises InputError where the file says it and it is damaged."""
    text = (schema.metadata or {}).get(DEFINITION)
    if text is None:
        return None
    try:
        value = json.loads(text)
        definition = from_json(value["name"], value)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"The definition of the collection in {path} is damaged; export it once more."
        ) from error
    if definition.dim != dim:
        raise InputError(
            f"{path} holds vectors of {dim} dimensions and its definition says {definition.dim}; export it once more."
        )
    return definition


def _parquet(path: Path) -> Any:
    # Otherwise a row group is fetched whole, and a file may be one row group.
    return pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False)


def _parquet_pages(path: Path, names: Sequence[str], rows: int) -> Iterator[Any]:
    with _readable(path), _parquet(path) as file:
        schema = pa.schema([file.schema_arrow.field(name) for name in names])
        yield from _even(file.iter_batches(rows, columns=list(names)), schema, rows)


def _even(batches: Iterator[Any], schema: Any, rows: int) -> Iterator[Any]:
    """Yield tables of `rows` rows each, the last shorter: streams that are cut alike can go side by side."""
    waiting = schema.empty_table()
    for batch in batches:
        waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch])])
        while len(waiting) >= rows:
            yield waiting.slice(0, rows)
            waiting = waiting.slice(rows)
    if len(waiting):
        yield waiting


def _first(lengths: Any) -> int | None:
    there: list[int] = lengths.drop_null().slice(0, 1).to_pylist()
    return there[0] if there else None


def _float32(values: npt.NDArray[Any]) -> Vectors:
    """Return a copy; what is too large for float32 becomes infinite, as which the loader finds it."""
    with np.errstate(over="ignore"):
        return np.array(values, dtype=np.float32)


def _check_matrix(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if len(shape) != 2 or shape[1] < 1:
        raise InputError(f"{path} holds an array of shape {shape}; vectors are a matrix (rows, dimensions).")
    if dtype.kind not in "fiu":
        raise InputError(f"{path} holds values of type {dtype}; vectors are numbers, float32 for example.")


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"There is no file {path}.")


def _check_names(path: Path, names: Sequence[str]) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{path} has more than one column {twice[0]}; rename or drop one of them.")
    ours = [name for name in names if name.startswith(OUR_PREFIX)]
    if ours:
        raise InputError(f"{path} has a column {ours[0]}; {OUR_PREFIX} is ours, so rename or drop it.")


def _unsupported(name: str, path: Path, kind: Any) -> InputError:
    return InputError(
        f"Column {name} of {path} is {kind}; a payload may hold {PAYLOAD_TYPES}. Drop or convert it."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _h5py() -> Any:
    try:
        return import_module("h5py")
    except ModuleNotFoundError as error:
        raise MissingExtra("HDF5 can't be read here: pip install 'cohorts[hdf5]'.") from error


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what the libraries raise at a damaged file into InputError."""
    try:
        yield
    except _BROKEN as error:
        raise InputError(f"{path} can't be read: {error}. Is the file complete?") from error
