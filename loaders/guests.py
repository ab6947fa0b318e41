"""Collections of others: the mapping by which we read one, kept beside our runs and taken up whenever it is opened."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from cohorts.connectors import attachment as attachments
from cohorts.connectors.attachment import Attachment, Guest, Inspection
from cohorts.connectors.base import Connector, FieldType, Scalar
from cohorts.connectors.registry import connect
from cohorts.errors import FingerprintMismatch, InputError
from cohorts.loaders.payload import FIELDS, PATIENT_ID, check_names_patients, names_patients
from cohorts.loaders.run_dirs import default_run_dir

EXTERNAL = "external"  # the encoder of vectors that were loaded ready
_TYPES: Mapping[str, FieldType] = {
    "text": str,
    "integer": int,
    "number": float,
    "flag": bool,
    "date": date,
    "list": list[str],
}


def attachment_file(store: str, name: str) -> Path:
    """Return the file in which `cohorts attach` keeps the mapping of a collection of others."""
    return default_run_dir(store, name) / "attachment.json"


def open_store(store: str, name: str) -> Connector:
    """Return the connector of a store, with the mapping of collection `name` where one was made."""
    connector, file = connect(store), attachment_file(store, name)
    if file.exists():
        _guest(connector).attach(attachments.load(file))
    return connector


def look(
    connector: Connector,
    name: str,
    *,
    vector: str | None = None,
    patient_field: str | None = None,
    fields: Sequence[str] = (),
) -> tuple[Inspection, Attachment]:
    """Return what the engine says of a collection of others, and a read-only mapping for it. Raises InputError.

    `fields` are further ones to filter by, or other types for those found, as in `age=metadata.age:number`. The patient
    is named by `patient_field`, or by patient_id where there is such a field; else a point is a patient.
    """
    guest = _guest(connector)
    found = guest.inspect(name)
    if found.ours:
        raise InputError(f"Collection {name} was made by cohorts: it needs no mapping.")
    proposed = guest.propose(name, vector).with_fields(dict(_field(text) for text in fields))
    if patient_field is None and names_patients(proposed.collection.fields.get(PATIENT_ID)):
        patient_field = PATIENT_ID
    if patient_field is not None:
        proposed = _with_patient(proposed, patient_field)
    return found, proposed


def _with_patient(proposed: Attachment, asked: str) -> Attachment:
    """Return the mapping with the field, named by itself or by its path, that holds the patient's id."""
    names = {path: name for name, path in proposed.paths.items()}
    name = asked if asked in proposed.paths else names.get(asked)
    if name is None:
        known = ", ".join(proposed.paths) or "none"
        raise InputError(
            f"There is no field {asked} for the patient's id. Fields: {known}. Text that is not mapped unasked is "
            f"mapped by --field {asked.rpartition('.')[2]}={asked}:text."
        )
    check_names_patients(name, proposed.collection.fields[name])
    return proposed.with_metadata({"patient_field": name})


def confirm(connector: Connector, proposed: Attachment, file: Path, *, write: bool) -> Attachment:
    """Take a mapping up and keep it; with `write`, ours may be written beside theirs. Raises InputError."""
    confirmed = replace(proposed, writable=write)
    _guest(connector).attach(confirmed)
    attachments.save(confirmed, file)
    return confirmed


def write_as_guest(connector: Connector, file: Path, metadata: Mapping[str, Scalar], dim: int) -> Attachment:
    """Let an encoder's vectors be written to a collection of others; return the mapping to keep when they are.

    Raises FingerprintMismatch where those of another encoder were written there.
    """
    fields: Mapping[str, Any] = FIELDS
    mapping = attachments.load(file)
    before = mapping.collection.metadata.get("encoder_fingerprint")
    if before not in (None, metadata["encoder_fingerprint"]):
        raise FingerprintMismatch(
            f"Collection {mapping.collection.name} holds vectors of the encoder with fingerprint {before}; the one at "
            f"hand has {metadata['encoder_fingerprint']}. To write all of them anew, map the collection again with "
            "cohorts attach --write, then ingest without --update."
        )
    written = mapping.written_by(metadata, dim, fields)
    _guest(connector).attach(written)
    return written


def _guest(connector: Connector) -> Guest:
    if not isinstance(connector, Guest):
        raise InputError(
            f"{connector.abilities.engine} holds no collections but ours. Attach to a Qdrant or Milvus server, or to "
            "an embedded Milvus file."
        )
    return connector


def _field(text: str) -> tuple[str, tuple[str, FieldType]]:
    name, equals, rest = text.partition("=")
    path, colon, kind = rest.rpartition(":")
    usable = name.strip().isascii() and name.strip().isidentifier()
    if not (usable and equals and path and colon and kind in _TYPES):
        raise InputError(
            f"{text!r} is no field: write NAME=PATH:TYPE, as in age=metadata.age:number, with a name of letters, "
            f"digits and _, and a type of: {', '.join(_TYPES)}."
        )
    return name.strip(), (path.strip(), _TYPES[kind])
