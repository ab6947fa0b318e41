"""What the engine says of a collection that someone else made, and how we read it without touching what is theirs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cohorts.connectors.attached.paths import dig, paths_meant
from cohorts.connectors.collection import OUR_PREFIX, Collection, FieldType, Payload, Scalar
from cohorts.connectors.filters.conditions import Filter, renamed
from cohorts.connectors.filters.reading import known_fields
from cohorts.errors import InputError

COSINE = "cosine"
OUR_VECTOR = "cohorts"  # the named vector that we may write, where the owner of a collection has made one


@dataclass(frozen=True)
class VectorField:
    """One vector of a collection: its name ('' for an unnamed one), size, metric, and index as the engine says.

    `unread` says what it is where it is none that cohorts reads, as in "sparse".
    """

    name: str
    dim: int
    metric: str
    index: str
    unread: str = ""


@dataclass(frozen=True)
class Inspection:
    """What the engine says of a collection, whoever made it. `fields` are payload keys or columns and their types."""

    name: str
    engine: str
    count: int
    key: str
    vectors: tuple[VectorField, ...]
    fields: Mapping[str, str]
    state: str
    aliases: tuple[str, ...]
    ours: bool


@dataclass(frozen=True)
class Kinds:
    """How many points hold a number under a path, or something else (text, lists), or nothing."""

    numbers: int
    others: int
    nothing: int


@dataclass(frozen=True)
class Attachment:
    """How a collection of others is read: which vector, which key, and where the fields to filter by stand.

    `paths` leads from a field's name to the engine's (a nested payload key on Qdrant, a column on Milvus); `present`
    holds, for every column of Milvus, the expression that tells where it has a value ('' for always); with `dynamic`,
    other paths are keys that a row may lack. `metric` is how the engine compares
    `vector`; where that is not cosine, `units_seen` vectors were looked at, and all have length 1. With `writable`, and
    only then, `our_vector`, of `our_dim` dimensions, and payload keys of ours are written beside theirs.
    """

    collection: Collection
    vector: str
    paths: Mapping[str, str] = field(default_factory=dict)
    present: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    integer_keys: bool = False
    our_vector: str = ""
    our_dim: int = 0
    writable: bool = False
    metric: str = COSINE
    units_seen: int = 0
    dynamic: bool = False

    @property
    def compared(self) -> str:
        """Return the metric of the vector that is searched; ours is compared by cosine."""
        return self.metric if self.searched == self.vector else COSINE

    @property
    def searched(self) -> str:
        """Return the vector that queries are compared with: ours as soon as an ingest wrote it, else theirs."""
        return self.our_vector if self.collection.metadata.get("encoder_fingerprint") else self.vector

    def read(self, payload: Mapping[str, Any]) -> Payload:
        """Return the mapped fields alone: the rest of a payload of others may be patients' text."""
        values = {field: dig(payload, path) for field, path in self.paths.items()}
        return {field: value for field, value in values.items() if value is not None}

    def path(self, field: str) -> str:
        """Return where a mapped field stands. Raises InputError for another: what is not mapped is never fetched."""
        if field not in self.paths:
            raise InputError(f"There is no field {field!r}. {known_fields(field, self.paths)}")
        return self.paths[field]

    def ours(self, payload: Payload) -> Payload:
        """Return what of a unit's payload is written: the fields mapped to keys of ours, which can be removed."""
        return {
            field: value for field, value in payload.items() if self.paths.get(field) == OUR_PREFIX + field
        }

    def named(self, where: Filter) -> Filter:
        """Return a filter with the mapped names, where it names fields as their owner does."""
        return renamed(where, self._named)

    def _named(self, asked: str) -> str:
        if asked in self.collection.fields:
            return asked
        meant = paths_meant(asked, self.paths.values())
        return next((name for name, path in self.paths.items() if [path] == meant), asked)

    def check_there(self, there: VectorField) -> None:
        """Raise InputError where the engine compares the vector that is searched otherwise than it did."""
        if there.metric.lower() != self.compared:
            raise InputError(
                f"Vector {there.name!r} of {self.collection.name} is compared by {there.metric} now, and was by "
                f"{self.compared} when it was mapped: attach it again."
            )

    def with_fields(self, fields: Mapping[str, tuple[str, FieldType]]) -> "Attachment":
        """Return the mapping with further fields, or others: name → (path, type)."""
        paths = {**self.paths, **{name: path for name, (path, _) in fields.items()}}
        types = {**self.collection.fields, **{name: kind for name, (_, kind) in fields.items()}}
        return replace(self, paths=paths, collection=replace(self.collection, fields=types))

    def with_metadata(self, metadata: Mapping[str, Scalar]) -> "Attachment":
        """Return the mapping with further metadata."""
        kept = {**self.collection.metadata, **metadata}
        return replace(self, collection=replace(self.collection, metadata=kept))

    def written_by(
        self, metadata: Mapping[str, Scalar], dim: int, fields: Mapping[str, FieldType]
    ) -> "Attachment":
        """Return the mapping under which an encoder's vectors, and our fields, are written and from then on read.

        Raises InputError where the owner's vector for us has another size, or there is none.
        """
        name = self.collection.name
        if not self.our_vector:
            raise InputError(
                f"Collection {name} has no named vector {OUR_VECTOR!r} (cosine) to write to; its owner must make one "
                f"of {dim} dimensions. cohorts writes nothing else there."
            )
        if not self.writable:
            raise InputError(
                f"Collection {name} is attached read-only.",
                remedy="Confirm the mapping, to be written to.",
                hint="attach_write",
            )
        if dim != self.our_dim:
            raise InputError(
                f"Vector {self.our_vector} of {name} has {self.our_dim} dimensions, the encoder {dim}: fit an encoder "
                f"of {self.our_dim} dimensions."
            )
        known = self.with_metadata(metadata)
        theirs = self.collection.metadata.get("patient_field")  # it goes on telling whose a point is
        ours = {field: (OUR_PREFIX + field, kind) for field, kind in fields.items() if field != theirs}
        known = known.with_fields(ours)
        return replace(known, collection=replace(known.collection, dim=dim))

    def check_write(self, there: Sequence[VectorField]) -> None:
        """Raise InputError where a write by this mapping would reach what is the owner's, or has no place.

        `there` are the vectors that the engine says the collection has now: a mapping is a file, which may be edited.
        """
        name = self.collection.name
        if not (self.writable and self.searched == self.our_vector != ""):
            raise InputError(f"Collection {name} is attached read-only.")
        if self.our_vector != OUR_VECTOR or self.vector == OUR_VECTOR:
            raise InputError(
                f"The mapping of {name} names vector {self.our_vector!r} to write to, and {self.vector!r} to read: "
                f"cohorts writes to one called {OUR_VECTOR!r} only, and not to the one it reads. Attach it again."
            )
        ours = [one for one in there if one.name == OUR_VECTOR]
        if not ours or (ours[0].dim, ours[0].metric.lower()) != (self.our_dim, "cosine"):
            raise InputError(
                f"Collection {name} has no vector {OUR_VECTOR!r} of {self.our_dim} dimensions, compared by cosine, any "
                "more. Nothing was written; attach it again."
            )

    def plan(self) -> list[str]:
        """Return, line by line, what an ingest would write to the collection."""
        if not self.our_vector:
            return [f"nothing: it has no named vector {OUR_VECTOR!r} (cosine); its owner must make one"]
        field = self.collection.metadata.get("patient_field")
        found = f", a patient's by field {field}, an admission's by its own id" if field else ""
        return [
            f"vector {self.our_vector} ({self.our_dim} dimensions) of points that are there{found}; no point is added",
            f"payload keys that begin with {OUR_PREFIX}, set beside those that are there",
            "nothing else: no vector, payload key, index, alias or setting of the owner is changed or removed",
        ]
