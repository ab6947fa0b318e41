"""The Connector seam: one vector engine behind one small protocol.

What crosses the seam are frozen dataclasses. The score is cosine similarity on every engine: larger is nearer.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
from cohorts.connectors.attached.attachment import Attachment, Inspection, Kinds
from cohorts.connectors.collection import NOTHING, Collection, FieldType, Payload, PayloadValue, Scalar
from cohorts.connectors.filters.conditions import Filter
from cohorts.connectors.index import Index, SearchParams
from cohorts.errors import InputError

__all__ = [
    "NOTHING",
    "Abilities",
    "Collection",
    "Connector",
    "Description",
    "FieldType",
    "Found",
    "Hit",
    "Payload",
    "PayloadValue",
    "Points",
    "Scalar",
    "Vectors",
    "hits_of",
    "make_hit",
]

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Description:
    """What the engine says of a collection; `indexed` counts the vectors that an index covers.

    `exact` says that every answer is exact, for nothing is indexed and nothing compressed; where that isn't known, it
    is false.
    """

    collection: Collection
    engine: str
    metric: str
    count: int
    indexed: int
    note: str = ""
    exact: bool = False


@dataclass(frozen=True)
class Points:
    """A columnar batch: `ids[i]` has `vectors[i]` ((n, dim) float32) and `payloads[i]`."""

    ids: Sequence[str]
    vectors: Vectors
    payloads: Sequence[Payload]


class Hit(NamedTuple):
    """One neighbour; `score` is cosine similarity, larger is nearer."""

    id: str
    score: float
    payload: Payload


# `make_hit(Hit, (id, score, payload))`: Hit(…) runs a function of Python, a tenth of a query on an embedded engine.
make_hit: Callable[[type[Hit], tuple[str, float, Payload]], Hit] = tuple.__new__


def hits_of(ids: Iterable[str], scores: Iterable[float], payloads: Iterable[Payload]) -> list[Hit]:
    """Return hits from their columns, as long as the shortest."""
    return list(map(make_hit, repeat(Hit), zip(ids, scores, payloads, strict=False)))


@dataclass(frozen=True)
class Found:
    """What a search found: `hits[i]` are query i's, best first, at most the `asked` ones; fewer where fewer match.

    `notes` tells what was done otherwise than asked: a parameter raised, a search widened, a fall-back to exact.
    """

    hits: list[list[Hit]]
    asked: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Abilities:
    """What an engine can do, declared and never guessed; `ivf` and `quantization` list the variants it has.

    `writers` is how many threads may upsert at once to load fastest. `exact_by_scan` says that exact search beside an
    index reads the whole collection over the network: ask it many queries at once. `leases` says that several processes
    can write at once, and that it keeps what they tell each other. `attaches` says that it has
    collections of others, which can be mapped and read.
    """

    engine: str
    indexes: tuple[type[Index], ...]
    max_k: int
    ivf: tuple[str, ...] = ()
    quantization: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    writers: int = 1
    exact_by_scan: bool = False
    leases: bool = False
    attaches: bool = False


class Connector(Protocol):
    """One vector engine. The constructor stores the address and opens nothing.

    Ids are strings on this side of the seam; each connector maps them to its engine's own key type. An engine derives
    from this class, and so is a context manager.
    Raises of every method that names a collection: CollectionNotFound; and EngineError when the engine fails.
    """

    abilities: Abilities

    def collections(self) -> list[str]:
        """Return the names of all collections, sorted."""
        ...

    def create(self, collection: Collection) -> None:
        """Make an empty collection. Raises CollectionExists, UnsupportedIndex."""
        ...

    def describe(self, name: str) -> Description:
        """Return what the engine says of the collection."""
        ...

    def upsert(self, name: str, points: Points) -> None:
        """Write points, idempotent by id: a point of the same id is replaced whole. Raises VectorError."""
        ...

    def finalize(self, name: str, *, timeout_s: float = 3600.0) -> None:
        """Block until every written point is searchable AND indexed. Raises EngineError on timeout."""
        ...

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
        """Return up to k hits per query row, best first; fewer when fewer match. Raises VectorError.

        Without payloads every hit's payload is empty.
        """
        ...

    def fetch(self, name: str, ids: Sequence[str]) -> Points:
        """Return the points that exist among `ids`, in the order asked, with vectors and payloads.

        Vectors come back as unit rows: an engine may have kept only the direction.
        """
        ...

    def set_default_search(self, name: str, params: SearchParams) -> None:  # noqa: ARG002 - engines override it
        """Search with these parameters from now on where a search asks for none; nothing else of it changes.

        Raises InputError where the engine can't change what it keeps of a collection, or it belongs to others.
        """
        raise InputError(
            f"{self.abilities.engine} can't change the default search parameters of {name} in place.",
            remedy="A reindexing makes a new version with others.",
            hint="reindex_search",
        )

    def find(self, name: str, where: Filter | None = None, page: int = 10_000) -> Iterator[list[str]]:
        """Yield the ids of the points (that match `where`), each once, in pages; no vector is read."""
        ...

    def values(self, name: str, field: str, page: int = 1_000) -> Iterator[list[tuple[str, Any]]]:
        """Yield, in pages, the id of every point and what it holds in a payload field; no vector is read.

        None stands for nothing. In a collection of others, points that lack the vector that is searched are among them.
        """
        ...

    def scroll(self, name: str, page: int = 1_000) -> Iterator[Points]:
        """Yield every point once, in pages, with vectors as in `fetch`; the order is the engine's own."""
        ...

    def count(self, name: str, where: Filter | None = None) -> int:
        """Return the exact number of points (that match `where`), right after every write."""
        ...

    def settles_within_s(self, name: str) -> float:  # noqa: ARG002 - engines override it
        """Return for how long after a failure reads may miss what was written: 0 where one copy answers."""
        return 0.0

    def delete(self, name: str, ids: Sequence[str]) -> None:
        """Remove points; an id that is not there is no error."""
        ...

    def drop(self, name: str) -> None:
        """Remove the collection, all it holds, and its aliases."""
        ...

    def alias(self, alias: str, name: str) -> None:
        """Point an alias at a collection, in one step; every method takes the alias for the name from then on.

        Raises CollectionExists where a collection has that name already.
        """
        ...

    def aliases(self) -> dict[str, str]:
        """Return the collection that each alias stands for."""
        ...

    def leases(self, name: str) -> dict[str, str]:  # noqa: ARG002 - engines that several processes share override it
        """Return the lease that every run keeps in the collection, by its owner."""
        return {}

    def set_lease(self, name: str, owner: str, lease: str) -> None:  # noqa: ARG002 - as `leases`
        """Keep a lease in the collection beside those of other owners; an empty one ends it.

        Raises InputError where the collection belongs to others, who have not allowed writing.
        """
        raise InputError(f"{self.abilities.engine} keeps no leases: one process alone can open its store.")

    def inspect(self, name: str) -> Inspection:  # noqa: ARG002 - engines override it
        """Return what the engine says of a collection, whoever made it; nothing is written."""
        raise self._attaches_nothing()

    def propose(self, name: str, vector: str | None = None) -> Attachment:  # noqa: ARG002 - engines override it
        """Return a read-only mapping for a collection of others. Raises InputError where cosine can't search it."""
        raise self._attaches_nothing()

    def kinds(self, name: str, path: str) -> Kinds:  # noqa: ARG002 - engines override it
        """Count what the points of a collection of others hold under a path, exactly."""
        raise self._attaches_nothing()

    def attach(self, attachment: Attachment) -> None:  # noqa: ARG002 - engines override it
        """Take a mapping: from now on the collection is read, and where writable written, by it."""
        raise self._attaches_nothing()

    def _attaches_nothing(self) -> InputError:
        return InputError(
            f"{self.abilities.engine} holds no collections but ours. Attach to a Qdrant or Milvus server, or to an "
            "embedded Milvus file."
        )

    def close(self) -> None:
        """Release the engine. A client that was passed in is left open. Safe to call twice."""
        ...

    def __enter__(self) -> Self:
        """Return the connector itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connector."""
        self.close()
