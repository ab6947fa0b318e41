"""What a retrieval evaluation asks, of whom, and through what."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from cohorts.connectors.index import SearchParams, parse_index, parse_search, show_index, show_search
from cohorts.connectors.registry import connect
from cohorts.errors import InputError
from cohorts.harness.evaluate.data.encoders import NamedEncoder, check_names, tfidf_baseline
from cohorts.loaders.versions import IndexRequest
from cohorts.records.withheld import Withheld, parse_withheld

KS = (10, 50, 100, 200)


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


@dataclass(frozen=True)
class Plan:
    """What to ask, of whom, and through what.

    `views` are what encoders may see, by name; None is everything. Baselines of codes are for patients' records alone.
    """

    contestants: Sequence[NamedEncoder]
    views: dict[str, Withheld | None]
    routes: Sequence[Route] = ()
    ks: Sequence[int] = KS
    queries: int = 100
    folds: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_names([*self.contestants, tfidf_baseline()])

    def within(self, units: int) -> Self:
        """Return the plan without depths that everybody would be within. Raises InputError where none is left."""
        ks = [k for k in self.ks if k < units - 1]
        if not ks:
            raise InputError(
                f"{units:,} units are too few for k = {', '.join(map(str, self.ks))}.",
                remedy="Give a smaller k.",
                hint="smaller_k",
            )
        return replace(self, ks=ks)


def views_of(
    cohorts: Sequence[str], *, labelled: bool, in_text: bool, leave_codes: bool
) -> dict[str, Withheld | None]:
    """Return what encoders may see, by name. Raises InputError where labelled notes have nothing to withhold."""
    if labelled:
        if cohorts or in_text or leave_codes:
            raise InputError(
                "Notes are judged by their labels alone: there are no cohorts, and nothing is withheld.",
                remedy="Leave out either the labels or the rest.",
                hint="labels_alone",
            )
        return {"notes as they are": None}
    names = parse_withheld(",".join(cohorts) or "all", text=False).phenotypes
    views: dict[str, Withheld | None] = {"codes withheld": Withheld(names)}
    if in_text:
        views["codes and mentions withheld"] = Withheld(names, text=True)
    if leave_codes:
        views["nothing withheld"] = None
    return views


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
