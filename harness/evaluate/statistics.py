"""Several seeds in one line: mean, standard deviation, and a paired test against the baseline."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from cohorts.harness.evaluate.fineehr import PredictionRow, RetrievalRow

AVERAGE = "average"
BASELINE = "baseline"


class PredictionSummary(NamedTuple):
    """Mean and sample standard deviation over the seeds; `p` is that of the AUC, NaN where it can't be tested.

    `unimproved` says whose training brought nothing, and in how many seeds.
    """

    notes: str
    encoder: str
    classifier: str
    auc: float
    auc_sd: float
    auc_pr: float
    auc_pr_sd: float
    p: float
    unimproved: str = ""


class RetrievalSummary(NamedTuple):
    """Mean precision@10 over the seeds, its standard deviation, and the mean base rate."""

    notes: str
    encoder: str
    phenotype: str
    precision: float
    precision_sd: float
    base: float


class Cell(NamedTuple):
    """Mean over the seeds and half of its 95 % interval (Student's t); `p` against a baseline; NaN where untold."""

    mean: float
    half: float
    p: float = float("nan")


def summarize_predictions(rows: Sequence[PredictionRow]) -> list[PredictionSummary]:
    """Return a line for every encoder and classifier, and one for the average of all classifiers where there are more.

    `p` is of a two-sided paired t-test over the seeds, against the baseline setting with the same classifier.
    """
    frame = pd.DataFrame(rows, columns=list(PredictionRow._fields))
    several = frame.groupby(["notes", "encoder"])["classifier"].transform("nunique") > 1
    mean = (
        frame[several]
        .groupby(["notes", "encoder", "seed", "unimproved"], sort=False)[["auc", "auc_pr"]]
        .mean()
    )
    frame = pd.concat([frame, mean.reset_index().assign(classifier=AVERAGE)])
    groups = {
        (str(notes), str(encoder), str(classifier)): group.sort_values("seed")
        for (notes, encoder, classifier), group in frame.groupby(
            ["notes", "encoder", "classifier"], sort=False
        )
    }
    return [
        PredictionSummary(
            notes,
            encoder,
            classifier,
            float(group["auc"].mean()),
            float(group["auc"].std()),
            float(group["auc_pr"].mean()),
            float(group["auc_pr"].std()),
            paired_p(group["auc"], groups[notes, BASELINE, classifier]["auc"]),
            _unimproved(group["unimproved"]),
        )
        for (notes, encoder, classifier), group in groups.items()
    ]


def _unimproved(told: "pd.Series[str]") -> str:
    """Return what is told of the seeds, each text once, and in how many of them."""
    many = told[told != ""].value_counts()
    return "; ".join(f"{text} ({count} of {len(told)} seeds)" for text, count in many.items())


def average_auc(rows: Sequence[PredictionRow], notes: str) -> dict[str, "pd.Series[float]"]:
    """Return, for every encoder that all classifiers were given, their mean AUC by seed, from one kind of notes."""
    frame = pd.DataFrame(rows, columns=list(PredictionRow._fields))
    here = frame[frame["notes"] == notes]
    many = here.groupby("encoder", sort=False)["classifier"].nunique()
    return {
        str(name): here[here["encoder"] == name].groupby("seed")["auc"].mean()
        for name in many.index[many == many.max()]
    }


def summarize_retrieval(rows: Sequence[RetrievalRow]) -> list[RetrievalSummary]:
    """Return a line for every encoder and phenotype."""
    frame = pd.DataFrame(rows, columns=list(RetrievalRow._fields))
    return [
        RetrievalSummary(
            str(notes),
            str(encoder),
            str(phenotype),
            float(group["precision"].mean()),
            float(group["precision"].std()),
            float(group["base"].mean()),
        )
        for (notes, encoder, phenotype), group in frame.groupby(["notes", "encoder", "phenotype"], sort=False)
    ]


def cell_of(values: "pd.Series[float]", base: "pd.Series[float] | None" = None) -> Cell:
    """Return the seeds' values as one cell, tested against those of `base` where there is one."""
    return Cell(
        float(values.mean()),
        half_interval(values),
        float("nan") if base is None else paired_p(values, base),
    )


def half_interval(values: "pd.Series[float]") -> float:
    """Return half of the 95 % interval of the mean (Student's t); NaN for a single value."""
    from scipy.stats import t

    n = len(values)
    return float(t.ppf(0.975, n - 1) * values.std() / n**0.5) if n > 1 else float("nan")


def paired_p(ours: "pd.Series[float]", base: "pd.Series[float]") -> float:
    """Return the p-value; NaN for a single seed, and where every difference is the same."""
    from scipy.stats import ttest_rel

    differences = ours.to_numpy() - base.to_numpy()
    if len(differences) < 2 or np.ptp(differences) == 0:
        return float("nan")
    return float(ttest_rel(ours.to_numpy(), base.to_numpy()).pvalue)
