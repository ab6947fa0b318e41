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


COHORT_RECALL = (
    "Published (cohort discovery with gated fusion, MIMIC-III): recall@100 of .75 to .81 for cohorts of 4,982 to "
    "38,102 patients. As defined there it can't be: 100 places hold at most .020 of the smallest. Compare nothing here "
    "with it."
)
