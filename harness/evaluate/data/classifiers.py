"""FineEHR's four classifiers, with scikit-learn's defaults, and what they are judged by."""

import warnings
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Features = Any  # (n, dim) numpy array or scipy sparse matrix


class Score(NamedTuple):
    """Area under the ROC curve, and under the precision-recall curve as average precision."""

    auc: float
    auc_pr: float


CLASSIFIERS = {  # where scikit-learn has them
    "random forest": ("sklearn.ensemble", "RandomForestClassifier"),
    "logistic regression": ("sklearn.linear_model", "LogisticRegression"),
    "MLP": ("sklearn.neural_network", "MLPClassifier"),
    "gradient boosting": ("sklearn.ensemble", "GradientBoostingClassifier"),
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

    module, name = CLASSIFIERS[classifier]
    model = getattr(import_module(module), name)(random_state=seed)
    with warnings.catch_warnings():
        # The defaults are the protocol, their bounds included.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(*train)
    likely = model.predict_proba(test[0])[:, 1]
    return Score(float(roc_auc_score(test[1], likely)), float(average_precision_score(test[1], likely)))
