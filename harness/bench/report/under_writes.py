"""Recall while rows are written and deleted, and the neighbours that were found though they were gone."""

from typing import NamedTuple

import numpy as np
from cohorts.errors import MeasurementError
from cohorts.harness.bench.plan.dataset import Dataset
from cohorts.harness.bench.plan.ground_truth import Truth, scores_of
from cohorts.harness.bench.report.metrics import answer_of_each, found_by_query, rows_of
from cohorts.harness.bench.results import Answers, Floats, Written
from cohorts.measures.recall import is_near


class UnderWrites(NamedTuple):
    """Recall of each query that was asked, (queries,), and the share of the neighbours found that were surely gone."""

    recall: Floats
    stale: float


def under_writes(answers: Answers, written: Written, truth: Truth, data: Dataset) -> UnderWrites:
    """Compare answers with the rows that were there when each query was asked.

    A row must be found unless its write was not acknowledged when the query started, or its delete begun before the
    answer came. Recall is by score, as elsewhere: a neighbour as near as the k-th that must be found counts, unless it
    was surely gone: its delete acknowledged before the query started, or its write not begun when the answer came.

    Raises MeasurementError for other ids, and for a truth of fewer than the neighbours asked for and all rows written.
    """
    deep = int(answers.asked.max()) + len(written)
    if truth.rows.shape[1] < deep:
        raise MeasurementError(
            f"The truth holds {truth.rows.shape[1]:,} neighbours of each query; {deep:,} are needed, as any of the "
            f"{len(written):,} rows that were written or deleted may not count. Compute it that deep."
        )
    rows, answer = rows_of(answers.ids, len(data.vectors)), answer_of_each(answers)
    (write_begun, written_s), (delete_begun, deleted_s) = _moments(written, len(data.vectors))
    began_s, ended_s = answers.started_s, answers.ended_s
    last = np.empty(len(answers), np.float32)
    for number, (query, asked) in enumerate(zip(answers.query, answers.asked, strict=True)):
        near = truth.rows[query]
        must = (written_s[near] <= began_s[number]) & (delete_begun[near] >= ended_s[number])
        last[number] = truth.scores[query, must][asked - 1]
    gone = (write_begun[rows] > ended_s[answer]) | (deleted_s[rows] <= began_s[answer])
    counts = ~gone & is_near(scores_of(data, answers.query[answer], rows), last[answer])
    return UnderWrites(
        found_by_query(answers, rows, counts, answers.asked), float(gone.mean()) if len(gone) else 0.0
    )


def _moments(written: Written, rows: int) -> tuple[Floats, Floats]:
    """Return when each row's write, and its delete, was begun and acknowledged, (2, rows) s: -∞, ∞ if never."""
    writes, deletes = np.full((2, rows), -np.inf), np.full((2, rows), np.inf)
    number, times_s = rows_of(written.ids, rows), np.array([written.started_s, written.ended_s])
    writes[:, number[~written.deleted]] = times_s[:, ~written.deleted]
    deletes[:, number[written.deleted]] = times_s[:, written.deleted]
    return writes, deletes
