"""Ready vectors from a file or parts, with ids and payloads: Parquet, npy or HDF5, read in batches and never whole.

It is two streams that go side by side: its vectors, and tables of everything else (ids and payload columns).
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from cohorts.connectors.base import Collection, FieldType, Payload, Points, Vectors
from cohorts.errors import InputError
from cohorts.loaders.files.checks import check_file, readable
from cohorts.loaders.files.columns import MISSING, payload_columns
from cohorts.loaders.files.csv_payload import CsvPart
from cohorts.loaders.files.format import ID, VECTOR
from cohorts.loaders.files.hdf5 import SUFFIXES, open_hdf5
from cohorts.loaders.files.npy import NpyVectors
from cohorts.loaders.files.parquet import ParquetFiles, ParquetPart, open_parquet
from cohorts.loaders.files.parts import SUFFIX as PARTS
from cohorts.loaders.files.parts import part_files
from cohorts.records.tables.file_kinds import Kind
from cohorts.records.tables.headers import listed, looks_like_name


class _Vectors(Protocol):
    """The vectors of some files; `pages` yields (rows, dim) float32, the last page shorter."""

    files: Sequence[Path]
    dim: int
    rows: int

    def pages(self, rows: int) -> Iterator[Vectors]: ...


class _Part(Protocol):
    """Tables of ids and payload columns, row by row beside the vectors; `pages` cuts them alike.

    `path` names the files; `place` returns the one that a row is in, and the row's number there.
    """

    path: Path
    files: Sequence[Path]
    rows: int
    schema: Any

    def pages(self, rows: int) -> Iterator[Any]: ...

    def place(self, row: int) -> tuple[Path, int]: ...


class VectorFile:
    """Vectors of a file or of parts, with ids and payloads; made by `open_vectors`, opened again by every `points()`.

    `path` names the file, or all parts.
    `columns` are the payload keys and their types (None: several), `fields` those to filter by, `unindexed` those of
    them that get no index: as in the collection that an exported file was, but for those named in `filterable`.
    `definition` is the collection that an exported file was, else None. Dates and timestamps come as ISO text, a
    missing value as None.
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
        self._columns = [payload_columns(part.path, part.schema, id_column) for part in parts]
        self._check_parts()
        self.columns: Mapping[str, FieldType | None] = {
            column.key: column.kind for columns in self._columns for column in columns
        }
        self.fields: Mapping[str, FieldType] = self._fields(filterable)
        without = definition.unindexed if definition else ()
        self.unindexed = tuple(field for field in without if field not in filterable)

    @cached_property
    def fingerprint(self) -> str:
        """Return 16 hex digits that follow from the content of the file, or files in their order, alone."""
        digest = hashlib.sha256()
        for path in dict.fromkeys(
            (*self._vectors.files, *(one for part in self._parts for one in part.files))
        ):
            with readable(path), path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()[:16]

    def points(self, rows: int = 1_000) -> Iterator[Points]:
        """Yield all points in the file's order, `rows` at a time; what an engine refuses is not refused here.

        A vector that is missing is all NaN. Raises InputError for a missing id, a vector of another size than the
        first, and a file that is damaged: on the way, for no file is read twice.
        """
        first = 0
        for vectors, *tables in self._pages(rows):
            with readable(self.path):
                ids = self._ids(tables, first, len(vectors))
                payloads = self._payloads(tables, len(vectors))
            yield Points(ids, vectors, payloads)
            first += len(vectors)
        if first != self.rows:
            raise InputError(f"{self.path} is damaged: it says {self.rows:,} vectors and holds {first:,}.")

    def _pages(self, rows: int) -> Iterator[tuple[Any, ...]]:
        with readable(self.path):
            yield from zip(
                self._vectors.pages(rows), *(part.pages(rows) for part in self._parts), strict=True
            )

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
            which = twice[0] if looks_like_name(twice[0]) else "of one name"
            raise InputError(
                f"Payload column {which} is there twice beside {self.path}; rename or drop one of them."
            )
        if self._id_column != ID and not any(self._id_column in part.schema.names for part in self._parts):
            raise InputError(
                f"There is no column {self._id_column} to take the ids from. Columns: {self._listed(keys)}."
            )

    def _listed(self, keys: Sequence[str], asked: Sequence[str] = ()) -> str:
        """Return payload columns as a message may name them."""
        there = {name for part in self._parts for name in part.schema.names}
        typed = any(column.kind is not str for columns in self._columns for column in columns)
        return listed(keys, proven=typed or not there.isdisjoint((self._id_column, *asked)))

    def _fields(self, filterable: Sequence[str]) -> dict[str, FieldType]:
        known = self.columns
        named: dict[str, FieldType] = {}
        for name in filterable:
            kind = known.get(name)
            if kind is None:
                why = "holds values of several types" if name in known else "is not there"
                usable = self._listed([key for key, kind in known.items() if kind], filterable)
                raise InputError(
                    f"Column {name} can't be indexed for filters: it {why}. Columns that can: {usable}."
                )
            named[name] = kind
        return named | dict(self.definition.fields if self.definition else {})

    def _ids(self, tables: Sequence[Any], first: int, many: int) -> list[str]:
        found = [
            _id_texts(part, table.column(self._id_column), first)
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
            {key: value for key, value in zip(keys, row, strict=True) if value is not MISSING} for row in rows
        ]


