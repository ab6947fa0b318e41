"""Through what is asked, beside exact search: stores, and an index in each."""

from collections.abc import Sequence
from dataclasses import dataclass

from cohorts.connectors.index import SearchParams, parse_index, parse_search, show_index, show_search
from cohorts.connectors.registry import connect
from cohorts.errors import InputError
from cohorts.loaders.versions import IndexRequest


@dataclass(frozen=True)
class Route:
    """A store and an index to ask through, beside exact search."""

    store: str
    wanted: IndexRequest

    @property
    def name(self) -> str:
        """Return what it is called in tables."""
        search = show_search(self.wanted.search)
        return f"{self.store} {show_index(self.wanted.index)}{f' {search}' if search else ''}"


def check_routes(routes: Sequence[Route]) -> None:
    """Look whether every store answers and can have its index, before anything is ranked.

    Raises EngineError, UnsupportedIndex.
    """
    for route in routes:
        with connect(route.store) as connector:
            connector.collections()
            route.wanted.check_possible(connector)


def routes_through(stores: Sequence[str], indexes: Sequence[str]) -> list[Route]:
    """Return every index in every store; a search follows a blank, as in `ivf:nlist=64 nprobe=8`. Raises InputError."""
    if indexes and not stores:
        raise InputError(
            "An index says how to ask a store.",
            remedy="Name a store, as in qdrant:./quality.",
            hint="store_of_index",
        )
    wanted = []
    for text in indexes or ["hnsw"]:
        index, _, search = text.strip().partition(" ")
        wanted.append(IndexRequest(parse_index(index), parse_search(search) if search else SearchParams()))
    return [Route(store, one) for store in stores for one in wanted]
