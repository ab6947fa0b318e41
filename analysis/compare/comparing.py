"""A cohort compared with another group, or told of alone: who they are, how it ended, what was done."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.analysis.compare import care, comparison, outcomes
from cohorts.analysis.compare.characteristics import balanced, characteristics, still_apart
from cohorts.analysis.compare.comparison import (
    IN_STAY,
    MATCHED,
    OFFERED,
    REST,
    Asked,
    Comparison,
    Held,
    Records,
)
from cohorts.analysis.compare.figures import COLUMNS, Figures
from cohorts.analysis.compare.groups import Group, Members, apart, check_size, group_of, rest_of
from cohorts.analysis.compare.matching import matched
from cohorts.analysis.compare.small_cells import SmallCells
from cohorts.analysis.history import endings
from cohorts.analysis.history.care import conditions_of, uses_of
from cohorts.analysis.history.courses import Course, courses_of
from cohorts.analysis.history.people import people_of
from cohorts.analysis.history.start import TimeZero, time_zero
from cohorts.errors import InputError
from cohorts.progress import ProgressCallback
from cohorts.records.base import Unit
from cohorts.told_groups import tell

_TOLD_UNITS = 0.01  # the share of an item's values in other units from which it is told


def compare(records: Records, asked: Asked, progress: ProgressCallback) -> Comparison:
    """Compare a cohort with another group, or tell of it alone.

    Raises InputError where a group is too small, or differs from one that was told of by a few patients, and where an
    outcome is asked for that the vectors may have seen.
    """
    cells, zero = SmallCells(asked.min_cell), time_zero(records.as_of, anyway=asked.anyway)
    names, notes = _outcomes(asked, records, zero)
    everybody = people_of(records.kept)
    progress("people", len(everybody), len(everybody))
    made = _groups(everybody, asked, cells, records.held)
    follow_up = endings.followed(everybody, asked.follow_up)
    how = f"{zero}; {follow_up.days}"
    if cells.least > 1:
        tell(records.folder, [(one.name, _stays(one, everybody)) for one in made.told], how, cells.least)
    chosen = np.unique(np.concatenate([one.places for one in made.told]))
    people = everybody.iloc[chosen]
    groups, before = ([one.among(chosen) for one in some] for some in (made.groups, made.before))
    start, until = zero.of(people, records.kept), follow_up.until.iloc[chosen]
    figures = [*balanced(people, before, groups, cells)] if before else []
    unbalanced = still_apart(figures)
    figures += _endings(people, groups, start, until, names, cells, in_stay=zero.in_stay)
    courses = courses_of(records.kept, people, partial(progress, "laboratory values"))
    figures += _care(records, people, courses, groups, cells, progress)
    return Comparison(
        collection=records.collection,
        groups=tuple(one.name for one in groups),
        patients=tuple(map(len, groups)),
        as_of=records.as_of,
        time_zero=str(zero),
        censoring=follow_up.rule,
        min_cell=asked.min_cell,
        synthetic=records.synthetic,
        seen=zero.seen,
        notes=(*notes, *made.notes, *unbalanced, *_not_at_risk(start, groups), *_other_units(courses)),
        figures=pd.DataFrame(figures, columns=list(COLUMNS)),
    )


def _outcomes(asked: Asked, records: Records, zero: TimeZero) -> tuple[list[str], list[str]]:
    """Return the outcomes to tell, and why others are not told. Raises InputError for one that can't be, if named."""
    reasons = {}
    if not zero.in_stay:
        seen = f"the vectors of {records.collection} have seen it: they are of records up to {zero}"
        reasons = dict.fromkeys(IN_STAY, seen)
    if records.unit is not Unit.ADMISSION:
        reasons[outcomes.RETURN] = (
            "a vector for each patient describes the last admission, after which there is none"
        )
    if refused := [name for name in asked.outcomes if name in reasons]:
        raise InputError(
            f"{refused[0]} can't be compared: {reasons[refused[0]]}.",
            remedy="Ingest the source anew with the window admission+24h, and a vector for each admission.",
            hint="ingest_for_outcomes",
            collection=records.collection,
        )
    names = [name for name in asked.outcomes or OFFERED if name not in reasons]
    left = () if asked.outcomes else reasons.items()
    return names, [f"{name} is not told: {why}" for name, why in left]


