"""Qdrant servers, cloud and clusters, by REST or gRPC (`qdrant+http://…`, `qdrant+grpc://host:port,host:port…`)."""

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from cohorts.connectors.addresses import Server
from cohorts.connectors.attached.attachment import Attachment, Inspection, Kinds
from cohorts.connectors.attached.paths import dig
from cohorts.connectors.base import Abilities, Collection, Connector, Description, Found, Hit, Points, Vectors
from cohorts.connectors.catalog import already_there, from_json, no_such_collection, to_json, with_search
from cohorts.connectors.catalog_cache import CatalogCache
from cohorts.connectors.checks import check_collection, check_k, check_queries
from cohorts.connectors.filters.conditions import Filter
from cohorts.connectors.index import Flat, Hnsw, SearchParams, effective_search
from cohorts.connectors.qdrant import inspection
from cohorts.connectors.qdrant.attached import AttachedLayout
from cohorts.connectors.qdrant.building import METADATA, POLL_S, has_replicas, index_fields, make
from cohorts.connectors.qdrant.connection import is_taken
from cohorts.connectors.qdrant.ids import KEY_FIELD, to_point_id
from cohorts.connectors.qdrant.layout import Layout
from cohorts.connectors.qdrant.searching import nearest
from cohorts.connectors.qdrant.translate import complete, key_of, why_exact
from cohorts.connectors.qdrant.transport import Transport
from cohorts.documents import parse_json
from cohorts.errors import EngineError, InputError
from qdrant_client import QdrantClient, models

LEASE = "cohorts lease "  # and, followed by the owner, that of a run
SETTLED_S = 30.0  # in which all nodes of a cluster learn of a change


