"""How well vectors tell whether two patients share a phenotype: the pairwise validator of the gated-fusion paper.

A small classifier sees the element-wise difference of two vectors, learns from pairs of training patients, and is
judged by pairs of held-out patients. As many pairs share a phenotype as do not. Who does not is of the same broad
group wherever there is somebody: to tell heart failure from a fracture is easy, from a myocardial infarction is not.
"""

from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.encoders.base import Vectors
from cohorts.encoders.pooling import unit_rows
from cohorts.encoders.training import EarlyStopping, held_back
from cohorts.errors import InputError, LeakageError
from cohorts.records.phenotyping import load_phenotypes

Rows = npt.NDArray[np.intp]
Names = npt.NDArray[np.str_]

_FEWEST = 10  # patients that pairs begin at: below it, one patient moves the AUC by points
_VALIDATION_SHARE = 0.2  # of the pairs that are learnt from; they are of patients of their own
_HIDDEN = 64
_EPOCHS = 60
_PATIENCE = 5


class Pairs(NamedTuple):
    """Rows of units, (2 · count,) each. Pair i and pair count + i begin at the same row; the first of them shares its
    phenotype. `hard` are those that do not and are of one broad group.
    """

    left: Rows
    right: Rows
    same: npt.NDArray[np.bool_]
    hard: npt.NDArray[np.bool_]


class PairScore(NamedTuple):
    """Area under the ROC curve on pairs of held-out patients, of the classifier and of the plain cosine.

    `…_hard` leaves out those pairs whose row had no hard negative; NaN where no row had one. `pairs` were judged, and
    `hard_share` is that of the hard ones among those that share no phenotype.
    """

    auc: float
    auc_hard: float
    auc_cosine: float
    auc_cosine_hard: float
    pairs: int
    hard_share: float


def broad_groups(phenotype: Names) -> Names:
    """Return the broad group of every phenotype, (n,), "" for none."""
    group = {"": ""} | {one.name: one.group for one in load_phenotypes()}
    return np.array([group[name] for name in phenotype.tolist()], dtype=np.str_)


def draw_pairs(phenotype: Names, group: Names, patient: Rows, count: int, rng: np.random.Generator) -> Pairs:
    """Draw `count` rows, with replacement, and for each a partner of its phenotype and one of another.

    `phenotype` ("" for none), `group` and `patient` are (n,). Partners are of other patients. A row whose phenotype no
    other patient has is not drawn. Raises InputError where pairs could begin at too few patients.
    """
    known = np.flatnonzero(phenotype != "")
    there = pd.DataFrame({"phenotype": phenotype, "group": group, "patient": patient}).iloc[known]
    alike = _count(there, "phenotype") - _count(there, "phenotype", "patient")
    others = len(there) - _count(there, "phenotype") - _count(there, "patient")
    others += _count(there, "phenotype", "patient")
    starts = known[(alike > 0) & (others > 0)]
    if len(np.unique(patient[starts])) < _FEWEST:
        raise InputError(
            f"Of {len(np.unique(patient)):,} patients on one side of the split, "
            f"{len(np.unique(patient[starts])):,} share a phenotype with another one and can be told from a third: at "
            f"least {_FEWEST} are needed. Evaluate on a larger source."
        )
    left = rng.choice(starts, count)
    positive, negative, hard = np.empty_like(left), np.empty_like(left), np.zeros(count, np.bool_)
    for place, row in enumerate(left):
        strangers = known[patient[known] != patient[row]]
        shares = phenotype[strangers] == phenotype[row]
        near = ~shares & (group[strangers] == group[row])
        hard[place] = near.any()
        positive[place] = rng.choice(strangers[shares])
        negative[place] = rng.choice(strangers[near if hard[place] else ~shares])
    return Pairs(
        np.concatenate([left, left]),
        np.concatenate([positive, negative]),
        np.arange(2 * count) < count,
        np.concatenate([np.zeros(count, np.bool_), hard]),
    )


def pair_auc(
    vectors: Vectors,
    phenotype: Names,
    group: Names,
    patient: Rows,
    train: Rows,
    test: Rows,
    seed: int,
    count: int = 4_000,
) -> PairScore:
    """Train on `count` rows of `train`, two pairs each, and judge by as many of `test`.

    `vectors` are (n, dim), scaled to length 1 here; phenotype, group and patient are (n,); `train` and `test` are rows.
    Raises LeakageError where a patient is on both sides, InputError where too few share a phenotype.
    """
    from sklearn.metrics import roc_auc_score

    shared = np.intersect1d(patient[train], patient[test])
    if len(shared):
        raise LeakageError(
            f"{len(shared):,} patients are among those learnt from and among those judged by: nothing was trained."
        )
    rng = np.random.default_rng(seed)
    unit = unit_rows(vectors)

    def draw(rows: Rows, many: int) -> Pairs:
        drawn = draw_pairs(phenotype[rows], group[rows], patient[rows], many, rng)
        return drawn._replace(left=rows[drawn.left], right=rows[drawn.right])

    aside = held_back(patient[train].astype(str), seed)
    learnt = draw(train[~aside], round((1 - _VALIDATION_SHARE) * count))
    validation, judged = draw(train[aside], round(_VALIDATION_SHARE * count)), draw(test, count)
    scaler, classifier = _learn(unit, learnt, validation, seed)
    likely = classifier.predict_proba(scaler.transform(_difference(unit, judged)))[:, 1]
    cosine = np.einsum("nd,nd->n", unit[judged.left], unit[judged.right])
    hard = np.tile(judged.hard[count:], 2)  # the pairs of rows that had a hard negative, of both kinds

    def auc(score: Any, of: Any) -> float:
        return float(roc_auc_score(judged.same[of], score[of])) if of.any() else float("nan")

    every = np.ones_like(hard)
    return PairScore(
        auc(likely, every),
        auc(likely, hard),
        auc(cosine, every),
        auc(cosine, hard),
        len(judged.same),
        float(hard.mean()),
    )


def _count(frame: pd.DataFrame, *columns: str) -> Rows:
    """Return how many rows are like each row in these columns, (n,)."""
    return frame.groupby(list(columns))["phenotype"].transform("size").to_numpy(np.intp)


def _difference(unit: Vectors, pairs: Pairs) -> Vectors:
    return np.asarray(np.abs(unit[pairs.left] - unit[pairs.right]), np.float32)


def _learn(unit: Vectors, learnt: Pairs, validation: Pairs, seed: int) -> tuple[Any, Any]:
    """Return a scaler and the classifier as it was when the loss on the validation pairs was lowest.

    scikit-learn's own early stopping holds back pairs, of patients that are learnt from in other pairs.
    """
    from sklearn.metrics import log_loss
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    scaler = StandardScaler().fit(_difference(unit, learnt))
    inputs, judged = (scaler.transform(_difference(unit, pairs)) for pairs in (learnt, validation))
    classifier = MLPClassifier((_HIDDEN,), random_state=seed)
    watch = EarlyStopping[Any](_PATIENCE)
    # Its matrices are so small that threads would wait for each other longer than they work.
    with threadpool_limits(limits=1):
        for _ in range(_EPOCHS):
            classifier.partial_fit(inputs, learnt.same, classes=[False, True])
            loss = float(log_loss(validation.same, classifier.predict_proba(judged)))
            if watch.is_over(loss, deepcopy(classifier)):
                break
    return scaler, watch.best
