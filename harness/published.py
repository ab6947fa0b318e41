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


class PublishedSearch(NamedTuple):
    """Latency, throughput, build time and memory of an index; None where it is not told."""

    setting: str
    latency_ms: float
    qps: float
    build_min: float
    memory_gb: float | None


SEARCH_SOURCE = "cohort discovery with gated fusion, Tables 4 and 6"
SEARCH_LABEL = "published, other hardware"
SEARCH_OF = (299_712, 256, 100)  # vectors, dimensions, k
SEARCH = (
    PublishedSearch("hnsw(m=32, ef_construction=400), ef_search=128", 8.9, 112, 21.5, 5.2),
    PublishedSearch("ivf(nlist=1024), nprobe=16", 24.6, 41, 5.1, None),
    PublishedSearch("annoy(n_trees=100)", 29.8, 34, 15.7, None),
)


class PublishedRecall(NamedTuple):
    """The range of recall that is told of a cohort's encoders, and the most that its size allows."""

    cohort: str
    low: float
    high: float
    ceiling: float


COHORT_RECALL_LABEL = "published, MIMIC-III (cohort discovery with gated fusion)"
COHORT_RECALL_K = 100
COHORT_RECALL = (  # the paper's one range over its encoders and cohorts; ceilings by arithmetic, 100 / (N - 1)
    PublishedRecall("type_2_diabetes", 0.75, 0.81, 0.013),
    PublishedRecall("heart_failure", 0.75, 0.81, 0.017),
    PublishedRecall("sepsis", 0.75, 0.81, 0.020),
)
