"""The measurements of an experiment: each has a path, which is its identity, and a place in a random order.

Filters are crossed with single queries only, and load is put on without a filter: all of both would take days.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from cohorts.connectors.index import Index, SearchParams, index_to_json, search_to_json
from cohorts.harness.bench.load.churn import Churn
from cohorts.harness.bench.load.modes import Closed, Mode, Open, Single
from cohorts.harness.bench.plan.experiment import Experiment, Share, Store, slug

# A new mode is a new class, and its place here: they are shown in this order.
MODES: tuple[type[Mode], ...] = (Single, Closed, Open, Churn)


@dataclass(frozen=True, kw_only=True)
class Build:
    """An index in a store, which serves every search of its plan; `default` tells that no parameter was written."""

    store: Store
    index: Index
    searches: tuple[SearchParams, ...]
    default: bool

    @property
    def path(self) -> PurePosixPath:
        """Return the folder of all that is measured on it: `qdrant-server/hnsw,m=32,ef_construction=400`."""
        settings = index_to_json(self.index)
        parts = [settings.pop("kind"), *(f"{key}={value}" for key, value in settings.items())]
        return PurePosixPath(slug(self.store.name), ",".join(parts))


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One measurement. `repeat` counts from 1; without a filter, `where` is None."""

    build: Build
    search: SearchParams
    k: int
    where: Share | None
    mode: Mode
    repeat: int

    @property
    def measurable(self) -> bool:
        """Tell whether it can be measured at all: a library filters nothing, and nothing is written into it."""
        return not (self.build.store.reference and (self.where or self.mode.writes_points))

    @property
    def default_search(self) -> bool:
        """Tell whether the engine's own default is measured, which is to be marked so."""
        return self.search == SearchParams()

    @property
    def path(self) -> PurePosixPath:
        """Return the folder of the measurement, readable and its own, within that of the experiment."""
        return self.setting / f"repeat={self.repeat}"

    @property
    def setting(self) -> PurePosixPath:
        """Return the folder of all its repeats."""
        settings = search_to_json(self.search)
        search = ",".join(f"{key}={value}".lower() for key, value in settings.items()) or "default"
        where = self.where.column if self.where else "unfiltered"
        return self.build.path / search / f"k={self.k}" / where / self.mode.label


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What is measured in one go: all repeats of all cells of a build, in this order."""

    build: Build
    cells: tuple[Cell, ...]


def builds(experiment: Experiment) -> tuple[Build, ...]:
    """Return every index in every store that builds it."""
    stores = {store.name: store for store in experiment.stores}
    return tuple(
        Build(store=stores[name], index=plan.index, searches=plan.searches, default=plan.default)
        for plan in experiment.plans
        for name in plan.stores
    )


def modes(experiment: Experiment) -> tuple[Mode, ...]:
    """Return all modes, in the order in which they are shown."""
    return tuple(mode for kind in MODES for mode in kind.asked_by(experiment))


def cells(experiment: Experiment, build: Build, repeat: int) -> tuple[Cell, ...]:
    """Return the measurements of one repeat of a build, in an order of their own that follows from the seed."""
    found = [
        Cell(build=build, search=search, k=k, where=where, mode=mode, repeat=repeat)
        for search in build.searches
        for k in experiment.k
        for mode in modes(experiment)
        for where in (None, *(() if mode.loaded else experiment.filters))
    ]
    random.Random(f"{experiment.seed}/{repeat}/{build.path}").shuffle(found)
    return tuple(found)


def schedule(experiment: Experiment) -> tuple[Turn, ...]:
    """Return all measurements: builds in a random order; of each one repeat after the other, in orders of their own.

    Those that write come last in the turn of a build, after all repeats of the others.
    An index is built once: one that stands serves all its searches, and no other one stands beside it.
    """
    order, repeats = list(builds(experiment)), range(1, experiment.repeats + 1)
    random.Random(str(experiment.seed)).shuffle(order)
    turns = []
    for build in order:
        found = [cell for repeat in repeats for cell in cells(experiment, build, repeat)]
        # Writes leave other segments and deleted vectors behind: nothing else may be measured on them.
        found.sort(key=lambda cell: cell.mode.writes_points)
        turns.append(Turn(build=build, cells=tuple(found)))
    return tuple(turns)


def asked(experiment: Experiment, cell: Cell, stored: str | None) -> Mapping[str, Any]:
    """Return all that was asked for in a cell, as JSON: what its manifest holds and a finished one is compared by.

    A store is its name: its server may have another port tomorrow. `stored` tells of the payload; None is of vectors
    alone, as a library holds them, and as all were measured before there was one.
    """
    return {
        "experiment": experiment.name,
        "store": cell.build.store.name,
        "index": index_to_json(cell.build.index),
        "default_build": cell.build.default,
        "search": search_to_json(cell.search),
        "default_search": cell.default_search,
        "k": cell.k,
        "filter": cell.where.column if cell.where else None,
        "mode": cell.mode.label,
        "repeat": cell.repeat,
        "queries": experiment.queries,
        "seconds": experiment.seconds if cell.mode.loaded else None,
        "seed": experiment.seed,
        "payload": None if cell.build.store.reference else stored,
    }
