"""Qdrant servers, cloud and clusters, by REST or gRPC (`qdrant+http://…`, `qdrant+grpc://host:port,host:port…`)."""

import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, TypeVar

import numpy as np
from cohorts.connectors.addresses import Server
from cohorts.connectors.attachment import (
    OUR_VECTOR,
    Attachment,
    Inspection,
    Kinds,
    VectorField,
    choose_vector,
    dig,
    field_names,
)
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
from cohorts.connectors.catalog import already_there, from_json, no_such_collection, to_json, with_search
from cohorts.connectors.catalog_cache import CatalogCache
from cohorts.connectors.checks import (
    OUR_PREFIX,
    check_collection,
    check_k,
    check_points,
    check_queries,
    unit_rows,
)
from cohorts.connectors.filters.conditions import MAX_NUMBER, Filter, check_filter
from cohorts.connectors.index import Flat, Hnsw, SearchParams, effective_search
from cohorts.connectors.metrics import COSINE, check_units, with_cosines
from cohorts.connectors.proxies import proxy_hint
from cohorts.connectors.qdrant.attached import (
    THEIR_TYPES,
    check_path,
    field_types,
    surely_indexed,
    their_index,
    vector_fields,
)
from cohorts.connectors.qdrant.connection import (
    ERRORS,
    is_taken,
    is_transient,
    is_unreached,
    open_client,
    reason,
)
from cohorts.connectors.qdrant.ids import KEY_FIELD, is_hashed, to_point_id
from cohorts.connectors.qdrant.translate import (
    INDEXING_THRESHOLD_KB,
    OVERSAMPLING,
    Compiler,
    Terms,
    complete,
    is_compressed,
    key_of,
    shown,
    to_bare_hits,
    to_hits,
    to_path,
    why_exact,
)
from cohorts.connectors.qdrant.wire import query, speaks_grpc, upsert
from cohorts.connectors.retry import RetryPolicy
from cohorts.documents import parse_json
from cohorts.errors import EngineError, InputError
from qdrant_client import QdrantClient, models

