"""A collection as one Parquet file: ids, vectors, payload and definition, from which it can be loaded again as it was.

Types are not declared, so the collection is read twice: first to learn what each payload key holds, then to write.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from cohorts.connectors.base import Collection, Connector, Payload, Points
from cohorts.connectors.catalog import to_json
from cohorts.connectors.filters.conditions import MAX_NUMBER
from cohorts.errors import EngineError, InputError
from cohorts.loaders.files.format import AS, DEFINITION, EMPTY, ID, KEY, VECTOR
from cohorts.private_files import Scratch, open_private

ROW_GROUP_BYTES = 32 << 20  # held in memory until written; small groups make the file's foot long

_NONE, _ABSENT = "None", "nothing"
_MISSING: Any = object()
# What a key holds, besides None, and the column that holds it as it is; anything else is written as JSON.
_TYPES: Mapping[frozenset[str], Any] = {
    frozenset(): pa.string(),
    frozenset({"bool"}): pa.bool_(),
    frozenset({"int"}): pa.int64(),
    frozenset({"float"}): pa.float64(),
    frozenset({"int", "float"}): pa.float64(),  # a whole number comes back equal: it is at most 2**53
    frozenset({"str"}): pa.string(),
    frozenset({"list[str]"}): pa.list_(pa.string()),
}


def export(
    connector: Connector, name: str, file: Path, tick: Callable[[str, int], None], *, page: int = 1_000
) -> int:
    """Write a collection to a new Parquet file, readable by its owner alone, and return the number of points.

    The file appears under its name when it is whole. `open_vectors` gives back the ids, vectors, payloads and
    definition, which is called `name` also where that is an alias. `tick` is called with "read" and "write".

    Raises InputError where the file is there already or can't be written, CollectionNotFound, and EngineError where
    someone wrote to the collection meanwhile.
    """
    if file.suffix.lower() != ".parquet":
        raise InputError(f"{file} must end in .parquet: that is what a collection is exported to.")
    _refuse_existing(file)
    collection = replace(connector.describe(name).collection, name=name)
    seen = _Seen()
    for points in connector.scroll(name, page):
        seen.add(points.payloads)
        tick("read", len(points.ids))
    columns = seen.columns()
    with _new_file(file) as stream, pq.ParquetWriter(stream, _schema(collection, columns)) as writer:
        written = 0
        for table in _row_groups(connector.scroll(name, page), columns, writer.schema):
            writer.write_table(table, row_group_size=len(table))
            written += len(table)
            tick("write", len(table))
        if written != seen.points:
            raise _changed(name, f"it held {seen.points:,} points and then {written:,}")
    return written


@dataclass(frozen=True)
class _Column:
    """One payload key: the column's name, what it holds, and its Arrow type; JSON where that is None."""

    name: str
    key: str
    kinds: frozenset[str]

    @property
    def type(self) -> Any:
        """Return the type of the values as they are; None where only JSON tells them apart."""
        if {_NONE, _ABSENT} <= self.kinds:  # an empty cell can't mean both
            return None
        return _TYPES.get(self.kinds - {_NONE, _ABSENT})

    def field(self) -> Any:
        """Return the column's place in the schema, with the marks by which it is read back."""
        marks = {KEY: self.key.encode()} if self.name != self.key else {}
        if self.type is None:
            marks[AS] = b"json"
        elif _ABSENT in self.kinds:
            marks[EMPTY] = b"absent"
        return pa.field(self.name, self.type or pa.string(), metadata=marks or None)

    def array(self, payloads: Sequence[Payload]) -> Any:
        """Return the key's values. Raises EngineError for one that the first reading didn't find here."""
        values = [payload.get(self.key, _MISSING) for payload in payloads]
        new = {_kind(value) for value in values} - self.kinds
        if new:
            raise _changed(None, f"payload key {self.key} holds {new.pop()}, which it did not before")
        if self.type is not None:
            return pa.array([None if value is _MISSING else value for value in values], self.type)
        texts = [None if value is _MISSING else json.dumps(value, ensure_ascii=False) for value in values]
        return pa.array(texts, pa.string())


