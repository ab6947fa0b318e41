"""Milvus servers: standalone, distributed and Zilliz (`milvus+http://host:port/database`, `milvus+https://…`)."""

import json
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import grpc
import numpy as np
from cohorts.connectors.addresses import Server
from cohorts.connectors.attachment import Attachment, Inspection, Kinds, VectorField, choose_vector
from cohorts.connectors.base import (
    NOTHING,
    Abilities,
    Collection,
    Connector,
    Description,
    FieldType,
    Found,
    Hit,
    Points,
    Vectors,
    to_hit,
)
from cohorts.connectors.catalog import already_there, from_json, no_such_collection, to_json
from cohorts.connectors.catalog_cache import CatalogCache
from cohorts.connectors.checks import (
    MAX_SCAN,
    check_collection,
    check_column,
    check_k,
    check_points,
    check_queries,
    check_scan,
    unit_rows,
)
from cohorts.connectors.filters.conditions import MAX_NUMBER, Filter, check_filter
from cohorts.connectors.index import Flat, Hnsw, Ivf, SearchParams, effective_search
from cohorts.connectors.metrics import COSINE, check_units, with_cosines
from cohorts.connectors.milvus.attached import (
    THEIR_TYPES,
    dynamic_types,
    is_fit,
    is_vector,
    their_hit,
    their_index,
    their_points,
    vector_field,
)
from cohorts.connectors.milvus.translate import (
    ID,
    PAYLOAD,
    VECTOR,
    Column,
    beyond,
    one_of,
    our_columns,
    to_expression,
    to_index,
    to_points,
    to_schema,
    to_search,
    value_column,
)
from cohorts.connectors.milvus.wire import send, to_request, to_texts
from cohorts.connectors.proxies import proxy_hint
from cohorts.connectors.retry import RetryPolicy
from cohorts.errors import EngineError, InputError
from pymilvus import DataType, MilvusClient, MilvusException
from pymilvus.grpc_gen.milvus_pb2 import UpsertRequest

