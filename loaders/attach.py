"""Collections of others: the mapping by which we read one, kept beside our runs and taken up whenever it is opened."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from cohorts.connectors.attached import kept as attachments
from cohorts.connectors.attached.attachment import Attachment, Inspection
from cohorts.connectors.attached.paths import field_name, paths_meant, unquoted
from cohorts.connectors.base import Connector, FieldType, Scalar
from cohorts.connectors.filters.reading import known_fields
from cohorts.connectors.patients import patient_field as patient_field_of
from cohorts.errors import CohortsWarning, FingerprintMismatch, InputError
from cohorts.loaders.points.patients import points_of_patients
from cohorts.loaders.points.payload import FIELDS, PATIENT_ID, check_names_patients, names_patients
from cohorts.records.base import Unit

_OUR_TYPES: Mapping[str, FieldType] = {
    "text": str,
    "integer": int,
    "number": float,
    "flag": bool,
    "date": date,
    "list": list[str],
}
# As the engines call them, too.
_TYPES: Mapping[str, FieldType] = {
    **dict.fromkeys(("keyword", "uuid", "varchar", "string"), str),
    **dict.fromkeys(("int8", "int16", "int32", "int64"), int),
    **dict.fromkeys(("float", "double"), float),
    "bool": bool,
    "datetime": date,
    "array": list[str],
    **_OUR_TYPES,
}
# NAME=PATH:TYPE; within quotes a key of the path holds any sign.
_FIELD = re.compile(
    r" *(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*) *= *)?"
    r'(?P<path>(?:"[^"]*"|[^"=: ])(?:"[^"]*"|[^"=:])*)(?::(?P<type>[^":=]*))?'
)


def look(
    connector: Connector,
    name: str,
    *,
    vector: str | None = None,
    patient_field: str | None = None,
    fields: Sequence[str] = (),
) -> tuple[Inspection, Attachment]:
    """Return what the engine says of a collection of others, and a read-only mapping for it. Raises InputError.

    `fields` are further ones to filter by, or other types for those found, as in `age=metadata.age:number`; the name
    and the type may be left out. The patient is named by `patient_field`, or by patient_id where that is mapped; else a
    point is a patient.
    """
    found = connector.inspect(name)
    if found.ours:
        raise InputError(f"Collection {name} was made by cohorts: it needs no mapping.")
    proposed = connector.propose(name, vector)
    for text in fields:
        proposed = _with_field(connector, found, proposed, text)
    if patient_field is None and names_patients(proposed.collection.fields.get(PATIENT_ID)):
        patient_field = PATIENT_ID
    if patient_field is not None:
        proposed = _with_patient(connector, found, proposed, patient_field)
    return found, proposed


def doubts(connector: Connector, found: Inspection, proposed: Attachment) -> list[CohortsWarning]:
    """Return for how many points the mapping does not tell whose they are."""
    field = patient_field_of(proposed.collection)
    if field is None:
        return []
    path, kind = proposed.paths[field], proposed.collection.fields[field]
    held = connector.kinds(found.name, path)
    told = []
    if held.nothing:
        told.append(
            CohortsWarning(
                f"{held.nothing:,} of {found.count:,} points have no {path}: each stands for itself."
            )
        )
    odd, mapped = (held.others, "whole numbers") if kind is int else (held.numbers, "text")
    if odd:
        other, retyped = ("no whole number", "text") if kind is int else ("a number", "integer")
        told.append(
            CohortsWarning(
                f"{odd:,} of {found.count:,} points hold {other} under {path}, which is read as {mapped}: a query by "
                "patient does not find them.",
                remedy=f"Let the owner make the ids of one type; the field {field}={path}:{retyped} reads the others.",
                hint="ids_of_one_type",
                field=f"{field}={path}:{retyped}",
            )
        )
    return told


def _with_field(connector: Connector, found: Inspection, proposed: Attachment, text: str) -> Attachment:
    """Return the mapping with a field as it was asked for: NAME=PATH:TYPE, both but the path left out at will."""
    asked = _FIELD.fullmatch(text)
    typed = asked["type"] if asked else None
    if asked is None or (typed is not None and typed.strip().lower() not in _TYPES):
        raise InputError(
            f"{text!r} is no field: write NAME=PATH:TYPE, as in age=metadata.age:number, with a name of letters, "
            f"digits and _, and a type of: {', '.join(_OUR_TYPES)}, or as the engine calls it. The name and the type "
            'may be left out. A key that holds = or : stands in "double quotes"; one that holds a double quote can\'t '
            "be a field."
        )
    name, path = asked["name"], _path(connector, found, asked["path"].strip())
    kind = _TYPES[typed.strip().lower()] if typed is not None else _kind(connector, found, path)
    return proposed.with_fields({name or field_name(path, proposed.paths): (path, kind)})


def _with_patient(connector: Connector, found: Inspection, proposed: Attachment, asked: str) -> Attachment:
    """Return the mapping with the field, named by itself or by its path, that holds the patient's id."""
    name = asked
    if asked not in proposed.paths:
        path = _path(connector, found, asked)
        names = {path: name for name, path in proposed.paths.items()}
        name = names.get(path, field_name(path, proposed.paths))
        if path not in names:
            proposed = proposed.with_fields({name: (path, _kind(connector, found, path))})
    check_names_patients(name, proposed.collection.fields[name])
    return proposed.with_metadata({"patient_field": name})


