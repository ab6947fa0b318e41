"""What is measured, built and ready: a collection in a store, or an index of a library in this process."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from cohorts.connectors.addresses import is_server
from cohorts.connectors.base import Collection
from cohorts.connectors.calibration.match import SAMPLE
from cohorts.connectors.filters.conditions import Comparison, Filter
from cohorts.connectors.index import SearchParams, effective_search, index_to_json, search_to_json
from cohorts.connectors.registry import connect
from cohorts.harness.bench.load.clients import Opener, lent, of_store
from cohorts.harness.bench.load.processes import Memory, disk_mib, growth, server_pid
from cohorts.harness.bench.plan.dataset import Dataset
from cohorts.harness.bench.plan.experiment import Share
from cohorts.harness.bench.plan.matrix import Build, Cell
from cohorts.harness.bench.run.build import Built, Rows, build_and_weigh
from cohorts.harness.bench.run.references import build as build_reference
from cohorts.harness.bench.run.references import reference_client
from cohorts.loaders.versions import IndexRequest


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What is in effect in a cell, as JSON, and what about it is otherwise than asked for."""

    index: Mapping[str, Any]
    search: Mapping[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An index that stands, to be measured: what it cost, how a cell's clients come to it, and what is in effect."""

    built: Built
    memory: Memory
    opener: Callable[[Cell], Opener]
    effect: Callable[[Cell], Effect]
    pid: int | None = None
    disk_mib: float | None = None

    def told(self) -> dict[str, Any]:
        """Return what the build cost, as JSON."""
        built = {**asdict(self.built), "build_s": self.built.build_s}
        return {**built, **asdict(self.memory), "disk_mib": self.disk_mib}


@contextmanager
def standing(
    build: Build, data: Dataset, ks: Sequence[int], seed: int, settle_s: float = 0.0
) -> Iterator[Subject]:
    """Build an index, yield it for searches of the `ks` once its server rests, and take it down.

    Raises as `build_and_weigh` does, MissingExtra.
    """
    if build.store.reference:
        yield _library(build, data, seed)
        return
    told = hashlib.sha256(f"{build.path}/{data.checksum}".encode()).hexdigest()[:8]
    name = f"cohorts_bench_{told}"
    subject = _stored(name, build, data, ks, seed, settle_s)
    try:
        yield subject
    finally:
        with connect(build.store.address) as connector:
            connector.drop(name)


def _stored(name: str, build: Build, data: Dataset, ks: Sequence[int], seed: int, settle_s: float) -> Subject:
    """Build a collection; an index that the engine lacks is matched by recall, for each search and k."""
    address = build.store.address
    asked = Collection(
        name, data.vectors.shape[1], build.index, fields=data.fields, unindexed=data.payload.unindexed
    )
    chosen = np.random.default_rng(seed).permutation(len(data.vectors))[:SAMPLE]
    with connect(address) as connector:
        if name in connector.collections():  # a run before died
            connector.drop(name)
        settled = {
            (search, k): IndexRequest(build.index, search).settle(
                connector, asked, lambda: data.vectors[np.sort(chosen)], k=k
            )
            for search, k in product(build.searches, ks)
        }
    first = replace(settled[build.searches[0], ks[0]], search=SearchParams(), translation="")
    built, memory = build_and_weigh(address, first, Rows(data.vectors, data.columns), settle_s)

    def opener(cell: Cell) -> Opener:
        params = settled[cell.search, cell.k].search
        # An empty search is the engine's default.
        return of_store(address, name, None if params == SearchParams() else params, passing(cell.where))

    def effect(cell: Cell) -> Effect:
        one = settled[cell.search, cell.k]
        search, notes = effective_search(one.index, SearchParams(), one.search, cell.k)
        lines = [line for line in (one.translation, built.note) if line]
        return Effect(index=index_to_json(one.index), search=search_to_json(search), notes=(*lines, *notes))

    disk = None if is_server(address) else disk_mib(Path(address.partition(":")[2]))
    return Subject(
        built=built, memory=memory, opener=opener, effect=effect, pid=server_pid(address), disk_mib=disk
    )


def _library(build: Build, data: Dataset, seed: int) -> Subject:
    """Build an index of faiss or annoy, which filters nothing."""
    grown = growth()
    reference, built = build_reference(build.index, data.vectors, seed)
    index = index_to_json(build.index)
    return Subject(
        built=built,
        memory=grown(),
        opener=lambda cell: lent(reference_client(reference, cell.search)),
        effect=lambda cell: Effect(index=index, search=search_to_json(cell.search)),
    )


def passing(share: Share | None) -> Filter | None:
    """Return the filter that keeps the rows of a share."""
    return None if share is None else Comparison(share.column, "=", value=True)
