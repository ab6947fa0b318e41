"""Figures of one measurement, from its raw answers and the truth, and what about them can't be true."""

from collections.abc import Sequence
from math import nan

import numpy as np
import numpy.typing as npt
from cohorts.errors import MeasurementError
from cohorts.harness.bench.plan.dataset import Dataset, Rows
from cohorts.harness.bench.plan.ground_truth import Truth, scores_of
from cohorts.harness.bench.results import Answers, Floats
from cohorts.measures.recall import is_near, share_found

LEAST_FOR_P999 = 1_000


def faults_of(answers: Answers, truth: Truth, data: Dataset, *, writing: bool = False) -> tuple[str, ...]:
    """Return what about a measurement can't be true; while rows are written, short answers can.

    Raises MeasurementError for the truth of other vectors, answers to no query, other queries, ids that are none of
    the data's, and a k beyond the truth's.
    """
    truth.check(data)
    _check_asked(answers, truth)
    rows = rows_of(answers.ids, len(data.vectors))
    whole = truth.where is None and not writing
    return tuple(_faults(answers, truth, data, rows, whole=whole))


def short_share(answers: Answers, truth: Truth) -> float:
    """Return the share of answers that hold fewer neighbours than there are."""
    return float((answers.got < _expected(answers, truth)).mean())


def recall_by_query(answers: Answers, truth: Truth, data: Dataset) -> Floats:
    """Return the recall of each query that was asked, in the order of their numbers; of several answers, their mean.

    An id counts, once, where its true score is at least that of the last true neighbour: of k, or of as many as pass
    the filter. Raises MeasurementError.
    """
    rows = rows_of(answers.ids, len(data.vectors))
    answer, expected = answer_of_each(answers), _expected(answers, truth)
    true = scores_of(data, answers.query[answer], rows)
    last = truth.scores[answers.query, expected - 1]
    counts = _passing(truth, data, rows) & is_near(true, last[answer])
    return found_by_query(answers, rows, counts, expected)


def found_by_query(answers: Answers, rows: Rows, counts: npt.NDArray[np.bool_], expected: Rows) -> Floats:
    """Return the share of the `expected` (answers,) neighbours that was found, for each query that was asked.

    `rows` and `counts` tell of each id which row it is, and whether it counts; in one answer it does so once.
    """
    counts = counts & _first_of_its_kind(answers, rows)
    found = np.bincount(answer_of_each(answers)[counts], minlength=len(answers))
    return by_query(answers, share_found(found, expected))


def answer_of_each(answers: Answers) -> Rows:
    """Return the number of the answer that each id stands in."""
    return np.repeat(np.arange(len(answers)), answers.got)


def by_query(answers: Answers, values: Floats) -> Floats:
    """Return the mean of a value, (answers,), for each query that was asked, in the order of their numbers."""
    _, place, many = np.unique(answers.query, return_inverse=True, return_counts=True)
    return np.asarray(np.bincount(place, weights=values) / many)


def queries_per_second(answers: Answers) -> float:
    """Return the answers per second, from when the first query was due to the last answer; NaN without times."""
    span_s = answers.ended_s.max() - answers.due_s.min()
    return float(len(answers) / span_s) if span_s > 0 else nan


def rows_of(ids: npt.NDArray[np.generic], rows: int) -> Rows:
    """Return the row of each id, which is its number. Raises MeasurementError for one that is none of the data's."""
    if ids.dtype.kind == "i":
        numbers = ids.astype(np.int64)
    else:
        fits = np.char.isdecimal(ids.astype(np.str_)) & (np.char.str_len(ids.astype(np.str_)) < 19)
        if not fits.all():
            raise _unknown(ids[~fits].tolist())
        numbers = ids.astype(np.str_).astype(np.int64)
    outside = (numbers < 0) | (numbers >= rows)
    if outside.any():
        raise _unknown(ids[outside].tolist())
    return numbers


def _unknown(ids: Sequence[object]) -> MeasurementError:
    shown = ", ".join(repr(key) for key in ids[:3])
    return MeasurementError(
        f"{len(ids):,} ids came back that were never loaded, as {shown}: the collection holds something else."
    )


def _check_asked(answers: Answers, truth: Truth) -> None:
    if not len(answers):
        raise MeasurementError("No query was answered: there is nothing to make figures of.")
    if answers.query.min() < 0 or answers.query.max() >= len(truth.rows):
        raise MeasurementError(
            f"Query {answers.query.max()} was asked; the truth is about {len(truth.rows):,} queries. A query without "
            "truth tells nothing."
        )
    if answers.asked.min() < 1 or answers.asked.max() > truth.k:
        raise MeasurementError(
            f"{answers.asked.max():,} neighbours were asked for; the truth holds {truth.k:,} of each query."
        )


def _expected(answers: Answers, truth: Truth) -> Rows:
    """Return how many neighbours each answer should have: those asked for, or all that pass the filter."""
    return np.minimum(answers.asked, truth.rows.shape[1])


def _first_of_its_kind(answers: Answers, rows: Rows) -> npt.NDArray[np.bool_]:
    """Tell of each id whether it comes for the first time in its answer."""
    first = np.zeros(len(rows), np.bool_)
    _, places = np.unique(answer_of_each(answers) * (rows.max(initial=0) + 1) + rows, return_index=True)
    first[places] = True
    return first


def _passing(truth: Truth, data: Dataset, rows: Rows) -> npt.NDArray[np.bool_]:
    return data.attributes[truth.where][rows] if truth.where else np.ones(len(rows), np.bool_)


def _faults(answers: Answers, truth: Truth, data: Dataset, rows: Rows, *, whole: bool) -> list[str]:
    if not len(rows):
        return [f"none of {len(answers):,} answers holds a neighbour, as from an empty collection"]
    found = []
    short = int((answers.got < _expected(answers, truth)).sum())
    if short and whole:
        found.append(f"{short:,} of {len(answers):,} answers are short, and no filter was set")
    if many := int((answers.got > answers.asked).sum()):
        found.append(f"{many:,} answers hold more neighbours than were asked for")
    if twice := int((~_first_of_its_kind(answers, rows)).sum()):
        found.append(f"{twice:,} ids came twice in an answer, as where points were stored twice")
    if wrong := int((~_passing(truth, data, rows)).sum()):
        found.append(f"{wrong:,} neighbours do not pass the filter {truth.where}")
    return found
