"""A partner for each patient of a group: nearest by age and year among those of one sex and type of admission.

Or by the propensity score, the probability to be of the group by age, sex, type of admission, year and earlier
admissions, on the logit's scale and no farther than a fifth of its standard deviation.
Source: Austin, 2011, Optimal caliper widths for propensity-score matching, Pharmaceutical Statistics.
"""

from enum import StrEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.analysis.compare.groups import Group, Places
from cohorts.analysis.compare.small_cells import SmallCells

Floats = npt.NDArray[np.float64]
_CALIPER = 0.2  # standard deviations of the logit
_NEAR = 16  # points looked at for each, at first
NUMBERS, CLASSES = ("age", "year", "earlier"), ("sex", "admission_type")
"""What patients are matched by; the year and earlier admissions by the propensity score, or nearest, the year alone."""


class Match(StrEnum):
    """How partners are found."""

    NEAREST = "nearest"
    PROPENSITY = "propensity"


def matched(
    group: Group, rest: Group, people: pd.DataFrame, how: Match, cells: SmallCells
) -> tuple[Group, Group]:
    """Return those of a group who found a partner of their own among the rest, and these, in the same order.

    Where only a few found none, those who are farthest from their partners are left out with them: the group with and
    without a few would tell of these.
    """
    whole = people.iloc[np.concatenate([group.places, rest.places])]
    mine = np.arange(len(whole)) < len(group)
    pairs = _nearest(whole, mine) if how is Match.NEAREST else _by_propensity(whole, mine)
    if cells.small(len(group) - len(pairs)):
        pairs = sorted(pairs, key=lambda pair: pair.distance)[: len(group) - cells.least]
    pairs.sort()
    return (
        Group(group.name, group.places[np.array([pair.own for pair in pairs], np.int64)]),
        Group(
            f"matched to {group.name}",
            rest.places[np.array([pair.partner for pair in pairs], np.int64) - len(group)],
        ),
    )


class _Pair(NamedTuple):
    """Places of a patient and the partner, and how far they are apart."""

    own: int
    partner: int
    distance: float


def _nearest(people: pd.DataFrame, mine: npt.NDArray[np.bool_]) -> list[_Pair]:
    points = np.stack([_standard(people[name]) for name in ("age", "year")], axis=1)
    strata = people.groupby([people[name].astype("str") for name in CLASSES], sort=False).ngroup().to_numpy()
    return [
        pair
        for one in pd.unique(strata[mine])
        for pair in _pairs(
            points, np.flatnonzero(mine & (strata == one)), np.flatnonzero(~mine & (strata == one))
        )
    ]


def _by_propensity(people: pd.DataFrame, mine: npt.NDArray[np.bool_]) -> list[_Pair]:
    logit = _logit(people, mine)[:, None]
    widest = _CALIPER * float(logit.std())
    return _pairs(logit, np.flatnonzero(mine), np.flatnonzero(~mine), widest)


def _standard(values: "pd.Series[float]") -> Floats:
    """Return numbers in standard deviations; who has none stands in the middle."""
    known = values.to_numpy(dtype=np.float64, na_value=np.nan)
    spread = np.nanstd(known) if (~np.isnan(known)).any() else 0
    return np.nan_to_num((known - np.nanmean(known)) / spread) if spread else np.zeros(len(known))


def _logit(people: pd.DataFrame, mine: npt.NDArray[np.bool_]) -> Floats:
    from sklearn.linear_model import LogisticRegression

    numbers = [_standard(people[name]) for name in NUMBERS]
    missing = [people[name].isna().to_numpy(dtype=np.float64) for name in NUMBERS]
    classes = pd.get_dummies(people[list(CLASSES)].astype("str"), dtype=np.float64).to_numpy()
    # Age by its square, too: a group of middle age is neither older nor younger.
    columns = np.column_stack([*numbers, numbers[0] ** 2, *missing, classes])
    fitted = LogisticRegression(C=1.0, max_iter=1_000).fit(columns, mine)
    return np.asarray(fitted.decision_function(columns), np.float64)


def _pairs(points: Floats, mine: Places, others: Places, widest: float = np.inf) -> list[_Pair]:
    """Pair each of `mine`, in a shuffled order of its own, with the nearest of `others` who is still free.

    Many stand at one point, of the same age and year: points are searched, and each has its queue.
    """
    from sklearn.neighbors import NearestNeighbors

    pairs: list[_Pair] = []
    distinct, which = np.unique(points[others], axis=0, return_inverse=True)
    order = np.argsort(which.reshape(-1), kind="stable")
    queues = [
        *map(np.ndarray.tolist, np.split(others[order], np.cumsum(np.bincount(which.reshape(-1)))[:-1]))
    ]
    left, near = np.random.default_rng(0).permutation(mine), _NEAR
    while len(left) and (free := np.array([at for at, queue in enumerate(queues) if queue], np.int64)).size:
        asked, of = np.unique(points[left], axis=0, return_inverse=True)
        tree = NearestNeighbors(n_neighbors=min(near, len(free)), algorithm="kd_tree").fit(distinct[free])
        distances, found = tree.kneighbors(asked)
        again = []
        for one, at in zip(left.tolist(), of.reshape(-1).tolist(), strict=True):
            place = next((at_ for at_, point in enumerate(free[found[at]].tolist()) if queues[point]), None)
            if place is None:
                again.append(one)
            elif distances[at, place] <= widest:
                partner = queues[free[found[at, place]]].pop()
                pairs.append(_Pair(one, partner, float(distances[at, place])))
        left, near = np.array(again, np.int64), near * 4
    return pairs