@dataclass
class _Seen:
    """What the payload keys hold, page by page."""

    points: int = 0
    kinds: dict[str, set[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, payloads: Sequence[Payload]) -> None:
        """Take note of a page."""
        self.points += len(payloads)
        for payload in payloads:
            for key, value in payload.items():
                self.kinds.setdefault(key, set()).add(_kind(value))
                self.counts[key] = self.counts.get(key, 0) + 1

    def columns(self) -> list[_Column]:
        """Return a column per key; where the key is the name of another column, it gets a prefix."""
        taken = {ID, VECTOR, *self.kinds}
        columns = []
        for key, kinds in self.kinds.items():
            name = key
            while key in (ID, VECTOR) and name in taken:
                name = f"payload_{name}"
            absent = {_ABSENT} if self.counts[key] < self.points else set()
            columns.append(_Column(name, key, frozenset(kinds | absent)))
        return columns


def _kind(value: Any) -> str:
    """Return what sort of value a payload holds; numbers beyond 2**53 and lists of other things are their own."""
    if value is _MISSING:
        return _ABSENT
    if value is None:
        return _NONE
    if type(value) is int and abs(value) > MAX_NUMBER:
        return "a large int"
    if isinstance(value, list):
        return "list[str]" if all(isinstance(one, str) for one in value) else "a list"
    return type(value).__name__


def _schema(collection: Collection, columns: Sequence[_Column]) -> Any:
    definition = json.dumps(to_json(collection) | {"name": collection.name}, ensure_ascii=False)
    vector = pa.list_(pa.float32(), collection.dim)
    fields = [pa.field(ID, pa.string()), pa.field(VECTOR, vector), *(column.field() for column in columns)]
    return pa.schema(fields, metadata={DEFINITION: definition.encode()})


def _row_groups(pages: Iterator[Points], columns: Sequence[_Column], schema: Any) -> Iterator[Any]:
    """Yield the points in tables large enough for a row group each."""
    waiting: list[Any] = []
    size = 0
    for points in pages:
        waiting.append(_batch(points, columns, schema))
        size += waiting[-1].nbytes
        if size >= ROW_GROUP_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting, size = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def _batch(points: Points, columns: Sequence[_Column], schema: Any) -> Any:
    known = {column.key for column in columns}
    new = {key for payload in points.payloads for key in payload if key not in known}
    if new:
        raise _changed(None, f"payload key {new.pop()} was not there before")
    vectors = pa.FixedSizeListArray.from_arrays(
        pa.array(points.vectors.ravel(), pa.float32()), type=schema.field(VECTOR).type
    )
    arrays = [pa.array(points.ids, pa.string()), vectors]
    return pa.record_batch([*arrays, *(column.array(points.payloads) for column in columns)], schema=schema)


def _changed(name: str | None, what: str) -> EngineError:
    return EngineError(
        f"{f'Collection {name}' if name else 'The collection'} changed while it was exported: {what}. Nothing was "
        "exported.",
        remedy="Export again when nobody writes.",
        hint="export_again",
    )


def _refuse_existing(file: Path) -> None:
    if file.exists() or file.is_symlink():
        raise InputError(f"There is a file {file} already; move it away or take another name.")


@contextmanager
def _new_file(file: Path) -> Iterator[BinaryIO]:
    """Yield a stream, private to its owner, that becomes `file` when all is written and is gone otherwise."""
    try:
        with Scratch(file.parent.resolve(strict=True)) as folder:
            part = folder / "part"
            with open_private(part, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            _refuse_existing(file)
            part.rename(file)
            _sync_folder(file.parent)
    except OSError as error:
        raise InputError(f"{file} can't be written: {error.strerror}. Nothing was exported.") from error


def _sync_folder(folder: Path) -> None:
    """Make the new name last: it is the folder that holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
