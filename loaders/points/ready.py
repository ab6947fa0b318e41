"""Points that need no encoder as the origin of units: those of a file of vectors, and those of another collection."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import date

import numpy as np
from cohorts.connectors.addresses import without_settings
from cohorts.connectors.base import Collection, Connector, FieldType, Payload, Points, Scalar
from cohorts.connectors.checks import check_points
from cohorts.connectors.collection import ATTACHED, EXTERNAL, POPULATION
from cohorts.connectors.padding import PADDING
from cohorts.errors import FingerprintMismatch, InputError, PointError
from cohorts.loaders.files.vectors import VectorFile
from cohorts.loaders.journal.chunks import CHUNK_UNITS, Chunk, chunk_of_points
from cohorts.loaders.journal.journal import put_rows
from cohorts.loaders.points.payload import PATIENT_ID, check_names_patients, names_patients

_ELSE: Mapping[FieldType, tuple[FieldType, ...]] = {date: (str,), int: (float,)}
COPIED_FROM = "copied_from"  # of vectors that others made, by whatever encoder
_OF_THE_UNITS = (
    "unit",
    "as_of",
    "patient_field",
    "synthetic",
    PADDING,
    POPULATION,
)  # true of the points, whatever made their vectors
Refuse = Callable[[str, str], None]


class FileOrigin:
    """The rows of a file. An id that stands there twice is one unit; with other content, the first one counts.

    `patient_field` is the column that says whose a row is. Without it that is what an exported file says, or column
    patient_id where there is one, or the row's own id. Raises InputError for a column that can't.
    """

    def __init__(self, file: VectorFile, made_by: str, patient_field: str | None = None) -> None:
        self._file, self._made_by = file, made_by
        self._patient = _patient_field(file, patient_field)
        self.expected: int | None = file.rows

    @property
    def identity(self) -> dict[str, str]:
        """Return what a run over this file is about."""
        return {"source": f"{self._file.name} {self._file.fingerprint}", "encoder": str(self._fingerprint)}

    def chunks(self, refuse: Refuse) -> Iterator[Chunk]:
        """Yield every unit once."""
        with closing(_Seen()) as seen:
            for points in self._file.points(CHUNK_UNITS):
                yield seen.new(chunk_of_points(points), refuse)

    def encoded(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Points]]:
        """Yield every chunk with its points."""
        return _with_points(chunks)

    def collection(self, name: str, first: Chunk) -> Collection:
        """Return what a collection for this file is made from."""
        ours: dict[str, Scalar] = {
            "encoder": EXTERNAL,
            "encoder_fingerprint": self._made_by,
            "source": self._file.name,
            "source_fingerprint": self._file.fingerprint,
            "unit": "row" if self._patient else "patient",
        }
        fields, metadata = self._file.fields, dict[str, Scalar]()
        if self._file.definition is not None:
            definition = _taken_over(
                replace(self._file.definition, fields=fields), first, self._file.definition.name
            )
            fields, metadata = definition.fields, dict(definition.metadata)
        if self._made_by or self._file.definition is None:
            metadata = ours | {key: metadata[key] for key in _OF_THE_UNITS if key in metadata}
        unindexed = self._file.unindexed
        if self._patient is not None:
            field, kind = self._patient
            fields, metadata["patient_field"] = {**fields, field: kind}, field
            unindexed = tuple(one for one in unindexed if one != field)
        return Collection(name, self._file.dim, fields=fields, metadata=metadata, unindexed=unindexed)

    def check_fits(self, there: Collection) -> None:
        """Raise FingerprintMismatch where the collection's vectors are of another space."""
        check_space(there, self._file.dim, self._fingerprint)

    @property
    def _fingerprint(self) -> Scalar:
        definition = self._file.definition
        if self._made_by or definition is None:
            return self._made_by
        return _space_of(definition, definition.name)


class CollectionSource:
    """The points of another collection, on whatever engine."""

    def __init__(self, connector: Connector, name: str, store: str) -> None:
        self._connector, self._name, self._store = connector, name, store
        about = connector.describe(name)
        self.definition = about.collection
        self.expected: int | None = about.count

    @property
    def identity(self) -> dict[str, str]:
        """Return what a run over this collection is about."""
        return {"source": self._place, "encoder": str(_space_of(self.definition, self._place))}

    @property
    def _place(self) -> str:
        return f"{without_settings(self._store)} {self._name}"

    def chunks(self, refuse: Refuse) -> Iterator[Chunk]:  # noqa: ARG002 - a collection holds an id once
        """Yield every point once."""
        for points in self._connector.scroll(self._name, CHUNK_UNITS):
            yield chunk_of_points(points)

    def encoded(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Points]]:
        """Yield every chunk with its points."""
        return _with_points(chunks)

    def collection(self, name: str, first: Chunk) -> Collection:
        """Return the collection's own definition under another name."""
        return replace(_taken_over(self.definition, first, self._place), name=name)

    def check_fits(self, there: Collection) -> None:
        """Raise FingerprintMismatch where the collection's vectors are of another space."""
        check_space(there, self.definition.dim, _space_of(self.definition, self._place))


