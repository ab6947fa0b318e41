"""What was done: drugs and procedures with first use, the order of the first ones, and laboratory values by day."""

from collections import Counter
from collections.abc import Sequence
from math import nan

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.analysis.compare.cells import share
from cohorts.analysis.compare.figures import Figures, figure
from cohorts.analysis.compare.groups import Group
from cohorts.analysis.compare.small_cells import SmallCells
from cohorts.analysis.history.care import PROCEDURE, Uses
from cohorts.analysis.history.courses import DAYS, Course
from cohorts.measures.intervals import UNTOLD, Estimate
from cohorts.records.codes.drug_classes import FLUIDS, class_of

CARE, PATHWAYS, COURSES = "care", "pathways", "courses"
PATHWAY_H, STEPS = 72.0, 3
FIRST, NOTHING, OTHER = "admission", "nothing more", "other"
_ITEMS = 40  # of drugs and of procedures, the commonest
_NODES = 8  # classes that a step is told of; others are together


def used(uses: Uses, groups: Sequence[Group], people: int, cells: SmallCells) -> Figures:
    """Yield for the commonest drugs and procedures who had them, and the median day of the first use."""
    many = np.bincount(uses.item, minlength=len(uses.items))
    left = Counter({kind: _ITEMS for kind, _ in uses.items})
    for item in np.argsort(-many, kind="stable").tolist():
        kind, name = uses.items[item]
        if left[kind] > 0:
            left[kind] -= 1
            own = uses.of_item(item)
            first = np.full(people, np.inf)
            first[own.person] = own.hours
            yield from _use(kind, name, first, groups, cells)


def _use(
    kind: str, name: str, first: npt.NDArray[np.float64], groups: Sequence[Group], cells: SmallCells
) -> Figures:
    had = {one.name: (~np.isposinf(first[one.places])).astype(np.float64) for one in groups}
    told = [one for one in share(CARE, name, had, cells) if one["measure"] != "missing"]
    yield from ({**one, "level": kind} for one in told)
    for one in groups:
        hours = first[one.places]
        hours = hours[np.isfinite(hours)]
        enough = len(hours) >= cells.least and not any(row["text"] for row in told)
        low, middle, high = np.percentile(hours, [25, 50, 75]) / 24 if enough else (nan, nan, nan)
        when = Estimate(float(middle), float(low), float(high))
        few = len(hours) > 0 and not enough
        yield figure(
            CARE, name, "first day", when, group=one.name, level=kind, text=cells.hidden if few else ""
        )


def pathways(uses: Uses, groups: Sequence[Group], cells: SmallCells) -> Figures:
    """Yield how many went from which first class of drug or procedure to which, in the first 72 hours.

    `item` is what came before, `level` what followed, `at` the step from 1. What few had stands with others.
    """
    early = uses.chosen(uses.hours < PATHWAY_H).grouped([_class(*item) for item in uses.items])
    common = np.argsort(-np.bincount(early.item, minlength=len(early.items)), kind="stable")[:_NODES]
    rank = np.full(len(early.items), -1)
    rank[common] = np.arange(len(common))
    early = early.chosen(rank[early.item] >= 0)
    # What began at one time stands in the order of how many had it: most tables know the day alone.
    order = np.lexsort((rank[early.item], early.hours, early.person))
    firsts = pd.DataFrame({"person": early.person[order], "item": early.item[order]})
    firsts["step"] = firsts.groupby("person").cumcount()
    names = np.array([name for _, name in early.items], dtype=object)
    for group in groups:
        ways = firsts[firsts["step"] < STEPS].pivot(index="person", columns="step", values="item")
        ways = ways.reindex(index=group.places, columns=range(STEPS))
        yield from _flows(
            ways.apply(lambda one: one.map(dict(enumerate(names)))).fillna(NOTHING), group, cells
        )


def _class(kind: str, name: str) -> tuple[str, str] | None:
    """Return what a use is of on a pathway; None for fluids and drugs of no known class."""
    if kind == PROCEDURE:
        return kind, name
    found = class_of(name)
    return None if found in ("", FLUIDS) else (kind, found)


def _flows(ways: pd.DataFrame, group: Group, cells: SmallCells) -> Figures:
    before = pd.Series(FIRST, ways.index)
    for step in range(STEPS):
        going = before != NOTHING
        flows = pd.DataFrame({"from": before[going], "to": ways.loc[going, step]})
        flows["to"] = _together(flows, cells)
        many = flows.value_counts(["from", "to"]).reset_index()
        for row in many.sort_values(["from", "to"]).itertuples(index=False):
            source, target, patients = str(row[0]), str(row[1]), float(row[2])
            hidden = cells.hidden if cells.small(patients) else ""
            yield figure(
                PATHWAYS,
                source,
                "patients",
                patients,
                group=group.name,
                level=target,
                at=step + 1,
                text=hidden,
            )
        before = flows["to"].reindex(ways.index).fillna(NOTHING)


def _together(flows: pd.DataFrame, cells: SmallCells) -> "pd.Series[str]":
    """Return where everybody goes; where few of a source go to, and what would tell how few, is `other`."""
    target = flows["to"].copy()
    for source in flows["from"].unique():
        mine = flows[flows["from"] == source]
        many = mine["to"].value_counts()
        pools = cells.pools(many.to_numpy().astype(np.int64)[:, None])
        alone = {many.index[pool[0]] for pool in pools if len(pool) == 1}
        target[mine.index[~mine["to"].isin(alone)]] = OTHER
    return target


def by_day(courses: Sequence[Course], groups: Sequence[Group], cells: SmallCells) -> Figures:
    """Yield for every laboratory item and day the median and quartiles of who had it measured."""
    for course in courses:
        for day in range(DAYS):
            known = {one.name: course.values[one.places, day] for one in groups}
            known = {name: some[~np.isnan(some)] for name, some in known.items()}
            for name, some in known.items() if any(map(len, known.values())) else ():
                few = cells.hidden if cells.small(len(some)) else ""
                told = UNTOLD
                if len(some) and not few:
                    low, middle, high = np.percentile(some, [25, 50, 75]).astype(float)
                    told = Estimate(middle, low, high)
                yield figure(
                    COURSES, course.item, "median", told, group=name, level=course.uom, at=day, text=few
                )
