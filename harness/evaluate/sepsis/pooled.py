"""What all folds say together: each stay judged once, by models that learnt from none of its patient's stays.

The scores of two folds are of two models, whose scales differ: areas are means over the folds, in which nobody is
ranked against those whom another model judged. All else is of all stays, by thresholds and recalibrations of the folds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from cohorts.analysis.compare.small_cells import SmallCells
from cohorts.errors import InputError
from cohorts.harness.evaluate.base import figures
from cohorts.harness.evaluate.sepsis.cells import Cell
from cohorts.harness.evaluate.sepsis.folds import Fold
from cohorts.harness.evaluate.sepsis.models import FULL, PREVALENCE, SOFA
from cohorts.measures import corrections
from cohorts.measures.intervals import Estimate, Values
from cohorts.measures.prediction.calibration import (
    Recalibration,
    calibrations,
    probability,
    recalibrate,
    reliability,
)
from cohorts.measures.prediction.decision import net_benefit, treat_all
from cohorts.measures.prediction.discrimination import aurocs, average_precisions, compared, roc
from cohorts.measures.prediction.outcomes import Flags, Times, by_patient, estimates
from cohorts.measures.prediction.thresholds import best_threshold, flagged
from cohorts.reports.long_table import Record

BEFORE, AFTER = "before recalibration", "after recalibration"
TREAT_ALL, TREAT_NONE = "treat all", "treat none"
THRESHOLDS = np.arange(1, 31) / 50  # of the decision curve
AGES = ((0, 65, "below 65"), (65, 80, "65 to 79"), (80, 1_000, "80 and older"))
RANKED = ("auroc", "auc_pr")
FLAGGED = ("accuracy", "specificity", "recall", "f1", "prevalence", "flagged")
CALIBRATED = ("intercept", "slope", "brier")
CELLS = SmallCells()  # of sub-groups: who is in one is known by sex, age or kind of admission
_NO_CHANGE = Recalibration(0.0, 1.0)
_CORNERS = 200  # of an ROC curve that is drawn


@dataclass(frozen=True)
class Predicted:
    """What a model says of n stays: its score as it is, the recalibrated logit, and who is flagged, (n,) all."""

    score: Values
    after: Values
    flags: Flags


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """n stays whose outcome is known, their folds, and what every model says of them; `fill` takes it fold by fold."""

    folds: Sequence[Fold]
    died: Values
    patients: "np.typing.NDArray[np.str_]"
    about: pd.DataFrame
    predicted: dict[str, Predicted] = field(default_factory=dict)
    not_put_right: dict[str, int] = field(default_factory=dict)

    def fill(self, name: str, fold: Fold, cell: Cell) -> Iterator[Record]:
        """Take what a model says of a fold, and yield the threshold and the recalibration that those held back gave."""
        died, held, test = self.died[fold.held], np.array(cell.held), np.array(cell.test)
        try:
            put_right = recalibrate(died, held)
        except InputError:  # a model that says the same of all
            put_right = _NO_CHANGE
            self.not_put_right[name] = self.not_put_right.get(name, 0) + 1
        threshold = best_threshold(died, held)
        own = self.predicted.setdefault(name, self._empty())
        own.score[fold.test], own.after[fold.test] = test, put_right.apply(test)
        own.flags[fold.test] = test >= threshold
        of = {"fold": fold.number + 1, "model": name}
        yield from figures(
            "trained",
            of,
            threshold=threshold,
            intercept=put_right.intercept,
            slope=put_right.slope,
            **cell.facts,
        )

    def _empty(self) -> Predicted:
        many = len(self.died)
        return Predicted(np.full(many, np.nan), np.full(many, np.nan), np.zeros(many, np.bool_))

    def measure(self, seed: int) -> Iterator[Record]:
        """Yield every figure of all stays together, with intervals by patient."""
        times = by_patient(self.patients, seed)
        for name, own in self.predicted.items():
            yield from figures("models", {"model": name}, **self._ranked(own.score, times))
            yield from figures("models", {"model": name}, **_shares(self.died, own.flags, times))
            yield from self._calibrated(name, own, times)
        yield from self._by_chance(times)
        yield from self._compared()
        yield from self._subgroups(times)
        yield from self._curves()

    def _ranked(self, score: Values, times: Times) -> Mapping[str, Any]:
        """Return areas under both curves, means over the folds."""

        def areas(weights: Values) -> list[Values]:
            return [
                np.mean(
                    [area(self.died[one.test], score[one.test], weights[:, one.test]) for one in self.folds],
                    axis=0,
                )
                for area in (aurocs, average_precisions)
            ]

        return dict(zip(RANKED, estimates(areas, times), strict=True))

    def _calibrated(self, name: str, own: Predicted, times: Times) -> Iterator[Record]:
        """Yield calibration before and after; points are no probabilities before."""
        for when, logit in ((BEFORE, own.score), (AFTER, own.after)):
            if when == BEFORE and name == SOFA:
                continue
            yield from figures(
                "calibration", {"model": name, "when": when}, **_calibration(self.died, logit, times)
            )
            for place, one in enumerate(reliability(self.died, probability(logit)), start=1):
                of = {"model": name, "when": when, "bin": place}
                yield from figures(
                    "reliability", of, predicted=one.predicted, observed=one.observed, stays=one.stays
                )

    def _by_chance(self, times: Times) -> Iterator[Record]:
        """Yield what a model reaches that says of all what share dies."""
        same = np.zeros(len(self.died))
        areas = self._ranked(same, times)
        share = float(self.died.mean())
        yield from figures("models", {"model": PREVALENCE}, **areas, prevalence=share)
        yield from figures("calibration", {"model": PREVALENCE, "when": AFTER}, brier=share * (1 - share))

    def _compared(self) -> Iterator[Record]:
        """Yield how far the full network lies above every other model, and p-values corrected for all of them."""
        full, parts = self.predicted[FULL].score, np.zeros(len(self.died), np.intp)
        for fold in self.folds:
            parts[fold.test] = fold.number
        found = {
            name: compared(self.died, full, own.score, self.patients, parts)
            for name, own in self.predicted.items()
            if name != FULL
        }
        told = {name: one.p for name, one in found.items() if one.p == one.p}
        corrected = dict(zip(told, corrections.holm(list(told.values())), strict=True))
        for name, one in found.items():
            told_p = {"p": one.p, "p_holm": corrected[name]} if name in told else {}
            yield from figures("compared", {"model": FULL, "against": name}, apart=one.apart, **told_p)

    def _subgroups(self, times: Times) -> Iterator[Record]:
        """Yield what the full network reaches in each, recalibrated, all folds together: one holds too few."""
        own, hidden = self.predicted[FULL], self._hidden()
        for by, group, rows in groups_of(self.about):
            died, part, of = self.died[rows], times[:, rows], {"by": by, "group": group}
            if by in hidden:  # a single count could be worked out from the others
                yield from figures("subgroups", of, stays=CELLS.hidden, died=CELLS.hidden)
            else:
                yield from figures("subgroups", of, stays=len(rows), died=int(died.sum()))
            if died.all() or not died.any() or _few(died):
                continue
            yield from figures("subgroups", of, **_of_group(died, own.after[rows], part))
            shares = _shares(died, own.flags[rows], part)
            yield from figures("subgroups", of, specificity=shares["specificity"], recall=shares["recall"])

    def _hidden(self) -> set[str]:
        """Return by what sub-groups are, where one of them has few deaths or survivors: how many is not told of any."""
        return {by for by, _, rows in groups_of(self.about) if _few(self.died[rows])}

    def _curves(self) -> Iterator[Record]:
        for name, own in self.predicted.items():
            wrong, recall = roc(self.died, own.after)
            kept = np.unique(np.linspace(0, len(wrong) - 1, min(len(wrong), _CORNERS)).astype(int))
            for place in kept.tolist():
                of = {"model": name, "corner": place}
                yield from figures("roc", of, one_less_specificity=wrong[place], recall=recall[place])
        benefits = {
            name: net_benefit(self.died, probability(own.after), THRESHOLDS)
            for name, own in self.predicted.items()
        }
        benefits |= {TREAT_ALL: treat_all(self.died, THRESHOLDS), TREAT_NONE: np.zeros(len(THRESHOLDS))}
        for name, benefit in benefits.items():
            for threshold, one in zip(THRESHOLDS.tolist(), benefit.tolist(), strict=True):
                yield from figures("decision", {"model": name, "threshold": threshold}, net_benefit=one)


def _shares(died: Values, flags: Flags, times: Times) -> dict[str, Estimate]:
    """Return the shares of those flagged, by name."""

    def shares(weights: Values) -> list[Values]:
        found = flagged(died, flags, weights)
        return [getattr(found, name) for name in FLAGGED]

    return dict(zip(FLAGGED, estimates(shares, times), strict=True))


def _calibration(died: Values, logit: Values, times: Times) -> dict[str, Estimate]:
    """Return intercept, slope and Brier score, by name."""
    return dict(
        zip(CALIBRATED, estimates(lambda weights: calibrations(died, logit, weights), times), strict=True)
    )


def _of_group(died: Values, logit: Values, times: Times) -> dict[str, Estimate]:
    """Return the area, intercept and slope of a sub-group, by name."""
    area = estimates(lambda weights: [aurocs(died, logit, weights)], times)[0]
    found = _calibration(died, logit, times)
    return {"auroc": area, "intercept": found["intercept"], "slope": found["slope"]}


def _few(died: Values) -> bool:
    """Tell whether deaths or survivors are so few that their number must not be seen."""
    deaths = float(died.sum())
    return CELLS.small(deaths) or CELLS.small(len(died) - deaths)


def groups_of(about: pd.DataFrame) -> Iterator[tuple[str, str, "np.typing.NDArray[np.intp]"]]:
    """Yield sub-groups of stays: by what, which one, and its rows; those of whom it is not known are in none."""
    age = about["age"].to_numpy(np.float64, na_value=np.nan)
    ages = [(name, np.flatnonzero((age >= low) & (age < high))) for low, high, name in AGES]
    groups = {"sex": _named(about["sex"]), "age": ages, "admission": _named(about["admission_type"])}
    for by, some in groups.items():
        for group, rows in some:
            if len(rows):
                yield by, group, rows


def _named(told: "pd.Series[str]") -> list[tuple[str, "np.typing.NDArray[np.intp]"]]:
    """Return the rows of each name, in the order of the alphabet."""
    names = told.astype("string").fillna("")
    return [
        (name.lower(), np.flatnonzero((names == name).to_numpy(np.bool_)))
        for name in sorted(set(names.tolist()) - {""})
    ]
