"""Embedded Milvus (`milvus:PATH.db`): pymilvus over a file, with the engine in threads of this process.

This engine keeps no description of a collection; the definitions stand in a JSON file beside the database.
"""

import math
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from cohorts.connectors.addresses import Server
from cohorts.connectors.attachment import Inspection
from cohorts.connectors.base import Abilities, Collection, Points
from cohorts.connectors.catalog import Definitions, already_there, with_search
from cohorts.connectors.checks import check_collection
from cohorts.connectors.index import Flat, Hnsw, Ivf, SearchParams
from cohorts.connectors.milvus.server import MilvusConnector, not_ours
from cohorts.connectors.milvus.translate import ID, VECTOR, to_index, to_schema
from cohorts.connectors.proxies import DIRECT
from cohorts.errors import EngineError
from cohorts.private_files import private_folder
from milvus_lite.server_manager import server_manager_instance
from pymilvus import MilvusClient

T = TypeVar("T")

# Within one process the engine serves a file to all clients at once, and a closed client leaves it running.
_users: Counter[Path] = Counter()
_users_lock = threading.Lock()


class MilvusLiteConnector(MilvusConnector):
    """Embedded Milvus in one file. One process at a time; the last connector to close lets others in."""

    abilities = Abilities(
        "milvus-lite",
        (Flat, Hnsw, Ivf),
        max_k=16_384,
        ivf=(
            "flat",
            "sq8",
        ),  # others are accepted by the engine, reported as finished, and served by brute force
        notes=MilvusConnector.abilities.notes,
        exact_by_scan=True,
    )
    title = "Embedded Milvus"
    consistency = "Strong"
    patience_s = 5.0  # it is of this machine: a full disk, say, does not pass by itself

    def __init__(self, path: Path) -> None:
        self._path = path
        self._definitions = Definitions(path.with_name(path.name + ".collections.json"))
        super().__init__(Server("milvus", "file", tls=False, hosts=()))

    def collections(self) -> list[str]:
        """Return the names of all collections, ours and others', sorted."""
        if not self._path.exists():
            return []
        return sorted({*super().collections(), *self._definitions.names()})

    def create(self, collection: Collection) -> None:
        """Make an empty collection."""
        check_collection(collection, self.abilities)
        self._definitions.refuse_existing(collection.name)
        name, schema = collection.name, to_schema(collection, "")
        if self._call(lambda client: client.has_collection(name)):
            raise already_there(name)  # someone else's: every one of ours has a definition before it is made
        self._remove_torn(name)
        self._definitions.put(collection)
        try:
            self._call(
                lambda client: client.create_collection(name, schema=schema, consistency_level="Strong")
            )
        except EngineError:
            self._definitions.remove(name)
            raise
        self._known.forget()

    def _remove_torn(self, name: str) -> None:
        """Remove what the engine left of a create that was killed: it knows no such collection, and can't make it."""
        torn = self._path / "collections" / name
        if torn.is_dir() and not (torn / "schema.json").exists():
            shutil.rmtree(torn)

    def finalize(self, name: str, *, timeout_s: float = 3600.0) -> None:
        """Flush, build, load, and check that every vector is indexed and visible."""
        collection = self._known.of(name)
        if name in self._attached:
            return  # the index of others is theirs to build
        target = collection.name
        self._call(lambda client: client.flush(target))
        if not self._call(lambda client: client.list_indexes(target)):  # a second one is an error here
            self._build(target, collection, timeout_s)
        self._call(lambda client: client.load_collection(target, timeout=timeout_s))
        description = self.describe(name)
        missing = description.count - description.indexed
        if missing > 0:
            raise EngineError(
                f"{missing:,} of {description.count:,} vectors of {name} have no index after the build."
            )

    def _build(self, target: str, collection: Collection, timeout_s: float) -> None:
        kind, params = to_index(collection.index, collection.dim)
        # The client sends each parameter by itself; this engine reads them in one called `params`, and takes its
        # defaults where there is none.
        self._index(
            target,
            VECTOR,
            timeout_s=timeout_s,
            index_type=kind,
            metric_type="COSINE",
            params={"params": params},
        )
        there = self._about_index(target).get("params", {})
        if there != params:
            raise EngineError(f"{self.title} built {kind} with {there}; {params} was asked for.")

    def set_default_search(self, name: str, params: SearchParams) -> None:
        """Keep other default search parameters, in the file of definitions."""
        self._refuse_theirs(name)
        self._definitions.put(with_search(self._known.of(name), params))
        self._known.forget()

    def drop(self, name: str) -> None:
        """Remove the collection and its aliases."""
        self._refuse_theirs(name)
        target = self._definitions.get(name).name
        if self._call(lambda client: client.has_collection(target)):  # not so after a create that died
            self._call(lambda client: client.drop_collection(target))
        self._definitions.remove(target)
        self._known.forget()

    def alias(self, alias: str, name: str) -> None:
        """Point an alias at a collection: the engine knows none, the file of definitions does."""
        self._definitions.alias(alias, name)
        self._known.forget()

    def aliases(self) -> dict[str, str]:
        """Return the collection that each alias stands for."""
        return self._definitions.aliases()

    def inspect(self, name: str) -> Inspection:
        """Return what the engine says of a collection, whoever made it."""
        self._load_theirs(name)
        return super().inspect(name)

    def _load_theirs(self, name: str) -> None:
        """Load a collection of others: in a file that was reopened none is, and its owner can't while we hold it."""
        if self._call(lambda client: client.has_collection(name) and client.list_indexes(name)):
            self._call(lambda client: client.load_collection(name))

    def close(self) -> None:
        """Close the client, and end the engine where no other connector of this process uses the file."""
        if self._opened is None:
            return
        self._opened.close()
        self._opened = None
        self._known.forget()
        with _users_lock:
            file = self._path.resolve()
            _users[file] -= 1
            if not _users[file]:
                del _users[file]
                server_manager_instance.release_server(str(self._path))

    def _open(self) -> MilvusClient:
        with _users_lock:
            private_folder(self._path)
            client = MilvusClient(str(self._path), grpc_options=DIRECT)
            _users[self._path.resolve()] += 1
        return client

    def _call(self, ask: Callable[[MilvusClient], T], at_most_s: float = math.inf) -> T:
        try:
            return super()._call(ask, at_most_s)
        except OSError as error:
            raise EngineError(f"Embedded Milvus can't use its file: {error}") from error
        except EngineError as error:
            if "Open local milvus failed" in str(error):
                raise EngineError(
                    "Embedded Milvus can't open its file: another process has it open, or it is damaged."
                ) from error
            raise

    def _target(self, name: str) -> str:
        return self._definitions.aliases().get(name, name)

    def _look_up(self, name: str) -> Collection:
        """Return a collection's definition; a reopened one is loaded first, or the engine refuses to read it."""
        target = self._target(name)
        if target in self._attached:
            self._load_theirs(target)
            return self._theirs(name, target)
        if target not in self._definitions.names():
            if target in self.collections():
                raise not_ours(name)
            self._definitions.get(name)  # raises the error that names those there are
        self._call(lambda client: client.load_collection(target))
        return self._definitions.get(name)

    def _pages(self, name: str, expression: str, page: int) -> Iterator[Points]:
        """Yield the points that match: the first page, all other keys at once, then their rows by page.

        This engine sorts nothing, and lists all keys for whatever comes after a page.
        """
        attached = self._attached.get(name)
        key = attached.key if attached else ID
        matching = expression or f"not ({key} in [])"
        first = [str(row[key]) for row in self._query(name, matching, [key], limit=page)]
        if first:
            yield self.fetch(name, first)
        if len(first) < page:
            return
        had = set(first)
        keys = [one for row in self._query(name, matching, [key]) if (one := str(row[key])) not in had]
        for start in range(0, len(keys), page):
            yield self.fetch(name, keys[start : start + page])
