"""What every model says of the stays of one fold: trained, or taken from the cells of an earlier run."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from cohorts.encoders.sepsis.settings import Settings
from cohorts.encoders.sepsis.stays import Stays
from cohorts.encoders.training import TrainingIds
from cohorts.harness.evaluate.base import Run
from cohorts.harness.evaluate.sepsis.cells import Cell, Cells
from cohorts.harness.evaluate.sepsis.folds import Fold
from cohorts.harness.evaluate.sepsis.models import (
    FULL,
    OF_COLUMNS,
    REGRESSION,
    SAPSII,
    SOFA,
    Grid,
    grid_of,
    variants_of,
)
from cohorts.measures.intervals import Values
from cohorts.measures.prediction.discrimination import auroc
from cohorts.records.scores.sapsii import sapsii_mortality

if TYPE_CHECKING:
    from cohorts.encoders.sepsis.inputs import Inputs

_SURE = 1e-6  # a published probability nearer to 0 or 1 has no finite logit


@dataclass(frozen=True, kw_only=True)
class FoldScores:
    """One fold of n stays whose outcome is known, `settings` of the full network, and the grid to choose from.

    `tried` is filled by `models`: each setting of the grid, and its AUROC on those who stop.
    """

    stays: Stays
    fold: Fold
    settings: Settings
    grid: Grid
    cells: Cells
    run: Run
    told: str
    tried: list[tuple[Settings, float]] = field(default_factory=list)

    def models(self) -> Iterator[tuple[str, Cell]]:
        """Yield every model with its scores: logits, but for SOFA, which is points. Raises EncoderError."""
        yield from self._published()
        yield from self._of_columns()
        grid = grid_of(self.settings, self.grid)
        for place, settings in enumerate(grid, start=1):
            cell = self.network(f"{FULL}, setting {place} of {len(grid)}", settings)
            self.tried.append((settings, cell.facts["stop_auroc"]))
        best = self.chosen
        yield FULL, self.network(FULL, best)
        for name, settings in variants_of(best).items():
            yield name, self.network(name, settings)

    @property
    def chosen(self) -> Settings:
        """Return the setting with the highest AUROC on those who stop, the first of several."""
        return max(self.tried, key=lambda one: one[1])[0]

    def network(self, name: str, settings: Settings) -> Cell:
        """Return what a network says of those held back and judged; trained where no cell has it."""
        of = {"fold": self.fold.number, "settings": asdict(settings)}
        return self.cells.get("network", **of) or self.cells.keep(
            self._trained(name, settings), "network", **of
        )

    def _trained(self, name: str, settings: Settings) -> Cell:
        from cohorts.encoders.sepsis.training import train_network

        inputs, fold = self._inputs, self.fold
        self.run.begin("training networks", f"{self.told}: {name}")
        began = time.perf_counter()
        trained = train_network(inputs, self.stays.died, fold.learn, fold.stop, settings)
        stop, held, test = (trained.logits(inputs.take(rows)) for rows in (fold.stop, fold.held, fold.test))
        return Cell.of(
            held,
            test,
            stop_auroc=auroc(self.stays.died[fold.stop], stop),
            seconds=time.perf_counter() - began,
            kept_epoch=trained.trace.kept_epoch,
            epochs=len(trained.trace.training_loss),
        )

    @cached_property
    def _inputs(self) -> "Inputs":
        """Return what networks see of all stays; learnt from those of the fold alone."""
        from cohorts.encoders.sepsis.preparation import Preparation

        self.run.begin("preparing", f"{self.told}: columns and text")
        self._check("the columns and the text encoder")
        return Preparation.learn(self.stays, self.fold.learn, self.settings).inputs(self.stays)

    def _check(self, part: str) -> None:
        """Raise LeakageError where a patient who is judged or held back is learnt from."""
        patients, fold = self.stays.patients, self.fold
        others = np.concatenate([fold.stop, fold.held, fold.test])
        may_learn = frozenset(patients.tolist()) - frozenset(patients[others].tolist())
        TrainingIds(may_learn).check(patients[fold.learn].tolist(), part)

    def _of_columns(self) -> Iterator[tuple[str, Cell]]:
        """Yield the models without sequences, of the same columns, by the setting that is best on those who stop."""
        for name, tried in OF_COLUMNS.items():
            of: dict[str, Any] = {
                "fold": self.fold.number,
                "settings": asdict(self.settings),
                "tried": list(tried),
            }
            yield name, self.cells.get(name, **of) or self.cells.keep(self._fitted(name, tried), name, **of)

    def _fitted(self, name: str, tried: Sequence[Mapping[str, Any]]) -> Cell:
        inputs, fold, died = self._inputs, self.fold, self.stays.died
        self.run.begin("models of columns", f"{self.told}: {name}")
        began, flat = time.perf_counter(), inputs.flat()
        models = [_model(name, settings, self.settings.seed) for settings in tried]
        for model in models:
            model.fit(flat[fold.learn], died[fold.learn])
        areas = [auroc(died[fold.stop], model.decision_function(flat[fold.stop])) for model in models]
        best = models[int(np.argmax(areas))]
        held, test = (best.decision_function(flat[rows]) for rows in (fold.held, fold.test))
        return Cell.of(held, test, stop_auroc=max(areas), seconds=time.perf_counter() - began)

    def _published(self) -> Iterator[tuple[str, Cell]]:
        """Yield the scores of the first day; a stay where no part was seen has the median of those learnt from."""
        fold = self.fold
        for name, total in published_scores(self.stays).items():
            known = total[fold.learn]
            middle = float(np.median(known[~np.isnan(known)])) if not np.isnan(known).all() else 0.0
            filled = np.where(np.isnan(total), middle, total)
            if name == SAPSII:
                filled = _logits(filled)
            yield name, Cell.of(filled[fold.held], filled[fold.test])


def published_scores(stays: Stays) -> Mapping[str, Values]:
    """Return the totals of the published scores of n stays, (n,), NaN where no part was seen."""
    return {
        name: stays.about[column].to_numpy(np.float64, na_value=np.nan)
        for name, column in ((SOFA, "sofa"), (SAPSII, "sapsii"))
    }


def _logits(points: Values) -> Values:
    """Return the logits of the mortality that SAPS-II was published with."""
    from scipy.special import logit

    made: Values = logit(np.clip(sapsii_mortality(pd.Series(points)).to_numpy(), _SURE, 1 - _SURE))
    return made


def _model(name: str, settings: Mapping[str, Any], seed: int) -> Any:
    """Return a model of scikit-learn that nothing was fitted to."""
    if name == REGRESSION:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000, **settings))
    from sklearn.ensemble import HistGradientBoostingClassifier

    # Its own way to stop early holds back stays, and so patients of which others are learnt from.
    return HistGradientBoostingClassifier(early_stopping=False, random_state=seed, **settings)