@dataclass(frozen=True)
class _Groups:
    """The groups, what stood before a match, and what is to be said."""

    groups: Sequence[Group]
    before: Sequence[Group]
    notes: Sequence[str]

    @property
    def told(self) -> Sequence[Group]:
        """Return all groups of which something is told."""
        return (*self.before, *self.groups)


def _groups(people: pd.DataFrame, asked: Asked, cells: SmallCells, held: Held | None) -> _Groups:
    own, notes = group_of(asked.cohort, people)
    before: list[Group] = []
    groups = [own]
    if asked.against in (REST, MATCHED):
        among = None if held is None else people.index.isin(list(held.ids()))
        groups = [own, rest_of(own, people, REST, among)]
        if held is not None:
            notes.append(f"the rest are {held.population}, as the cohort is: of others there is no vector")
    if asked.against == MATCHED:
        for group in groups:
            check_size(group, cells)
        before, groups = groups, [*matched(own, groups[1], people, asked.match, cells)]
        if len(groups[0]) < len(own):
            notes.append(
                f"{len(groups[0]) / len(own):.0%} of {own.name} have a partner; the others are left out"
            )
    elif isinstance(asked.against, Members):
        other, more = group_of(asked.against, people)
        *groups, both = apart(own, other, people, cells)
        notes += [*more, *both]
    for group in groups:
        check_size(group, cells)
    return _Groups(groups, before, notes)


def _stays(group: Group, people: pd.DataFrame) -> list[tuple[str, str]]:
    own = people["patient_id"].iloc[group.places]
    return list(zip(own.tolist(), own.index.tolist(), strict=True))


def _endings(
    people: pd.DataFrame,
    groups: Sequence[Group],
    start: "pd.Series[pd.Timestamp]",
    until: "pd.Series[pd.Timestamp]",
    names: Sequence[str],
    cells: SmallCells,
    *,
    in_stay: bool,
) -> Figures:
    dead, back = endings.death(people, start, until), endings.readmission(people, until)
    died = endings.death_in_hospital(people, start)
    # Each outcome is of those whom the one before is of, less none or enough: their numbers tell of nobody. That, and
    # what is hidden, is the same whatever is asked for, or results by turns would tell more than one of all.
    alive = _staying(groups, dead.at_risk, cells)
    there = _staying(alive, ~np.isnan(died), cells) if in_stay else alive
    left = _staying(there, back.at_risk, cells)
    every = {
        comparison.STAY: outcomes.length_of_stay(endings.stay(people, start), there, cells),
        comparison.IN_HOSPITAL: outcomes.death_in_hospital(died, there, cells),
        outcomes.DEATH: outcomes.Timed.of(outcomes.DEATH, dead, alive, outcomes.DEATH_AT).told(cells),
        outcomes.RETURN: outcomes.Timed.of(outcomes.RETURN, back, left, outcomes.RETURN_AT).told(cells),
    }
    for name, figures in every.items():
        if name in names:
            yield from figures


def _staying(groups: Sequence[Group], stay: npt.NDArray[np.bool_], cells: SmallCells) -> list[Group]:
    """Return the groups without who does not stay; where these are few, without some others too."""
    return [Group(one.name, one.places[cells.without_few(stay[one.places])]) for one in groups]


def _care(
    records: Records,
    people: pd.DataFrame,
    courses: Sequence[Course],
    groups: Sequence[Group],
    cells: SmallCells,
    progress: ProgressCallback,
) -> Figures:
    conditions = conditions_of(records.kept, people, partial(progress, "diagnoses"))
    uses = uses_of(records.kept, people, partial(progress, "drugs and procedures"))
    yield from characteristics(people, groups, conditions, courses, cells)
    yield from care.used(uses, groups, len(people), cells)
    yield from care.pathways(uses, groups, cells)
    yield from care.by_day(courses, groups, cells)


def _not_at_risk(start: "pd.Series[pd.Timestamp]", groups: Sequence[Group]) -> list[str]:
    """Say of which groups some have no time zero, so that no ending of theirs counts."""
    missing = start.isna().to_numpy(dtype=bool)
    some = [one.name for one in groups if missing[one.places].any()]
    return [f"some of {' and '.join(some)} have no time from which endings count"] if some else []


def _other_units(courses: Sequence[Course]) -> list[str]:
    """Say of which laboratory items values don't count, for they are in another unit than most."""
    some = [f"{one.item} ({one.others:.0%})" for one in courses if one.others >= _TOLD_UNITS]
    return [f"values in another unit than most don't count: {', '.join(some)}"] if some else []
