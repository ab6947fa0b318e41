"""Milvus servers: standalone, distributed and Zilliz (`milvus+http://host:port/database`, `milvus+https://…`)."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cohorts.connectors.addresses import Server
from cohorts.connectors.attached.attachment import Attachment, Inspection, Kinds
from cohorts.connectors.base import Abilities, Collection, Connector, Description, Found, Points, Vectors
from cohorts.connectors.catalog import already_there, from_json, to_json
from cohorts.connectors.catalog_cache import CatalogCache
from cohorts.connectors.checks import check_collection, check_k, check_queries
from cohorts.connectors.filters.conditions import Filter
from cohorts.connectors.index import Flat, Hnsw, Ivf, SearchParams, effective_search
from cohorts.connectors.milvus import inspection
from cohorts.connectors.milvus.attached import AttachedLayout, check_mapping, only_read
from cohorts.connectors.milvus.inspection import MARK, definition
from cohorts.connectors.milvus.layout import Layout
from cohorts.connectors.milvus.searching import Search
from cohorts.connectors.milvus.translate import VECTOR, one_of, to_index, to_schema, value_column
from cohorts.connectors.milvus.transport import Transport
from cohorts.errors import EngineError, InputError
from pymilvus import MilvusClient

LEASE = "cohorts.lease."  # and, followed by the owner, that of a run in the properties
POLL_S = 0.1
SERVED_S = 60.0  # for indexes that are built to take the place of the rows as they came in
INDEXED_ROWS = 1_024  # of a segment: smaller ones get no index
EXACT = "no index: search is exact"
_SCALAR_INDEX: Mapping[str, str] = {str(str): "Trie", str(int): "STL_SORT", str(float): "STL_SORT"}


class MilvusConnector(Connector):
    """A Milvus server, by pymilvus."""

    abilities = Abilities(
        "milvus",
        (Flat, Hnsw, Ivf),
        max_k=16_384,
        ivf=("flat", "sq8", "pq"),
        notes=(
            "A filtered search looks 8 times wider than asked; still short, 64 times; then it scans all that match.",
        ),
        writers=2,
        exact_by_scan=True,
        leases=True,
        attaches=True,
    )

    def __init__(self, server: Server | None = None, *, client: MilvusClient | None = None) -> None:
        """Take an address, or a ready client, which is then not closed."""
        self._use(Transport(server, client))

    def _use(self, transport: Transport) -> None:
        self._transport = transport
        self._attached: dict[str, Attachment] = {}
        self._layouts = CatalogCache(self._look_up)

    def collections(self) -> list[str]:
        """Return the names of all collections, ours and others', sorted."""
        return self._transport.collections()

    def create(self, collection: Collection) -> None:
        """Make an empty collection, indexed and loaded from the start: only so can every write be counted."""
        check_collection(collection, self.abilities)
        kind, params = to_index(collection.index, collection.dim)
        name, transport = collection.name, self._transport
        if name in self.collections() or name in self.aliases():
            raise already_there(name)
        description = json.dumps({MARK: to_json(collection)}, ensure_ascii=False)
        schema = to_schema(collection, description)
        transport.call(
            lambda client: client.create_collection(name, schema=schema, consistency_level="Strong")
        )
        try:
            transport.make_index(name, VECTOR, index_type=kind, metric_type="COSINE", params=params)
            for field, type_ in collection.indexed.items():
                if str(type_) in _SCALAR_INDEX:
                    transport.make_index(name, value_column(field), index_type=_SCALAR_INDEX[str(type_)])
            transport.load(name)
        except EngineError:
            transport.call(lambda client: client.drop_collection(name))  # it is ours: it was made above
            raise
        self._layouts.forget()

    def describe(self, name: str) -> Description:
        """Return what the engine says of the collection."""
        layout = self._layouts.of(name)
        about = layout.about_index(self._transport, name)
        count, exact = self.count(name), isinstance(layout.collection.index, Flat)
        indexed, note = min(int(about.get("indexed_rows", 0)), count), EXACT if exact else ""
        engine = self.abilities.engine
        return Description(layout.collection, engine, "cosine", count, indexed, note, exact=exact)

    def upsert(self, name: str, points: Points) -> None:
        """Write points in batches of bounded bytes, replacing those of the same id whole."""
        self._layouts.of(name).write(self._transport, name, points)

    def finalize(self, name: str, *, timeout_s: float = 3600.0) -> None:
        """Flush, and wait until every row is indexed, visible, and served from the index."""
        layout = self._layouts.of(name)
        layout.build(lambda: self._build(name, layout.collection, timeout_s))

    def _build(self, name: str, collection: Collection, timeout_s: float) -> None:
        transport, target, until = self._transport, collection.name, time.monotonic() + timeout_s
        transport.call(lambda client: client.flush(name, timeout=timeout_s), timeout_s)
        while (pending := int(transport.about_index(name).get("pending_index_rows", 0))) > 0:
            if time.monotonic() > until:
                raise EngineError(
                    f"Milvus has not built the index of {name} within {timeout_s:.0f} s: {pending:,} rows are left. A "
                    "build that can't succeed is tried for ever and gives no reason here: look into its log."
                )
            time.sleep(POLL_S)
        # Without it, searches scan the rows as they came in for another 12 s: exact, and not what was built.
        left_s = max(1.0, until - time.monotonic())
        transport.call(lambda client: client.refresh_load(target, timeout=left_s), left_s)
        until = min(until, time.monotonic() + SERVED_S)  # others may write all the time
        exact = isinstance(collection.index, Flat)
        while not exact and self._is_scanned(target) and time.monotonic() < until:
            time.sleep(POLL_S)
        self.count(name)

    def _is_scanned(self, target: str) -> bool:
        """Return whether searches scan rows still, of segments that grow, or are large enough for an index."""
        segments = self._transport.call(lambda client: client.list_loaded_segments(target))
        return any(
            one.num_rows > 0
            and (one.state_name != "Sealed" or (one.num_rows >= INDEXED_ROWS and not one.index_id))
            for one in segments
        )

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
        how, notes = effective_search(collection.index, collection.search, params, k)
        if not len(queries):
            return Found([], k, notes)
        search = Search(self._transport, layout, name, queries, k, layout.expression(where), with_payload)
        if how.exact and not isinstance(collection.index, Flat):
            hits, more = search.scanned()
        elif where is None:
            hits, more = search.nearest(how)
        else:
            hits, more = search.filtered(how, self.abilities.max_k)
        return Found(hits, k, notes + more)

    def fetch(self, name: str, ids: Sequence[str]) -> Points:
        """Return the points that exist among `ids`, in the order asked."""
        layout = self._layouts.of(name)
        keys = layout.keys(ids)
        rows = self._transport.query(name, one_of(layout.key, keys), layout.outputs) if keys else []
        points = layout.points(rows)
        at = {key: row for row, key in enumerate(points.ids)}
        order = [at[key] for key in ids if key in at]
        return Points(
            [points.ids[row] for row in order],
            points.vectors[order].reshape(len(order), layout.collection.dim),
            [points.payloads[row] for row in order],
        )

    def find(self, name: str, where: Filter | None = None, page: int = 10_000) -> Iterator[list[str]]:
        """Yield the ids of the points (that match `where`), in pages."""
        layout = self._layouts.of(name)
        key, expression = layout.key, layout.expression(where)
        for rows in self._transport.pages(name, key, expression, [key], page):
            yield [str(row[key]) for row in rows]

    def values(self, name: str, field: str, page: int = 1_000) -> Iterator[list[tuple[str, Any]]]:
        """Yield, in pages, the id of every point and what it holds in a payload field."""
        layout = self._layouts.of(name)
        outputs = [layout.key, *layout.value_columns(field)]
        for rows in self._transport.pages(name, layout.key, "", outputs, page):
            yield [(str(row[layout.key]), layout.value(row, field)) for row in rows]

    def scroll(self, name: str, page: int = 1_000) -> Iterator[Points]:
        """Yield every point once, in pages."""
        layout = self._layouts.of(name)
        yield from map(layout.points, self._transport.pages(name, layout.key, "", layout.outputs, page))

    def count(self, name: str, where: Filter | None = None) -> int:
        """Return the exact number of points."""
        return self._transport.count(name, self._layouts.of(name).expression(where))

    def delete(self, name: str, ids: Sequence[str]) -> None:
        """Remove points."""
        self._layouts.of(name).delete(self._transport, name, ids)

    def drop(self, name: str) -> None:
        """Remove the collection and its aliases."""
        target = self._ours(name)
        for alias, one in self.aliases().items():
            if one == target:
                self._transport.call(lambda client, alias=alias: client.drop_alias(alias))  # type: ignore[misc]
        self._transport.call(lambda client: client.drop_collection(target))
        self._layouts.forget()

    def alias(self, alias: str, name: str) -> None:
        """Point an alias at a collection, in one step."""
        target = self._layouts.of(name).collection.name
        if alias in self.collections():
            raise already_there(alias)
        if alias in self.aliases():
            self._transport.call(lambda client: client.alter_alias(target, alias))
        else:
            self._transport.call(lambda client: client.create_alias(target, alias))
        self._layouts.forget()

    def aliases(self) -> dict[str, str]:
        """Return the collection that each alias stands for."""
        return self._transport.aliases()

    def leases(self, name: str) -> dict[str, str]:
        """Return the lease that every run keeps in the collection's properties, by its owner."""
        kept = self._transport.about(name).get("properties") or {}
        # The server removes no property: one that is empty has ended.
        return {key.removeprefix(LEASE): one for key, one in kept.items() if key.startswith(LEASE) and one}

    def set_lease(self, name: str, owner: str, lease: str) -> None:
        """Keep a lease in the collection's properties, where the server merges it with the others."""
        target, kept = self._ours(name), {LEASE + owner: lease}
        self._transport.call(lambda client: client.alter_collection_properties(target, kept))

    def inspect(self, name: str) -> Inspection:
        """Return what the engine says of a collection, whoever made it."""
        return inspection.inspect(self._transport, name, self.abilities.engine)

    def propose(self, name: str, vector: str | None = None) -> Attachment:
        """Return a read-only mapping for a collection of others."""
        return inspection.propose(self._transport, self.inspect(name), vector)

    def kinds(self, name: str, path: str) -> Kinds:
        """Count what the rows hold in a column, or under a key of the dynamic one."""
        return inspection.kinds(self._transport, name, path)

    def attach(self, attachment: Attachment) -> None:
        """Take a mapping for a collection of others; it is read only, for Milvus replaces rows whole."""
        check_mapping(attachment)
        self._attached[attachment.collection.name] = attachment
        self._layouts.forget()

    def close(self) -> None:
        """Close the client, unless it was passed in."""
        self._transport.close()

    def _look_up(self, name: str) -> Layout:
        """Return how a collection is read: as its description says, or by the mapping for one of others."""
        about = self._transport.about(name)
        target = str(about["collection_name"])
        if target in self._attached:
            return self._attached_layout(target)
        ours = definition(about)
        if ours is None:
            raise not_ours(name)
        if self._transport.load_state(target) != "Loaded":  # someone released it
            self._transport.load(target)
        return Layout(from_json(target, ours, f"What the server keeps of collection {target}", EngineError))

    def _attached_layout(self, target: str) -> AttachedLayout:
        attachment = self._attached[target]
        return AttachedLayout(attachment, self._transport.about_vector(target, attachment.vector))

    def _ours(self, name: str) -> str:
        """Return the collection that a name stands for, however far its making went before somebody died."""
        about = self._transport.about(name)
        target = str(about["collection_name"])
        if target in self._attached:
            raise only_read(target)
        if definition(about) is None:
            raise not_ours(name)
        return target


def not_ours(name: str) -> InputError:
    """Return the error of a collection that has no mapping."""
    return InputError(
        f"Collection {name} was not made by cohorts.",
        remedy="Look at it, and attach it.",
        hint="attach",
    )
