"""Proxies: what encoders see of groups of codes, drugs and words that by itself finds a cohort.

Where one stands, codes are withheld in name only: neighbours may be found by it alone. Every feature is counted, and no
list says which.
"""

from collections import defaultdict
from collections.abc import Sequence, Set

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.harness.evaluate.data.words import WordCounts, hash_of
from cohorts.harness.evaluate.retrieval.population import Mask, Population
from cohorts.harness.evaluate.retrieval.scorers import groups_of
from cohorts.harness.reports.long_table import Record
from cohorts.records.base import Batch, Source
from cohorts.records.notes.cleaning import count_words

PRECISION, RECALL = 0.9, 0.1
FEWEST = 5  # units that have a feature: fewer are chance, and a word of theirs may be a name
SMALL = 10  # units of which no figure is told
SHOWN = 3  # of a cohort, in a sentence
_COLUMNS = ["view", "cohort", "feature", "units", "precision", "recall", "base_rate"]


def find_proxies(view: str, population: Population, seen: Source, counts: WordCounts) -> list[Record]:
    """Return every proxy in what encoders see, by cohort, those of the highest recall first.

    A row has the units with the feature, the share of them who are members, and of members with it. `counts` are those
    of the notes' words, which may share a column: the source is read once more, and exactly those that may be listed
    are counted. So memory grows with words that many units have, and with no others.
    """
    row_of = {unit: row for row, unit in enumerate(population.ids)}
    sizes = population.member.sum(axis=0)
    fewest = max(FEWEST, int(RECALL * sizes[sizes > 0].min(initial=len(population))))
    often = frozenset(counts.hashes[counts.texts_with() >= fewest].tolist())
    tally = _Tally(len(population.cohorts))
    for batch in seen.batches():
        rows = [row_of[unit] for unit in batch.units["unit_id"]]
        tally.add(_features(batch, often), population.member[rows])
    return [
        {"view": view, "cohort": name, **facts, "base_rate": float(size / len(population))}
        for column, (name, size) in enumerate(zip(population.cohorts, sizes, strict=True))
        for facts in tally.finding(column, int(size))
    ]


def frame_of(proxies: Sequence[Record]) -> pd.DataFrame:
    """Return a row for each; of a feature that ten units or fewer have, no figure is told."""
    frame = pd.DataFrame(proxies, columns=_COLUMNS)
    small = frame["units"] <= SMALL
    frame[["precision", "recall"]] = frame[["precision", "recall"]].mask(small)
    return frame.assign(units=frame["units"].astype("object").mask(small, f"{FEWEST} to {SMALL}"))


def sentences(proxies: Sequence[Record], view: str) -> list[str]:
    """Return a sentence for each cohort that has proxies in a view, with the few of the highest recall."""
    of_cohort = defaultdict(list)
    for one in proxies:
        if one["view"] == view:
            few = f"{FEWEST} to {SMALL} units"
            told = f"recall {one['recall']:.2f}" if one["units"] > SMALL else few
            of_cohort[one["cohort"]].append(f"{one['feature']} ({told})")
    return [
        f"{f'{len(named):,} features find' if len(named) > 1 else '1 feature finds'} {cohort} by "
        f"{'themselves' if len(named) > 1 else 'itself'} ({view}; precision ≥ {PRECISION:g}, recall ≥ {RECALL:g}): "
        f"{', '.join(named[:SHOWN])}{', …' if len(named) > SHOWN else ''}"
        for cohort, named in of_cohort.items()
    ]


class _Tally:
    """How many units have a feature, and how many members of each of m cohorts: counts (1 + m, features)."""

    def __init__(self, cohorts: int) -> None:
        self._places: dict[str, int] = {}
        self._counts: npt.NDArray[np.int64] = np.zeros((1 + cohorts, 0), np.int64)

    def add(self, features: Sequence[set[str]], member: Mask) -> None:
        """Count the features of some units, of whom `member` (units, m) says where they belong."""
        places = self._places
        cells = [
            (row, places.setdefault(one, len(places))) for row, own in enumerate(features) for one in own
        ]
        rows, columns = np.array(cells, np.int64).reshape(-1, 2).T
        chosen = [np.ones(len(rows), np.bool_), *member[rows].T]
        counts = np.stack([np.bincount(columns[own], minlength=len(places)) for own in chosen])
        counts[:, : self._counts.shape[1]] += self._counts
        self._counts = counts

    def finding(self, cohort: int, size: int) -> list[Record]:
        """Return feature, units, precision and recall of those that find a cohort of `size` members."""
        units, members = self._counts[0], self._counts[1 + cohort]
        precision, recall = members / np.maximum(units, 1), members / max(size, 1)
        frame = pd.DataFrame(
            {"feature": list(self._places), "units": units, "precision": precision, "recall": recall}
        )
        chosen = frame[(units >= FEWEST) & (precision >= PRECISION) & (recall >= RECALL)]
        return list(chosen.sort_values(["recall", "feature"], ascending=[False, True]).to_dict("records"))


def _features(batch: Batch, often: Set[int]) -> list[set[str]]:
    """Return what every unit has: groups of diagnoses and procedures, drugs, and words."""
    found = dict(zip(batch.units["unit_id"], groups_of(batch), strict=True))
    for unit, text in zip(batch.notes["unit_id"], batch.notes["text"], strict=True):
        found[unit].update(f"word:{word}" for word in count_words(text) if hash_of(word) in often)
    return list(found.values())
