"""Proxies: what encoders see of groups of codes, drugs and words that by itself finds a cohort.

Where one stands, codes are withheld in name only: neighbours may be found by it alone. Every feature is counted, and no
list says which.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence, Set
from itertools import pairwise

import numpy as np
import pandas as pd
from cohorts.harness.evaluate.data.words import hash_of
from cohorts.harness.evaluate.retrieval.population import Population, incidence
from cohorts.harness.evaluate.retrieval.scorers import Seen
from cohorts.records.base import Batch, Source, joined_notes
from cohorts.records.notes.splitting import splits
from cohorts.reports.long_table import Record, records

PRECISION, RECALL = 0.9, 0.1
FEWEST = 5  # units that have a feature: fewer are chance, and a word of theirs may be a name
SMALL = 10  # units of which no figure is told
SHOWN = 3  # of a cohort, in a sentence


def find_proxies(view: str, population: Population, source: Source, seen: Seen) -> list[Record]:
    """Return every proxy in what encoders see, by cohort, those of the highest recall first.

    A row has the units with the feature, the share of them who are members, and of members with it. What was `seen` of
    words may share a column: the source is read once more, and exactly those that may be listed are counted. So memory
    grows with words that many units have, and with no others.
    """
    sizes = population.member.sum(axis=0)
    fewest = max(FEWEST, int(RECALL * sizes[sizes > 0].min(initial=len(population))))
    often = frozenset(seen.words.hashes[seen.words.texts_with() >= fewest].tolist())
    # A column of all units, and one of each cohort's members: how many of them have a feature is a product.
    of = np.column_stack([np.ones(len(population)), population.member])
    having, place = pd.DataFrame(seen.codes.T @ of, index=seen.groups), 0
    words = pd.DataFrame(columns=having.columns, dtype=np.float64)
    for batch in source.batches():
        names, rows = incidence(_words_of(batch, often))
        own = pd.DataFrame(rows.T @ of[place : place + len(batch.units)], index=names)
        words, place = words.add(own, fill_value=0), place + len(batch.units)
    having = pd.concat([having, words]).rename_axis("feature")
    found: list[Record] = []
    for column, (name, size) in enumerate(zip(population.cohorts, sizes.tolist(), strict=True), 1):
        units, members = having[0].astype(int), having[column]
        told = pd.DataFrame({"units": units, "precision": members / units, "recall": members / max(size, 1)})
        chosen = told[(units >= FEWEST) & (told["precision"] >= PRECISION) & (told["recall"] >= RECALL)]
        ordered = chosen.reset_index().sort_values(["recall", "feature"], ascending=[False, True])
        facts = {"view": view, "cohort": name, "base_rate": size / len(population)}
        found += [facts | dict(one) for one in records(ordered)]
    return found


def suppressed(proxies: Sequence[Record]) -> list[Record]:
    """Return the same, without figures of a feature that ten units or fewer have."""
    few = {"units": f"{FEWEST} to {SMALL}", "precision": float("nan"), "recall": float("nan")}
    return [{**one, **(few if one["units"] <= SMALL else {"units": str(one["units"])})} for one in proxies]


def sentences(proxies: Sequence[Record], view: str) -> list[str]:
    """Return a sentence for each cohort that has proxies in a view, with the few of the highest recall."""
    of_cohort = defaultdict(list)
    for one in proxies:
        if one["view"] == view:
            known = one["recall"] == one["recall"]
            told = f"recall {one['recall']:.2f}" if known else f"{one['units']} units"
            of_cohort[one["cohort"]].append(f"{one['feature']} ({told})")
    return [
        f"{f'{len(named):,} features find' if len(named) > 1 else '1 feature finds'} {cohort} by "
        f"{'themselves' if len(named) > 1 else 'itself'} ({view}; precision ≥ {PRECISION:g}, recall ≥ {RECALL:g}): "
        f"{', '.join(named[:SHOWN])}{', …' if len(named) > SHOWN else ''}"
        for cohort, named in of_cohort.items()
    ]


def _words_of(batch: Batch, often: Set[int]) -> Iterator[set[str]]:
    """Yield the words of every unit's notes that may be listed, as in word:meropenem."""
    for made in splits(joined_notes(batch), lambda made: made):
        names = [f"word:{word}" if hash_of(word) in often else "" for word in made.vocabulary]
        for start, end in pairwise(made.texts.tolist()):
            yield {names[place] for place in made.words[start:end].tolist()} - {""}
