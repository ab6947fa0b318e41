"""What all folds say together: each stay judged once, by models that learnt from none of its patient's stays."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from cohorts.errors import InputError
from cohorts.harness.evaluate.base import figures
from cohorts.harness.evaluate.sepsis.cells import Cell
from cohorts.harness.evaluate.sepsis.folds import Fold
from cohorts.harness.evaluate.sepsis.models import FULL, PREVALENCE, SOFA
from cohorts.measures import corrections
from cohorts.measures.intervals import Values
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
    """n stays whose outcome is known, and what every model says of them; `fill` takes the folds one by one."""

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
            yield from figures("models", {"model": name}, **self._flagged(own, times))
            yield from self._calibrated(name, own, times)
        yield from self._by_chance(times)
        yield from self._compared()
        yield from self._subgroups(times)
        yield from self._curves()

    def _ranked(self, score: Values, times: Times) -> Mapping[str, Any]:
        areas = estimates(
            lambda weights: (
                aurocs(self.died, score, weights),
                average_precisions(self.died, score, weights),
            ),
            times,
        )
        return dict(zip(RANKED, areas, strict=True))

    def _flagged(self, own: Predicted, times: Times) -> Mapping[str, Any]:
        def shares(weights: Values) -> list[Values]:
            found = flagged(self.died, own.flags, weights)
            return [getattr(found, name) for name in FLAGGED]

        return dict(zip(FLAGGED, estimates(shares, times), strict=True))

    def _calibrated(self, name: str, own: Predicted, times: Times) -> Iterator[Record]:
        """Yield calibration before and after; points are no probabilities before."""
        for when, logit in ((BEFORE, own.score), (AFTER, own.after)):
            if when == BEFORE and name == SOFA:
                continue
            found = estimates(lambda weights, logit=logit: calibrations(self.died, logit, weights), times)  # type: ignore[misc]
            yield from figures(
                "calibration", {"model": name, "when": when}, **dict(zip(CALIBRATED, found, strict=True))
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
        full = self.predicted[FULL].score
        found = {
            name: compared(self.died, full, own.score, self.patients)
            for name, own in self.predicted.items()
            if name != FULL
        }
        told = {name: one.p for name, one in found.items() if one.p == one.p}
        corrected = dict(zip(told, corrections.holm(list(told.values())), strict=True))
        for name, one in found.items():
            told_p = {"p": one.p, "p_holm": corrected[name]} if name in told else {}
            yield from figures("compared", {"model": FULL, "against": name}, apart=one.apart, **told_p)

    def _subgroups(self, times: Times) -> Iterator[Record]:
        own = self.predicted[FULL]
        for by, group, rows in groups_of(self.about):
            died, part = self.died[rows], times[:, rows]
            of = {"by": by, "group": group}
            yield from figures("subgroups", of, stays=len(rows), died=int(died.sum()))
            if died.all() or not died.any():
                continue
            inside = Pooled(died=died, patients=self.patients[rows], about=self.about.iloc[rows])
            mine = Predicted(own.score[rows], own.after[rows], own.flags[rows])
            ranked, shares = inside._ranked(mine.score, part), inside._flagged(mine, part)
            found = estimates(lambda weights: calibrations(died, mine.after, weights), part)  # noqa: B023 - used at once
            yield from figures(
                "subgroups",
                of,
                auroc=ranked["auroc"],
                specificity=shares["specificity"],
                recall=shares["recall"],
                intercept=found[0],
                slope=found[1],
            )

    def _curves(self) -> Iterator[Record]:
        for name, own in self.predicted.items():
            wrong, recall = roc(self.died, own.score)
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


def groups_of(about: pd.DataFrame) -> Iterator[tuple[str, str, "np.typing.NDArray[np.intp]"]]:
    """Yield sub-groups of stays: by what, which one, and its rows; those of whom it is not known are in none."""
    age = about["age"].to_numpy(np.float64, na_value=np.nan)
    for by, column in (("sex", "sex"), ("admission", "admission_type")):
        told = about[column].astype("string").fillna("")
        for group in sorted(set(told.tolist()) - {""}):
            yield by, group.lower(), np.flatnonzero((told == group).to_numpy(np.bool_))
        if by == "sex":
            for low, high, name in AGES:
                rows = np.flatnonzero((age >= low) & (age < high))
                if len(rows):
                    yield "age", name, rows
