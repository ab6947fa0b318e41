"""Collections of ours are made, and their indexes built, on a Qdrant server."""

import json
import time
import warnings
from collections.abc import Mapping
from datetime import date
from typing import Any

from cohorts.connectors.base import Collection
from cohorts.connectors.catalog import to_json
from cohorts.connectors.index import Flat, Hnsw
from cohorts.connectors.qdrant.translate import INDEXING_THRESHOLD_KB, may_lack_index, to_path
from cohorts.connectors.qdrant.transport import Transport
from cohorts.errors import EngineError
from qdrant_client import QdrantClient, models

METADATA = "cohorts"  # our key in the collection's metadata
POLL_S = 0.1
# Of a cluster, in a row: each may ask other replicas, and one that has not begun looks calm, too.
CALM_POLLS = 10
IDLE_POLLS = 10  # in a row: for a moment the server may look idle before it begins
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


def make(transport: Transport, collection: Collection) -> None:
    """Make a collection without an index: it is built once, by `build`, and not again with every batch."""
    index = collection.index
    hnsw = models.HnswConfigDiff(m=0)
    quantization = None
    if isinstance(index, Hnsw):
        hnsw = models.HnswConfigDiff(m=index.m, ef_construct=index.ef_construction, full_scan_threshold=10)
        quantization = _QUANTIZATION[index.quantization]
    asked = False

    def ask(client: QdrantClient) -> None:
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
            shard_number=transport.shards,
            replication_factor=transport.replicas,
            metadata={METADATA: json.dumps(to_json(collection), ensure_ascii=False)},
        )

    transport.call(ask)


def index_fields(transport: Transport, collection: Collection) -> None:
    """Make the payload indexes, which must stand before the graph is built."""
    for field, kind in collection.indexed.items():
        index_field(transport, collection.name, to_path(field), _SCHEMA[str(kind)])


def index_field(transport: Transport, name: str, path: str, schema: models.PayloadSchemaType) -> None:
    """Make one payload index."""
    transport.call(lambda client: client.create_payload_index(name, path, schema, wait=True))


def build(transport: Transport, name: str, collection: Collection, timeout_s: float) -> None:
    """Let the server build its index, and wait until every segment that is large enough has one.

    Raises EngineError where it can't, or not in time.
    """
    if isinstance(collection.index, Hnsw):
        settings = models.OptimizersConfigDiff(indexing_threshold=INDEXING_THRESHOLD_KB)
        transport.call(lambda client: client.update_collection(name, optimizers_config=settings))
    until, calm, idle = time.monotonic() + timeout_s, 0, 0
    while True:
        info = transport.info(name)
        idle = idle + 1 if info.status == models.CollectionStatus.GREY else 0
        if idle and idle % IDLE_POLLS == 0:
            _ask_again(transport, name)
        calm = calm + 1 if _is_ready(collection, info) else 0
        if calm == (CALM_POLLS if has_replicas(info) else 1):
            return
        if time.monotonic() > until:
            raise EngineError(f"Qdrant has not built the index of {name} within {timeout_s:.0f} s.")
        time.sleep(POLL_S)


def has_replicas(info: Any) -> bool:
    """Tell whether a collection lies on several nodes."""
    params = info.config.params
    return int(params.shard_number) > 1 or int(params.replication_factor or 1) > 1


def _ask_again(transport: Transport, name: str) -> None:
    """Let the server go on with the index: after a restart it waits for the next change of the collection."""
    nothing = models.OptimizersConfigDiff()
    transport.call(lambda client: client.update_collection(name, optimizers_config=nothing))
    warnings.warn(
        f"Qdrant had stopped building the index of {name}, as it does when it is restarted: it was asked again.",
        stacklevel=5,
    )


def _is_ready(collection: Collection, info: Any) -> bool:
    """Return whether the index is built, as far as the replicas tell that were asked."""
    name = collection.name
    if info.optimizer_status != models.OptimizersStatusOneOf.OK:
        raise EngineError(f"Qdrant can't build the index of {name}: {info.optimizer_status}")
    if info.status != models.CollectionStatus.GREEN:
        return False
    if isinstance(collection.index, Flat):
        return True
    missing = int(info.points_count or 0) - int(info.indexed_vectors_count or 0)
    return may_lack_index(missing, collection.dim, int(info.segments_count))
