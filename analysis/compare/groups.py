"""Who is compared: one unit for each patient of a cohort, against another cohort or everybody else."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.analysis.compare.small_cells import SmallCells
from cohorts.errors import InputError

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Members:
    """A cohort: its name, and its units and their patients, (m,) each, the best first."""

    name: str
    units: Sequence[str]
    patients: Sequence[str]


@dataclass(frozen=True)
class Group:
    """A group that is compared: its name, and the places of its units among all people, one for each patient."""

    name: str
    places: Places

    def __len__(self) -> int:
        return len(self.places)

    def among(self, chosen: Places) -> "Group":
        """Return the group by its places among some of the people, (m,) rising."""
        return Group(self.name, np.searchsorted(chosen, self.places))


def group_of(members: Members, people: pd.DataFrame) -> tuple[Group, list[str]]:
    """Return a cohort's group, and what is to be said of it: of several units of a patient the first counts.

    Where no unit of it is in the records, as where these are of another source than the vectors, it is found by its
    patients. Raises InputError where nobody is found.
    """
    notes = []
    found = people.index.get_indexer(pd.Index(members.units))
    if (found < 0).all():
        first = people.reset_index().drop_duplicates("patient_id").set_index("patient_id")["unit_id"]
        found = people.index.get_indexer(pd.Index(first.reindex(pd.Index(members.patients))))
    places = found[found >= 0]
    if len(places) < len(found) and len(places):
        notes.append(f"some members of {members.name} are not in the records, and don't count")
    whose = people["patient_id"].to_numpy()[places]
    first_of_each = ~pd.Series(whose).duplicated().to_numpy()
    if not first_of_each.all():
        notes.append(f"patients stand in {members.name} with several units: the first of each counts")
    places = places[first_of_each].astype(np.int64)
    if not len(places):
        raise InputError(f"No member of {members.name} is in the records.")
    return Group(members.name, places), notes


def rest_of(
    group: Group, people: pd.DataFrame, name: str, among: "npt.NDArray[np.bool_] | None" = None
) -> Group:
    """Return everybody else, of those that `among` (people,) marks: one unit a patient, drawn by a hash of its id."""
    own = set(people["patient_id"].to_numpy()[group.places])
    of_others = ~people["patient_id"].isin(own).to_numpy(dtype=bool)
    others = np.flatnonzero(of_others if among is None else of_others & among)
    lot = pd.util.hash_array(people.index.to_numpy(dtype=object)[others], categorize=False)
    drawn = pd.DataFrame({"patient": people["patient_id"].to_numpy()[others], "lot": lot, "place": others})
    first = drawn.sort_values("lot").drop_duplicates("patient")["place"].to_numpy(dtype=np.int64)
    return Group(name, np.sort(first))


def apart(
    one: Group, other: Group, people: pd.DataFrame, cells: SmallCells
) -> tuple[Group, Group, list[str]]:
    """Return two groups without the patients that stand in both, and what is to be said of it.

    A few stay in both: a group without them would, beside the whole one, tell of them.
    """
    whose = people["patient_id"].to_numpy()
    mine, theirs = whose[one.places], whose[other.places]
    both = set(mine) & set(theirs)
    if not both:
        return one, other, []
    if cells.small(len(both)):
        return one, other, [f"a few patients stand in both {one.name} and {other.name}, and count in both"]
    one, other = (
        Group(group.name, group.places[~np.isin(patients, list(both))])
        for group, patients in ((one, mine), (other, theirs))
    )
    return one, other, [f"patients who stand in both {one.name} and {other.name} count in neither"]


def check_size(group: Group, cells: SmallCells) -> None:
    """Raise InputError for a group that is too small to be told of, or empty."""
    if not len(group):
        raise InputError(
            f"{group.name} has no patients: the other group is everybody, or shares all of its own with it. Take "
            "another one."
        )
    if len(group) < cells.least:
        raise InputError(
            f"{group.name} has fewer than {cells.least} patients who can be compared: what would be told is of "
            "single patients.",
            remedy="Take a larger group, or show small cells.",
            hint="min_cell",
        )
