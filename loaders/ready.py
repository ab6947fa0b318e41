"""Points that need no encoder as the origin of units: those of a file of vectors, and those of another collection."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

from cohorts.connectors.addresses import without_settings
from cohorts.connectors.base import Collection, Connector, Points, Scalar
from cohorts.errors import FingerprintMismatch, InputError
from cohorts.loaders.chunks import CHUNK_UNITS, Chunk, chunk_of_points
from cohorts.loaders.guests import EXTERNAL
from cohorts.loaders.journal import put_rows
from cohorts.loaders.vector_files import VectorFile

Refuse = Callable[[str, str], None]


class FileOrigin:
    """The rows of a file. An id that stands there twice is one unit; with other content, the first one counts."""

    def __init__(self, file: VectorFile, made_by: str) -> None:
        self._file, self._made_by = file, made_by
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

    def collection(self, name: str, first: Chunk) -> Collection:  # noqa: ARG002 - the file knows by itself
        """Return what a collection for this file is made from."""
        ours: dict[str, Scalar] = {
            "encoder": EXTERNAL,
            "encoder_fingerprint": self._made_by,
            "source": self._file.name,
            "source_fingerprint": self._file.fingerprint,
            "unit": "patient",
        }
        definition = self._file.definition
        metadata = definition.metadata if definition and not self._made_by else ours
        return Collection(name, self._file.dim, fields=self._file.fields, metadata=metadata)

    def check_fits(self, there: Collection) -> None:
        """Raise FingerprintMismatch where the collection's vectors are of another space."""
        check_space(there, self._file.dim, self._fingerprint)

    @property
    def _fingerprint(self) -> Scalar:
        definition = self._file.definition
        if self._made_by or definition is None:
            return self._made_by
        return definition.metadata.get("encoder_fingerprint")


class CollectionOrigin:
    """The points of another collection, on whatever engine."""

    def __init__(self, connector: Connector, name: str, store: str) -> None:
        self._connector, self._name, self._store = connector, name, store
        about = connector.describe(name)
        self.definition = about.collection
        self.expected: int | None = about.count

    @property
    def identity(self) -> dict[str, str]:
        """Return what a run over this collection is about."""
        made_by = str(self.definition.metadata.get("encoder_fingerprint"))
        return {"source": f"{without_settings(self._store)} {self._name}", "encoder": made_by}

    def chunks(self, refuse: Refuse) -> Iterator[Chunk]:  # noqa: ARG002 - a collection holds an id once
        """Yield every point once."""
        for points in self._connector.scroll(self._name, CHUNK_UNITS):
            yield chunk_of_points(points)

    def encoded(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Points]]:
        """Yield every chunk with its points."""
        return _with_points(chunks)

    def collection(self, name: str, first: Chunk) -> Collection:  # noqa: ARG002 - the collection knows by itself
        """Return the collection's own definition under another name."""
        metadata = {key: value for key, value in self.definition.metadata.items() if key != "attached"}
        return replace(self.definition, name=name, metadata=metadata)

    def check_fits(self, there: Collection) -> None:
        """Raise FingerprintMismatch where the collection's vectors are of another space."""
        check_space(there, self.definition.dim, self.definition.metadata.get("encoder_fingerprint"))


def _with_points(chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Points]]:
    for chunk in chunks:
        assert isinstance(chunk.body, Points)  # noqa: S101 - the origin made it
        yield chunk, chunk.body


def check_space(there: Collection, dim: int, fingerprint: Scalar) -> None:
    """Raise FingerprintMismatch where a collection's vectors are of another space, InputError where it is others'."""
    if there.metadata.get("attached"):
        raise InputError(
            f"Collection {there.name} belongs to others: only cohorts ingest writes there, beside what is theirs. Name "
            "another --collection."
        )
    made_by = there.metadata.get("encoder_fingerprint")
    if (there.dim, made_by) != (dim, fingerprint):
        raise FingerprintMismatch(
            f"Collection {there.name} holds vectors of {there.dim} numbers made by {made_by}; these have {dim} and are "
            f"made by {fingerprint}. Vectors of two encoders can't be compared: load into another --collection, or "
            "replace this one whole with --replace."
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
