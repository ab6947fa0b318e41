"""Embedded Milvus (`milvus:PATH.db`): pymilvus over a file, with the engine in threads of this process.

The vector stands beside one typed, nullable column per filterable field and one JSON column with the whole payload,
so that what comes back is exactly what went in. This engine keeps no description of a collection; the definitions
stand in a JSON file beside the database.
"""

import json
import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from cohorts.connectors.base import Abilities, Collection, Description, Hit, Payload, Points, Vectors
from cohorts.connectors.checks import check_collection, check_k, check_points, unit_rows
from cohorts.connectors.definitions import Definitions
from cohorts.connectors.filters import (
    All,
    AnyOf,
    Comparison,
    Contains,
    Filter,
    IsNull,
    Not,
    OneOf,
    Value,
    check_filter,
)
from cohorts.connectors.index import Flat, Hnsw, Index, Ivf, SearchParams
from cohorts.errors import EngineError, InputError, UnsupportedIndex
from milvus_lite.server_manager import server_manager_instance
from pymilvus import DataType, MilvusClient, MilvusException

ID, VECTOR, PAYLOAD = "id", "vector", "payload"
PREFIX = "f_"  # keeps a field called id or vector apart from ours
MAX_TEXT_BYTES = 65_535
MAX_ID_BYTES = 512
BATCH_BYTES = 8 * 1024 * 1024
BATCH_ROWS = 1_000
MAX_ITEMS = 4_096
WIDER = (1, 8, 64)  # tried in turn for queries that come back short; the second costs next to nothing
DEFAULT_EF = 128
MAX_EF = 32_768
DEFAULT_NPROBE = 16

# What ends or bends a string literal; the engine knows no \\u escapes and takes every other character as it is.
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_SCALARS = {str: DataType.VARCHAR, int: DataType.INT64, float: DataType.DOUBLE, bool: DataType.BOOL}


def to_index(index: Index) -> tuple[str, dict[str, int]]:
    """Translate an index into Milvus' type and parameters. Raises UnsupportedIndex."""
    match index:
        case Flat():
            return "FLAT", {}
        case Hnsw(m, ef_construction):
            return "HNSW", {"M": m, "efConstruction": ef_construction}
        case Ivf(nlist, "flat"):
            return "IVF_FLAT", {"nlist": nlist}
        case Ivf(nlist, "sq8"):
            return "IVF_SQ8", {"nlist": nlist}
    # Others are accepted by the engine, reported as finished, and served by brute force.
    raise UnsupportedIndex(f"Embedded Milvus has no index {index!r}. It has: flat, hnsw, ivf (flat, sq8).")


def to_search(index: Index, params: SearchParams, k: int, wider: int = 1) -> dict[str, int]:
    """Translate search parameters, `wider` times what was asked; the engine itself would raise ef to k unsaid."""
    if isinstance(index, Hnsw):
        return {"ef": min(wider * max(params.ef_search or DEFAULT_EF, k), MAX_EF)}
    if isinstance(index, Ivf):
        return {"nprobe": min(wider * (params.nprobe or DEFAULT_NPROBE), index.nlist)}
    return {}


def to_expression(filter_: Filter) -> str:
    """Translate a filter; every value is quoted here and nothing of the user's text is pasted in."""
    match filter_:
        case All(parts):
            return " and ".join(f"({to_expression(part)})" for part in parts)
        case AnyOf(parts):
            return " or ".join(f"({to_expression(part)})" for part in parts)
        case Not(part):
            return f"not ({to_expression(part)})"
        case IsNull(field, negated):
            return f"{PREFIX}{field} is {'not ' if negated else ''}null"
        case Comparison(field, op, value):
            return _present(field, f"{PREFIX}{field} {'==' if op == '=' else op} {_quoted(value)}")
        case OneOf(field, values, negated):
            listed = ", ".join(_quoted(value) for value in values)
            return _present(field, f"{PREFIX}{field} {'not in' if negated else 'in'} [{listed}]")
        case Contains(field, value, negated):
            return _present(
                field, f"{'not ' if negated else ''}array_contains({PREFIX}{field}, {_quoted(value)})"
            )
        case _:
            raise TypeError(f"not a filter: {filter_!r}")


