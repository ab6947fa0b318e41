"""How good a ranking is, query by query: precision, recall, average precision and nDCG.

Hits are (queries, depth) bool, the best ranked first. `matches` (queries,) is how many candidates match, ranked or not;
without it, all of them are ranked. A query without a match has no figure: it is left out before. A ceiling is what the
best ranking reaches.
"""

import numpy as np
import numpy.typing as npt
from cohorts.measures.recall import TIE

Hits = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def expected_precision(scores: npt.NDArray[np.floating], alike: Hits, k: int) -> Values:
    """Return the share of matches among the k best scores, (queries,), expected where ties come in random order.

    `scores` and `alike` are (queries, n), -inf for what is no candidate; of fewer candidates than k, all are looked at.
    """
    candidates = (scores > -np.inf).sum(axis=1)
    places = np.minimum(k, candidates)
    best = np.sort(-np.partition(-scores, min(k, scores.shape[1]) - 1, axis=1)[:, :k], axis=1)
    last = best[np.arange(len(scores)), -places][:, None]
    before = scores > last + TIE
    tied = (scores > -np.inf) & ~before & (scores >= last - TIE)
    share = (alike & tied).sum(axis=1) / np.maximum(1, tied.sum(axis=1))
    found = (alike & before).sum(axis=1) + (places - before.sum(axis=1)) * share
    return np.asarray(found / np.maximum(1, places))


def precision(hits: Hits, k: int) -> Values:
    """Return the share of matches among the first k, (queries,)."""
    return np.asarray(hits[:, :k].mean(axis=1))


def precision_ceiling(matches: Counts, k: int) -> Values:
    """Return the most that precision at k can be, (queries,)."""
    return np.asarray(np.minimum(k, matches) / k)


def recall(hits: Hits, k: int, matches: Counts) -> Values:
    """Return the share of all matches that is among the first k, (queries,)."""
    return np.asarray(hits[:, :k].sum(axis=1) / matches)


def recall_ceiling(matches: Counts, k: int) -> Values:
    """Return the most that recall at k can be, (queries,)."""
    return np.asarray(np.minimum(k, matches) / matches)


def f1(hits: Hits, k: int, matches: Counts) -> Values:
    """Return the harmonic mean of precision and recall at k, (queries,)."""
    return np.asarray(2 * hits[:, :k].sum(axis=1) / (k + matches))


def f1_ceiling(matches: Counts, k: int) -> Values:
    """Return the most that F1 at k can be, (queries,)."""
    return np.asarray(2 * np.minimum(k, matches) / (k + matches))


def capped_recall(hits: Hits, k: int, matches: Counts | None = None) -> Values:
    """Return the matches among the first k as a share of those that k places can hold, (queries,)."""
    return np.asarray(hits[:, :k].sum(axis=1) / np.minimum(k, _known(matches, hits)))


def average_precision(hits: Hits, matches: Counts | None = None) -> Values:
    """Return the mean precision at the places of the matches that the depth can hold, (queries,); 0 where one lacks."""
    so_far = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
    return np.asarray((so_far * hits).sum(axis=1) / np.minimum(_known(matches, hits), hits.shape[1]))


def ndcg(hits: Hits, k: int, matches: Counts | None = None) -> Values:
    """Return the discounted gain of the first k, as a share of that of the best ranking, (queries,)."""
    return np.asarray(hits[:, :k] @ _discount(k, hits) / _best_gain(hits, k, matches))


def _discount(k: int, hits: Hits) -> Values:
    return 1 / np.log2(np.arange(2, min(k, hits.shape[1]) + 2))


def _best_gain(hits: Hits, k: int, matches: Counts | None = None) -> Values:
    discount = _discount(k, hits)
    return np.asarray(discount.cumsum()[np.minimum(len(discount), _known(matches, hits)) - 1])


def _known(matches: Counts | None, hits: Hits) -> Counts:
    return hits.sum(axis=1) if matches is None else matches