def _space_of(definition: Collection, place: str) -> Scalar:
    """Return what tells the space of a collection's vectors from others: its encoder, or where others made them."""
    metadata = definition.metadata
    made_by = metadata.get("encoder_fingerprint") or metadata.get(COPIED_FROM)
    if not made_by and definition.attached:
        return f"others, in {place}"
    return made_by or metadata.get("encoder_fingerprint")


def _patient_field(file: VectorFile, asked: str | None) -> tuple[str, FieldType] | None:
    """Return the column that holds the patients' ids, and its type; None where there is none, or the file says it."""
    name = asked or PATIENT_ID
    kind = file.columns.get(name)
    if asked is None and (file.definition is not None or not names_patients(kind)):
        return None
    if kind is None:
        known = ", ".join(key for key, kind in file.columns.items() if names_patients(kind)) or "none"
        raise InputError(
            f"There is no column {name} to take the patient's id from. Columns that can be: {known}."
        )
    check_names_patients(name, kind)
    return name, kind


def _taken_over(definition: Collection, first: Chunk, place: str) -> Collection:
    """Return the definition of a copy, which belongs to nobody else, and whose fields the first points fit.

    What others declare says less than what we do: their dates may have a time, and their whole numbers be fractions
    further on. What names the patient stays as it is: a point with another id is rejected, and told.
    """
    if not definition.attached:
        return definition
    kinds = {
        field: next((one for one in (kind, *_ELSE.get(kind, ())) if _fits(field, one, first)), None)
        for field, kind in definition.fields.items()
    }
    patient = definition.metadata.get("patient_field")
    kinds |= {field: kind for field, kind in definition.fields.items() if field == patient}
    return replace(
        definition,
        fields={field: kind for field, kind in kinds.items() if kind is not None},
        metadata={
            **{key: value for key, value in definition.metadata.items() if key != ATTACHED},
            COPIED_FROM: _space_of(definition, place),
        },
    )


def _fits(field: str, kind: FieldType, first: Chunk) -> bool:
    """Tell whether every value of a field is of a type, or missing, as an engine will ask."""
    assert isinstance(first.body, Points)  # noqa: S101 - the origin made it
    column: list[Payload] = [{field: payload.get(field)} for payload in first.body.payloads]
    ids, vectors = [str(row) for row in range(len(column))], np.ones((len(column), 1), np.float32)
    try:
        check_points(Points(ids, vectors, column), Collection("fits", 1, fields={field: kind}))
    except PointError:
        return False
    return True


def _with_points(chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Points]]:
    for chunk in chunks:
        assert isinstance(chunk.body, Points)  # noqa: S101 - the origin made it
        yield chunk, chunk.body


def check_space(there: Collection, dim: int, fingerprint: Scalar) -> None:
    """Raise FingerprintMismatch where a collection's vectors are of another space, InputError where it is others'."""
    if there.attached:
        raise InputError(
            f"Collection {there.name} belongs to others: only an ingest writes there, beside what is theirs.",
            remedy="Name another collection.",
            hint="another_collection",
        )
    made_by = _space_of(there, "")
    if (there.dim, made_by) != (dim, fingerprint):
        raise FingerprintMismatch(
            f"Collection {there.name} holds vectors of {there.dim} numbers made by {made_by}; these have {dim} and are "
            f"made by {fingerprint}. Vectors of two encoders can't be compared.",
            remedy="Load into another collection, or replace this one whole.",
            hint="load_another_or_replace",
        )


class _Seen:
    """The ids that went by, in a temporary file: a set of them would grow with the source."""

    def __init__(self) -> None:
        # Private, on disk, and without a name there. One thread begins to read, another goes on, and one may close it.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("create table seen(id text primary key, content blob not null) without rowid")

    def new(self, chunk: Chunk, refuse: Refuse) -> Chunk:
        """Return the chunk without ids that were there before; those with other content are refused."""
        marks = ",".join("?" * len(chunk))
        before = dict(self._db.execute(f"select * from seen where id in ({marks})", list(chunk.ids)))  # noqa: S608
        rows: dict[str, int] = {}
        for row, (key, content) in enumerate(zip(chunk.ids, chunk.contents, strict=True)):
            known = chunk.contents[rows[key]] if key in rows else before.get(key)
            if known is None:
                rows[key] = row
            elif known != content:
                refuse(key, "The id stands there twice with different content; the first one was taken.")
        put_rows(self._db, "insert into seen", [(key, chunk.contents[row]) for key, row in rows.items()])
        return chunk.take(list(rows.values()))

    def close(self) -> None:
        """Remove the file."""
        self._db.close()
