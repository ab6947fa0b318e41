"""Which networks are trained: a grid for the full one, and by its best setting every branch, pair and loss."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from cohorts.encoders.sepsis.settings import Settings

Grid = Mapping[str, Sequence[Any]]

FULL = "full network"
SOFA, SAPSII = "SOFA", "SAPS-II"
REGRESSION, BOOSTING = "logistic regression", "gradient boosting"
PREVALENCE = "prevalence"
BCE, WEIGHTED = "full, BCE", "full, weighted BCE"
GRID: Grid = {"hidden": (32, 64), "dropout": (0.2, 0.5), "rate": (1e-3, 3e-3)}
OF_COLUMNS: Mapping[str, Sequence[Mapping[str, Any]]] = {  # and the settings of scikit-learn's that are tried
    REGRESSION: [{"C": one} for one in (0.001, 0.01, 0.1, 1.0)],
    BOOSTING: [{"max_leaf_nodes": one, "learning_rate": 0.05} for one in (4, 8, 31)],
}
LOSSES = {BCE: "bce", WEIGHTED: "weighted"}


def grid_of(settings: Settings, grid: Grid) -> list[Settings]:
    """Return the settings of the full network that are tried in every fold, in order."""
    return [replace(settings, **dict(zip(grid, one, strict=True))) for one in product(*grid.values())]


def variants_of(best: Settings) -> dict[str, Settings]:
    """Return what else is trained by the setting that was chosen: branches alone, all but one, and other losses."""
    branches = best.chosen
    made = dict[str, Settings]()
    if len(branches) > 1:
        made |= {f"{one} alone": replace(best, branches=one) for one in branches}
    if len(branches) > 2:
        made |= {
            f"without {one}": replace(best, branches="+".join(other for other in branches if other != one))
            for one in branches
        }
    return made | {name: replace(best, loss=loss) for name, loss in LOSSES.items()}


def trainings(settings: Settings, grid: Grid, folds: int) -> int:
    """Return how many networks are trained in all."""
    return folds * (len(grid_of(settings, grid)) + len(variants_of(settings)))
