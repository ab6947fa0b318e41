"""A classifier on frozen vectors that has seen few labels: what a space makes easy to learn."""

from typing import Any

import numpy as np
import numpy.typing as npt
from cohorts.errors import InputError
from cohorts.measures.geometry import Names, Rows

HELD_OUT_SHARE = 0.3
FEWEST = 10  # units of a class: of fewer, too few are held out to judge by
_SIZES = (16, 64, 256, None)  # labels; None is all that are not held out
_SPREAD = 10.0  # the variance that rows are scaled to: with C = 1, as C = 10 on rows of variance 1


def common_classes(labels: Names) -> npt.NDArray[np.bool_]:
    """Return which rows have a label that at least FEWEST rows have, (n,); "" is none. Raises InputError.

    It is raised where fewer than two classes are left.
    """
    names, number, many = np.unique(labels, return_inverse=True, return_counts=True)
    kept = (many >= FEWEST) & (names != "")
    if kept.sum() < 2:
        raise InputError(
            f"{kept.sum()} of {len(names)} labels stand with {FEWEST} units or more; 2 are needed.",
            remedy="Choose another column, or a larger source.",
            hint="another_label",
        )
    return np.asarray(kept[number])


def hold_out(labels: Names, seed: int) -> tuple[Rows, Rows]:
    """Return the rows to learn from and those held out, a share of HELD_OUT_SHARE of each class; labels are (n,)."""
    from sklearn.model_selection import StratifiedShuffleSplit

    splitter = StratifiedShuffleSplit(1, test_size=HELD_OUT_SHARE, random_state=seed)
    learnt, held = next(splitter.split(labels, labels))
    return np.sort(learnt), np.sort(held)


def few(labels: Names, rows: Rows, size: int | None, seed: int) -> Rows:
    """Return `size` of the rows: one of every class, as far as there is room, and of each its share; None is all."""
    if size is None:
        return rows
    rng = np.random.default_rng(seed)
    rows = rng.permutation(rows)
    number, many = np.unique(labels[rows], return_inverse=True, return_counts=True)[1:]
    place = np.zeros(len(rows))
    for one in range(len(many)):
        # Even steps from 0 to 1, so that any first part holds of each class its share; the first of all go before.
        place[number == one] = (np.arange(many[one]) + rng.random()) / many[one] + (np.arange(many[one]) > 0)
    return np.sort(rows[np.argsort(place, kind="stable")[:size]])


def macro_f1(vectors: Any, labels: Names, learnt: Rows, held: Rows) -> float:
    """Return F1 of logistic regression on the held-out rows, the plain mean over their classes, 0 to 1.

    `vectors` are (n, dim), dense or sparse. They are scaled to one variance before: the regularisation would otherwise
    punish a space for lying close together. Classes weigh alike in training. A class that was not seen counts as 0.
    """
    from sklearn.linear_model import LogisticRegression

    seen = vectors[learnt]
    mean = np.asarray(seen.mean(axis=0, dtype=np.float64))
    variance = float(seen.multiply(seen).sum() if hasattr(seen, "multiply") else (seen**2).sum()) / len(
        learnt
    )
    scale = (_SPREAD / max(variance - float((mean**2).sum()), 1e-6)) ** 0.5
    model = LogisticRegression(class_weight="balanced", max_iter=2_000)
    model.fit(seen * scale, labels[learnt])
    return f1_of(labels[held], model.predict(vectors[held] * scale))


def f1_of(labels: Names, told: Names) -> float:
    """Return the plain mean of F1 over the classes of `labels`, 0 to 1; (n,) both."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, told, labels=np.unique(labels), average="macro", zero_division=0))


def sizes_below(rows: int) -> list[int | None]:
    """Return the sizes that `rows` rows can give, and all of them."""
    return [size for size in _SIZES if size is None or size < rows]
