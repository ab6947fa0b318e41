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
from cohorts.connectors.attached.attachment import Inspection
from cohorts.connectors.base import Abilities, Collection
from cohorts.connectors.catalog import Definitions, already_there, with_search
from cohorts.connectors.checks import check_collection
from cohorts.connectors.index import Flat, Hnsw, Ivf, SearchParams
from cohorts.connectors.milvus.attached import only_read
from cohorts.connectors.milvus.layout import Layout
from cohorts.connectors.milvus.server import MilvusConnector, not_ours
from cohorts.connectors.milvus.translate import VECTOR, one_of, to_index, to_schema
from cohorts.connectors.milvus.transport import Row, Transport
from cohorts.connectors.proxies import DIRECT
from cohorts.errors import EngineError
from cohorts.private_files import private_folder
from milvus_lite.server_manager import server_manager_instance
from pymilvus import MilvusClient

T = TypeVar("T")

# The client asks every 10 s whether the engine is alive; after some pauses the engine ends the connection for that, and
# gRPC writes so to stderr. In one process nobody needs to ask.
_NO_PINGS = {"grpc.keepalive_time_ms": 2**31 - 1}
# Within one process the engine serves a file to all clients at once, and a closed client leaves it running.
_users: Counter[Path] = Counter()
_users_lock = threading.Lock()


class LiteTransport(Transport):
    """The engine in this process, over one file; aliases stand in the file of definitions, for it knows none."""

    title = "Embedded Milvus"
    consistency = "Strong"
    patience_s = 5.0  # it is of this machine: a full disk, say, does not pass by itself

    def __init__(self, path: Path, definitions: Definitions) -> None:
        super().__init__(Server("milvus", "file", tls=False, hosts=()), None)
        self._path, self._definitions = path, definitions

    def target(self, name: str) -> str:
        """Return the collection that a name stands for."""
        return self._definitions.aliases().get(name, name)

    def call(self, ask: Callable[[MilvusClient], T], at_most_s: float = math.inf) -> T:
        """Ask the engine. Raises EngineError."""
        try:
            return super().call(ask, at_most_s)
        except OSError as error:
            raise EngineError(f"Embedded Milvus can't use its file: {error}") from error
        except EngineError as error:
            if "Open local milvus failed" in str(error):
                raise EngineError(
                    "Embedded Milvus can't open its file: another process has it open, or it is damaged."
                ) from error
            raise

    def _open(self) -> MilvusClient:
        with _users_lock:
            private_folder(self._path)
            client = MilvusClient(str(self._path), grpc_options=DIRECT | _NO_PINGS)
            _users[self._path.resolve()] += 1
        return client

    def close(self) -> None:
        """Close the client, and end the engine where no other connector of this process uses the file."""
        if self._opened is None:
            return
        super().close()
        with _users_lock:
            file = self._path.resolve()
            _users[file] -= 1
            if not _users[file]:
                del _users[file]
                server_manager_instance.release_server(str(self._path))

    def load_if_indexed(self, name: str) -> None:
        """Load a collection of others: in a file that was reopened none is, and its owner can't while we hold it."""
        if self.call(lambda client: client.has_collection(name) and client.list_indexes(name)):
            self.call(lambda client: client.load_collection(name))

    def aliases(self) -> dict[str, str]:
        """Return the collection that each alias stands for."""
        return self._definitions.aliases()

    def pages(
        self, name: str, key: str, expression: str, outputs: list[str], size: int
    ) -> Iterator[list[Row]]:
        """Yield the rows that match: the first page, all other keys at once, then their rows by page.

        This engine sorts nothing, and lists all keys for whatever comes after a page.
        """
        matching = expression or f"not ({key} in [])"
        first = self.query(name, matching, outputs, limit=size)
        if first:
            yield first
        if len(first) < size:
            return
        had = {row[key] for row in first}
        keys = [one for row in self.query(name, matching, [key]) if (one := row[key]) not in had]
        for start in range(0, len(keys), size):
            some = keys[start : start + size]
            rows = self.query(name, one_of(key, some), outputs)
            if rows:
                yield rows