class QdrantConnector(Connector):
    """A Qdrant server or cluster. When a node fails, the next one of the address is asked."""

    abilities = Abilities(
        "qdrant",
        (Flat, Hnsw),
        max_k=2**31,
        quantization=("scalar", "product", "binary"),
        notes=("A filtered search that comes back short is run again, exactly.",),
        writers=2,
        leases=True,
        attaches=True,
    )

    def __init__(self, server: Server | None = None, *, client: QdrantClient | None = None) -> None:
        """Take an address, or a ready client, which is then not closed."""
        self._transport = Transport(server, client)
        self._attached: dict[str, Attachment] = {}
        self._layouts = CatalogCache(self._look_up)

    def collections(self) -> list[str]:
        """Return the names of all collections, ours and others', sorted."""
        return self._transport.collections()

    def create(self, collection: Collection) -> None:
        """Make an empty collection, with its payload indexes: they must stand before the graph is built."""
        check_collection(collection, self.abilities)
        name = collection.name
        if name in self.collections() or name in self.aliases():
            raise already_there(name)
        try:
            make(self._transport, collection)
        except EngineError as error:
            if is_taken(error.__cause__):  # another process made it at the same moment
                raise already_there(name) from error
            raise
        if METADATA not in (self._transport.info(name).config.metadata or {}):
            self._transport.call(lambda client: client.delete_collection(name))
            raise EngineError(
                "This Qdrant keeps no metadata of a collection: cohorts needs Qdrant 1.16 or newer."
            )
        index_fields(self._transport, collection)
        self._layouts.forget()

    def describe(self, name: str) -> Description:
        """Return what the engine says of the collection."""
        collection = self._layouts.of(name).collection
        info = self._transport.info(name)
        note = why_exact(collection.index, int(info.indexed_vectors_count or 0))
        count, indexed = self.count(name), inspection.surely_indexed(info)
        return Description(collection, "qdrant", "cosine", count, indexed, note, exact=bool(note))

    def upsert(self, name: str, points: Points) -> None:
        """Write points in batches of bounded bytes; into a collection of others, only what is ours."""
        self._layouts.of(name).write(self._transport, name, points)

    def finalize(self, name: str, *, timeout_s: float = 3600.0) -> None:
        """Let the server build its index, and wait until every segment that is large enough has one."""
        self._layouts.of(name).build(self._transport, name, timeout_s)

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
        """Return up to k hits per query row, best first."""
        layout = self._layouts.of(name)
        collection = layout.collection
        check_k(k, self.abilities)
        queries = check_queries(vectors, collection.dim)
        condition = layout.condition(where)
        how, notes = effective_search(collection.index, collection.search, params, k)

        def ask(rows: Vectors, how: SearchParams) -> list[list[Hit]]:
            return nearest(self._transport, layout, name, rows, k, condition, how, with_payload)

        hits = ask(queries, how)
        if where is not None and not how.exact:
            hits, more = complete(hits, k, lambda short: ask(queries[short], SearchParams(exact=True)))
            notes += more
        return Found(hits, k, notes)

    def set_default_search(self, name: str, params: SearchParams) -> None:
        """Keep other default search parameters, in the collection's metadata."""
        self._layouts.forget()  # it may have been changed elsewhere since
        layout = self._layouts.of(name)
        layout.check_changed()
        collection = with_search(layout.collection, params)
        kept = {METADATA: json.dumps(to_json(collection), ensure_ascii=False)}
        self._transport.call(lambda client: client.update_collection(collection.name, metadata=kept))
        until = time.monotonic() + SETTLED_S
        while self._known_anew(name) != collection:  # a node of a cluster may learn of it later
            if time.monotonic() > until:
                raise EngineError(
                    f"Qdrant took new default search parameters for {name}, but has not shown them for {SETTLED_S:.0f} "
                    "s: look whether all nodes of the cluster agree, then do it again."
                )
            time.sleep(POLL_S)

    def _known_anew(self, name: str) -> Collection:
        self._layouts.forget()
        return self._layouts.of(name).collection

    def fetch(self, name: str, ids: Sequence[str]) -> Points:
        """Return the points that exist among `ids`, in the order asked."""
        layout = self._layouts.of(name)
        wanted = [to_point_id(key) for key in ids]
        records = self._transport.retrieve(name, wanted, layout.payload, layout.vectors)
        found = {key_of(record): record for record in records}
        return layout.points([found[key] for key in ids if key in found])

    def find(self, name: str, where: Filter | None = None, page: int = 10_000) -> Iterator[list[str]]:
        """Yield the ids of the points (that match `where`), in pages."""
        condition = self._layouts.of(name).holding(where)
        for records in self._transport.pages(name, page, [KEY_FIELD], condition=condition):
            yield [key_of(record) for record in records]

    def values(self, name: str, field: str, page: int = 1_000) -> Iterator[list[tuple[str, Any]]]:
        """Yield, in pages, the id of every point and what it holds in a payload field."""
        path = self._layouts.of(name).path(field)
        for records in self._transport.pages(name, page, [path, KEY_FIELD]):
            yield [(key_of(record), dig(record.payload or {}, path)) for record in records]

    def scroll(self, name: str, page: int = 1_000) -> Iterator[Points]:
        """Yield every point once, in pages."""
        layout = self._layouts.of(name)
        for records in self._transport.pages(name, page, layout.payload, layout.vectors):
            yield layout.points(records)

    def count(self, name: str, where: Filter | None = None) -> int:
        """Return the exact number of points."""
        return self._transport.count(name, self._layouts.of(name).condition(where))

    def settles_within_s(self, name: str) -> float:
        """Return how long a node that came back may answer from a replica that lacks what it missed.

        Until the cluster has agreed that the replica is dead, it answers as the others do.
        """
        return SETTLED_S if has_replicas(self._transport.info(name)) else 0.0

    def delete(self, name: str, ids: Sequence[str]) -> None:
        """Remove points; from a collection of others, only what is ours."""
        self._layouts.of(name).delete(self._transport, name, ids)

    def drop(self, name: str) -> None:
        """Remove the collection and its aliases."""
        layout = self._layouts.of(name)
        layout.check_changed()
        self._transport.call(lambda client: client.delete_collection(layout.collection.name))
        self._layouts.forget()

    def alias(self, alias: str, name: str) -> None:
        """Point an alias at a collection, in one step."""
        name = self._layouts.of(name).collection.name
        if alias in self.collections():
            raise already_there(alias)
        point = models.CreateAlias(collection_name=name, alias_name=alias)
        steps: list[Any] = [models.CreateAliasOperation(create_alias=point)]
        if alias in self.aliases():
            steps.insert(0, models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)))
        self._transport.call(lambda client: client.update_collection_aliases(steps))
        self._layouts.forget()

    def aliases(self) -> dict[str, str]:
        """Return the collection that each alias stands for."""
        return self._transport.aliases()

    def leases(self, name: str) -> dict[str, str]:
        """Return the lease that every run keeps in the collection's metadata, by its owner."""
        kept = self._transport.info(name).config.metadata or {}
        return {key.removeprefix(LEASE): str(one) for key, one in kept.items() if key.startswith(LEASE)}

    def set_lease(self, name: str, owner: str, lease: str) -> None:
        """Keep a lease in the collection's metadata, where the server merges it with the other keys."""
        self._layouts.of(name).check_leased()
        kept = {LEASE + owner: lease or None}  # the server removes a key without a value
        self._transport.call(lambda client: client.update_collection(name, metadata=kept))

    def inspect(self, name: str) -> Inspection:
        """Return what the engine says of a collection, whoever made it."""
        return inspection.inspect(self._transport, name)

    def propose(self, name: str, vector: str | None = None) -> Attachment:
        """Return a read-only mapping for a collection of others."""
        return inspection.propose(self._transport, name, vector)

    def kinds(self, name: str, path: str) -> Kinds:
        """Count what the points hold under a path; lists of numbers count as numbers."""
        return inspection.kinds(self._transport, name, path)

    def attach(self, attachment: Attachment) -> None:
        """Take a mapping for a collection of others."""
        self._attached[attachment.collection.name] = attachment
        self._layouts.forget()

    def close(self) -> None:
        """Close the clients that were made here."""
        self._transport.close()

    def _look_up(self, name: str) -> Layout:
        """Return how a collection is read: as the server's metadata says, or by the mapping for one of others."""
        names, aliases = self.collections(), self.aliases()
        target = aliases.get(name, name)
        if target not in names:
            raise no_such_collection(name, [*names, *aliases])
        info = self._transport.info(target)
        if target in self._attached:
            return AttachedLayout(self._attached[target], info)
        kept = (info.config.metadata or {}).get(METADATA)
        if kept is None:
            raise InputError(
                f"Collection {name} was not made by cohorts.",
                remedy="Look at it, and attach it.",
                hint="attach",
            )
        of = f"What the server keeps of collection {target}"
        return Layout(from_json(target, parse_json(kept, Any, of, error=EngineError), of, EngineError))
