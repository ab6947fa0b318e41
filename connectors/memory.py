"""The exact reference: every search scans everything, in this process, and nothing outlives it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cohorts.connectors.base import (
    Abilities,
    Collection,
    Connector,
    Description,
    Found,
    Hit,
    Payload,
    Points,
    Vectors,
)
from cohorts.connectors.catalog import already_there, no_such_collection, with_search
from cohorts.connectors.checks import check_collection, check_k, check_points, unit_rows
from cohorts.connectors.filters.conditions import Filter, matches
from cohorts.connectors.filters.reading import check_filter
from cohorts.connectors.index import Annoy, Flat, Hnsw, Ivf, SearchParams, effective_search


@dataclass
class _Held:
    collection: Collection
    vectors: dict[str, Vectors] = field(default_factory=dict)
    payloads: dict[str, Payload] = field(default_factory=dict)

    def points(self, ids: Sequence[str]) -> Points:
        rows = [self.vectors[one] for one in ids]
        stacked = np.array(rows, dtype=np.float32).reshape(len(rows), self.collection.dim)
        return Points(ids, stacked, [self.payloads[one] for one in ids])


class MemoryConnector(Connector):
    """Exact search over numpy arrays. Every index is accepted, since the answers are those of a perfect one."""

    abilities = Abilities(
        "memory",
        (Flat, Hnsw, Ivf, Annoy),
        max_k=2**31,
        ivf=("flat", "sq8", "pq"),
        quantization=("scalar", "product", "binary"),
        notes=("Every search is exact, whatever the index.",),
    )

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._aliases: dict[str, str] = {}

    def collections(self) -> list[str]:
        """Return the names of all collections, sorted."""
        return sorted(self._held)

    def create(self, collection: Collection) -> None:
        """Make an empty collection."""
        check_collection(collection, self.abilities)
        if collection.name in self._held or collection.name in self._aliases:
            raise already_there(collection.name)
        self._held[collection.name] = _Held(collection)

    def describe(self, name: str) -> Description:
        """Return what is held."""
        held = self._of(name)
        count = len(held.vectors)
        note = "exact search, no index"
        return Description(held.collection, "memory", "cosine", count, count, note, exact=True)

    def upsert(self, name: str, points: Points) -> None:
        """Write points, replacing those of the same id."""
        held = self._of(name)
        points = check_points(points, held.collection)
        held.vectors.update(zip(points.ids, points.vectors, strict=True))
        held.payloads.update(zip(points.ids, map(_copied, points.payloads), strict=True))

    def finalize(self, name: str, *, timeout_s: float = 3600.0) -> None:  # noqa: ARG002 - nothing to wait for
        """Return at once: what is written is searchable."""
        self._of(name)

    def search(
        self,
        name: str,
        vectors: Vectors,
        k: int,
        *,
        where: Filter | None = None,
        params: SearchParams | None = None,
        with_payload: bool = True,
    ) -> Found:
        """Return the k nearest of each query row, by cosine."""
        held = self._of(name)
        check_k(k, self.abilities)
        queries = unit_rows(vectors, held.collection.dim)
        points = held.points(self._matching(held, where))
        scores = queries @ points.vectors.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        hits = [
            [Hit(points.ids[i], float(row[i]), points.payloads[i] if with_payload else {}) for i in order]
            for row, order in zip(scores, best, strict=True)
        ]
        _, notes = effective_search(held.collection.index, held.collection.search, params, k)
        return Found(hits, k, notes)

    def set_default_search(self, name: str, params: SearchParams) -> None:
        """Keep other default search parameters."""
        held = self._of(name)
        held.collection = with_search(held.collection, params)

    def fetch(self, name: str, ids: Sequence[str]) -> Points:
        """Return the points that exist among `ids`."""
        held = self._of(name)
        return held.points([one for one in ids if one in held.vectors])

    def find(self, name: str, where: Filter | None = None, page: int = 10_000) -> Iterator[list[str]]:
        """Yield the ids of the points (that match `where`), in pages."""
        ids = self._matching(self._of(name), where)
        for start in range(0, len(ids), page):
            yield ids[start : start + page]

    def values(self, name: str, field: str, page: int = 1_000) -> Iterator[list[tuple[str, Any]]]:
        """Yield, in pages, the id of every point and what it holds in a payload field."""
        rows = [(key, payload.get(field)) for key, payload in self._of(name).payloads.items()]
        for start in range(0, len(rows), page):
            yield rows[start : start + page]

    def scroll(self, name: str, page: int = 1_000) -> Iterator[Points]:
        """Yield every point once."""
        held = self._of(name)
        ids = list(held.vectors)
        for start in range(0, len(ids), page):
            yield held.points(ids[start : start + page])

    def count(self, name: str, where: Filter | None = None) -> int:
        """Return the number of points."""
        return len(self._matching(self._of(name), where))

    def delete(self, name: str, ids: Sequence[str]) -> None:
        """Remove points."""
        held = self._of(name)
        for one in ids:
            held.vectors.pop(one, None)
            held.payloads.pop(one, None)

    def drop(self, name: str) -> None:
        """Remove the collection."""
        name = self._of(name).collection.name
        del self._held[name]
        self._aliases = {alias: one for alias, one in self._aliases.items() if one != name}

    def alias(self, alias: str, name: str) -> None:
        """Point an alias at a collection."""
        if alias in self._held:
            raise already_there(alias)
        self._aliases[alias] = self._of(name).collection.name

    def aliases(self) -> dict[str, str]:
        """Return the collection that each alias stands for."""
        return dict(self._aliases)

    def close(self) -> None:
        """Do nothing: what is held lives as long as this object."""

    def _of(self, name: str) -> _Held:
        name = self._aliases.get(name, name)
        if name not in self._held:
            raise no_such_collection(name, list(self._held))
        return self._held[name]

    def _matching(self, held: _Held, where: Filter | None) -> list[str]:
        if where is None:
            return list(held.vectors)
        check_filter(where, held.collection.fields)
        return [one for one, payload in held.payloads.items() if matches(where, payload)]


def _copied(payload: Payload) -> Payload:
    return {key: [*value] if isinstance(value, list) else value for key, value in payload.items()}
