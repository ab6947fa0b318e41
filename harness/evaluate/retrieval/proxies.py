"""Proxies: what encoders see of groups of codes, drugs and words that by itself finds a cohort.

Where one stands, codes are withheld in name only: neighbours may be found by it alone. Every feature is counted, and no
list says which.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.encoders.features.codes import tokens_of
from cohorts.harness.evaluate.retrieval.population import Mask, Population
from cohorts.records.base import Batch, Source
from cohorts.records.notes.cleaning import count_words

PRECISION, RECALL = 0.9, 0.1
FEWEST = 5  # units that have a feature: fewer are chance, and a word of theirs may be a name
SMALL = 10  # units of which no figure is told
SHOWN = 3  # of a cohort, in a sentence
_SLOTS = 1 << 22


class Proxy(NamedTuple):
    """One feature that finds a cohort: the units with it, the share of them who are members, and of members with it."""

    view: str
    cohort: str
    feature: str
    units: int
    precision: float
    recall: float
    base_rate: float


def find_proxies(view: str, population: Population, seen: Source) -> list[Proxy]:
    """Return every proxy in what encoders see, by cohort, those of the highest recall first.

    The source is read twice: first units are counted by hashes of their words (16 MiB), then exactly those of the
    words, codes and drugs that may be listed. So memory grows with words that many units have, and with no others.
    """
    row_of = {unit: row for row, unit in enumerate(population.ids)}
    sizes = population.member.sum(axis=0)
    often = _Often(max(FEWEST, int(RECALL * sizes[sizes > 0].min(initial=len(population)))))
    if population.has_notes:
        for batch in seen.batches():
            often.add(_words(batch))
    tally = _Tally(len(population.cohorts))
    for batch in seen.batches():
        rows = [row_of[unit] for unit in batch.units["unit_id"]]
        tally.add(_features(batch, often), population.member[rows])
    return [
        Proxy(view, name, *facts, float(sizes[column] / len(population)))
        for column, name in enumerate(population.cohorts)
        for facts in tally.finding(column, int(sizes[column]))
    ]


def frame_of(proxies: Sequence[Proxy]) -> pd.DataFrame:
    """Return a row for each; of a feature that ten units or fewer have, no figure is told."""
    frame = pd.DataFrame(proxies, columns=Proxy._fields)
    small = frame["units"] <= SMALL
    frame[["precision", "recall"]] = frame[["precision", "recall"]].mask(small)
    return frame.assign(units=frame["units"].astype("object").mask(small, f"{FEWEST} to {SMALL}"))


def sentences(proxies: Sequence[Proxy], view: str) -> list[str]:
    """Return a sentence for each cohort that has proxies in a view, with the few of the highest recall."""
    told = []
    for name in dict.fromkeys(one.cohort for one in proxies if one.view == view):
        here = [one for one in proxies if (one.view, one.cohort) == (view, name)]
        many = f"{len(here):,} features find" if len(here) > 1 else "1 feature finds"
        named = ", ".join(f"{one.feature} ({_recall(one)})" for one in here[:SHOWN])
        more = ", …" if len(here) > SHOWN else ""
        told.append(
            f"{many} {name} by {'themselves' if len(here) > 1 else 'itself'} ({view}; precision ≥ {PRECISION:g}, "
            f"recall ≥ {RECALL:g}): {named}{more}"
        )
    return told


def _recall(proxy: Proxy) -> str:
    return f"recall {proxy.recall:.2f}" if proxy.units > SMALL else f"{FEWEST} to {SMALL} units"


class _Often:
    """Words that at least so many units have, and some that share a slot with others."""

    def __init__(self, fewest: int) -> None:
        self._fewest = fewest
        self._units = np.zeros(_SLOTS, np.int32)

    def add(self, words_of_units: Sequence[set[str]]) -> None:
        for own in words_of_units:
            np.add.at(self._units, np.array([hash(word) % _SLOTS for word in own], np.int64), 1)

    def __contains__(self, word: str) -> bool:
        return bool(self._units[hash(word) % _SLOTS] >= self._fewest)


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

    def finding(self, cohort: int, size: int) -> list[tuple[str, int, float, float]]:
        """Return feature, units, precision and recall of those that find a cohort of `size` members."""
        units, members = self._counts[0], self._counts[1 + cohort]
        precision, recall = members / np.maximum(units, 1), members / max(size, 1)
        chosen = (units >= FEWEST) & (precision >= PRECISION) & (recall >= RECALL)
        found = [
            (name, int(units[place]), float(precision[place]), float(recall[place]))
            for name, place in self._places.items()
            if chosen[place]
        ]
        return sorted(found, key=lambda one: (-one[3], one[0]))


def _features(batch: Batch, often: _Often) -> list[set[str]]:
    """Return what every unit has: groups of diagnoses and procedures, drugs, and words."""
    found: dict[str, set[str]] = {unit: set() for unit in batch.units["unit_id"]}
    for unit, token in zip(batch.codes["unit_id"], tokens_of(batch.codes), strict=True):
        if token is not None:
            found[unit].add(token)
    for own, spoken in zip(found.values(), _words(batch), strict=True):
        own.update(f"word:{word}" for word in spoken if word in often)
    return list(found.values())


def _words(batch: Batch) -> list[set[str]]:
    """Return the words of every unit's cleaned notes."""
    found: dict[str, set[str]] = {unit: set() for unit in batch.units["unit_id"]}
    for unit, text in zip(batch.notes["unit_id"], batch.notes["text"], strict=True):
        found[unit].update(count_words(text))
    return list(found.values())
