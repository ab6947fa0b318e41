"""Whose a point is: a vector may stand for a patient, for an admission, or for a piece of a patient's text."""

import re
from collections.abc import Iterable

from cohorts.connectors.base import Collection, Payload
from cohorts.connectors.filters.conditions import AnyOf, Contains, Filter, OneOf


def patient_field(collection: Collection) -> str | None:
    """Return the payload field that holds the patient's id; None where the point's own id is the patient's."""
    field = collection.metadata.get("patient_field")
    if field:
        return str(field)
    return "patient_id" if collection.metadata.get("unit") == "admission" else None


def patients_of(field: str | None, key: str, payload: Payload) -> frozenset[str]:
    """Return the patients of the point `key`: several where its field is a list, none where it is empty or missing."""
    value = key if field is None else payload.get(field)
    values = value if isinstance(value, list) else [value]
    return frozenset(str(one) for one in values if one is not None and one != "")


def as_kept(collection: Collection, field: str | None, patient_id: str) -> str | None:
    """Return a patient's id as `patients_of` gives it (007 is 7 among whole numbers); None where it can be no id."""
    if field is None or collection.fields.get(field) is not int:
        return patient_id
    return str(int(patient_id)) if re.fullmatch(r"-?[0-9]{1,15}", patient_id) else None


def points_of(collection: Collection, field: str, patients: Iterable[str]) -> Filter:
    """Return the filter that all points of some patients pass; their ids are `as_kept`."""
    kind = collection.fields.get(field)
    if kind == list[str]:
        return AnyOf(tuple(Contains(field, one) for one in patients))
    return OneOf(field, tuple(int(one) if kind is int else one for one in patients))
