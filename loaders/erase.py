"""Erase one patient: the points in every version of a collection, and what its runs noted of them."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from cohorts.connectors.base import Collection, Connector
from cohorts.connectors.patients import as_kept, patient_field, patients_of, points_of
from cohorts.errors import EngineError, InputError, PatientNotFound
from cohorts.loaders.holding import Held
from cohorts.loaders.kept_rows import erase_kept
from cohorts.loaders.versions import refuse_version, standing
from cohorts.private_files import Scratch, write_private
from cohorts.saved_cohorts import erase_from_cohorts
from cohorts.told_groups import forget
from cohorts.workspace import rejected_files

_AT_ONCE = 1_000  # points found, and removed, before the next ones are looked for


@dataclass
class Erased:
    """How much was removed: points of the collection's versions, and what its runs noted and kept of the patient."""

    points: int = 0
    traces: int = 0
    rejected: int = 0
    events: int = 0  # rows, those of outcomes among them
    cohorts: int = 0  # saved ones that held or named the patient


def erase(
    connector: Connector,
    name: str,
    patient_id: str,
    held: Held,
    folder: Path,
    queried_from: Path | None = None,
) -> Erased:
    """Remove all units of a patient (the patient, admissions, chunks) and look that none is left.

    The runs forget them first, for only the points tell which units are the patient's: erased again, whatever stopped
    it, nothing stays. Of a collection of others our part alone is removed, where they let us write it: the cohorts that
    were saved of it always are. These stand in `queried_from`, where queries look, or in the run `folder`.

    Raises PatientNotFound where nothing is known of the patient, InputError where the collection may not be written to,
    EngineError where points came back.
    """
    refuse_version(connector, name)
    current = standing(connector, name)
    there = connector.describe(current).collection
    called = {patient_id, as_kept(there, patient_field(there), patient_id) or patient_id}
    folders = {folder, queried_from or folder}
    erased = Erased(cohorts=sum(erase_from_cohorts(one, called) for one in folders))
    for one in folders:
        forget(one, called)
    if there.attached and not there.metadata.get("encoder_fingerprint"):
        _check_was_saved(there, erased)
        return erased
    held.lease.take(current)
    Scratch(folder).close()  # which sweeps what runs that died have read
    erased.events = sum(erase_kept(folder, one) for one in called)
    for version in [current] if there.attached else _versions(connector, name, current, held):
        collection = connector.describe(version).collection
        _forget(_by_own_id(collection, patient_id), held, folder, erased)
        before: set[str] = set()
        for ids in _found(connector, version, collection, patient_id):
            if before & set(ids):
                raise EngineError(
                    f"Points that were removed from {version} are still found. Run the same command again; if that "
                    "does not help, look into the engine's log."
                )
            before |= set(ids)
            held.lease.check()
            _forget(ids, held, folder, erased)
            connector.delete(version, ids)
            erased.points += len(ids)
    if erased == Erased():
        raise PatientNotFound(
            f"Collection {name} and its runs in {folder} hold nothing of this patient: nothing was removed."
        )
    return erased


def _check_was_saved(collection: Collection, erased: Erased) -> None:
    """Raise InputError where a collection of others holds nothing of ours, and no cohort of it held the patient."""
    if not erased.cohorts:
        raise InputError(
            f"Collection {collection.name} belongs to others, and holds nothing that cohorts wrote: ask its owner to "
            "erase the patient."
        )


def _versions(connector: Connector, name: str, current: str, held: Held) -> list[str]:
    """Return the version that answers, and those that runs are writing or left behind."""
    there = connector.collections()
    known = {target.name for journal in held.journals for target in journal.targets()}
    left = [one for one in there if one in known or re.fullmatch(rf"{re.escape(name)}_v\d+", one)]
    return [current, *(one for one in left if one != current)]


def _by_own_id(collection: Collection, patient_id: str) -> list[str]:
    """Return the unit that is the patient, whether or not it ever stood in the collection."""
    return [patient_id] if patient_field(collection) is None else []


def _found(
    connector: Connector, version: str, collection: Collection, patient_id: str
) -> Iterator[Sequence[str]]:
    """Yield the ids of the patient's points, some at a time, until there are none: whoever asks removes them."""
    field = patient_field(collection)
    patient = as_kept(collection, field, patient_id)
    while patient is not None:
        if field is None:
            ids = connector.fetch(version, [patient]).ids
        elif field in collection.fields:
            where = points_of(collection, field, [patient])
            ids = next(connector.find(version, where, _AT_ONCE), [])
        else:
            ids = _read_through(connector, version, field, patient)
        if not ids:
            return
        yield ids


def _read_through(connector: Connector, version: str, field: str, patient: str) -> list[str]:
    """Return the ids of the patient's points in a collection that can't be filtered by patient."""
    return [
        key
        for points in connector.scroll(version)
        for key, payload in zip(points.ids, points.payloads, strict=True)
        if patient in patients_of(field, key, payload)
    ]


def _forget(ids: Sequence[str], held: Held, folder: Path, erased: Erased) -> None:
    """Remove units from the journals, in every version, and from the files of what could not be written."""
    for journal in held.journals:
        erased.traces += journal.erase(ids)
    for file in rejected_files(folder):
        erased.rejected += _forget_rejected(file, frozenset(ids))


def _forget_rejected(file: Path, ids: frozenset[str]) -> int:
    with file.open(encoding="utf-8", newline="") as stream:
        head, *rows = csv.reader(stream)
    kept = [row for row in rows if row[0] not in ids]
    if len(kept) == len(rows):
        return 0
    if not kept:
        file.unlink()
        return len(rows)
    text = StringIO()
    csv.writer(text).writerows([head, *kept])
    write_private(file, text.getvalue())
    return len(rows) - len(kept)