def _path(connector: Connector, found: Inspection, asked: str) -> str:
    """Return the path that is meant. Raises InputError, with the nearest ones, where no point holds anything there."""
    meant = paths_meant(asked, found.fields)
    if len(meant) == 1:
        return meant[0]
    if len(meant) > 1:
        raise InputError(f"{asked} may be one of several in {found.name}; give one: {', '.join(meant)}.")
    # The inspection has seen a sample.
    if found.count and connector.kinds(found.name, asked).nothing >= found.count:
        known = known_fields(unquoted(asked), map(unquoted, found.fields))
        raise InputError(f"No point of {found.name} has a field {asked}. {known}")
    return asked


def _kind(connector: Connector, found: Inspection, path: str) -> FieldType:
    """Return the type of the values under a path: as the engine says, or as most of them are."""
    if path in found.fields:
        kind = _TYPES.get(found.fields[path].lower())
        if kind is None:
            raise InputError(
                f"Field {path} is of type {found.fields[path]}, which can't be filtered by. Types that can: "
                f"{', '.join(_OUR_TYPES)}."
            )
        return kind
    held = connector.kinds(found.name, path)
    return int if held.numbers > held.others else str


def confirm(connector: Connector, proposed: Attachment, file: Path, *, write: bool) -> Attachment:
    """Take a mapping up and keep it; with `write`, ours may be written beside theirs. Raises InputError."""
    confirmed = replace(proposed, writable=write)
    connector.attach(confirmed)
    attachments.save(confirmed, file)
    return confirmed


def check_attached(connector: Connector, file: Path, dim: int, unit: Unit, ids: Sequence[str]) -> None:
    """Raise InputError where vectors of so many dimensions, of units of these ids, can't be written by a mapping.

    Asked before an encoder is trained: `ids` are some of the units'.
    """
    mapping = attachments.load(file)
    mapping.written_by({}, dim, FIELDS)
    points = points_of_patients(connector, mapping, unit)
    if points is not None:
        points.of(ids)
        return
    if mapping.collection.metadata.get("encoder_fingerprint"):
        return  # some of the units are there: the engine would show those with a vector of ours alone
    there = set(connector.fetch(mapping.collection.name, ids).ids)
    missing = [key for key in ids if key not in there]
    if missing:
        raise InputError(
            f"{len(missing):,} of the first {len(ids):,} units are no points of {mapping.collection.name}, by their "
            "ids: cohorts adds none to a collection of others."
        )


def write_attached(connector: Connector, file: Path, metadata: Mapping[str, Scalar], dim: int) -> Attachment:
    """Let an encoder's vectors be written to a collection of others; return the mapping to keep when they are.

    Raises FingerprintMismatch where those of another encoder were written there.
    """
    fields: Mapping[str, Any] = FIELDS
    mapping = attachments.load(file)
    before = mapping.collection.metadata.get("encoder_fingerprint")
    if before not in (None, metadata["encoder_fingerprint"]):
        raise FingerprintMismatch(
            f"Collection {mapping.collection.name} holds vectors of the encoder with fingerprint {before}; the one at "
            f"hand has {metadata['encoder_fingerprint']}.",
            remedy="To write all of them anew, map the collection again, to be written to, then ingest it whole.",
            hint="attach_anew",
        )
    written = mapping.written_by(metadata, dim, fields)
    connector.attach(written)
    return written
