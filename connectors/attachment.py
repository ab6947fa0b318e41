"""Collections that someone else made: what they look like, and how we read them without touching what is theirs."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from cohorts.connectors.base import Collection, Connector, FieldType, Payload, Scalar
from cohorts.connectors.catalog import Definition, to_json
from cohorts.connectors.checks import MAX_DIM, OUR_PREFIX, check_name
from cohorts.connectors.filters.conditions import Filter, renamed
from cohorts.connectors.metrics import COSINE, METRICS, check_metric
from cohorts.documents import read_json
from cohorts.errors import InputError
from cohorts.private_files import private_folder, write_private

EXTERNAL = "external"  # the encoder of vectors that were loaded ready
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


@runtime_checkable
class Attachable(Protocol):
    """A connector that can be a guest in collections of others. Raises as Connector does."""

    def inspect(self, name: str) -> Inspection:
        """Return what the engine says of a collection; nothing is written."""
        ...

    def propose(self, name: str, vector: str | None = None) -> Attachment:
        """Return a mapping for a collection, read-only. Raises InputError where it can't be searched by cosine."""
        ...

    def kinds(self, name: str, path: str) -> Kinds:
        """Count what the points of a collection hold under a path, exactly."""
        ...

    def attach(self, attachment: Attachment) -> None:
        """Take a mapping: from now on the collection is read, and where writable written, by it."""
        ...


@runtime_checkable
class WritableAttachable(Attachable, Protocol):
    """A guest that can write beside what is the owner's."""

    def values(self, name: str, path: str) -> Iterator[tuple[str, Any]]:
        """Yield the id of every point and what it holds under a path: None for nothing."""
        ...


def attachable(connector: Connector) -> Attachable:
    """Return a connector as one that reads collections of others. Raises InputError where its engine can't."""
    if not isinstance(connector, Attachable):
        raise InputError(
            f"{connector.abilities.engine} holds no collections but ours. Attach to a Qdrant or Milvus server, or to "
            "an embedded Milvus file."
        )
    return connector


def choose_vector(name: str, vectors: Sequence[VectorField], wanted: str | None) -> VectorField:
    """Return the vector of collection `name` to read: the one `wanted`, or the only one that can be read.

    Raises InputError, which names those there are, and for one that does not order unit vectors as cosine does.
    """
    chosen = [one for one in vectors if (not one.unread if wanted is None else one.name == wanted)]
    if wanted is None and len(chosen) > 1:
        chosen = [one for one in chosen if one.name != OUR_VECTOR]
    if len(chosen) == 1 and not chosen[0].unread:
        check_metric(name, chosen[0].name, chosen[0].metric)
        return chosen[0]
    if any(one.unread for one in chosen) or (vectors and all(one.unread for one in vectors)):
        unread = "; ".join(f"{one.name!r} is {one.unread}" for one in chosen or vectors)
        raise InputError(
            f"{name} can't be read by its vector: {unread}. cohorts reads vectors of floating-point numbers, dense and "
            "one for a point: ask the owner for a named vector of that kind."
        )
    names = ", ".join(repr(one.name) + (f" ({one.unread})" if one.unread else "") for one in vectors)
    raise InputError(
        f"Collection {name} has these vectors: {names or 'none'}.", remedy="Name one of them.", hint="vector"
    )


def field_names(paths: Iterable[str]) -> dict[str, str]:
    """Return the path of each field, by a name that every engine takes: `subject` for metadata.subject.

    Where several paths end alike, the nested ones are called by the whole path (metadata_subject).
    """
    paths = sorted(paths, key=lambda path: (len(keys_of(path)), path))
    ends = Counter(_end(path) for path in paths)
    names: dict[str, str] = {}
    for path in paths:
        name = _end(path) if ends[_end(path)] == 1 else _as_name(unquoted(path))
        while name in names:
            name += "_"
        names[name] = path
    return names


def field_name(path: str, taken: Mapping[str, str]) -> str:
    """Return a name for one more path beside those `taken`: its end, or else the whole path."""
    end = _end(path)
    return end if taken.get(end, path) == path else _as_name(unquoted(path))


def paths_meant(asked: str, paths: Iterable[str]) -> list[str]:
    """Return the paths that a text may mean: the very one, or those that end so, with or without odd characters.

    Quotes about a key may be left out.
    """
    bare = {path: unquoted(path) for path in paths}
    if asked in bare:
        return [asked]
    wanted = unquoted(asked)
    same = [path for path, text in bare.items() if text == wanted]
    ends = same or [path for path, text in bare.items() if text.endswith(f".{wanted}")]
    return ends or [path for path in bare if _end(path) == asked]


def unquoted(path: str) -> str:
    """Return a path without the quotes in which Qdrant has keys that hold blanks, dots or signs."""
    return ".".join(keys_of(path))


def keys_of(path: str) -> list[str]:
    """Return the keys that a path leads through, without their quotes."""
    return [key.strip('"') for key in re.findall(r'"[^"]*"|[^."]+', path)] or [path]


def _end(path: str) -> str:
    return _as_name(keys_of(path)[-1])


def _as_name(text: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_]", "_", text)
    return name if re.match(r"[A-Za-z_]", name) and not name.startswith(OUR_PREFIX) else f"field_{name}"


def save(attachment: Attachment, file: Path) -> None:
    """Keep a mapping as JSON, written whole."""
    value = {
        **vars(attachment),
        "collection": to_json(attachment.collection) | {"name": attachment.collection.name},
    }
    private_folder(file.parent)
    write_private(file, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class _Named(Definition):
    """A definition beside its name. Raises InputError where the name can't be one."""

    name: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name(self.name)


@dataclass(frozen=True)
class _Kept:
    """An attachment as `save` writes it. Raises InputError for one that no `attach` made."""

    collection: _Named
    vector: str
    paths: Mapping[str, str]
    present: Mapping[str, str]
    key: str
    integer_keys: bool
    our_vector: str
    our_dim: int
    writable: bool
    metric: str = COSINE
    units_seen: int = 0
    dynamic: bool = False

    def __post_init__(self) -> None:
        if not self.collection.fields.keys() <= self.paths.keys():
            raise InputError("A field has no path.")
        if any(text not in ("", f"{column} is not null") for column, text in self.present.items()):
            raise InputError("What tells whether a field is there is no test for null.")
        if self.metric not in METRICS:
            raise InputError(f"The metric is {self.metric!r}.")
        if not 1 <= self.collection.dim <= MAX_DIM:
            raise InputError(f"The dimension is {self.collection.dim}.")


def load(file: Path) -> Attachment:
    """Return the mapping that `save` wrote. Raises InputError."""
    kept = read_json(file, _Kept, remedy="Attach the collection again.")
    return Attachment(**{**vars(kept), "collection": kept.collection.named(kept.collection.name)})


def dig(payload: Mapping[str, Any], path: str) -> Any:
    """Return the value at a path, nested by dots; None where there is none."""
    value: Any = payload
    for key in keys_of(path):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