def _present(field: str, expression: str) -> str:
    """Hold only where the field has a value: the engine lets missing ones through `not in` and `not`."""
    return f"({expression}) and {PREFIX}{field} is not null"


def _quoted(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    return repr(value)


# Within one process the engine serves a file to all clients at once, and a closed client leaves it running.
_users: Counter[Path] = Counter()
_users_lock = threading.Lock()


class MilvusLiteConnector:
    """Embedded Milvus in one file. One process at a time; the last connector to close lets others in."""

    abilities = Abilities(
        "milvus-lite",
        (Flat, Hnsw, Ivf),
        max_k=16_384,
        notes=(
            "A filtered search looks 8 times wider than asked; still short, 64 times; then it scans all that match.",
        ),
    )

    def __init__(self, path: Path) -> None:
        self._path = path
        self._definitions = Definitions(path.with_name(path.name + ".collections.json"))
        self._opened: MilvusClient | None = None
        self._loaded: set[str] = set()

    @property
    def _client(self) -> MilvusClient:
        if self._opened is None:
            for noisy in ("pymilvus", "milvus_lite"):  # they log, traceback and all, what is raised anyway
                logging.getLogger(noisy).setLevel(logging.CRITICAL)
            with _engine_errors(), _users_lock:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._opened = MilvusClient(str(self._path))
                _users[self._path.resolve()] += 1
        return self._opened

    def collections(self) -> list[str]:
        """Return the names of all collections, sorted."""
        return self._definitions.names()

    def create(self, collection: Collection) -> None:
        """Make an empty collection."""
        check_collection(collection, self.abilities)
        self._definitions.refuse_existing(collection.name)
        to_index(collection.index)
        with _engine_errors():
            if self._client.has_collection(collection.name):  # what a create that died left behind
                self._client.drop_collection(collection.name)
            schema = _schema(collection)
            self._client.create_collection(collection.name, schema=schema, consistency_level="Strong")
        self._definitions.put(collection)
        self._loaded.add(collection.name)

    def describe(self, name: str) -> Description:
        """Return what the engine says of the collection."""
        collection = self._of(name)
        with _engine_errors():
            about = self._client.describe_index(name, VECTOR) or {}
        indexed = int(about.get("indexed_rows", 0))
        return Description(collection, "milvus-lite", "cosine", self.count(name), indexed)

    def upsert(self, name: str, points: Points) -> None:
        """Write points in batches of bounded bytes, replacing those of the same id whole."""
        collection = self._of(name)
        points = check_points(points, collection)
        rows = zip(points.ids, points.vectors, points.payloads, strict=True)
        sized = [_row(collection, *row) for row in rows]
        largest = max((size for _, size in sized), default=1)
        step = max(1, min(BATCH_ROWS, BATCH_BYTES // largest))
        with _engine_errors():
            for start in range(0, len(sized), step):
                self._client.upsert(name, [row for row, _ in sized[start : start + step]])

    def finalize(self, name: str, *, timeout_s: float = 3600.0) -> None:
        """Flush, build, load, and check that every vector is indexed and visible."""
        collection = self._of(name)
        with _engine_errors():
            self._client.flush(name)
            if not self._client.list_indexes(name):
                self._build(collection, timeout_s)
            self._client.load_collection(name, timeout=timeout_s)
        description = self.describe(name)
        if description.indexed < description.count:
            missing = description.count - description.indexed
            raise EngineError(
                f"{missing:,} of {description.count:,} vectors of {name} have no index after the build."
            )

    def search(
        self,
        name: str,
        vectors: Vectors,
        k: int,
        *,
        where: Filter | None = None,
        params: SearchParams | None = None,
    ) -> list[list[Hit]]:
        """Return up to k hits per query row, best first."""
        collection = self._of(name)
        check_k(k, self.abilities)
        queries = unit_rows(vectors, collection.dim)
        if not len(queries):
            return []
        params = params or SearchParams()
        if params.exact:
            return self._search_exactly(collection, queries, k, where)
        expression = self._expression(collection, where)
        best: list[list[Hit]] = [[] for _ in queries]
        short = list(range(len(queries)))
        # The engine drops what the filter leaves out from the ef nearest: a narrow filter leaves too few of them, and
        # the farthest of those it leaves are doubtful. Twice k are asked for, so that the first k can be trusted.
        wanted = k if where is None else min(2 * k, self.abilities.max_k)
        for wider in WIDER if where is None else WIDER[1:]:
            how = to_search(collection.index, params, wanted, wider)
            found = self._nearest(name, queries[short], wanted, expression, how)
            best = _replaced(best, short, found)
            short = [row for row in short if len(best[row]) < wanted]
            if not short:
                break
        if short:
            matching = self.count(name, where)  # not earlier: its time grows with what matches
            short = [row for row in short if len(best[row]) < matching]
            best = _replaced(best, short, self._search_exactly(collection, queries[short], k, where))
        return [hits[:k] for hits in best]

    def fetch(self, name: str, ids: Sequence[str]) -> Points:
        """Return the points that exist among `ids`, in the order asked."""
        collection = self._of(name)
        with _engine_errors():
            rows = self._client.get(name, ids=list(ids), output_fields=[VECTOR, PAYLOAD]) if ids else []
        found = {str(row[ID]): row for row in rows}
        return _points([found[one] for one in ids if one in found], collection.dim)

    def scroll(self, name: str, page: int = 1_000) -> Iterator[Points]:
        """Yield every point once, in pages."""
        yield from self._pages(self._of(name), "", page)

    def count(self, name: str, where: Filter | None = None) -> int:
        """Return the exact number of points."""
        expression = self._expression(self._of(name), where)
        with _engine_errors():
            answer = self._client.query(name, filter=expression, output_fields=["count(*)"])
        return int(answer[0]["count(*)"])

    def delete(self, name: str, ids: Sequence[str]) -> None:
        """Remove points."""
        self._of(name)
        if ids:
            with _engine_errors():
                self._client.delete(name, ids=list(ids))

    def drop(self, name: str) -> None:
        """Remove the collection and all it holds."""
        self._definitions.get(name)
        with _engine_errors():
            self._client.drop_collection(name)
        self._loaded.discard(name)
        self._definitions.remove(name)

    def close(self) -> None:
        """Close the client, and end the engine where no other connector of this process uses the file."""
        if self._opened is None:
            return
        with _engine_errors(), _users_lock:
            self._opened.close()
            self._opened = None
            self._loaded.clear()
            file = self._path.resolve()
            _users[file] -= 1
            if not _users[file]:
                del _users[file]
                server_manager_instance.release_server(str(self._path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _nearest(
        self, name: str, queries: Vectors, k: int, expression: str, how: dict[str, int]
    ) -> list[list[Hit]]:
        with _engine_errors():
            found = self._client.search(
                name,
                data=list(queries),
                anns_field=VECTOR,
                limit=k,
                filter=expression,
                output_fields=[PAYLOAD],
                search_params={"params": how},
            )
        return [
            [Hit(str(hit[ID]), float(hit["distance"]), hit["entity"][PAYLOAD]) for hit in row]
            for row in found
        ]

    def _expression(self, collection: Collection, where: Filter | None) -> str:
        if where is None:
            return ""
        check_filter(where, collection.fields)
        return to_expression(where)

    def _search_exactly(
        self, collection: Collection, queries: Vectors, k: int, where: Filter | None
    ) -> list[list[Hit]]:
        """Scan all points here: the engine has no exact search beside an index."""
        best: list[list[Hit]] = [[] for _ in queries]
        if not best:
            return best
        for page in self._pages(collection, self._expression(collection, where), 5_000):
            scores = queries @ page.vectors.T
            for row, hits in enumerate(best):
                order = np.argsort(-scores[row], kind="stable")[:k]
                hits += [Hit(page.ids[i], float(scores[row, i]), page.payloads[i]) for i in order]
                hits.sort(key=lambda hit: -hit.score)
                del hits[k:]
        return best

    def _pages(self, collection: Collection, expression: str, page: int) -> Iterator[Points]:
        """Yield the points that match: all ids at once, then their rows by page (the engine sorts nothing)."""
        with _engine_errors():
            found = self._client.query(
                collection.name, filter=expression or f'{ID} != ""', output_fields=[ID]
            )
        ids = [str(row[ID]) for row in found]
        for start in range(0, len(ids), page):
            yield self.fetch(collection.name, ids[start : start + page])

    def _of(self, name: str) -> Collection:
        """Return the definition; a reopened collection is loaded first, or the engine refuses to read it."""
        collection = self._definitions.get(name)
        if name not in self._loaded:
            with _engine_errors():
                self._client.load_collection(name)
            self._loaded.add(name)
        return collection

    def _build(self, collection: Collection, timeout_s: float) -> None:
        kind, params = to_index(collection.index)
        wanted = self._client.prepare_index_params()
        wanted.add_index(VECTOR, index_type=kind, metric_type="COSINE", params=params)
        self._client.create_index(collection.name, wanted, timeout=timeout_s)


def _schema(collection: Collection) -> Any:
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(ID, DataType.VARCHAR, is_primary=True, max_length=MAX_ID_BYTES)
    schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=collection.dim)
    schema.add_field(PAYLOAD, DataType.JSON)
    for field, kind in collection.fields.items():
        more: dict[str, Any] = {}
        data_type = DataType.ARRAY if kind == list[str] else _SCALARS[kind]
        if data_type is DataType.ARRAY:
            more = {"element_type": DataType.VARCHAR, "max_capacity": MAX_ITEMS}
        if data_type in (DataType.ARRAY, DataType.VARCHAR):
            more["max_length"] = MAX_TEXT_BYTES
        schema.add_field(PREFIX + field, data_type, nullable=True, **more)
    return schema


def _row(collection: Collection, key: str, vector: Vectors, payload: Payload) -> tuple[dict[str, Any], int]:
    """Return the row to send and about how many bytes it takes. Raises InputError where it can't be stored."""
    if len(key.encode()) > MAX_ID_BYTES:
        raise InputError(f"An id has {len(key.encode())} bytes; Milvus takes at most {MAX_ID_BYTES}.")
    size = len(json.dumps(payload, ensure_ascii=False).encode())
    if size > MAX_TEXT_BYTES:
        raise InputError(f"The payload of {key} has {size:,} bytes; Milvus takes at most {MAX_TEXT_BYTES:,}.")
    for field in collection.fields:
        value = payload.get(field)
        if isinstance(value, list) and len(value) > MAX_ITEMS:
            raise InputError(
                f"{field} of {key} has {len(value):,} values; Milvus takes at most {MAX_ITEMS:,}."
            )
    typed = {
        PREFIX + field: None if payload.get(field) == [] else payload.get(field)
        for field in collection.fields
    }
    return {ID: key, VECTOR: vector, PAYLOAD: dict(payload), **typed}, 2 * size + vector.nbytes


def _replaced(hits: list[list[Hit]], rows: list[int], by: list[list[Hit]]) -> list[list[Hit]]:
    new = dict(zip(rows, by, strict=True))
    return [new.get(row, old) for row, old in enumerate(hits)]


def _points(rows: Sequence[Any], dim: int) -> Points:
    vectors = np.array([row[VECTOR] for row in rows], dtype=np.float32).reshape(len(rows), dim)
    return Points([str(row[ID]) for row in rows], vectors, [row[PAYLOAD] for row in rows])


@contextmanager
def _engine_errors() -> Iterator[None]:
    """Turn the client's errors into ours; its message may hold values of a row, its code never does."""
    try:
        yield
    except OSError as error:
        raise EngineError(f"Embedded Milvus can't use its file: {error}") from error
    except MilvusException as error:
        if "Open local milvus failed" in str(error):
            raise EngineError(
                "Embedded Milvus can't open its file: another process has it open, or it is damaged."
            ) from error
        raise EngineError(f"Embedded Milvus failed (code {error.code}): {error.message}") from error
