"""How it ended for the groups: shares at fixed days, curves, restricted means, and tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from cohorts.analysis.compare.cells import Floats, number, share
from cohorts.analysis.compare.figures import DIFFERENCE, TEST, Figures, figure
from cohorts.analysis.compare.groups import Group
from cohorts.analysis.compare.small_cells import SmallCells
from cohorts.analysis.history.endings import HAPPENED, Ending
from cohorts.measures.competing import aalen_johansen
from cohorts.measures.intervals import Estimate
from cohorts.measures.shares import complement, difference, share_at
from cohorts.measures.survival import Curve, kaplan_meier, log_rank, restricted_mean

OUTCOMES, CURVES = "outcomes", "curves"
STAY, IN_HOSPITAL = "length of stay, days", "death in hospital"
DEATH, RETURN = "death", "readmission"
NOT_FOLLOWED = "not followed"
MEAN, AT_RISK = "restricted mean, days", "at risk"
DEATH_AT, RETURN_AT = (30, 90, 365), (30,)
_BESIDE = ("missing", "smd")  # of Table 1 alone
_TICKS = 6  # of the axis, with numbers at risk


@dataclass(frozen=True)
class Timed:
    """An outcome in time: its curves by the name of the group, the endings they are of, and the days of its shares."""

    item: str
    curves: Mapping[str, Curve]
    endings: Mapping[str, Ending]
    at: Sequence[int]
    survival: bool  # the curves tell who had it not yet

    @classmethod
    def of(cls, item: str, ending: Ending, groups: Sequence[Group], at: Sequence[int]) -> "Timed":
        """Make the curves of groups: Kaplan-Meier's where nothing competes, else Aalen and Johansen's."""
        own = {one.name: Ending(ending.days[one.places], ending.kinds[one.places]) for one in groups}
        survival = item == DEATH
        curves = {
            name: kaplan_meier(one.days, one.kinds == HAPPENED)
            if survival
            else aalen_johansen(one.days, one.kinds)
            for name, one in own.items()
            if len(one.days)
        }
        return cls(item, curves, own, at, survival)

    @property
    def horizon(self) -> int:
        """Return the last day that is told of: of the days of its shares, the latest up to which all are followed."""
        end = min(curve.end for curve in self.curves.values())
        return max((day for day in self.at if day <= end), default=int(min(end, self.at[0])))

    @property
    def ticks(self) -> list[int]:
        """Return round days from 0 to the horizon, for an axis and the numbers at risk."""
        return sorted({round(self.horizon * tick / _TICKS) for tick in range(_TICKS + 1)})

    def told(self, cells: SmallCells) -> Figures:
        """Yield all that is told of it."""
        if len(self.curves) == len(self.endings):  # somebody of every group is at risk
            yield from self.shares(cells)
            if self.survival:
                yield from self.means(cells)
            yield from self.points(cells)

    def shares(self, cells: SmallCells) -> Figures:
        """Yield at each day the share to whom it had come, with its interval, and the difference of two groups."""
        shown = [self._days(name, cells) for name in self.curves]
        for day in self.at:
            told = {name: share_at(curve, day) for name, curve in self.curves.items()}
            if self.survival:
                told = {name: complement(one) for name, one in told.items()}
            text = NOT_FOLLOWED if day > self.horizon else ""
            text = text or ("" if all(day in one for one in shown) else cells.hidden)
            yield from self._at(day, told, text)

    def _at(self, day: int, told: Mapping[str, Estimate], text: str) -> Figures:
        every = dict(told)
        if len(told) == 2:
            every[DIFFERENCE] = difference(*told.values())
        for name, one in every.items():
            yield figure(OUTCOMES, self.item, "share", one, group=name, at=day, text=text)

    def means(self, cells: SmallCells) -> Figures:
        """Yield the mean days without it up to the horizon, and the log-rank test of two groups."""
        shown = all(self._all_told(name, cells) for name in self.curves)
        means = {name: restricted_mean(curve, self.horizon) for name, curve in self.curves.items()}
        told = partial(figure, OUTCOMES, self.item, at=self.horizon, text="" if shown else cells.hidden)
        for name, mean in means.items():
            yield told(MEAN, mean, group=name)
        if len(means) == 2:
            yield told(MEAN, difference(*means.values()), group=DIFFERENCE)
            yield told("log-rank p", self._p(), group=TEST)

    def points(self, cells: SmallCells) -> Figures:
        """Yield the curves at the days at which they may be told, and the numbers at risk; cut where few are left."""
        measure = "without" if self.survival else "share"
        for name, curve in self.curves.items():
            for day in self._days(name, cells):
                yield figure(CURVES, self.item, measure, curve.at(day), group=name, at=day)
            yield from self._at_risk(name, curve, cells)

    def _days(self, name: str, cells: SmallCells) -> list[int]:
        """Return the days at which a group's curve may be told: none or enough events lie between any two."""
        curve = self.curves[name]
        days = range(self.horizon + 1)
        steps = np.array([curve.step(day) for day in days])
        events = curve.events.cumsum()[steps]
        today = np.where(curve.times[steps] == np.array(days), curve.events[steps], 0)
        left = np.array([curve.followed(day) for day in days]) - today
        first = [day for day in self.at if day <= self.horizon]
        chosen = cells.steps(events, left, first, self.ticks, days)
        return [day for day in chosen if day in (*self.at, *self.ticks) or events[day] > events[day - 1]]

    def _all_told(self, name: str, cells: SmallCells) -> bool:
        """Tell whether all events of a curve are told: a mean and a test are of all of them."""
        told, curve = max(self._days(name, cells)), self.curves[name]
        return not curve.events[(curve.times > told) & (curve.times <= self.horizon)].any()

    def _at_risk(self, name: str, curve: Curve, cells: SmallCells) -> Figures:
        """Yield how many are at risk at every tick, where the curve is told at it.

        Where few ended otherwise since the last tick told, or an event came at the very moment, the number would tell
        how few: it is hidden.
        """
        told, before = self._days(name, cells), 0
        for day in self.ticks:
            left, earlier = curve.followed(day), curve.times < day
            ended = int((curve.competing + curve.censored)[earlier].sum())
            same = not curve.events[curve.times == day].any()
            few = cells.small(ended - before) or cells.small(left)
            shown = day in told and same and not few
            before = ended if shown else before
            text = "" if shown else cells.hidden
            yield figure(CURVES, self.item, AT_RISK, left, group=name, at=day, text=text)

    def _p(self) -> float:
        """Return the p-value of the log-rank test up to the horizon."""
        names = list(self.endings)
        labels = np.repeat(names, [len(self.endings[name].days) for name in names])
        days = np.concatenate([one.days for one in self.endings.values()])
        happened = np.concatenate([one.kinds == HAPPENED for one in self.endings.values()])
        return log_rank(np.minimum(days, self.horizon), happened & (days <= self.horizon), labels).p


def length_of_stay(days: Floats, groups: Sequence[Group], cells: SmallCells) -> Figures:
    """Yield the length of the stay of some groups, who were there when time began."""
    own = {one.name: days[one.places] for one in groups}
    return (one for one in number(OUTCOMES, STAY, own, cells) if one["measure"] not in _BESIDE)


def death_in_hospital(died: Floats, groups: Sequence[Group], cells: SmallCells) -> Figures:
    """Yield how many died in the stay, of groups who were there when time began."""
    own = {one.name: died[one.places] for one in groups}
    return (one for one in share(OUTCOMES, IN_HOSPITAL, own, cells) if one["measure"] not in _BESIDE)
