"""The table of sepsis prognosis on any source: the network, its branches and losses, and what they have to beat.

Source: the sepsis prognosis paper (docs/sepsis.md), which trains one network on four fifths of the patients and tells
of the rest. Here every stay is judged once, by models that saw no stay of its patient; its setting is chosen
on patients who stop the training, its threshold and recalibration on others who are held back from all of it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from cohorts.encoders.sepsis.dealing import count
from cohorts.encoders.sepsis.settings import BRANCHES, NOTES, Settings
from cohorts.encoders.sepsis.stays import Stays, read_stays
from cohorts.errors import InputError
from cohorts.extras import DISTRIBUTION
from cohorts.harness.evaluate.base import Run, Sheet, Task, figures
from cohorts.harness.evaluate.sepsis.cells import Cells
from cohorts.harness.evaluate.sepsis.folds import Fold, folds_of
from cohorts.harness.evaluate.sepsis.models import GRID, Grid, trainings
from cohorts.harness.evaluate.sepsis.pooled import CALIBRATED, FLAGGED, RANKED, Pooled
from cohorts.harness.evaluate.sepsis.scores import FoldScores, published_scores
from cohorts.harness.evaluate.sepsis.tables import read
from cohorts.records.base import Source
from cohorts.reports.long_table import Record

CELLS = "cells"
FEWEST_FOLDS = 2


@dataclass(frozen=True, kw_only=True)
class SepsisTask(Task[Source]):
    """What to measure: the settings that all networks share, the grid of the full one, folds and seed.

    What was trained is kept in `out`, and not trained again. The sheet `trained` has a row for each fold and model:
    threshold and recalibration by those held back, and how training went.
    """

    name = "sepsis"
    packages = ("numpy", "pandas", "scikit-learn", "scipy", "torch")
    sheets = {  # noqa: RUF012 - never changed
        "models": Sheet(("model",), (*RANKED, *FLAGGED), intervals=(*RANKED, *FLAGGED)),
        "compared": Sheet(("model", "against"), ("apart", "p", "p_holm"), intervals=("apart",)),
        "calibration": Sheet(("model", "when"), CALIBRATED, intervals=CALIBRATED),
        "subgroups": Sheet(
            ("by", "group"),
            ("stays", "died", "auroc", "specificity", "recall", "intercept", "slope"),
            intervals=("auroc", "specificity", "recall", "intercept", "slope"),
            counts=("stays", "died"),
        ),
        "reliability": Sheet(
            ("model", "when", "bin"),
            ("predicted", "observed", "stays"),
            intervals=("observed",),
            counts=("stays",),
        ),
        "roc": Sheet(("model", "corner"), ("one_less_specificity", "recall")),
        "decision": Sheet(("model", "threshold"), ("net_benefit",)),
        "grid": Sheet(("fold", "setting"), ("auroc", "chosen")),
        "folds": Sheet(
            ("fold",),
            ("learn", "stop", "held", "test", "died"),
            counts=("learn", "stop", "held", "test", "died"),
        ),
        "trained": Sheet(
            ("fold", "model"),
            ("threshold", "intercept", "slope", "stop_auroc", "kept_epoch", "epochs", "seconds"),
        ),
    }
    settings: Settings
    out: Path
    folds: int = 5
    seed: int = 0
    grid: Grid = field(default_factory=lambda: GRID)
    told = staticmethod(read)

    def __post_init__(self) -> None:
        if self.folds < FEWEST_FOLDS:
            raise InputError(f"{self.folds} folds were asked for; at least {FEWEST_FOLDS} are needed.")

    @property
    def as_of(self) -> str:
        """Return what models see of the records, in words."""
        return str(self.settings.seen)

    def asked(self) -> dict[str, Any]:
        """Return what was asked for."""
        return {
            "folds": self.folds,
            "seed": self.seed,
            "grid": {name: list(values) for name, values in self.grid.items()},
            "encoder": asdict(self.settings),
        }

    def measure(self, given: Source, run: Run) -> Iterator[Record]:
        """Yield every figure. Raises InputError, EncoderError."""
        run.begin("reading", "who is septic, and what is known of them")
        found = read_stays(given, replace(self.settings, seed=self.seed))
        stays = found.take(np.flatnonzero(~np.isnan(found.died)))
        settings = replace(_readable(self.settings, stays), seed=self.seed)
        folds = folds_of(stays.patients, stays.died, self.folds, self.seed)
        run.counts |= _counts(found, stays)
        run.facts |= {
            "branches": list(settings.chosen),
            "trainings": trainings(settings, self.grid, self.folds),
            "left_out": dict(found.left_out),
            "held_apart": all(not np.array_equal(one.stop, one.held) for one in folds),
        }
        pooled = Pooled(folds=folds, died=stays.died, patients=stays.patients, about=stays.about)
        cells = Cells(self.out / CELLS, self._depends_on(given, stays))
        for fold in folds:
            yield from self._fold(fold, stays, settings, pooled, cells, run)
        run.begin("judging", "intervals and tests")
        run.facts["not_put_right"] = pooled.not_put_right
        yield from pooled.measure(self.seed)

    def _fold(
        self, fold: Fold, stays: Stays, settings: Settings, pooled: Pooled, cells: Cells, run: Run
    ) -> Iterator[Record]:
        of = {"fold": fold.number + 1}
        sizes = {name: len(getattr(fold, name)) for name in ("learn", "stop", "held", "test")}
        yield from figures("folds", of, **sizes, died=int(stays.died[fold.test].sum()))
        scores = FoldScores(
            stays=stays,
            fold=fold,
            settings=settings,
            grid=self.grid,
            cells=cells,
            run=run,
            told=f"fold {fold.number + 1} of {self.folds}",
        )
        for name, cell in scores.models():
            yield from pooled.fill(name, fold, cell)
        for tried, area in scores.tried:
            setting = ", ".join(f"{name}={getattr(tried, name)}" for name in self.grid)
            yield from figures(
                "grid", {**of, "setting": setting}, auroc=area, chosen=float(tried == scores.chosen)
            )

    def _depends_on(self, given: Source, stays: Stays) -> Mapping[str, Any]:
        """Return what all cells depend on: the source, who is judged of it and how they are dealt."""
        who = hashlib.sha256("\0".join([*stays.ids.tolist(), *stays.died.astype(str).tolist()]).encode())
        return {
            "source": given.fingerprint,
            "version": version(DISTRIBUTION),
            "stays": who.hexdigest(),
            "folds": self.folds,
            "seed": self.seed,
        }


def _readable(settings: Settings, stays: Stays) -> Settings:
    """Return the settings without the branch of notes where no stay has any."""
    kept = [one for one in BRANCHES if one in settings.chosen and (one != NOTES or stays.notes.text)]
    return replace(settings, branches="+".join(kept))


def _counts(found: Stays, stays: Stays) -> dict[str, int]:
    """Return how many stays and patients there are, and what of them is not known."""
    dead, alive = count(stays.patients, stays.died)
    unseen = {f"without {name}": int(np.isnan(one).sum()) for name, one in published_scores(stays).items()}
    return {
        "stays": len(stays),
        "died": int(stays.died.sum()),
        "patients": dead + alive,
        "patients who died": dead,
        "outcome not known": len(found) - len(stays),
        "with notes": len(np.unique(stays.notes.stay)),
        **unseen,
    }
