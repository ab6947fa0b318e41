"""Patients like one patient, or like a vector: never the patient's own rows."""

import difflib
import re
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Collection, Connector, Hit, Payload
from cohorts.connectors.filters import Comparison, Filter
from cohorts.connectors.index import SearchParams
from cohorts.errors import InputError, PatientNotFound

Vector = npt.NDArray[np.float32]
MAX_OWN_ROWS = 1_000  # more admissions than any patient has
MAX_PAGES = 500  # of a thousand rows, looked through for ids like one that is not there


@dataclass(frozen=True)
class Neighbours:
    """The hits, best first, how many were asked for (a filter may leave fewer), and what the search did otherwise.

    `own` is what is stored of the patient that was asked for.
    """

    hits: list[Hit]
    asked: int
    notes: tuple[str, ...] = ()
    own: tuple[Payload, ...] = ()


def of_patient(
    connector: Connector,
    name: str,
    patient_id: str,
    k: int,
    *,
    where: Filter | None = None,
    params: SearchParams | None = None,
) -> Neighbours:
    """Return the k units most like a patient; several own rows (admissions) count by their mean direction.

    Raises PatientNotFound, which names the nearest ids, and CollectionNotFound.
    """
    _check_k(k)
    collection = connector.describe(name).collection
    own = _own_rows(connector, name, collection, patient_id)
    if not own:
        near = (
            ", ".join(_nearest_ids(connector, name, collection, patient_id))
            or "none: the collection is empty"
        )
        raise PatientNotFound(f"Collection {name} holds no patient {patient_id}. The nearest ids: {near}.")
    stored = connector.fetch(name, own)
    mean = stored.vectors.mean(axis=0)
    found = connector.search(name, mean[None, :], k + len(own), where=where, params=params)
    hits = [hit for hit in found.hits[0] if hit.id not in set(own)]
    return Neighbours(hits[:k], k, found.notes, tuple(stored.payloads))


def patient_field(collection: Collection) -> str | None:
    """Return the payload field that holds the patient's id; None where the unit's own id is the patient's."""
    if collection.metadata.get("unit") == "admission":
        return "patient_id"
    field = collection.metadata.get("patient_field")
    return str(field) if field else None


def of_vector(
    connector: Connector,
    name: str,
    vector: Vector,
    k: int,
    *,
    where: Filter | None = None,
    params: SearchParams | None = None,
) -> Neighbours:
    """Return the k units most like a vector, (dim,) float32. Raises InputError for a vector of zeros."""
    _check_k(k)
    if not vector.any():
        raise InputError("The encoder knows no word of this text; describe the patient in other words.")
    found = connector.search(name, vector[None, :], k, where=where, params=params)
    return Neighbours(found.hits[0], k, found.notes)


def _check_k(k: int) -> None:
    if k < 1:
        raise InputError(f"k is {k}; ask for at least 1 neighbour.")


def _own_rows(connector: Connector, name: str, collection: Collection, patient_id: str) -> list[str]:
    field = patient_field(collection)
    if field is None:
        return list(connector.fetch(name, [patient_id]).ids)
    whole = collection.fields.get(field) is int
    if whole and not re.fullmatch(r"-?[0-9]{1,15}", patient_id):
        return []
    anything = np.ones((1, collection.dim), dtype=np.float32)
    own = Comparison(field, "=", int(patient_id) if whole else patient_id)
    found = connector.search(name, anything, MAX_OWN_ROWS, where=own, params=SearchParams(exact=True))
    return [hit.id for hit in found.hits[0]]


def _nearest_ids(
    connector: Connector, name: str, collection: Collection, patient_id: str, many: int = 5
) -> list[str]:
    """Return ids that stand nearest: by value for numbers, by spelling for anything else."""
    field = patient_field(collection)
    ids: set[str] = set()
    for page in islice(connector.scroll(name), MAX_PAGES):
        ids |= {str(row[field]) for row in page.payloads if field in row} if field else set(page.ids)
    if patient_id.isdecimal() and all(one.isdecimal() for one in ids):
        return sorted(ids, key=lambda one: (abs(int(one) - int(patient_id)), int(one)))[:many]
    return difflib.get_close_matches(patient_id, sorted(ids), n=many, cutoff=0.0)
