"""What a block of invented patients and their stays is: one array for each fact, one row for each stay."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from cohorts.records.synthetic.network import PERSON, Flags, Floats, Ints, Things, parameters

DAY = 86_400  # seconds
UNEXPLAINED = -1  # the principal condition of a stay that none explains


@dataclass(frozen=True)
class Stays:
    """The stays of a block in the order of patients and times; every field is an array with one row for each.

    Times are seconds since 1970. `features` (n, features) has the columns of `features_of_stays()`; `principal` is the
    place of the condition that the stay is for among `conditions()`, or UNEXPLAINED.
    """

    patient: Ints
    place: Ints
    age: Ints
    female: Flags
    admitted: Ints
    discharged: Ints
    died: Flags
    features: Floats
    principal: Ints

    def __len__(self) -> int:
        return len(self.patient)

    @property
    def number(self) -> Ints:
        """Return the HADM_ID."""
        return self.patient * 10 + self.place

    @property
    def days(self) -> Floats:
        """Return how long each lasted."""
        return (self.discharged - self.admitted) / DAY

    @property
    def severity(self) -> Floats:
        """Return how ill each is, in standard deviations."""
        return self.features[:, PERSON.index("severity")]

    def has(self, name: str) -> Flags:
        """Return which stays have the condition."""
        return self.features[:, features_of_stays().index(name)] > 0

    def of_any(self, names: Sequence[str]) -> Flags:
        """Return which stays have one of the conditions."""
        found: Flags = np.any([self.has(name) for name in names], axis=0)
        return found


@dataclass(frozen=True)
class Patients:
    """The patients of a block: `died` is a day in seconds since 1970, -1 where no death is known."""

    patient: Ints
    female: Flags
    born: Ints
    died: Ints
    died_in_hospital: Flags


@cache
def conditions() -> Things:
    """Return all conditions, what lasts for life before what comes and goes."""
    return Things(
        parameters("conditions")["chronic"] | parameters("conditions")["acute"], features_of_stays()
    )


@cache
def features_of_stays() -> list[str]:
    """Return the names of the columns of `Stays.features`."""
    made = parameters("conditions")
    return [*PERSON, *made["chronic"], *made["acute"]]
