"""FineEHR's four classifiers, with scikit-learn's defaults, and what they are judged by."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Features = Any  # (n, dim) numpy array or scipy sparse matrix


class Score(NamedTuple):
    """Area under the ROC curve, and under the precision-recall curve as average precision."""

    auc: float
    auc_pr: float


def _random_forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(random_state=seed)


def _logistic_regression(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(random_state=seed)


def _mlp(seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(random_state=seed)


def _gradient_boosting(seed: int) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(random_state=seed)


CLASSIFIERS: Mapping[str, Callable[[int], Any]] = {
    "random forest": _random_forest,
    "logistic regression": _logistic_regression,
    "MLP": _mlp,
    "gradient boosting": _gradient_boosting,
}


def score(
    classifier: str,
    seed: int,
    train: tuple[Features, npt.NDArray[np.bool_]],
    test: tuple[Features, npt.NDArray[np.bool_]],
) -> Score:
    """Fit a classifier on features and labels, and judge it on others."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import average_precision_score, roc_auc_score

    model = CLASSIFIERS[classifier](seed)
    with warnings.catch_warnings():
        # The defaults are the protocol, their bounds included.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(*train)
    likely = model.predict_proba(test[0])[:, 1]
    return Score(float(roc_auc_score(test[1], likely)), float(average_precision_score(test[1], likely)))
