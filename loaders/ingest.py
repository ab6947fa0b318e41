"""From a source through an encoder into a collection, batch by batch, with an account of it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from cohorts.connectors.base import Collection, Connector, Points, Scalar
from cohorts.connectors.index import Index
from cohorts.encoders.base import Encoder
from cohorts.errors import EngineError, FingerprintMismatch
from cohorts.loaders.payload import filterable, payloads
from cohorts.records.base import Batch, Report, Source, Unit

STAGES = ("read", "train", "encode", "write", "index")
UPSERT_ROWS = 1_000
FINALIZE_TIMEOUT_S = 6 * 3600.0

Tick = Callable[[str, int], None]
"""Called with a stage's name and the units it has just done."""


@dataclass
class Summary:
    """What an ingest did. Seconds are spent in that stage alone; `read` counts every pass over the source."""

    units: int = 0
    written: int = 0
    not_encodable: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    @property
    def vectors_per_s(self) -> float:
        """Return vectors written and indexed per second of writing and indexing."""
        busy_s = self.seconds["write"] + self.seconds["index"]
        return self.written / busy_s if busy_s else 0.0


class WatchedSource:
    """A source that keeps the time spent reading it, and ticks for every batch read."""

    def __init__(self, source: Source, summary: Summary, tick: Tick) -> None:
        self.name = source.name
        self.unit: Unit = source.unit
        self.synthetic = source.synthetic
        self.report: Report = source.report
        self._source = source
        self._summary = summary
        self._tick = tick

    @property
    def fingerprint(self) -> str:
        """Return the source's own."""
        return self._source.fingerprint

    def batches(self) -> Iterator[Batch]:
        """Yield the source's batches."""
        batches = self._source.batches()
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            self._summary.seconds["read"] += time.perf_counter() - began
            if batch is None:
                return
            self._tick("read", len(batch))
            yield batch


def read_only(source: Source, tick: Tick) -> Summary:
    """Read, check and count the source; encode and write nothing."""
    summary = Summary()
    for batch in WatchedSource(source, summary, tick).batches():
        summary.units += len(batch)
    return summary


def train(source: Source, encoder: Encoder, summary: Summary, tick: Tick) -> None:
    """Fit the encoder on the source."""
    began, read_s = time.perf_counter(), summary.seconds["read"]
    encoder.fit(WatchedSource(source, summary, tick))
    summary.seconds["train"] += time.perf_counter() - began - (summary.seconds["read"] - read_s)


def load(
    source: Source,
    encoder: Encoder,
    connector: Connector,
    name: str,
    *,
    index: Index,
    summary: Summary,
    tick: Tick,
    replace: bool = False,
) -> None:
    """Encode the source and write it to collection `name`, which is made if need be and left searchable.

    Units with nothing to encode are counted and not written. With `replace`, a collection of that name is dropped
    first. Raises FingerprintMismatch where the collection was made by another encoder, and EngineError.
    """
    ready = False
    for batch in WatchedSource(source, summary, tick).batches():
        began = time.perf_counter()
        vectors = encoder.encode(batch)
        rows = payloads(batch)
        summary.seconds["encode"] += time.perf_counter() - began
        tick("encode", len(batch))
        if not ready:
            _prepare(
                source,
                encoder,
                connector,
                Collection(name, encoder.dim, index, filterable(batch, source.unit)),
                replace,
            )
            ready = True
        written = np.flatnonzero(vectors.any(axis=1))
        began = time.perf_counter()
        ids = batch.units["unit_id"].tolist()
        for start in range(0, len(written), UPSERT_ROWS):
            some = written[start : start + UPSERT_ROWS]
            connector.upsert(name, Points([ids[i] for i in some], vectors[some], [rows[i] for i in some]))
        summary.seconds["write"] += time.perf_counter() - began
        summary.units += len(batch)
        summary.written += len(written)
        summary.not_encodable += len(batch) - len(written)
        tick("write", len(batch))
    _finish(connector, name, summary, tick)


def _prepare(
    source: Source, encoder: Encoder, connector: Connector, wanted: Collection, replace: bool
) -> None:
    if wanted.name in connector.collections():
        if not replace:
            check_fingerprint(connector.describe(wanted.name).collection, encoder)
            return
        connector.drop(wanted.name)
    metadata: dict[str, Scalar] = {
        "encoder": encoder.name,
        "encoder_fingerprint": encoder.fingerprint,
        "source": source.name,
        "source_fingerprint": source.fingerprint,
        "unit": str(source.unit),
        "synthetic": source.synthetic,
    }
    connector.create(Collection(wanted.name, wanted.dim, wanted.index, wanted.fields, metadata))


def check_fingerprint(collection: Collection, encoder: Encoder) -> None:
    """Raise FingerprintMismatch where the collection was not made by this encoder."""
    metadata = collection.metadata
    made_by = metadata.get("encoder_fingerprint")
    if made_by != encoder.fingerprint:
        raise FingerprintMismatch(
            f"Collection {collection.name} was made by encoder {metadata.get('encoder')} with fingerprint {made_by}; "
            f"the one at hand is {encoder.name} with fingerprint {encoder.fingerprint}. Vectors of two encoders can't "
            "be compared: use the collection's own encoder, or ingest into another --collection, or replace this one "
            "whole with cohorts ingest --replace."
        )


def _finish(connector: Connector, name: str, summary: Summary, tick: Tick) -> None:
    began = time.perf_counter()
    if summary.written:
        connector.finalize(name, timeout_s=FINALIZE_TIMEOUT_S)
        held = connector.count(name)
        if held < summary.written:
            raise EngineError(f"{summary.written:,} vectors were written to {name}, and it holds {held:,}.")
    summary.seconds["index"] += time.perf_counter() - began
    tick("index", summary.written)
