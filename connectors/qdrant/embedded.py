"""Embedded Qdrant: the real engine in this process (`qdrant:PATH`), one shard per collection below PATH."""

import fcntl
import shutil
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import qdrant_edge as edge
from cohorts.connectors.base import (
    Abilities,
    Collection,
    Connector,
    Description,
    Found,
    Hit,
    Points,
    Vectors,
)
from cohorts.connectors.catalog import Definitions, with_search
from cohorts.connectors.checks import check_collection, check_k, check_points, check_query_rows
from cohorts.connectors.filters.conditions import Filter
from cohorts.connectors.filters.reading import check_filter
from cohorts.connectors.index import Flat, Hnsw, SearchParams, effective_search
from cohorts.connectors.qdrant.ids import KEY_FIELD, is_hashed, to_point_id
from cohorts.connectors.qdrant.translate import (
    INDEXING_THRESHOLD_KB,
    OVERSAMPLING,
    Compiler,
    Terms,
    complete,
    is_compressed,
    key_of,
    may_lack_index,
    shown,
    to_bare_hits,
    to_hits,
    to_path,
    why_exact,
)
from cohorts.errors import CohortsError, EngineError
from cohorts.private_files import open_private, private_folder

ROOM_BYTES = 32 << 20  # of disk: what a batch, a log and a flush take at most
FLUSH_POINTS = (
    5_000  # what is not flushed outlives the process, not the machine, and is held in memory until then
)

# On disk, as the payload is: in memory a dozen fields take 3 kB a point, several times the vector itself.
_SCHEMA: Mapping[str, Any] = {
    str(str): edge.KeywordIndexParams(on_disk=True),
    str(list[str]): edge.KeywordIndexParams(on_disk=True),
    str(int): edge.IntegerIndexParams(on_disk=True),
    str(float): edge.FloatIndexParams(on_disk=True),
    str(bool): edge.BoolIndexParams(on_disk=True),
    str(date): edge.DatetimeIndexParams(on_disk=True),
}
_QUANTIZATION: Mapping[str, Any] = {
    "none": None,
    "scalar": edge.ScalarQuantizationConfig(edge.ScalarType.Int8, always_ram=True),
    "product": edge.ProductQuantizationConfig(edge.CompressionRatio.X16, always_ram=True),
    "binary": edge.BinaryQuantizationConfig(always_ram=True),
}


def to_config(collection: Collection) -> edge.EdgeConfig:
    """Translate a collection into the engine's configuration."""
    threshold = INDEXING_THRESHOLD_KB
    hnsw = quantization = None
    if isinstance(collection.index, Hnsw):
        hnsw = edge.HnswIndexConfig(
            m=collection.index.m,
            ef_construct=collection.index.ef_construction,
            full_scan_threshold=INDEXING_THRESHOLD_KB,
        )
        quantization = _QUANTIZATION[collection.index.quantization]
    else:
        threshold = 2**40  # never built: every search is exact
    vector = edge.EdgeVectorParams(
        collection.dim,
        edge.Distance.Cosine,
        on_disk=False,
        hnsw_config=hnsw,
        quantization_config=quantization,
    )
    return edge.EdgeConfig(
        vectors={"": vector},
        on_disk_payload=True,
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=threshold, default_segment_number=1),
    )


EXACT = SearchParams(exact=True)
RESCORED = edge.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
TERMS = Terms(
    filter=edge.Filter,
    field=edge.FieldCondition,
    match=edge.MatchValue,
    numbers=edge.RangeFloat,
    dates=edge.RangeDateTime,
    empty=edge.IsEmptyCondition,
    # qdrant-edge-py 0.9 takes Python's bool for a number, which matches no boolean; numpy's is no number.
    flag=lambda field, value: edge.FieldCondition(field, match=edge.MatchValue(np.bool_(value))),  # type: ignore[arg-type]
)


