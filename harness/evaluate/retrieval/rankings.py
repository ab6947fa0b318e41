"""Who was found for every question, as raw results: exactly, or through an engine and its index."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from cohorts.connectors.base import Collection, Connector, Vectors
from cohorts.connectors.calibration.match import calibration
from cohorts.encoders.pooling import filled_rows
from cohorts.harness.evaluate.retrieval.population import Population, Rows
from cohorts.harness.evaluate.retrieval.questions import Fold, blocks
from cohorts.harness.evaluate.retrieval.scorers import Scorer
from cohorts.measures import ranking
from cohorts.measures.ranking import Values
from cohorts.measures.recall import neighbour_recall
from cohorts.private_files import private_folder, replace_private

EXACT = "exact"  # the route without an engine


class Way(NamedTuple):
    """How questions were answered: what encoders saw, who ranked, and through what."""

    view: str
    encoder: str
    route: str


@dataclass(frozen=True)
class Ranking:
    """Of q questions: the units found, best first, (q, depth), -1 where there were fewer, and R-precision, (q,), NaN
    where the depth holds less than all matches.

    `recall` is the share of the exact neighbours that an index found, (q,) by k; `note` the index in effect, where it
    is not the one asked for.
    """

    found: Rows
    r_precision: Values
    recall: dict[int, Values] = field(default_factory=dict)
    note: str = ""

    @classmethod
    def read(cls, file: Path, population: Population) -> "Ranking":
        """Read what `keep` wrote."""
        frame = pd.read_parquet(file)
        row_of = {unit: row for row, unit in enumerate(population.ids)}
        found = np.full((len(frame), int(frame.attrs["depth"])), -1, np.intp)
        for question, ids in enumerate(frame["found"]):
            found[question, : len(ids)] = [row_of[unit] for unit in ids]
        recall = {
            int(name.removeprefix("recall_")): frame[name].to_numpy(np.float64)
            for name in map(str, frame)
            if name.startswith("recall_")
        }
        return cls(found, frame["r_precision"].to_numpy(np.float64), recall, frame.attrs["note"])

    def keep(self, file: Path, population: Population, fold: Fold) -> None:
        """Write the ranking of a fold as Parquet, units by their ids, in one step."""
        ids = np.array(population.ids, dtype=object)
        frame = pd.DataFrame(
            {
                "asked": ids[fold.units],
                "cohort": fold.cohort,
                "found": [ids[row[row >= 0]].tolist() for row in self.found],
                "r_precision": self.r_precision,
                **{f"recall_{k}": values for k, values in self.recall.items()},
            }
        )
        frame.attrs = {"depth": self.found.shape[1], "note": self.note}
        private_folder(file.parent)
        with replace_private(file) as stream:
            frame.to_parquet(stream, index=False)


def rank_exactly(scorer: Scorer, population: Population, fold: Fold, depth: int, seed: int) -> Ranking:
    """Rank everybody but the patient asked about; who is as like as another comes in random order."""
    shuffled = np.random.default_rng([seed, fold.number]).permutation(len(population))
    found = np.full((len(fold), depth), -1, np.intp)
    r_precision = np.zeros(len(fold))
    for some, alike, others in blocks(population, fold):
        scores = np.where(others, scorer.scores(fold.units[some]), -np.inf)[:, shuffled]
        order = np.argsort(-scores, axis=1, kind="stable")
        best = np.where(np.take_along_axis(scores, order, axis=1) > -np.inf, shuffled[order], -1)
        found[some, : best.shape[1]] = best[:, :depth]
        hits = np.take_along_axis(alike, np.maximum(best, 0), axis=1) & (best >= 0)
        matches = alike.sum(axis=1)
        r_precision[some] = hits.cumsum(axis=1)[np.arange(len(matches)), matches - 1] / matches
    return Ranking(found, r_precision)


def rank_through(
    connector: Connector,
    collection: Collection,
    vectors: Vectors,
    population: Population,
    fold: Fold,
    exact: Ranking,
    ks: Sequence[int],
    asked: Vectors | None = None,
) -> Ranking:
    """Load all vectors into a collection of its own, ask the engine, and drop it; zeros are no points.

    `asked` (n, dim) are the units as questions, where these differ from the `vectors` that are found.
    """
    asked = (vectors if asked is None else asked)[fold.units]
    filled = np.flatnonzero(filled_rows(vectors))
    depth, own = max(ks), int(np.bincount(population.patient).max())
    found = np.full((len(fold), depth), -1, np.intp)
    askable = np.flatnonzero(filled_rows(asked))
    with calibration(connector, collection.index, vectors[filled], collection.name) as search_with:
        nearest = search_with(collection.search)
        rows = nearest(asked[askable], min(depth + own, len(filled)))
    for question, row in zip(askable, rows, strict=True):
        units, patient = filled[row[row >= 0]], population.patient[fold.units[question]]
        others = units[population.patient[units] != patient][:depth]
        found[question, : len(others)] = others
    nothing = np.full(len(fold), np.nan)
    recall = {k: neighbour_recall(vectors, asked, exact.found[:, :k], found[:, :k]) for k in ks}
    return Ranking(found, nothing, recall, collection.translation)


def hits_of(found: Rows, population: Population, fold: Fold) -> ranking.Hits:
    """Return which of those found, none of them of the patient asked about, are alike, (q, depth)."""
    alike = [
        (population.member[np.maximum(rows, 0)] & wanted).any(axis=1) & (rows >= 0)
        for rows, wanted in zip(found, fold.wanted, strict=True)
    ]
    return np.stack(alike) if alike else np.zeros(found.shape, np.bool_)


def matches_of(population: Population, fold: Fold) -> ranking.Counts:
    """Return how many there are to find, (q,)."""
    return np.concatenate(
        [np.zeros(0, np.int64), *(alike.sum(axis=1) for _, alike, _ in blocks(population, fold))]
    )
