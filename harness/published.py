"""Figures as published, to stand in a column of their own; none of them was measured here."""

from typing import NamedTuple


class Published(NamedTuple):
    """Area under the ROC curve and the precision-recall curve, in per cent; None where it is not known to us."""

    auc: float | None
    auc_pr: float | None


FINEEHR_SOURCE = "Wu et al., 2023, arXiv:2304.11794, Table II"
FINEEHR_LABEL = "published, MIMIC-III"
FINEEHR = {
    ("baseline", "random forest"): Published(86.73, None),
    ("full", "random forest"): Published(97.18, None),
    ("full", "average"): Published(96.04, 96.48),
}
