"""Which point of a collection of others is which patient's, by the field of theirs that holds the patients' ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cohorts.connectors.attached.attachment import Attachment
from cohorts.connectors.base import Connector
from cohorts.errors import InputError
from cohorts.records.base import Unit


@dataclass(frozen=True)
class PatientPoints:
    """The id of every patient's point in collection `name`, by what stands under `path`, of type `kind`."""

    name: str
    path: str
    kind: type
    points: Mapping[str, str]

    def of(self, patients: Sequence[str]) -> list[str]:
        """Return the ids of the points of some patients, in their order. Raises InputError where one has none."""
        missing = sum(patient not in self.points for patient in patients)
        if missing:
            read_as = "whole numbers" if self.kind is int else "text"
            raise InputError(
                f"{missing:,} of {len(patients):,} patients have no point in {self.name} by its field {self.path}, "
                f"which is read as {read_as}: cohorts adds none to a collection of others. Nothing of these was "
                "written. Leave these patients out of the source, or let the owner add their points first."
            )
        return [self.points[patient] for patient in patients]


def points_of_patients(connector: Connector, mapping: Attachment, unit: Unit) -> PatientPoints | None:
    """Return the points of all patients of a collection of others, read once.

    None where units are written to by their own ids: admissions, and patients where no field holds their ids. Raises
    InputError where a patient has several points, or a point several patients: a vector would stand for others, too.
    """
    name, field = mapping.collection.name, mapping.collection.metadata.get("patient_field")
    if not field or unit is not Unit.PATIENT:
        return None
    path, kind = mapping.paths[str(field)], mapping.collection.fields[str(field)]
    if kind not in (str, int):
        raise InputError(
            f"{path}, which holds the patients' ids in {name}, is a list: a point of several patients can't be given "
            "the vector of one.",
            remedy="Ingest into a collection of cohorts' own.",
            hint="own_collection",
        )
    points: dict[str, str] = {}
    several: set[str] = set()
    for page in connector.values(name, str(field)):
        for key, value in page:
            if type(value) is kind and value != "" and points.setdefault(str(value), key) != key:
                several.add(str(value))
    if several:
        raise InputError(
            f"{len(several):,} of {len(points):,} patients have several points in {name} by {path}, as where each is a "
            "piece of a text: the one vector of a patient can't stand for all of them. Nothing was written.",
            remedy="Ingest into a collection of cohorts' own, or let the owner make one with a point for each patient.",
            hint="own_collection_or_points",
        )
    return PatientPoints(name, path, kind, points)