def _id_texts(part: _Part, column: Any, first: int) -> list[str]:
    if column.null_count:
        path, row = part.place(first + column.is_null().to_pylist().index(True))
        raise InputError(f"{path} has no id in row {row} (from 0); every vector needs one.")
    return [str(one) for one in column.to_pylist()]


def open_vectors(
    path: Path,
    *,
    id_column: str = ID,
    vector_column: str = VECTOR,
    payload: Path | None = None,
    filterable: Sequence[str] = (),
) -> VectorFile:
    """Return the vectors of a file (.parquet, .npy, .hdf5 or .h5) or of Parquet parts, checked as far as heads go.

    Parquet has a column of ids (text or whole numbers), one of vectors (lists), and payload columns; `path` may be a
    folder of parts, or a pattern (`out/*.parquet`): all of one schema, read in the order of their names. npy is a
    matrix; HDF5 has a matrix called `vector_column` or, as ann-benchmarks writes it, `train`, and one-dimensional
    datasets as long beside it. The rows of `payload`, a Parquet or CSV file, belong to the matrix's in order. Without a
    column of ids, those of a matrix are the row numbers from 0.

    Raises InputError where a file, a column or a name in `filterable` can't be used, MissingExtra without h5py.
    """
    files = part_files(path)
    if len(files) == 1:
        path = files[0]
    opener, kind = _opener(path, files)
    for file in files:
        check_file(file, kind)
    if payload is not None and kind is Kind.PARQUET:
        raise InputError(
            f"{path} is Parquet and holds its payload itself; a payload file stands beside .npy and .hdf5."
        )
    beside = [] if payload is None else [_open_payload(payload, id_column)]
    with readable(path):
        vectors, parts, definition = opener(path, files, id_column, vector_column)
        return VectorFile(
            kind.name.lower(),
            path,
            vectors,
            [*parts, *beside],
            id_column=id_column,
            filterable=filterable,
            definition=definition,
        )


_Opened = tuple[_Vectors, Sequence[_Part], Collection | None]
_Opener = Callable[[Path, Sequence[Path], str, str], _Opened]


def _opener(path: Path, files: Sequence[Path]) -> tuple[_Opener, Kind]:
    """Return what opens the files that `path` names, and their kind."""
    other = next((file for file in files if file.suffix.lower() != PARTS), None)
    if len(files) > 1 and other is not None:
        raise InputError(
            f"{path} finds {len(files):,} files, {other} among them: only {PARTS} comes in parts."
        )
    known = _OPENERS.get(files[0].suffix.lower())
    if known is None:
        raise InputError(f"{path} has no suffix that is known. Vectors come as: {', '.join(_OPENERS)}.")
    return known


def _open_parquet(path: Path, files: Sequence[Path], id_column: str, vector_column: str) -> _Opened:
    vectors, own, definition = open_parquet(path, files, id_column, vector_column)
    return vectors, [own], definition


def _open_npy(path: Path, *_: Any) -> _Opened:
    return NpyVectors(path), [], None


def _open_hdf5(path: Path, _: Sequence[Path], id_column: str, vector_column: str) -> _Opened:
    vectors, own = open_hdf5(path, id_column, vector_column)
    return vectors, [own], None


def _open_payload(path: Path, id_column: str) -> _Part:
    kinds = {".parquet": Kind.PARQUET, ".csv": Kind.CSV}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"{path} has no suffix that is known. A payload comes as: {', '.join(kinds)}.")
    check_file(path, kind)
    with readable(path):
        return CsvPart(path, id_column) if kind is Kind.CSV else ParquetPart(ParquetFiles(path, [path]))


_OPENERS: Mapping[str, tuple[_Opener, Kind]] = {
    PARTS: (_open_parquet, Kind.PARQUET),
    ".npy": (_open_npy, Kind.NPY),
    **dict.fromkeys(SUFFIXES, (_open_hdf5, Kind.HDF5)),
}
