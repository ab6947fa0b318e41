"""How well vectors tell whether two patients share a phenotype: the pairwise validator of the gated-fusion paper.

A Siamese network, two subnetworks that share their weights, sees two vectors; the element-wise difference of what they
give goes through a layer with a sigmoid (section 3.2). It learns from pairs of training patients, and is judged by
pairs of held-out patients. As many pairs share a phenotype as do not. Who does not is of the same broad group wherever
there is somebody: to tell heart failure from a fracture is easy, from a myocardial infarction is not.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.encoders.base import Vectors
from cohorts.encoders.pooling import unit_rows
from cohorts.encoders.training import EarlyStopping, held_back, one_thread
from cohorts.errors import InputError, LeakageError
from cohorts.records.codes.phenotypes import load_phenotypes

Rows = npt.NDArray[np.intp]
Names = npt.NDArray[np.str_]
Scores = npt.NDArray[np.float32]

_FEWEST = 10  # patients that pairs begin at: below it, one patient moves the AUC by points
_VALIDATION_SHARE = 0.2  # of the pairs that are learnt from; they are of patients of their own
_HIDDEN = 64  # numbers of a subnetwork's inner layer, and of what it gives
_RATE = 1e-3
_BATCH = 200  # pairs
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

    def take(self, places: Rows) -> "Pairs":
        """Return some of the pairs."""
        return Pairs(self.left[places], self.right[places], self.same[places], self.hard[places])


class PairScore(NamedTuple):
    """Area under the ROC curve on pairs of held-out patients.

    `auc_hard` leaves out those pairs whose row had no hard negative; NaN where no row had one.
    """

    auc: float
    auc_hard: float


def broad_groups(phenotype: Names) -> Names:
    """Return the broad group of every phenotype, (n,), "" for none."""
    group = {"": ""} | {one.name: one.group for one in load_phenotypes()}
    return np.array([group[name] for name in phenotype.tolist()], dtype=np.str_)


def without_hard(phenotype: Names) -> list[str]:
    """Return the phenotypes, of (n,), that have no hard negative: no other one of their broad group is there."""
    names = np.unique(phenotype[phenotype != ""])
    group = broad_groups(names)
    return [name for name, own in zip(names.tolist(), group, strict=True) if (group == own).sum() == 1]


def draw_pairs(phenotype: Names, patient: Rows, count: int, rng: np.random.Generator) -> Pairs:
    """Draw `count` rows, with replacement, and for each a partner of its phenotype and one of another.

    `phenotype` ("" for none) and `patient` are (n,). Partners are of other patients. A row whose phenotype no
    other patient has is not drawn. Raises InputError where pairs could begin at too few patients.
    """
    known, group = np.flatnonzero(phenotype != ""), broad_groups(phenotype)
    there = pd.DataFrame({"phenotype": phenotype, "patient": patient}).iloc[known]
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
    patient: Rows,
    train: Rows,
    test: Rows,
    seed: int,
    count: int = 4_000,
) -> PairScore:
    """Train on `count` rows of `train`, two pairs each, and judge by as many of `test`.

    `vectors` are (n, dim), scaled to length 1 here; phenotype and patient are (n,); `train` and `test` are rows.
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
        drawn = draw_pairs(phenotype[rows], patient[rows], many, rng)
        return drawn._replace(left=rows[drawn.left], right=rows[drawn.right])

    aside = held_back(patient[train].astype(str), seed)
    learnt = draw(train[~aside], round((1 - _VALIDATION_SHARE) * count))
    validation, judged = draw(train[aside], round(_VALIDATION_SHARE * count)), draw(test, count)
    likely = _learn(unit, learnt, validation, seed)(judged)
    hard = np.tile(judged.hard[count:], 2)  # the pairs of rows that had a hard negative, of both kinds
    auc_hard = roc_auc_score(judged.same[hard], likely[hard]) if hard.any() else float("nan")
    return PairScore(float(roc_auc_score(judged.same, likely)), float(auc_hard))


def _count(frame: pd.DataFrame, *columns: str) -> Rows:
    """Return how many rows are like each row in these columns, (n,)."""
    return frame.groupby(list(columns))["phenotype"].transform("size").to_numpy(np.intp)


@one_thread()
def _learn(unit: Vectors, learnt: Pairs, validation: Pairs, seed: int) -> Callable[[Pairs], Scores]:
    """Return what tells how likely pairs share a phenotype, as when the loss on the validation pairs was lowest.

    Both rows of a pair pass one network; the absolute difference of what it makes of them, in which neither is first,
    passes a linear layer and a sigmoid.
    """
    import torch
    from torch import nn
    from torch.nn.functional import binary_cross_entropy_with_logits

    inputs = torch.from_numpy(_standardised(unit, np.union1d(learnt.left, learnt.right)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tower = nn.Sequential(nn.Linear(unit.shape[1], _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, _HIDDEN))
        network = nn.ModuleDict({"tower": tower, "relation": nn.Linear(_HIDDEN, 1)})
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)

    def logits(pairs: Pairs) -> torch.Tensor:
        left, right = (tower(inputs[torch.from_numpy(rows)]) for rows in (pairs.left, pairs.right))
        return torch.as_tensor(network["relation"]((left - right).abs())[:, 0])

    def loss_of(pairs: Pairs) -> torch.Tensor:
        return binary_cross_entropy_with_logits(
            logits(pairs), torch.from_numpy(pairs.same.astype(np.float32))
        )

    def likely(pairs: Pairs) -> Scores:
        with torch.inference_mode():
            return np.asarray(torch.sigmoid(logits(pairs)).numpy())

    rng, watch = np.random.default_rng(seed), EarlyStopping[dict[str, Any]](_PATIENCE)
    for _ in range(_EPOCHS):
        order = rng.permutation(len(learnt.same))
        for part in np.array_split(order, -(-len(order) // _BATCH)):
            optimizer.zero_grad()
            loss_of(learnt.take(part)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            judged = float(loss_of(validation))
        if watch.is_over(judged, {name: one.clone() for name, one in network.state_dict().items()}):
            break
    assert watch.best is not None  # noqa: S101 - the first epoch keeps one
    network.load_state_dict(watch.best)
    return likely


def _standardised(unit: Vectors, learnt: Rows) -> Vectors:
    """Return the vectors with mean 0 and variance 1 in every column, over the rows that are learnt from."""
    spread = unit[learnt].std(axis=0)
    return np.asarray((unit - unit[learnt].mean(axis=0)) / np.where(spread > 0, spread, 1), np.float32)
