"""A measurement under writes: rows of the data are taken out, written back while others ask, and all put back after.

Ids stay numbers of rows, and every store gets and loses the same ones: truth and answers are compared as elsewhere.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from cohorts.connectors.base import Points
from cohorts.harness.bench.load.clients import StoreOpener
from cohorts.harness.bench.plan.dataset import Dataset
from cohorts.harness.bench.results import Numbers
from cohorts.harness.bench.run.build import TIMEOUT_S, Rows, check_count
from cohorts.loaders.journal.chunks import CHUNK_UNITS, take_points


class Turnover(NamedTuple):
    """Rows by their numbers, (n,) each: those that are missing at first, and those that are deleted."""

    written: Numbers
    deleted: Numbers


def draw(rows: int, each: int, seed: tuple[int, ...]) -> Turnover:
    """Draw as many rows to be written as to be deleted; no row is both."""
    chosen = np.random.default_rng(seed).choice(rows, 2 * each, replace=False)
    return Turnover(chosen[:each], chosen[each:])


def points_of(data: Dataset, rows: Numbers) -> Points:
    """Return rows of the data as they were built."""
    columns = {column: mask[rows] for column, mask in data.attributes.items()}
    (points,) = Rows(data.vectors[rows], columns).batches(len(rows))
    return replace(points, ids=[str(row) for row in rows])


@contextmanager
def taken_out(opener: StoreOpener, data: Dataset, turnover: Turnover) -> Iterator[None]:
    """Delete what is to be written, and leave the collection whole and settled again, whatever happened in between.

    Raises as `delete`, `upsert` and `finalize` do, EngineError where it is not whole afterwards.
    """
    try:
        with closing(opener.open()) as client:
            ids = [str(row) for row in turnover.written]
            for start in range(0, len(ids), CHUNK_UNITS):
                client.connector.delete(client.name, ids[start : start + CHUNK_UNITS])
            client.connector.finalize(client.name, timeout_s=TIMEOUT_S)
        yield
    finally:
        with closing(opener.open()) as client:
            # All of them, as after a failure nobody knows which are there: a point of the same id is replaced.
            points = points_of(data, np.concatenate(turnover))
            for start in range(0, len(points.ids), CHUNK_UNITS):
                some = range(start, min(start + CHUNK_UNITS, len(points.ids)))
                client.connector.upsert(client.name, take_points(points, some))
            client.connector.finalize(client.name, timeout_s=TIMEOUT_S)
            check_count(client.connector, client.name, len(data.vectors), "were put back")
