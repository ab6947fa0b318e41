"""A partner for each patient of a group: nearest by age and year among those of one sex and type of admission.

Or by the propensity score, the probability to be of the group by age, sex, type of admission, year and earlier
admissions, on the logit's scale and no farther than a fifth of its standard deviation.
Source: Austin, 2011, Optimal caliper widths for propensity-score matching, Pharmaceutical Statistics.
"""

from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.analysis.compare.groups import Group, Places

Floats = npt.NDArray[np.float64]
_CALIPER = 0.2  # standard deviations of the logit
_NEAR = 64  # candidates looked at for each, at first
NUMBERS, CLASSES = ("age", "year", "earlier"), ("sex", "admission_type")
"""What patients are matched by; the year and earlier admissions by the propensity score, or nearest, the year alone."""


class Match(StrEnum):
    """How partners are found."""

    NEAREST = "nearest"
    PROPENSITY = "propensity"


def matched(group: Group, rest: Group, people: pd.DataFrame, how: Match) -> tuple[Group, Group]:
    """Return those of a group who found a partner of their own among the rest, and these, in the same order."""
    whole = people.iloc[np.concatenate([group.places, rest.places])]
    mine = np.arange(len(whole)) < len(group)
    if how is Match.NEAREST:
        points = np.stack([_standard(whole[name]) for name in ("age", "year")], axis=1)
        strata = whole[list(CLASSES)].astype("str").agg("/".join, axis=1).to_numpy()
        pairs = [
            pair
            for one in pd.unique(strata[mine])
            for pair in _pairs(
                points, np.flatnonzero(mine & (strata == one)), np.flatnonzero(~mine & (strata == one))
            )
        ]
    else:
        logit = _logit(whole, mine)[:, None]
        widest = _CALIPER * float(logit.std())
        pairs = _pairs(logit, np.flatnonzero(mine), np.flatnonzero(~mine), widest)
    own, partner = (np.array(some, np.int64) for some in zip(*sorted(pairs), strict=True)) if pairs else _NONE
    return (
        Group(group.name, group.places[own]),
        Group(f"matched to {group.name}", rest.places[partner - len(group)]),
    )


_NONE = (np.zeros(0, np.int64), np.zeros(0, np.int64))


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


def _pairs(points: Floats, mine: Places, others: Places, widest: float = np.inf) -> list[tuple[int, int]]:
    """Pair each of `mine`, in a shuffled order of its own, with the nearest of `others` who is still free."""
    from sklearn.neighbors import NearestNeighbors

    pairs: list[tuple[int, int]] = []
    free = np.ones(len(others), np.bool_)
    left = np.random.default_rng(0).permutation(mine)
    while len(left) and free.any():
        there = np.flatnonzero(free)
        near = NearestNeighbors(n_neighbors=min(_NEAR, len(there)), algorithm="kd_tree").fit(
            points[others[there]]
        )
        distances, found = near.kneighbors(points[left])
        again = []
        for one, spans, candidates in zip(left.tolist(), distances, there[found], strict=True):
            place = next((at for at, candidate in enumerate(candidates) if free[candidate]), None)
            if place is None:
                again.append(one)
            elif spans[place] <= widest:
                free[candidates[place]] = False
                pairs.append((one, int(others[candidates[place]])))
        left = np.array(again, np.int64)
    return pairs