class MilvusLiteConnector(MilvusConnector):
    """Embedded Milvus in one file. One process at a time; the last connector to close lets others in."""

    abilities = Abilities(
        "milvus-lite",
        (Flat, Hnsw, Ivf),
        max_k=16_384,
        # Others are accepted by the engine, reported as finished, and served by brute force.
        ivf=("flat", "sq8"),
        notes=MilvusConnector.abilities.notes,
        exact_by_scan=True,
        attaches=True,
    )
    _transport: LiteTransport

    def __init__(self, path: Path) -> None:
        self._path = path
        self._definitions = Definitions(path.with_name(path.name + ".collections.json"))
        self._use(LiteTransport(path, self._definitions))

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
        if self._transport.call(lambda client: client.has_collection(name)):
            raise already_there(name)  # someone else's: every one of ours has a definition before it is made
        self._remove_torn(name)
        self._definitions.put(collection)
        try:
            self._transport.call(
                lambda client: client.create_collection(name, schema=schema, consistency_level="Strong")
            )
        except EngineError:
            self._definitions.remove(name)
            raise
        self._layouts.forget()

    def _remove_torn(self, name: str) -> None:
        """Remove what the engine left of a create that was killed: it knows no such collection, and can't make it."""
        torn = self._path / "collections" / name
        if torn.is_dir() and not (torn / "schema.json").exists():
            shutil.rmtree(torn)

    def _build(self, name: str, collection: Collection, timeout_s: float) -> None:
        """Flush, build, load, and check that every vector is indexed and visible."""
        target = collection.name
        self._transport.call(lambda client: client.flush(target))
        if not self._transport.call(
            lambda client: client.list_indexes(target)
        ):  # a second one is an error here
            self._build_index(target, collection, timeout_s)
        self._transport.load(target, timeout_s)
        description = self.describe(name)
        missing = description.count - description.indexed
        if missing > 0:
            raise EngineError(
                f"{missing:,} of {description.count:,} vectors of {name} have no index after the build."
            )

    def _build_index(self, target: str, collection: Collection, timeout_s: float) -> None:
        kind, params = to_index(collection.index, collection.dim)
        # The client sends each parameter by itself; this engine reads them in one called `params`, and takes its
        # defaults where there is none.
        self._transport.make_index(
            target,
            VECTOR,
            timeout_s=timeout_s,
            index_type=kind,
            metric_type="COSINE",
            params={"params": params},
        )
        there = self._transport.about_index(target).get("params", {})
        if there != params:
            raise EngineError(f"Embedded Milvus built {kind} with {there}; {params} was asked for.")

    def set_default_search(self, name: str, params: SearchParams) -> None:
        """Keep other default search parameters, in the file of definitions."""
        layout = self._layouts.of(name)
        layout.check_changed()
        self._definitions.put(with_search(layout.collection, params))
        self._layouts.forget()

    def drop(self, name: str) -> None:
        """Remove the collection and its aliases."""
        target = self._ours(name)
        if self._transport.call(
            lambda client: client.has_collection(target)
        ):  # not so after a create that died
            self._transport.call(lambda client: client.drop_collection(target))
        self._definitions.remove(target)
        self._layouts.forget()

    def alias(self, alias: str, name: str) -> None:
        """Point an alias at a collection: the engine knows none, the file of definitions does."""
        self._definitions.alias(alias, name)
        self._layouts.forget()

    def inspect(self, name: str) -> Inspection:
        """Return what the engine says of a collection, whoever made it."""
        self._transport.load_if_indexed(name)
        return super().inspect(name)

    def close(self) -> None:
        """Close the client; in a file that is opened again, nothing is loaded."""
        super().close()
        self._layouts.forget()

    def _look_up(self, name: str) -> Layout:
        """Return how a collection is read; a reopened one is loaded first, or the engine refuses to read it."""
        target = self._transport.target(name)
        if target in self._attached:
            self._transport.load_if_indexed(target)
            return self._attached_layout(target)
        if target not in self._definitions.names():
            if target in self.collections():
                raise not_ours(name)
            self._definitions.get(name)  # raises the error that names those there are
        self._transport.load(target)
        return Layout(self._definitions.get(name))

    def _ours(self, name: str) -> str:
        """Return the collection that a name stands for, whether or not the engine has made it."""
        target = self._transport.target(name)
        if target in self._attached:
            raise only_read(target)
        return self._definitions.get(name).name
