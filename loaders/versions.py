"""Versions of a collection behind one alias: readers follow the alias, and see a new version only when it is whole."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from cohorts.connectors.base import Collection, Connector, Vectors
from cohorts.connectors.checks import check_index
from cohorts.connectors.index import Hnsw, Index, SearchParams, show_index
from cohorts.connectors.matched_recall import SAMPLE, match_recall
from cohorts.errors import EngineError, InputError, UnsupportedIndex

FINALIZE_TIMEOUT_S = 6 * 3600.0
COPY_ROWS = 1_000


class Tick(Protocol):
    """Called with a stage's name, the units it has just done, and, where it can be told, how many there will be."""

    def __call__(self, stage: str, units: int, expected: int | None = None, /) -> None:
        """Take the news."""
        ...


@dataclass(frozen=True)
class Wanted:
    """The index (None: the default, HNSW) and search parameters asked for; `strict` takes no other in their place."""

    asked: Index | None = None
    search: SearchParams = SearchParams()
    strict: bool = False

    @property
    def index(self) -> Index:
        """Return the index asked for, or the default."""
        return self.asked or Hnsw()

    def or_as(self, there: Collection) -> "Wanted":
        """Return what is asked for, and what a collection has where nothing is asked for."""
        search = self.search if self.search != SearchParams() or self.asked else there.search
        return replace(self, asked=self.asked or there.index, search=search)

    def refuse_other(self, there: Collection) -> None:
        """Raise InputError where a collection stands already with another index than the one asked for."""
        if (
            self.asked is None
            or self.asked == there.index
            or there.translation.startswith(show_index(self.asked))
        ):
            return
        raise InputError(
            f"The collection has index {there.translation or show_index(there.index)}; {show_index(self.asked)} was "
            "asked. Change it with cohorts reindex, or write it anew with --replace."
        )

    def lacking(self, connector: Connector) -> bool:
        """Tell whether the engine lacks the index, so that its recall must be matched. Raises UnsupportedIndex."""
        try:
            check_index(self.index, connector.abilities)
        except UnsupportedIndex:
            if self.strict:
                raise
            return True
        return False

    def settle(
        self, connector: Connector, collection: Collection, sample: Callable[[], Vectors], *, k: int = 10
    ) -> Collection:
        """Return the collection with the index in effect: the one asked for, or one matched by recall on the sample.

        Recall is that of `k` neighbours. Raises UnsupportedIndex where neither can be had.
        """
        if not self.lacking(connector):
            return replace(collection, index=self.index, search=self.search, translation="")
        matched = match_recall(connector, self.index, self.search, sample(), k=k)
        return replace(collection, index=matched.index, search=matched.search, translation=matched.line)


def next_version(connector: Connector, name: str) -> str:
    """Return the name of the next version of collection `name`: name_v1, name_v2, …"""
    taken = [
        int(match[1]) for one in connector.collections() if (match := re.fullmatch(rf"{name}_v(\d+)", one))
    ]
    return f"{name}_v{max(taken, default=0) + 1}"


def switch(connector: Connector, name: str, fresh: str) -> None:
    """Let `name` stand for the new version, then drop the version that it stood for."""
    if name in connector.collections():
        connector.drop(name)  # a collection called so itself: no alias can take its place while it is there
    old = connector.aliases().get(name)
    connector.alias(name, fresh)
    if old is not None and old != fresh:
        connector.drop(old)


def reindex(connector: Connector, name: str, wanted: Wanted, tick: Tick) -> Collection:
    """Copy a collection into a new version with another index, switch the alias, drop the old; return the new one.

    Queries by the alias are answered all the time. Raises InputError where `name` is no alias, EngineError where the
    copy is not whole (someone wrote meanwhile): then nothing has changed.
    """
    if name not in connector.aliases():
        connector.describe(name)
        raise InputError(
            f"{name} is a collection and no alias, so nothing can take its place without a pause. Collections made by "
            "cohorts ingest stand behind an alias."
        )
    before = connector.describe(name)
    fresh = replace(before.collection, name=next_version(connector, name))
    fresh = wanted.settle(connector, fresh, lambda: _sample(connector, name))
    connector.create(fresh)
    try:
        for points in connector.scroll(name, COPY_ROWS):
            connector.upsert(fresh.name, points)
            tick("write", len(points.ids))
        connector.finalize(fresh.name, timeout_s=FINALIZE_TIMEOUT_S)
        have, want = connector.count(fresh.name), connector.count(name)
        if have != want:
            raise EngineError(
                f"The new version of {name} holds {have:,} vectors and the old one {want:,}: someone wrote meanwhile. "
                "The old one stays; run cohorts reindex again when nobody writes."
            )
    except BaseException:
        connector.drop(fresh.name)
        raise
    switch(connector, name, fresh.name)
    return fresh


def _sample(connector: Connector, name: str) -> Vectors:
    """Return up to 20,000 vectors of a collection, (n, dim) float32, in the engine's order."""
    pages, many = [], 0
    for points in connector.scroll(name, COPY_ROWS):
        pages.append(points.vectors)
        many += len(points.ids)
        if many >= SAMPLE:
            break
    return (
        np.concatenate(pages)[:SAMPLE]
        if pages
        else np.empty((0, connector.describe(name).collection.dim), np.float32)
    )
