"""What is measured, built and ready: a collection in a store, or an index of a library in this process."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from cohorts.connectors.addresses import is_server
from cohorts.connectors.base import Collection
from cohorts.connectors.calibration.match import SAMPLE
from cohorts.connectors.filters.conditions import Comparison, Filter
from cohorts.connectors.index import SearchParams, effective_search, index_to_json, search_to_json
from cohorts.connectors.registry import connect
from cohorts.harness.bench.load.clients import Held, Opener, StoreOpener
from cohorts.harness.bench.load.processes import Memory, disk_mib, own_growth, own_memory, server_pid
from cohorts.harness.bench.plan.dataset import Dataset
from cohorts.harness.bench.plan.experiment import Share
from cohorts.harness.bench.plan.matrix import Build, Cell
from cohorts.harness.bench.run.build import Built, Rows, build_and_weigh
from cohorts.harness.bench.run.references import build as build_reference
from cohorts.harness.bench.run.references import reference_client
from cohorts.loaders.versions import IndexRequest


@dataclass(frozen=True)
class Effect:
    """What is in effect in a cell, as JSON, and what about it is otherwise than asked for."""

    index: Mapping[str, Any]
    search: Mapping[str, Any]
    notes: tuple[str, ...]


class Subject(Protocol):
    """An index that stands, to be measured."""

    built: Built
    memory: Memory
    disk_mib: float | None
    pid: int | None

    def opener(self, cell: Cell) -> Opener:
        """Return how its clients come to it."""
        ...

    def effect(self, cell: Cell) -> Effect:
        """Return what is in effect there."""
        ...


@contextmanager
def standing(build: Build, data: Dataset, ks: Sequence[int], seed: int) -> Iterator[Subject]:
    """Build an index, yield it for searches of the `ks`, and take it down. Raises as `build` does, MissingExtra."""
    if build.store.reference:
        yield _Library(build, data, seed)
        return
    subject = _Stored(build, data, ks, seed)
    try:
        yield subject
    finally:
        with connect(build.store.address) as connector:
            connector.drop(subject.name)


class _Stored:
    """A collection in a store; an index that the engine lacks is matched by recall, for each search and k."""

    def __init__(self, build: Build, data: Dataset, ks: Sequence[int], seed: int) -> None:
        self._address = build.store.address
        told = hashlib.sha256(f"{build.path}/{data.checksum}".encode()).hexdigest()[:8]
        self.name = f"cohorts_bench_{told}"
        asked = Collection(self.name, data.vectors.shape[1], build.index, fields=data.fields)
        chosen = np.random.default_rng(seed).permutation(len(data.vectors))[:SAMPLE]
        with connect(self._address) as connector:
            if self.name in connector.collections():  # a run before died
                connector.drop(self.name)
            self._settled = {
                (search, k): IndexRequest(build.index, search).settle(
                    connector, asked, lambda: data.vectors[np.sort(chosen)], k=k
                )
                for search, k in product(build.searches, ks)
            }
        first = replace(self._settled[build.searches[0], ks[0]], search=SearchParams(), translation="")
        self.built, self.memory = build_and_weigh(self._address, first, Rows(data.vectors, data.attributes))
        self.pid = server_pid(self._address)
        self.disk_mib = None if is_server(self._address) else _disk_mib(self._address)

    def opener(self, cell: Cell) -> StoreOpener:
        """Return an opener of the collection; an empty search is the engine's default."""
        settled = self._settled[cell.search, cell.k]
        params = None if settled.search == SearchParams() else settled.search
        return StoreOpener(self._address, self.name, params, passing(cell.where))

    def effect(self, cell: Cell) -> Effect:
        """Return the index and parameters that the engine works with."""
        settled = self._settled[cell.search, cell.k]
        search, notes = effective_search(settled.index, SearchParams(), settled.search, cell.k)
        lines = [line for line in (settled.translation, self.built.note) if line]
        return Effect(index_to_json(settled.index), search_to_json(search), (*lines, *notes))


class _Library:
    """An index of faiss or annoy, which filters nothing."""

    def __init__(self, build: Build, data: Dataset, seed: int) -> None:
        self.pid: int | None = None
        self.disk_mib: float | None = None
        before = own_memory()
        self._reference, self.built = build_reference(build.index, data.vectors, seed)
        self.memory = own_growth(before)
        self._index = index_to_json(build.index)

    def opener(self, cell: Cell) -> Held:
        """Return an opener of the index in this process."""
        return Held(reference_client(self._reference, cell.search))

    def effect(self, cell: Cell) -> Effect:
        """Return what was asked for."""
        return Effect(self._index, search_to_json(cell.search), ())


def passing(share: Share | None) -> Filter | None:
    """Return the filter that keeps the rows of a share."""
    return None if share is None else Comparison(share.column, "=", value=True)


def told(subject: Subject) -> dict[str, Any]:
    """Return what a build cost, as JSON."""
    return {
        **asdict(subject.built),
        "build_s": subject.built.build_s,
        **asdict(subject.memory),
        "disk_mib": subject.disk_mib,
    }


def _disk_mib(address: str) -> float:
    path = Path(address.partition(":")[2])
    return disk_mib(path) if path.is_dir() else path.stat().st_size / 2**20