class QdrantEdgeConnector(Connector):
    """Embedded Qdrant under a folder. One process at a time; a shard is opened at its first use."""

    abilities = Abilities(
        "qdrant-edge",
        (Flat, Hnsw),
        max_k=2**31,
        quantization=("scalar", "product", "binary"),
        notes=("A filtered search that comes back short is run again, exactly.",),
    )

    def __init__(self, path: Path) -> None:
        self._path = path
        self._definitions = Definitions(path / "collections.json")
        self._known: dict[str, Collection] = {}
        self._shards: dict[str, edge.EdgeShard] = {}
        self._lock: TextIO | None = None
        self._opening = threading.Lock()  # the engine opens a shard once
        self._unflushed: Counter[str] = Counter()
        self._compiled: tuple[Collection, Filter, edge.Filter] | None = None

    def collections(self) -> list[str]:
        """Return the names of all collections, sorted."""
        return self._definitions.names()

    def create(self, collection: Collection) -> None:
        """Make an empty collection, with its payload indexes: they must stand before the graph is built."""
        check_collection(collection, self.abilities)
        self._hold()
        self._check_room()
        self._definitions.refuse_existing(collection.name)
        folder = self._path / collection.name
        with _engine_errors:
            shutil.rmtree(folder, ignore_errors=True)  # what a create that died left behind
            private_folder(folder)
            shard = edge.EdgeShard.create(str(folder), to_config(collection))
            for field, kind in collection.indexed.items():
                shard.update(edge.UpdateOperation.create_field_index(to_path(field), _SCHEMA[str(kind)]))
            shard.flush()
        self._shards[collection.name] = shard
        self._definitions.put(collection)

    def describe(self, name: str) -> Description:
        """Return what the engine says of the collection."""
        collection, shard = self._of(name)
        with _engine_errors:
            info = shard.info()
        count, indexed = info.points_count, info.indexed_vectors_count
        note = why_exact(collection.index, indexed)
        return Description(collection, "qdrant-edge", "cosine", count, indexed, note, exact=bool(note))

    def upsert(self, name: str, points: Points) -> None:
        """Write points, replacing those of the same id whole."""
        collection, shard = self._of(name)
        points = check_points(points, collection)
        self._check_room()
        if points.ids:
            batch = _batch(points)
            with _engine_errors:
                shard.update(edge.UpdateOperation.upsert_points(batch))
                self._unflushed[collection.name] += len(batch)
                if self._unflushed[collection.name] >= FLUSH_POINTS:
                    shard.flush()
                    self._unflushed[collection.name] = 0

    def finalize(self, name: str, *, timeout_s: float = 3600.0) -> None:  # noqa: ARG002 - the build runs here
        """Build the index in this process and check that it covers every vector."""
        collection, shard = self._of(name)
        files = (file for file in (self._path / collection.name).rglob("*") if file.is_file())
        self._check_room(sum(file.stat().st_size for file in files))  # every segment is written anew
        with _engine_errors:
            while shard.optimize():
                pass
            shard.flush()
            info = shard.info()
        missing = info.points_count - info.indexed_vectors_count
        if isinstance(collection.index, Hnsw) and not may_lack_index(
            missing, collection.dim, info.segments_count
        ):
            raise EngineError(
                f"{missing:,} of {info.points_count:,} vectors of {name} have no index after the build."
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
        collection, shard = self._of(name)
        check_k(k, self.abilities)
        queries = check_query_rows(vectors, collection.dim)
        condition = self._condition(collection, where)
        how, notes = effective_search(collection.index, collection.search, params, k)
        rescored = RESCORED if is_compressed(collection.index) else None

        def nearest(rows: Iterable[list[float]], how: SearchParams) -> list[list[Hit]]:
            settings = edge.SearchParams(hnsw_ef=how.ef_search, exact=how.exact, quantization=rescored)
            with _engine_errors:
                found = [
                    shard.query(
                        edge.QueryRequest(
                            k,
                            query=edge.Query.Nearest(row),
                            filter=condition,
                            params=settings,
                            with_payload=with_payload,
                        )
                    )
                    for row in rows  # lists, which are read five times faster than arrays
                ]
            if not with_payload:
                return to_bare_hits(found, lambda ids: _keys_of(shard, ids))
            return [to_hits(row) for row in found]

        hits = nearest(queries, how)
        if where is not None and not how.exact:
            hits, more = complete(hits, k, lambda short: nearest([queries[row] for row in short], EXACT))
            notes += more
        return Found(hits, k, notes)

    def set_default_search(self, name: str, params: SearchParams) -> None:
        """Keep other default search parameters, in the file of definitions."""
        collection, _ = self._of(name)
        self._definitions.put(with_search(collection, params))
        self._known.clear()

    def fetch(self, name: str, ids: Sequence[str]) -> Points:
        """Return the points that exist among `ids`, in the order asked."""
        collection, shard = self._of(name)
        with _engine_errors:
            records = shard.retrieve([to_point_id(key) for key in ids], with_payload=True, with_vector=True)
        found = {key_of(record): record for record in records}
        return _points([found[key] for key in ids if key in found], collection.dim)

    def find(self, name: str, where: Filter | None = None, page: int = 10_000) -> Iterator[list[str]]:
        """Yield the ids of the points (that match `where`), in pages."""
        collection, shard = self._of(name)
        condition = self._condition(collection, where)
        for records in _pages(shard, page, with_payload=[KEY_FIELD], with_vector=False, filter=condition):
            yield [key_of(record) for record in records]

    def values(self, name: str, field: str, page: int = 1_000) -> Iterator[list[tuple[str, Any]]]:
        """Yield, in pages, the id of every point and what it holds in a payload field."""
        _, shard = self._of(name)
        for records in _pages(shard, page, with_payload=[to_path(field), KEY_FIELD], with_vector=False):
            yield [(key_of(record), (record.payload or {}).get(field)) for record in records]

    def scroll(self, name: str, page: int = 1_000) -> Iterator[Points]:
        """Yield every point once, in pages."""
        collection, shard = self._of(name)
        for records in _pages(shard, page, with_payload=True, with_vector=True):
            yield _points(records, collection.dim)

    def count(self, name: str, where: Filter | None = None) -> int:
        """Return the exact number of points."""
        collection, shard = self._of(name)
        with _engine_errors:
            return shard.count(edge.CountRequest(filter=self._condition(collection, where), exact=True))

    def delete(self, name: str, ids: Sequence[str]) -> None:
        """Remove points."""
        _, shard = self._of(name)
        with _engine_errors:
            shard.update(edge.UpdateOperation.delete_points([to_point_id(key) for key in ids]))

    def drop(self, name: str) -> None:
        """Remove the collection and its files."""
        name = self._definitions.get(name).name
        self._hold()
        shard = self._shards.pop(name, None)
        with _engine_errors:
            if shard:
                shard.close()
            self._definitions.remove(name)
            self._known.clear()
            if (self._path / name).exists():
                shutil.rmtree(self._path / name)

    def alias(self, alias: str, name: str) -> None:
        """Point an alias at a collection."""
        self._hold()
        self._definitions.alias(alias, name)
        self._known.clear()

    def aliases(self) -> dict[str, str]:
        """Return the collection that each alias stands for."""
        return self._definitions.aliases()

    def close(self) -> None:
        """Flush and close every shard that was opened, and let other processes in."""
        try:
            with _engine_errors:
                while self._shards:
                    _, shard = self._shards.popitem()
                    shard.flush()
                    shard.close()
        finally:
            self._known.clear()
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def _check_room(self, wanted: int = 0) -> None:
        """Raise EngineError on a disk nearly full: the engine would end the process with a bus error."""
        free = shutil.disk_usage(self._path).free
        if free < wanted + ROOM_BYTES:
            raise EngineError(
                f"Embedded Qdrant needs {(wanted + ROOM_BYTES) >> 20:,} MiB of room in {self._path}, and "
                f"{free >> 20:,} MiB are free. Make room, then go on; what was written stays."
            )

    def _hold(self) -> None:
        """Take the whole store: the engine locks each shard alone, so another process could drop ours from under us."""
        if self._lock is not None:
            return
        with _engine_errors:
            lock = open_private(private_folder(self._path) / "lock", "a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise EngineError(
                f"Embedded Qdrant can't open {self._path}: another process has it open, or another connector of "
                "this one. Close it first."
            ) from error
        self._lock = lock

    def _of(self, name: str) -> tuple[Collection, edge.EdgeShard]:
        collection = self._known.get(name)
        if collection is None or collection.name not in self._shards:
            with self._opening:
                collection = self._open(name)
        return collection, self._shards[collection.name]

    def _open(self, name: str) -> Collection:
        collection = self._definitions.get(name)
        self._hold()  # from here on nobody else changes a definition
        self._known[name] = collection
        if collection.name not in self._shards:
            with _engine_errors:
                self._shards[collection.name] = edge.EdgeShard.load(str(self._path / collection.name))
        return collection

    def _condition(self, collection: Collection, where: Filter | None) -> edge.Filter | None:
        """Return the engine's filter: the last one again for the same object, in a run of queries."""
        if where is None:
            return None
        kept = self._compiled
        if kept is None or kept[0] is not collection or kept[1] is not where:
            check_filter(where, collection.fields)
            kept = self._compiled = collection, where, Compiler(TERMS, collection.fields).compile(where)
        return kept[2]


def _batch(points: Points) -> list[edge.Point]:
    """Return points as the engine takes them: lists, which it reads faster than arrays."""
    batch = []
    for key, row, payload in zip(points.ids, points.vectors.tolist(), points.payloads, strict=True):
        point_id = to_point_id(key)
        kept: Any = {**payload, KEY_FIELD: key} if is_hashed(key, point_id) else payload
        batch.append(edge.Point(point_id, row, kept))
    return batch


def _pages(shard: edge.EdgeShard, size: int, **asked: Any) -> Iterator[list[Any]]:
    """Yield all records that match, in pages."""
    offset = None
    while True:
        with _engine_errors:
            records, offset = shard.scroll(edge.ScrollRequest(offset=offset, limit=size, **asked))
        if records:
            yield records
        if offset is None:
            return


def _keys_of(shard: edge.EdgeShard, ids: list[str]) -> dict[str, str]:
    with _engine_errors:
        records = shard.retrieve([*ids], with_payload=[KEY_FIELD], with_vector=False)
    return {str(record.id): key_of(record) for record in records}


def _points(records: Sequence[Any], dim: int) -> Points:
    vectors = np.array([record.vector for record in records], dtype=np.float32).reshape(len(records), dim)
    return Points(
        [key_of(record) for record in records], vectors, [shown(record.payload) for record in records]
    )


class _EngineErrors:
    """Turns the engine's bare exceptions and the disk's errors into ours; a class, for it stands in every search."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise EngineError(f"Embedded Qdrant can't use its folder: {error}") from error
        if isinstance(error, Exception) and not isinstance(error, CohortsError):  # it raises nothing narrower
            raise EngineError(f"Embedded Qdrant failed: {error}") from error


_engine_errors = _EngineErrors()