T = TypeVar("T")
METADATA = "cohorts"  # our key in the collection's metadata
LEASE = "cohorts lease "  # and, followed by the owner, that of a run
BATCH_ROWS = 1_000
BATCH_BYTES = 8 * 1024 * 1024
BYTES_PER_NUMBER = 12  # of a float32 in JSON
POLL_S = 0.1
# Of a cluster, in a row: each may ask other replicas, and one that has not begun looks calm, too.
CALM_POLLS = 10
IDLE_POLLS = 10  # in a row: for a moment the server may look idle before it begins
SETTLED_S = 30.0  # in which all nodes of a cluster learn of a change
GIVEN_TIMEOUT_S = 60  # of a search or a write through a client that was passed in
PATIENCE_S = 30.0
VALUES = 10_000  # of one field, read at once
UNITS = 1_000  # vectors of others whose length is looked at
SAMPLE = 100  # points of others whose payload is looked at for the types of its keys
_SCHEMA: Mapping[str, models.PayloadSchemaType] = {
    str(str): models.PayloadSchemaType.KEYWORD,
    str(list[str]): models.PayloadSchemaType.KEYWORD,
    str(int): models.PayloadSchemaType.INTEGER,
    str(float): models.PayloadSchemaType.FLOAT,
    str(bool): models.PayloadSchemaType.BOOL,
    str(date): models.PayloadSchemaType.DATETIME,
}
_QUANTIZATION: Mapping[str, Any] = {
    "none": None,
    "scalar": models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
    ),
    "product": models.ProductQuantization(
        product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X16, always_ram=True)
    ),
    "binary": models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True)),
}
# Compressed vectors order their nearest roughly: more of them than asked are compared by the whole vectors.
RESCORED = models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
TERMS = Terms(
    filter=models.Filter,
    field=models.FieldCondition,
    match=models.MatchValue,
    numbers=models.Range,
    dates=models.DatetimeRange,
    empty=lambda field: models.IsEmptyCondition(is_empty=models.PayloadField(key=field)),
    flag=lambda field, value: models.FieldCondition(key=field, match=models.MatchValue(value=value)),
)


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
    )

    def __init__(self, server: Server | None = None, *, client: QdrantClient | None = None) -> None:
        """Take an address, or a ready client, which is then not closed."""
        if (server is None) == (client is None):
            raise InputError("Give either a server's address or a ready client.")
        self._server, self._given = server, client
        self._clients: dict[tuple[str, int], QdrantClient] = {}
        self._opening = threading.Lock()
        self._at = 0
        self._patience = RetryPolicy(is_transient, PATIENCE_S)
        self._attached: dict[str, Attachment] = {}
        self._known = CatalogCache(self._look_up)

    def collections(self) -> list[str]:
        """Return the names of all collections, ours and others', sorted."""
        answer = self._call(lambda client: client.get_collections())
        return sorted(one.name for one in answer.collections)

    def create(self, collection: Collection) -> None:
        """Make an empty collection, with its payload indexes: they must stand before the graph is built."""
        check_collection(collection, self.abilities)
        name = collection.name
        if name in self.collections() or name in self.aliases():
            raise already_there(name)
        try:
            self._create(collection)
        except EngineError as error:
            if is_taken(error.__cause__):  # another process made it at the same moment
                raise already_there(name) from error
            raise
        if METADATA not in (self._info(name).config.metadata or {}):
            self._call(lambda client: client.delete_collection(name))
            raise EngineError(
                "This Qdrant keeps no metadata of a collection: cohorts needs Qdrant 1.16 or newer."
            )
        for field, kind in collection.fields.items():
            self._index_field(name, to_path(field), _SCHEMA[str(kind)])
        self._known.forget()

    def describe(self, name: str) -> Description:
        """Return what the engine says of the collection."""
        collection = self._known.of(name)
        info = self._info(name)
        note = why_exact(collection.index, int(info.indexed_vectors_count or 0))
        count, indexed = self.count(name), surely_indexed(info)
        return Description(collection, "qdrant", "cosine", count, indexed, note, exact=bool(note))

    def upsert(self, name: str, points: Points) -> None:
        """Write points in batches of bounded bytes; into a collection of others, only what is ours."""
        collection = self._known.of(name)
        attached = self._attached.get(name)
        if attached:
            ours = replace(points, payloads=[attached.ours(row) for row in points.payloads])
            self._annotate(attached, check_points(ours, collection))
            return
        points = check_points(points, collection)
        for start in range(0, len(points.ids), BATCH_ROWS):
            some = slice(start, start + BATCH_ROWS)
            self._write(name, Points(points.ids[some], points.vectors[some], points.payloads[some]))

    def finalize(self, name: str, *, timeout_s: float = 3600.0) -> None:
        """Let the server build its index, and wait until every segment that is large enough has one."""
        collection = self._known.of(name)
        if name in self._attached:
            return  # the index of others is theirs to build
        if isinstance(collection.index, Hnsw):
            settings = models.OptimizersConfigDiff(indexing_threshold=INDEXING_THRESHOLD_KB)
            self._call(lambda client: client.update_collection(name, optimizers_config=settings))
        until, calm, idle = time.monotonic() + timeout_s, 0, 0
        while True:
            info = self._info(name)
            idle = idle + 1 if info.status == models.CollectionStatus.GREY else 0
            if idle and idle % IDLE_POLLS == 0:
                self._ask_again(name)
            calm = calm + 1 if self._is_ready(collection, info) else 0
            if calm == (CALM_POLLS if _has_replicas(info) else 1):
                return
            if time.monotonic() > until:
                raise EngineError(f"Qdrant has not built the index of {name} within {timeout_s:.0f} s.")
            time.sleep(POLL_S)

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
        collection = self._known.of(name)
        check_k(k, self.abilities)
        queries = check_queries(vectors, collection.dim)
        condition = self._condition(name, collection, where)
        how, notes = effective_search(collection.index, collection.search, params, k)

        def nearest(rows: Vectors, how: SearchParams) -> list[list[Hit]]:
            return self._nearest(name, rows, k, condition, how, with_payload)

        hits = nearest(queries, how)
        if where is not None and not how.exact:
            hits, more = complete(hits, k, lambda short: nearest(queries[short], SearchParams(exact=True)))
            notes += more
        return Found(hits, k, notes)

    def set_default_search(self, name: str, params: SearchParams) -> None:
        """Keep other default search parameters, in the collection's metadata."""
        self._refuse_theirs(name)
        self._known.forget()  # it may have been changed elsewhere since
        collection = with_search(self._known.of(name), params)
        kept = {METADATA: json.dumps(to_json(collection), ensure_ascii=False)}
        self._call(lambda client: client.update_collection(collection.name, metadata=kept))
        until = time.monotonic() + SETTLED_S
        while self._known_anew(name) != collection:  # a node of a cluster may learn of it later
            if time.monotonic() > until:
                raise EngineError(
                    f"Qdrant took new default search parameters for {name}, but has not shown them for {SETTLED_S:.0f} "
                    "s: look whether all nodes of the cluster agree, then do it again."
                )
            time.sleep(POLL_S)

    def _known_anew(self, name: str) -> Collection:
        self._known.forget()
        return self._known.of(name)

    def fetch(self, name: str, ids: Sequence[str]) -> Points:
        """Return the points that exist among `ids`, in the order asked."""
        collection = self._known.of(name)
        wanted, vector, selector = [to_point_id(key) for key in ids], self._vector(name), self._selector(name)
        records = self._call(
            lambda client: client.retrieve(
                name, wanted, with_payload=selector, with_vectors=[vector] if vector else True
            )
        )
        found = {key_of(record): record for record in records}
        return self._points(name, [found[key] for key in ids if key in found], collection.dim)

    def scroll(self, name: str, page: int = 1_000) -> Iterator[Points]:
        """Yield every point once, in pages."""
        dim, offset = self._known.of(name).dim, None
        while True:
            vector = self._vector(name)
            records, offset = self._page(
                name, page, offset, self._selector(name), [vector] if vector else True
            )
            if records:
                yield self._points(name, records, dim)
            if offset is None:
                return

    def count(self, name: str, where: Filter | None = None) -> int:
        """Return the exact number of points."""
        condition = self._condition(name, self._known.of(name), where)
        return int(self._call(lambda client: client.count(name, count_filter=condition, exact=True)).count)

    def settles_within_s(self, name: str) -> float:
        """Return how long a node that came back may answer from a replica that lacks what it missed.

        Until the cluster has agreed that the replica is dead, it answers as the others do.
        """
        return SETTLED_S if _has_replicas(self._info(name)) else 0.0

    def delete(self, name: str, ids: Sequence[str]) -> None:
        """Remove points; from a collection of others, only what is ours."""
        self._known.of(name)
        selector = models.PointIdsList(points=[to_point_id(key) for key in ids])
        if name in self._attached:
            self._withdraw(self._attached[name], selector)
        else:
            self._call(lambda client: client.delete(name, selector, wait=True))

    def drop(self, name: str) -> None:
        """Remove the collection and its aliases."""
        name = self._known.of(name).name
        self._refuse_theirs(name)
        self._call(lambda client: client.delete_collection(name))
        self._known.forget()

    def alias(self, alias: str, name: str) -> None:
        """Point an alias at a collection, in one step."""
        name = self._known.of(name).name
        if alias in self.collections():
            raise already_there(alias)
        make = models.CreateAlias(collection_name=name, alias_name=alias)
        steps: list[Any] = [models.CreateAliasOperation(create_alias=make)]
        if alias in self.aliases():
            steps.insert(0, models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)))
        self._call(lambda client: client.update_collection_aliases(steps))
        self._known.forget()

    def aliases(self) -> dict[str, str]:
        """Return the collection that each alias stands for."""
        answer = self._call(lambda client: client.get_aliases())
        return {one.alias_name: one.collection_name for one in answer.aliases}

    def leases(self, name: str) -> dict[str, str]:
        """Return the lease that every run keeps in the collection's metadata, by its owner."""
        kept = self._info(name).config.metadata or {}
        return {key.removeprefix(LEASE): str(one) for key, one in kept.items() if key.startswith(LEASE)}

    def set_lease(self, name: str, owner: str, lease: str) -> None:
        """Keep a lease in the collection's metadata, where the server merges it with the other keys."""
        if name in self._attached and not self._attached[name].writable:
            raise InputError(f"Collection {name} is attached read-only.")
        kept = {LEASE + owner: lease or None}  # the server removes a key without a value
        self._call(lambda client: client.update_collection(name, metadata=kept))

    def close(self) -> None:
        """Close the clients that were made here."""
        while self._clients:
            _, client = self._clients.popitem()
            client.close()

    def inspect(self, name: str) -> Inspection:
        """Return what the engine says of a collection, whoever made it."""
        names = self.collections()
        target = self.aliases().get(name, name)
        if target not in names:
            raise no_such_collection(name, names)
        info = self._info(target)
        indexed = {key: str(one.data_type.value) for key, one in (info.payload_schema or {}).items()}
        sample, _ = self._call(lambda client: client.scroll(target, limit=SAMPLE, with_payload=True))
        count = self._call(lambda client: client.count(target, exact=True)).count
        return Inspection(
            name=target,
            engine="qdrant",
            count=int(count),
            key="unsigned integers or UUIDs",
            vectors=vector_fields(info),
            fields=field_types([record.payload or {} for record in sample], indexed),
            state=str(info.status.value),
            aliases=tuple(alias for alias, one in self.aliases().items() if one == target),
            ours=METADATA in (info.config.metadata or {}),
        )

    def propose(self, name: str, vector: str | None = None) -> Attachment:
        """Return a read-only mapping; fields can be filtered by under the last part of their path.

        Text that the owner has not indexed is left out: it may be a patient's note.
        """
        found = self.inspect(name)
        chosen = choose_vector(found.name, found.vectors, vector)
        indexed = set(self._info(found.name).payload_schema or {})
        kinds = {
            path: THEIR_TYPES[kind]
            for path, kind in found.fields.items()
            if kind in THEIR_TYPES and (path in indexed or kind in ("integer", "float", "bool"))
        }
        paths = field_names(kinds)
        fields = {field: kinds[path] for field, path in paths.items()}
        index = their_index(self._info(found.name), chosen.name)
        ours = [one for one in found.vectors if one.name == OUR_VECTOR and one.metric.lower() == COSINE]
        return Attachment(
            collection=Collection(found.name, chosen.dim, index, fields, {"attached": True}),
            vector=chosen.name,
            paths=paths,
            our_vector=ours[0].name if ours else "",
            our_dim=ours[0].dim if ours else 0,
            metric=chosen.metric.lower(),
            units_seen=self._units_seen(found.name, chosen),
        )

    def _units_seen(self, name: str, vector: VectorField) -> int:
        """Return how many vectors of length 1 were looked at; 0 where the engine compares by cosine anyway."""
        if vector.metric.lower() == COSINE:
            return 0
        names = [vector.name] if vector.name else True
        records, _ = self._call(
            lambda client: client.scroll(name, limit=UNITS, with_payload=False, with_vectors=names)
        )
        rows = [row for record in records if (row := _row(record, vector.name)) is not None]
        sample = np.array(rows, dtype=np.float32).reshape(len(rows), vector.dim)
        return check_units(name, vector.name, vector.metric, sample)

    def kinds(self, name: str, path: str) -> Kinds:
        """Count what the points hold under a path; lists of numbers count as numbers."""
        check_path(path)
        empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=path))
        number = models.FieldCondition(key=path, range=models.Range(gte=-MAX_NUMBER, lte=MAX_NUMBER))

        def count(*must: Any) -> int:
            wanted = models.Filter(must=list(must))
            return int(self._call(lambda client: client.count(name, count_filter=wanted, exact=True)).count)

        points, numbers, nothing = count(), count(number), count(empty)
        return Kinds(numbers, max(0, points - numbers - nothing), nothing)

    def values(self, name: str, path: str) -> Iterator[tuple[str, Any]]:
        """Yield the id of every point and what it holds under a path: None for nothing."""
        offset = None
        while True:
            records, offset = self._page(name, VALUES, offset, [path, KEY_FIELD], False)
            yield from ((key_of(record), dig(record.payload or {}, path)) for record in records)
            if offset is None:
                return

    def attach(self, attachment: Attachment) -> None:
        """Take a mapping for a collection of others."""
        target = attachment.collection.name
        others = {name: one for name, one in self._attached.items() if one.collection.name != target}
        self._attached = {**others, target: attachment}
        self._known.forget()

    def _client(self, at: int) -> QdrantClient:
        if self._given is not None:
            return self._given
        assert self._server is not None  # noqa: S101 - the constructor made sure
        host = self._server.hosts[at % len(self._server.hosts)]
        with self._opening:
            if host not in self._clients:
                self._clients[host] = open_client(self._server, host)
            return self._clients[host]

    def _call(self, ask: Callable[[QdrantClient], T]) -> T:
        """Ask the current node, and the next ones where it fails. Raises EngineError."""
        at = self._at

        def once() -> T:
            nonlocal at
            at = self._at
            return ask(self._client(at))

        def failed() -> None:
            if self._at == at:  # else another thread, which failed too, has moved on already
                self._at = at + 1

        try:
            return self._patience.call(once, failed)
        except ERRORS as error:
            hint = proxy_hint(self._server) if is_unreached(error) else ""
            raise EngineError(f"Qdrant failed: {reason(error)}{hint}") from error

    def _timeout_s(self) -> int:
        return self._server.timeout_s if self._server else GIVEN_TIMEOUT_S

    def _info(self, name: str) -> Any:
        return self._call(lambda client: client.get_collection(name))

    def _look_up(self, name: str) -> Collection:
        """Return a collection's definition from the server's metadata, or from the mapping for one of others."""
        names, aliases = self.collections(), self.aliases()
        target = aliases.get(name, name)
        if target in self._attached and target in names:
            attached = self._attached.setdefault(name, self._attached[target])
            # Its owner may have changed it since the mapping was made.
            info = self._info(target)
            there = choose_vector(target, vector_fields(info), attached.searched)
            attached.check_there(there)
            return replace(attached.collection, index=their_index(info, there.name))
        if target not in names:
            raise no_such_collection(name, [*names, *aliases])
        kept = (self._info(target).config.metadata or {}).get(METADATA)
        if kept is None:
            raise InputError(
                f"Collection {name} was not made by cohorts.",
                remedy="Look at it, and attach it.",
                hint="attach",
            )
        of = f"What the server keeps of collection {target}"
        return from_json(target, parse_json(kept, Any, of, error=EngineError), of, EngineError)

    def _create(self, collection: Collection) -> None:
        """Make the collection without an index: it is built once, in `finalize`, and not again with every batch."""
        index = collection.index
        hnsw = models.HnswConfigDiff(m=0)
        quantization = None
        if isinstance(index, Hnsw):
            hnsw = models.HnswConfigDiff(
                m=index.m, ef_construct=index.ef_construction, full_scan_threshold=10
            )
            quantization = _QUANTIZATION[index.quantization]
        asked = False

        def make(client: QdrantClient) -> None:
            nonlocal asked
            if asked and client.collection_exists(collection.name):
                return  # the call before has made it, and its answer was lost
            asked = True
            client.create_collection(
                collection.name,
                models.VectorParams(size=collection.dim, distance=models.Distance.COSINE),
                hnsw_config=hnsw,
                quantization_config=quantization,
                optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0),
                shard_number=self._server.shards if self._server else None,
                replication_factor=self._server.replicas if self._server else None,
                metadata={METADATA: json.dumps(to_json(collection), ensure_ascii=False)},
            )

        self._call(make)

    def _index_field(self, name: str, field: str, schema: models.PayloadSchemaType) -> None:
        self._call(lambda client: client.create_payload_index(name, field, schema, wait=True))

    def _write(self, name: str, points: Points) -> None:
        ids: list[Any] = [to_point_id(key) for key in points.ids]
        payloads: list[Any] = [_kept(*row) for row in zip(points.ids, ids, points.payloads, strict=True)]

        def ask(client: QdrantClient) -> None:
            if speaks_grpc(client):
                upsert(
                    client,
                    name,
                    ids,
                    points.vectors,
                    payloads,
                    most_bytes=BATCH_BYTES,
                    timeout_s=self._timeout_s(),
                )
                return
            for some in _batches(payloads, points.vectors.shape[1]):
                rows = points.vectors[some].tolist()
                client.upsert(
                    name, models.Batch(ids=ids[some], vectors=rows, payloads=payloads[some]), wait=True
                )

        self._call(ask)

    def _page(
        self, name: str, size: int, offset: Any, selector: bool | list[str], vectors: bool | list[str]
    ) -> tuple[list[Any], Any]:
        return self._call(
            lambda client: client.scroll(
                name, limit=size, offset=offset, with_payload=selector, with_vectors=vectors
            )
        )

    def _ask_again(self, name: str) -> None:
        """Let the server go on with the index: after a restart it waits for the next change of the collection."""
        nothing = models.OptimizersConfigDiff()
        self._call(lambda client: client.update_collection(name, optimizers_config=nothing))
        warnings.warn(
            f"Qdrant had stopped building the index of {name}, as it does when it is restarted: it was asked again.",
            stacklevel=3,
        )

    def _is_ready(self, collection: Collection, info: Any) -> bool:
        """Return whether the index is built, as far as the replicas tell that were asked."""
        name = collection.name
        if info.optimizer_status != models.OptimizersStatusOneOf.OK:
            raise EngineError(f"Qdrant can't build the index of {name}: {info.optimizer_status}")
        if info.status != models.CollectionStatus.GREEN:
            return False
        if isinstance(collection.index, Flat):
            return True
        missing = int(info.points_count or 0) - int(info.indexed_vectors_count or 0)
        # So little of each segment stays without an index.
        room = INDEXING_THRESHOLD_KB * int(info.segments_count)
        return missing * collection.dim * 4 / 1024 <= room

    def _vector(self, name: str) -> str:
        attached = self._attached.get(name)
        return attached.searched if attached else ""

    def _metric(self, name: str) -> str:
        attached = self._attached.get(name)
        return attached.compared if attached else COSINE

    def _condition(self, name: str, collection: Collection, where: Filter | None) -> models.Filter | None:
        if where is None:
            return None
        attached = self._attached.get(name)
        where = attached.named(where) if attached else where
        check_filter(where, collection.fields)
        paths = attached.paths if attached else {}
        condition: models.Filter = Compiler(TERMS, collection.fields, paths).compile(where)
        return condition

    def _nearest(
        self,
        name: str,
        rows: Vectors,
        k: int,
        condition: models.Filter | None,
        how: SearchParams,
        with_payload: bool,
    ) -> list[list[Hit]]:
        rescored = RESCORED if is_compressed(self._known.of(name).index) else None
        settings = models.SearchParams(hnsw_ef=how.ef_search, exact=how.exact, quantization=rescored)
        selector = self._selector(name) if with_payload else False
        using = self._vector(name) or None
        timeout_s, metric = self._timeout_s(), self._metric(name)
        rows = rows if metric == COSINE else unit_rows(rows, rows.shape[1])

        def ask(client: QdrantClient) -> list[Any]:
            if speaks_grpc(client):
                return query(
                    client,
                    name,
                    rows,
                    k,
                    using=using,
                    condition=condition,
                    settings=settings,
                    with_payload=selector,
                    timeout_s=timeout_s,
                )
            asked = [
                models.QueryRequest(
                    query=row, using=using, filter=condition, params=settings, limit=k, with_payload=selector
                )
                for row in rows.tolist()
            ]
            return [answer.points for answer in client.query_batch_points(name, asked)]

        found = self._call(ask) if len(rows) else []
        if with_payload:
            return with_cosines(metric, [self._hits(name, points) for points in found])
        return with_cosines(metric, to_bare_hits(found, lambda ids: self._keys_of(name, ids)))

    def _keys_of(self, name: str, ids: list[str]) -> dict[str, str]:
        records = self._call(lambda client: client.retrieve(name, ids, with_payload=[KEY_FIELD]))
        return {str(record.id): key_of(record) for record in records}

    def _hits(self, name: str, points: Sequence[Any]) -> list[Hit]:
        attached = self._attached.get(name)
        if attached is None:
            return to_hits(points)
        return [Hit(key_of(point), point.score, attached.read(point.payload or {})) for point in points]

    def _selector(self, name: str) -> bool | list[str]:
        """Return what to ask for of a payload: all of ours, the mapped keys of others."""
        attached = self._attached.get(name)
        return True if attached is None else [*attached.paths.values(), KEY_FIELD]

    def _points(self, name: str, records: Sequence[Any], dim: int) -> Points:
        """Return records as points; some of others may lack the vector that is read, and are left out."""
        attached, vector = self._attached.get(name), self._vector(name)
        read = attached.read if attached else shown
        rows = [(record, row) for record in records if (row := _row(record, vector)) is not None]
        vectors = np.array([row for _, row in rows], dtype=np.float32).reshape(len(rows), dim)
        vectors = vectors if self._metric(name) == COSINE else unit_rows(vectors, dim)
        payloads = [read(record.payload or {}) for record, _ in rows]
        return Points([key_of(record) for record, _ in rows], vectors, payloads)

    def _refuse_theirs(self, name: str) -> None:
        if name in self._attached:
            raise InputError(f"Collection {name} belongs to others: cohorts changes nothing of it.")

    def _withdraw(self, attachment: Attachment, selector: models.PointIdsList) -> None:
        """Remove our named vector and our payload keys from points of others."""
        name, ours = attachment.collection.name, [attachment.our_vector]
        if not (attachment.writable and attachment.searched == attachment.our_vector != ""):
            self._refuse_theirs(name)
        attachment.check_write(vector_fields(self._info(name)))
        keys = [path for path in attachment.paths.values() if path.startswith(OUR_PREFIX)]
        points = list(selector.points)
        steps: list[Any] = [
            models.DeleteVectorsOperation(delete_vectors=models.DeleteVectors(points=points, vector=ours)),
            models.DeletePayloadOperation(delete_payload=models.DeletePayload(points=points, keys=keys)),
        ]
        self._call(lambda client: client.batch_update_points(name, steps, wait=True))

    def _annotate(self, attachment: Attachment, points: Points) -> None:
        """Write our named vector and our payload keys to points of others; theirs stay as they are.

        An upsert would replace the whole payload and drop the vectors that it was not given.
        """
        name = attachment.collection.name
        attachment.check_write(vector_fields(self._info(name)))
        wanted = [to_point_id(key) for key in points.ids]
        records = self._call(lambda client: client.retrieve(name, wanted, with_payload=[KEY_FIELD]))
        there = {key_of(record) for record in records}
        missing = [key for key in points.ids if key not in there]
        if missing:
            raise InputError(
                f"{len(missing):,} of {len(points.ids):,} ids are no points of {name}: cohorts adds none to a "
                "collection of others. Nothing of this batch was written."
            )
        vectors = [
            models.PointVectors(id=to_point_id(key), vector={attachment.our_vector: row})
            for key, row in zip(points.ids, points.vectors.tolist(), strict=True)
        ]
        payloads = [
            models.SetPayloadOperation(
                set_payload=models.SetPayload(
                    payload={OUR_PREFIX + field: value for field, value in row.items()},
                    points=[to_point_id(key)],
                )
            )
            for key, row in zip(points.ids, points.payloads, strict=True)
        ]
        self._call(lambda client: client.update_vectors(name, vectors, wait=True))
        self._call(lambda client: client.batch_update_points(name, payloads, wait=True))


def _row(record: Any, vector: str) -> Any:
    """Return a record's vector of this name; None where it has none."""
    return record.vector.get(vector) if isinstance(record.vector, dict) else record.vector


def _has_replicas(info: Any) -> bool:
    params = info.config.params
    return int(params.shard_number) > 1 or int(params.replication_factor or 1) > 1


def _batches(payloads: Sequence[Payload], dim: int) -> Iterator[slice]:
    """Yield slices of some 8 MiB: the REST interface takes 32 MiB of JSON."""
    start = size = 0
    for row, payload in enumerate(payloads):
        bytes_ = BYTES_PER_NUMBER * dim + len(json.dumps(payload))
        if row > start and size + bytes_ > BATCH_BYTES:
            yield slice(start, row)
            start, size = row, 0
        size += bytes_
    yield slice(start, len(payloads))


def _kept(key: str, point_id: int | str, payload: Payload) -> Payload:
    return {**payload, KEY_FIELD: key} if is_hashed(key, point_id) else payload
