"""Versions of a collection behind one alias: readers follow the alias, and see a new version only when it is whole."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cohorts.connectors.base import Collection, Connector, Vectors
from cohorts.connectors.calibration.match import check_matchable, match_recall
from cohorts.connectors.checks import check_index
from cohorts.connectors.index import Hnsw, Index, Other, SearchParams, show_index
from cohorts.errors import InputError, UnsupportedIndex

if TYPE_CHECKING:
    from cohorts.loaders.journal.journal import Journal

FINALIZE_TIMEOUT_S = 6 * 3600.0


@dataclass(frozen=True)
class IndexRequest:
    """The index (None: the default, HNSW) and search parameters asked for; `strict` takes no other in their place."""

    asked: Index | None = None
    search: SearchParams = SearchParams()
    strict: bool = False

    @property
    def index(self) -> Index:
        """Return the index asked for, or the default."""
        return self.asked or Hnsw()

    def or_as(self, there: Collection) -> "IndexRequest":
        """Return what is asked for, and what a collection has where nothing is asked for and cohorts knows it."""
        if isinstance(there.index, Other):
            return self
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
            "asked.",
            remedy="Change it by a reindexing, or replace the collection.",
            hint="reindex_or_replace",
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

    def check_possible(self, connector: Connector) -> None:
        """Raise UnsupportedIndex where neither the index asked for can be had nor one that is matched to it."""
        if self.lacking(connector):
            check_matchable(self.index, connector.abilities)

    def settle(
        self, connector: Connector, collection: Collection, sample: Callable[[], Vectors], *, k: int = 10
    ) -> Collection:
        """Return the collection with the index in effect: the one asked for, or one matched by recall on the sample.

        The sample is (rows, dim) float32; recall is that of `k` neighbours.
        Raises UnsupportedIndex where neither can be had.
        """
        if not self.lacking(connector):
            return replace(collection, index=self.index, search=self.search, translation="")
        matched = match_recall(connector, self.index, self.search, sample(), k=k)
        return replace(collection, index=matched.index, search=matched.search, translation=matched.line)


def is_there(connector: Connector, name: str) -> bool:
    """Tell whether there is a collection or an alias of this name."""
    return name in connector.collections() or name in connector.aliases()


def standing(connector: Connector, name: str) -> str:
    """Return the version that a collection's name stands for: the name itself, where it is no alias."""
    return connector.aliases().get(name, name)


def next_version(connector: Connector, name: str) -> str:
    """Return the name of the next version of collection `name`: name_v1, name_v2, …"""
    taken = [
        int(match[1])
        for one in (*connector.collections(), *connector.aliases())
        if (match := re.fullmatch(rf"{re.escape(name)}_v(\d+)", one))
    ]
    return f"{name}_v{max(taken, default=0) + 1}"


def refuse_version(connector: Connector, name: str) -> None:
    """Raise InputError for the name of a version: it is written to by the name of its collection alone."""
    whose = re.fullmatch(r"(.+)_v\d+", name)
    if not whose or name in connector.aliases():
        return
    if name in connector.collections() and connector.describe(name).collection.attached:
        return
    raise InputError(
        f"{name} names a version of a collection, which cohorts makes and drops by itself.",
        remedy=f"Write to collection {whose[1]}, or take a name that does not end in _v and a number.",
        hint="another_name",
        collection=whose[1],
    )


def switch(connector: Connector, name: str, fresh: str) -> None:
    """Let `name` stand for the new version, then drop the version that it stood for."""
    if name in connector.collections():
        connector.drop(name)  # a collection called so itself: no alias can take its place while it is there
    old = connector.aliases().get(name)
    connector.alias(name, fresh)
    if old is not None and old != fresh:
        connector.drop(old)


def sweep(connector: Connector, name: str, journal: "Journal", *, keep: str = "") -> None:
    """Drop the versions that runs which died had begun, or replaced: they have no name that anybody queries.

    Only what this journal's runs made is dropped. What is there no more is forgotten.
    """
    stays = {keep, standing(connector, name), *connector.aliases().values()}
    there = connector.collections()
    for left in journal.targets():
        if left.name in stays:
            continue
        if left.alone and left.name in there and re.fullmatch(rf"{re.escape(name)}_v\d+", left.name):
            connector.drop(left.name)
        journal.drop(left.name)


def follow(connector: Connector, journal: "Journal", version: str) -> None:
    """Let the journal follow to a copy that has taken the place of the version it was copied from."""
    copy = journal.know(version)
    if copy is None or not copy.copy_of:
        return
    if copy.copy_of in connector.collections() and copy.copy_of not in connector.aliases().values():
        connector.drop(copy.copy_of)  # it died between the two
    journal.follow(version)