T = TypeVar("T")
MARK = "cohorts"  # our key in the description, which is JSON
LEASE = "cohorts.lease."  # and, followed by the owner, that of a run in the properties
BATCH_ROWS = 1_000
BATCH_BYTES = 8 * 1024 * 1024
WIDER = (1, 8, 64)  # tried in turn for queries that come back short; the second costs next to nothing
SCAN_ROWS = 5_000
SAMPLE = 100  # rows of others that are looked at for the keys of the dynamic column
UNITS = 1_000  # vectors of others whose length is looked at
POLL_S = 0.1
SERVED_S = 60.0  # for indexes that are built to take the place of the rows as they came in
INDEXED_ROWS = 1_024  # of a segment: smaller ones get no index
NOT_FOUND = 100
EXACT = "no index: search is exact"
# Milvus' own numbers (pkg/util/merr): not ready, unavailable, rate limit, not (fully) loaded, no replica, no channel,
# node gone. Collections of ours are always loaded: one that isn't is being recovered.
_PASSING = (1, 2, 8, 101, 103, 400, 401, 500, 501, 503, 901, 902, 903)
_NO_ANSWER = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
CONNECT_FAILED = 2  # the client's own number
_get = dict.__getitem__  # the client's hits look a key up twice, in Python
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
    )
    title = "Milvus"
    # Sees what this client wrote; "Strong" waits .2-.4 s for every answer. Collections are made Strong all the same: a
    # scan in the order of keys takes the collection's own level.
    consistency = "Session"
    patience_s = 90.0  # after a crash the server needs 44 s until it has loaded everything again

    def __init__(self, server: Server | None = None, *, client: MilvusClient | None = None) -> None:
        """Take an address, or a ready client, which is then not closed."""
        if (server is None) == (client is None):
            raise InputError("Give either a server's address or a ready client.")
        self._server, self._given = server, client
        self._opened: MilvusClient | None = client
        self._opening = threading.Lock()
        self._patience = RetryPolicy(_may_pass, self.patience_s)
        self._attached: dict[str, Attachment] = {}
        self._known = CatalogCache(self._look_up)

    def collections(self) -> list[str]:
        """Return the names of all collections, ours and others', sorted."""
        return sorted(self._call(lambda client: client.list_collections()))

    def create(self, collection: Collection) -> None:
        """Make an empty collection, indexed and loaded from the start: only so can every write be counted."""
        check_collection(collection, self.abilities)
        kind, params = to_index(collection.index, collection.dim)
        name = collection.name
        if name in self.collections() or name in self.aliases():
            raise already_there(name)
        description = json.dumps({MARK: to_json(collection)}, ensure_ascii=False)
        schema = to_schema(collection, description)
        self._call(lambda client: client.create_collection(name, schema=schema, consistency_level="Strong"))
        try:
            self._index(name, VECTOR, index_type=kind, metric_type="COSINE", params=params)
            for field, type_ in collection.fields.items():
                if str(type_) in _SCALAR_INDEX:
                    self._index(name, value_column(field), index_type=_SCALAR_INDEX[str(type_)])
            self._call(lambda client: client.load_collection(name, timeout=self._timeout_s()))
        except EngineError:
            self._call(lambda client: client.drop_collection(name))  # it is ours: it was made above
            raise
        self._known.forget()

    def describe(self, name: str) -> Description:
        """Return what the engine says of the collection."""
        collection = self._known.of(name)
        attached = self._attached.get(name)
        about = self._about_theirs(name, attached.vector) if attached else self._about_index(name)
        count, exact = self.count(name), isinstance(collection.index, Flat)
        indexed, note = min(int(about.get("indexed_rows", 0)), count), EXACT if exact else ""
        return Description(collection, self.abilities.engine, "cosine", count, indexed, note, exact=exact)

    def upsert(self, name: str, points: Points) -> None:
        """Write points in batches of bounded bytes, replacing those of the same id whole.

        Always an upsert: the server stores an insert of the same ids twice.
        """
        collection = self._known.of(name)
        self._refuse_theirs(name)
        points = check_points(points, collection)
        texts = to_texts(collection, points)
        # What can be filtered by goes twice: as a column and within the payload.
        largest = 2 * max(map(len, texts), default=0) + points.vectors.itemsize * collection.dim
        step = max(1, min(BATCH_ROWS, BATCH_BYTES // largest))
        for start in range(0, len(texts), step):
            some = slice(start, start + step)
            part = Points(points.ids[some], points.vectors[some], points.payloads[some])
            self._write(to_request(self._target(name), collection, part, texts[some]))

    def finalize(self, name: str, *, timeout_s: float = 3600.0) -> None:
        """Flush, and wait until every row is indexed, visible, and served from the index."""
        collection = self._known.of(name)
        target = collection.name
        if name in self._attached:
            return  # the index of others is theirs to build
        until = time.monotonic() + timeout_s
        self._call(lambda client: client.flush(self._target(name), timeout=timeout_s), timeout_s)
        while (pending := int(self._about_index(name).get("pending_index_rows", 0))) > 0:
            if time.monotonic() > until:
                raise EngineError(
                    f"{self.title} has not built the index of {name} within {timeout_s:.0f} s: {pending:,} rows are "
                    "left. A build that can't succeed is tried for ever and gives no reason here: look into its log."
                )
            time.sleep(POLL_S)
        # Without it, searches scan the rows as they came in for another 12 s: exact, and not what was built.
        left_s = max(1.0, until - time.monotonic())
        self._call(lambda client: client.refresh_load(target, timeout=left_s), left_s)
        until = min(until, time.monotonic() + SERVED_S)  # others may write all the time
        exact = isinstance(collection.index, Flat)
        while not exact and self._is_scanned(target) and time.monotonic() < until:
            time.sleep(POLL_S)
        self.count(name)

    def _is_scanned(self, target: str) -> bool:
        """Return whether searches scan rows still, of segments that grow, or are large enough for an index."""
        segments = self._call(lambda client: client.list_loaded_segments(target))
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
        collection = self._known.of(name)
        check_k(k, self.abilities)
        queries = check_queries(vectors, collection.dim)
        how, notes = effective_search(collection.index, collection.search, params, k)
        if not len(queries):
            return Found([], k, notes)
        if how.exact and not isinstance(collection.index, Flat):
            hits, more = self._scanned(name, collection, queries, k, where, with_payload)
            return Found(hits, k, notes + more)
        if where is None:
            hits = self._nearest(name, queries, k, "", to_search(collection.index, how, k), with_payload)
            hits, more = self._completed(name, collection, queries, k, hits, where, with_payload, least=k)
        else:
            hits, more = self._filtered(name, collection, queries, k, where, how, with_payload)
        return Found(hits, k, notes + more)

    def fetch(self, name: str, ids: Sequence[str]) -> Points:
        """Return the points that exist among `ids`, in the order asked."""
        collection = self._known.of(name)
        attached = self._attached.get(name)
        keys: list[Any] = list(dict.fromkeys(ids))
        if attached and attached.integer_keys:
            keys = [int(key) for key in keys if re.fullmatch(r"-?\d{1,19}", key)]
        outputs = [attached.vector, *attached.paths.values()] if attached else [VECTOR, PAYLOAD]
        key = attached.key if attached else ID
        rows = self._query(name, one_of(key, keys), outputs) if keys else []
        points = their_points(rows, attached) if attached else to_points(rows, collection.dim)
        at = {key: row for row, key in enumerate(points.ids)}
        order = [at[key] for key in ids if key in at]
        return Points(
            [points.ids[row] for row in order],
            points.vectors[order].reshape(len(order), collection.dim),
            [points.payloads[row] for row in order],
        )

    def scroll(self, name: str, page: int = 1_000) -> Iterator[Points]:
        """Yield every point once, in pages."""
        self._known.of(name)  # which loads what was reopened
        yield from self._pages(name, "", page)

    def count(self, name: str, where: Filter | None = None) -> int:
        """Return the exact number of points."""
        return self._count(name, self._expression(name, self._known.of(name), where), "Strong")

    def delete(self, name: str, ids: Sequence[str]) -> None:
        """Remove points."""
        self._known.of(name)
        self._refuse_theirs(name)
        if ids:
            self._delete(name, one_of(ID, ids))

    def drop(self, name: str) -> None:
        """Remove the collection and its aliases."""
        target = self._name_of_ours(name)
        for alias, one in self.aliases().items():
            if one == target:
                self._drop_alias(alias)
        self._call(lambda client: client.drop_collection(target))
        self._known.forget()

    def alias(self, alias: str, name: str) -> None:
        """Point an alias at a collection, in one step."""
        target = self._known.of(name).name
        if alias in self.collections():
            raise already_there(alias)
        if alias in self.aliases():
            self._call(lambda client: client.alter_alias(target, alias))
        else:
            self._call(lambda client: client.create_alias(target, alias))
        self._known.forget()

    def aliases(self) -> dict[str, str]:
        """Return the collection that each alias stands for."""
        return {alias: name for name in self.collections() for alias in self._aliases_of(name)}

    def leases(self, name: str) -> dict[str, str]:
        """Return the lease that every run keeps in the collection's properties, by its owner."""
        kept = self._about(name).get("properties") or {}
        # The server removes no property: one that is empty has ended.
        return {key.removeprefix(LEASE): one for key, one in kept.items() if key.startswith(LEASE) and one}

    def set_lease(self, name: str, owner: str, lease: str) -> None:
        """Keep a lease in the collection's properties, where the server merges it with the others."""
        target = self._name_of_ours(name)
        self._call(lambda client: client.alter_collection_properties(target, {LEASE + owner: lease}))

    def close(self) -> None:
        """Close the client, unless it was passed in."""
        if self._opened is not None and self._given is None:
            self._opened.close()
            self._opened = None

    def inspect(self, name: str) -> Inspection:
        """Return what the engine says of a collection, whoever made it."""
        about = self._about(name)
        target = str(about["collection_name"])
        vectors, fields, key = [], {}, ""
        for field in about["fields"]:
            kind = DataType(field["type"])
            if field.get("is_primary"):
                key = f"{field['name']} ({kind.name}{', given by the engine' if about['auto_id'] else ''})"
            if is_vector(field):
                vectors.append(vector_field(field, self._about_theirs(target, field["name"])))
            else:
                fields[field["name"]] = kind.name
        state = self._call(lambda client: client.get_load_state(target))["state"]
        state = str(getattr(state, "name", state))
        if about["enable_dynamic_field"]:
            fields["$meta"] = "dynamic"
            if state == "Loaded":
                rows = self._query(target, "", ["$meta"], limit=SAMPLE)
                fields |= dynamic_types(rows, [field["name"] for field in about["fields"]])
        return Inspection(
            name=target,
            engine=self.abilities.engine,
            count=self._count_theirs(target, state),
            key=key,
            vectors=tuple(vectors),
            fields=fields,
            state=state,
            aliases=tuple(about.get("aliases", ())),
            ours=_definition(about) is not None,
        )

    def _count_theirs(self, target: str, state: str) -> int:
        """Return how many rows there are, those not flushed yet among them, as far as a released collection tells."""
        if state == "Loaded":
            return self._count(target, "", "Strong")
        return int(self._call(lambda client: client.get_collection_stats(target))["row_count"])

    def kinds(self, name: str, path: str) -> Kinds:
        """Count what the rows hold in a column, or under a key of the dynamic one."""
        about = self._about(name)
        field = next((one for one in about["fields"] if one["name"] == path), None)
        points = self._count(name, "", "Strong")
        if field is None and not about["enable_dynamic_field"]:
            return Kinds(0, 0, points)
        check_column(path)
        if field is None:
            there = self._count(name, f"exists {path}", "Strong")
            numbers = self._count(name, f"{path} >= {-MAX_NUMBER}", "Strong")
        else:
            there = self._count(name, f"{path} is not null", "Strong") if field.get("nullable") else points
            numbers = there if THEIR_TYPES.get(DataType(field["type"])) in (int, float) else 0
        return Kinds(numbers, there - numbers, points - there)

    def propose(self, name: str, vector: str | None = None) -> Attachment:
        """Return a read-only mapping; columns of numbers, flags and short text can be filtered by."""
        found, about = self.inspect(name), self._about(name)
        chosen = choose_vector(found.name, found.vectors, vector)
        if found.state != "Loaded":
            raise InputError(
                f"Collection {found.name} is not loaded ({found.state}); its owner must load it first."
            )
        key = next(field for field in about["fields"] if field.get("is_primary"))
        fields: dict[str, FieldType] = {}
        present = {}
        for field in about["fields"]:
            present[field["name"]] = f"{field['name']} is not null" if field.get("nullable") else ""
            if is_fit(field):
                fields[field["name"]] = THEIR_TYPES[DataType(field["type"])]
        index = their_index(self._about_theirs(found.name, chosen.name))
        return Attachment(
            collection=Collection(found.name, chosen.dim, index, fields, {"attached": True}),
            vector=chosen.name,
            paths={field: field for field in fields},
            present=present,
            key=key["name"],
            integer_keys=DataType(key["type"]) is DataType.INT64,
            metric=chosen.metric.lower(),
            units_seen=self._units_seen(found.name, chosen),
            dynamic=bool(about["enable_dynamic_field"]),
        )

    def _units_seen(self, name: str, vector: VectorField) -> int:
        """Return how many vectors of length 1 were looked at; 0 where the engine compares by cosine anyway."""
        if vector.metric.lower() == COSINE:
            return 0
        rows = self._query(name, "", [vector.name], limit=UNITS)
        sample = np.array([row[vector.name] for row in rows], dtype=np.float32)
        return check_units(name, vector.name, vector.metric, sample.reshape(len(rows), vector.dim))

    def attach(self, attachment: Attachment) -> None:
        """Take a mapping for a collection of others; it is read only, for Milvus replaces rows whole."""
        if attachment.writable:
            raise InputError(
                "Milvus replaces a row whole, with all that its owner keeps there: cohorts only reads collections of "
                "others on Milvus. Ingest into a collection of its own beside it."
            )
        target = attachment.collection.name
        for column in (attachment.key, attachment.vector, *attachment.paths.values(), *attachment.present):
            check_column(column)
        others = {name: one for name, one in self._attached.items() if one.collection.name != target}
        self._attached = {**others, target: attachment}
        self._known.forget()

    def _target(self, name: str) -> str:
        """Return the name to send: an alias as it is, for the server to follow wherever it points."""
        return name

    def _timeout_s(self) -> float:
        return float(self._server.timeout_s) if self._server else 60.0

    def _open(self) -> MilvusClient:
        assert self._server is not None  # noqa: S101 - the constructor made sure
        (host, port), tls = self._server.hosts[0], self._server.tls
        more: dict[str, Any] = {"ca_pem_path": str(self._server.ca_file)} if self._server.ca_file else {}
        return MilvusClient(
            f"{'https' if tls else 'http'}://{host}:{port}",
            token=self._server.secret.reveal(),
            db_name=self._server.database,
            timeout=self._timeout_s(),
            dedicated=True,
            **more,
        )

    def _client(self) -> MilvusClient:
        with self._opening:
            if self._opened is None:
                for noisy in (
                    "pymilvus",
                    "milvus_lite",
                ):  # they log, traceback and all, what is raised anyway
                    logging.getLogger(noisy).setLevel(logging.CRITICAL)
                self._opened = self._open()
            return self._opened

    def _call(self, ask: Callable[[MilvusClient], T], at_most_s: float = math.inf) -> T:
        """Ask the server, again where the error may pass. Raises EngineError."""

        try:
            return self._patience.call(lambda: ask(self._client()), at_most_s=at_most_s)
        except (MilvusException, grpc.RpcError) as error:
            hint = proxy_hint(self._server) if _is_unreached(error) else ""
            raise EngineError(f"{self.title} failed ({_reason(error)}){hint}") from error

    def _write(self, request: UpsertRequest) -> None:
        self._call(lambda client: send(client, request, self._timeout_s()))

    def _query(self, name: str, expression: str, outputs: list[str], **more: Any) -> list[Any]:
        return list(
            self._call(
                lambda client: client.query(
                    self._target(name),
                    filter=expression,
                    output_fields=outputs,
                    consistency_level=self.consistency,
                    timeout=self._timeout_s(),
                    **more,
                )
            )
        )

    def _delete(self, name: str, expression: str) -> None:
        self._call(
            lambda client: client.delete(self._target(name), filter=expression, timeout=self._timeout_s())
        )

    def _drop_alias(self, alias: str) -> None:
        self._call(lambda client: client.drop_alias(alias))

    def _aliases_of(self, name: str) -> list[str]:
        return list(self._call(lambda client: client.list_aliases(name))["aliases"])

    def _index(self, name: str, field: str, *, timeout_s: float | None = None, **settings: Any) -> None:
        def build(client: MilvusClient) -> None:
            if field in client.list_indexes(name):  # a call before, which came to no answer, has made it
                return
            wanted = client.prepare_index_params()
            wanted.add_index(field, **settings)
            # Nothing is there to wait for, but on an embedded engine, which answers when it has built the index.
            client.create_index(name, wanted, timeout=timeout_s or self._timeout_s(), sync=False)

        self._call(build)

    def _about(self, name: str) -> dict[str, Any]:
        """Return the engine's description of a collection. Raises CollectionNotFound."""
        try:
            about: dict[str, Any] = self._call(lambda client: client.describe_collection(name))
        except EngineError as error:
            if getattr(error.__cause__, "code", None) == NOT_FOUND:
                raise no_such_collection(name, [*self.collections(), *self.aliases()]) from error
            raise
        return about

    def _about_index(self, name: str, index: str = VECTOR) -> dict[str, Any]:
        return self._call(lambda client: client.describe_index(self._target(name), index)) or {}

    def _about_theirs(self, name: str, vector: str) -> dict[str, Any]:
        """Return what the engine says of the index of a vector, under whatever name its owner made it; {} for none."""
        names = self._call(lambda client: client.list_indexes(self._target(name), field_name=vector))
        return self._about_index(name, names[0]) if names else {}

    def _look_up(self, name: str) -> Collection:
        """Return a collection's definition from its description, or from the mapping for one of others."""
        about = self._about(name)
        target = str(about["collection_name"])
        if target in self._attached:
            return self._theirs(name, target)
        definition = _definition(about)
        if definition is None:
            raise not_ours(name)
        self._make_readable(target)
        return from_json(target, definition, f"What the server keeps of collection {target}", EngineError)

    def _theirs(self, name: str, target: str) -> Collection:
        """Return a collection of others as the mapping has it, with the index that it has now."""
        attached = self._attached.setdefault(name, self._attached[target])
        there = self._about_theirs(target, attached.vector)
        dim, kind = {"dim": attached.collection.dim}, DataType.FLOAT_VECTOR
        field = vector_field({"name": attached.vector, "type": kind, "params": dim}, there)
        attached.check_there(choose_vector(target, [field], None))
        return replace(attached.collection, index=their_index(there))

    def _name_of_ours(self, name: str) -> str:
        """Return the collection that a name stands for, however far its making went before somebody died."""
        self._refuse_theirs(name)
        about = self._about(name)
        if _definition(about) is None:
            raise not_ours(name)
        return str(about["collection_name"])

    def _make_readable(self, name: str) -> None:
        """Load a collection of ours that someone released: it can't be read otherwise."""
        state = self._call(lambda client: client.get_load_state(name))["state"]
        if str(getattr(state, "name", state)) != "Loaded":
            self._call(lambda client: client.load_collection(name, timeout=self._timeout_s()))

    def _expression(self, name: str, collection: Collection, where: Filter | None) -> str:
        if where is None:
            return ""
        attached = self._attached.get(name)
        where = attached.named(where) if attached else where
        check_filter(where, collection.fields)
        if attached is None:
            return to_expression(where, collection.fields, our_columns(collection.fields))
        otherwise = "exists {}" if attached.dynamic else ""
        columns = {
            field: Column(path, attached.present.get(path, otherwise.format(path)))
            for field, path in attached.paths.items()
        }
        return to_expression(where, collection.fields, columns, attached.key)

    def _count(self, name: str, expression: str, consistency: str) -> int:
        answer = self._call(
            lambda client: client.query(
                self._target(name),
                filter=expression,
                output_fields=["count(*)"],
                consistency_level=consistency,
                timeout=self._timeout_s(),
            )
        )
        return int(answer[0]["count(*)"])

    def _nearest(
        self, name: str, queries: Vectors, k: int, expression: str, how: dict[str, int], with_payload: bool
    ) -> list[list[Hit]]:
        attached = self._attached.get(name)
        key, fields = (ID, [PAYLOAD]) if attached is None else (attached.key, sorted(attached.paths.values()))
        metric = attached.metric if attached else COSINE
        queries = queries if metric == COSINE else unit_rows(queries, queries.shape[1])
        # Where nothing is named, embedded Milvus sends every field, the vectors too.
        outputs = (fields if with_payload else []) or [key]
        found = self._call(
            lambda client: client.search(
                self._target(name),
                data=list(queries),
                anns_field=attached.vector if attached else VECTOR,
                limit=k,
                filter=expression,
                output_fields=outputs,
                search_params={"params": how},
                consistency_level=self.consistency,
                timeout=self._timeout_s(),
            )
        )
        if attached is not None:
            theirs = [[their_hit(hit, attached, with_payload) for hit in row] for row in found]
            return with_cosines(metric, theirs)
        if not with_payload:
            return [[to_hit((_get(hit, ID), _get(hit, "distance"), NOTHING)) for hit in row] for row in found]
        return [
            [to_hit((_get(hit, ID), _get(hit, "distance"), _get(hit, "entity")[PAYLOAD])) for hit in row]
            for row in found
        ]

    def _filtered(
        self,
        name: str,
        collection: Collection,
        queries: Vectors,
        k: int,
        where: Filter,
        how: SearchParams,
        with_payload: bool,
    ) -> tuple[list[list[Hit]], tuple[str, ...]]:
        """Search wider, then scan: the engine drops what the filter leaves out from the nearest that it visits.

        A narrow filter leaves too few of them, and the farthest of those left are doubtful. Twice k are asked for, so
        that the first k can be trusted.
        """
        expression = self._expression(name, collection, where)
        best: list[list[Hit]] = [[] for _ in queries]
        short = list(range(len(queries)))
        wanted = min(2 * k, self.abilities.max_k)
        notes: list[str] = []
        for wider in WIDER[1:]:
            settings = to_search(collection.index, how, wanted, wider)
            best = _replaced(
                best, short, self._nearest(name, queries[short], wanted, expression, settings, with_payload)
            )
            notes.append(f"{len(short)} of {len(queries)} filtered queries searched {wider} times wider")
            short = [row for row in short if len(best[row]) < wanted]
            if not short:
                break
        best, more = self._completed(name, collection, queries, k, best, where, with_payload, least=wanted)
        return [hits[:k] for hits in best], (*notes, *more)

    def _completed(
        self,
        name: str,
        collection: Collection,
        queries: Vectors,
        k: int,
        hits: list[list[Hit]],
        where: Filter | None,
        with_payload: bool,
        *,
        least: int,
    ) -> tuple[list[list[Hit]], tuple[str, ...]]:
        """Scan for the queries that found fewer than `least` though more match: an inverted file may leave some so."""
        short = [row for row, found in enumerate(hits) if len(found) < least]
        if not short:
            return hits, ()
        # Counted only now: the time of a count grows with what matches.
        matching = self._count(name, self._expression(name, collection, where), self.consistency)
        short = [row for row in short if len(hits[row]) < matching]
        if not short:
            return hits, ()
        if matching > MAX_SCAN:
            note = f"{len(short)} of {len(queries)} queries came back short; {matching:,} match, too many to scan"
            return hits, (note,)
        note = f"{len(short)} of {len(queries)} queries came back short and were scanned exactly"
        return _replaced(hits, short, self._scan(name, collection, queries[short], k, where, with_payload)), (
            note,
        )

    def _scanned(
        self,
        name: str,
        collection: Collection,
        queries: Vectors,
        k: int,
        where: Filter | None,
        with_payload: bool,
    ) -> tuple[list[list[Hit]], tuple[str, ...]]:
        """Search exactly, where the engine can't, as far as so many points can be read; a note says so."""
        matching = self._count(name, self._expression(name, collection, where), self.consistency)
        check_scan(matching, self.title)
        note = f"{self.title} has no exact search beside an index: {matching:,} points were read and compared here"
        return self._scan(name, collection, queries, k, where, with_payload), (note,)

    def _scan(
        self,
        name: str,
        collection: Collection,
        queries: Vectors,
        k: int,
        where: Filter | None,
        with_payload: bool,
    ) -> list[list[Hit]]:
        """Compare with all points here: the engine has no exact search beside an index."""
        queries = unit_rows(queries, collection.dim)
        best: list[list[Hit]] = [[] for _ in queries]
        for page in self._pages(name, self._expression(name, collection, where), SCAN_ROWS):
            scores = queries @ page.vectors.T
            for row, hits in enumerate(best):
                order = np.argsort(-scores[row], kind="stable")[:k]
                hits += [
                    Hit(page.ids[i], float(scores[row, i]), page.payloads[i] if with_payload else NOTHING)
                    for i in order
                ]
                hits.sort(key=lambda hit: -hit.score)
                del hits[k:]
        return best

    def _pages(self, name: str, expression: str, page: int) -> Iterator[Points]:
        """Yield the points that match, in the order of their keys; the client's own iterator quotes no key."""
        collection, attached = self._known.of(name), self._attached.get(name)
        outputs = [attached.vector, *attached.paths.values()] if attached else [ID, VECTOR, PAYLOAD]
        key = attached.key if attached else ID
        rest = f"not ({key} in [])"
        # The least keys, as its iterator asks for them.
        in_order = {"iterator": "True", "reduce_stop_for_best": "True"}
        while True:
            both = f"({expression}) and {rest}" if expression else rest
            rows = self._query(name, both, outputs, limit=page, **in_order)
            if not rows:
                return
            yield their_points(rows, attached) if attached else to_points(rows, collection.dim)
            rest = beyond(key, max(row[key] for row in rows))

    def _refuse_theirs(self, name: str) -> None:
        if name in self._attached:
            raise InputError(f"Collection {name} belongs to others: cohorts only reads it.")


def not_ours(name: str) -> InputError:
    """Return the error of a collection that has no mapping."""
    return InputError(
        f"Collection {name} was not made by cohorts.",
        remedy="Look at it, and attach it.",
        hint="attach",
    )


def _definition(about: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return our definition from the engine's description of a collection; None where it is not ours."""
    try:
        definition: dict[str, Any] = json.loads(about["description"])[MARK]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return definition


def _replaced(hits: list[list[Hit]], rows: list[int], by: list[list[Hit]]) -> list[list[Hit]]:
    new = dict(zip(rows, by, strict=True))
    return [new.get(row, old) for row, old in enumerate(hits)]


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, MilvusException):
        return error.code in _PASSING or isinstance(error.code, grpc.StatusCode)
    return isinstance(error, grpc.RpcError) and error.code() in _NO_ANSWER


def _is_unreached(error: BaseException) -> bool:
    """Tell whether it may be that nothing of the server's answered."""
    if isinstance(error, MilvusException):
        return error.code in (CONNECT_FAILED, *_NO_ANSWER)
    return isinstance(error, grpc.RpcError) and error.code() in _NO_ANSWER


def _reason(error: BaseException) -> str:
    """Return code and message without the filter: its values are patients'."""
    if isinstance(error, MilvusException):
        first_line = error.message.partition("\n")[0]
        return f"code {error.code}): {first_line.partition('expression: ')[0]}"
    return f"{error.code().name}): {error.details()}"  # type: ignore[attr-defined]
