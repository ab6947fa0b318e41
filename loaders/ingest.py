"""From a source through an encoder into a collection, batch by batch, with an account of it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from dataclasses import replace as dataclass_replace
from itertools import chain

import numpy as np
from cohorts.connectors.base import Collection, Connector, Payload, Points, Scalar, Vectors
from cohorts.connectors.matched_recall import SAMPLE
from cohorts.encoders.base import Encoder
from cohorts.errors import EngineError, FingerprintMismatch, InputError
from cohorts.loaders.payload import filterable, payloads
from cohorts.loaders.versions import FINALIZE_TIMEOUT_S, Tick, Wanted, next_version, switch
from cohorts.records.base import Batch, Report, Source, Unit

STAGES = ("read", "train", "encode", "write", "index")
UPSERT_ROWS = 1_000


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
    wanted: Wanted,
    summary: Summary,
    tick: Tick,
    replace: bool = False,
) -> Collection:
    """Encode the source and write it to collection `name`, which is made if need be and left searchable; return it.

    Units with nothing to encode are counted and not written. With `replace`, a new version is written beside the
    collection and takes its name when it is whole. Raises FingerprintMismatch where the collection was made by another
    encoder, UnsupportedIndex, and EngineError.
    """
    blocks = _encoded(WatchedSource(source, summary, tick), encoder, summary, tick)
    head = _head(blocks, SAMPLE if wanted.lacking(connector) else 1)
    if not head:
        return Collection(name, encoder.dim, wanted.index)
    fields = filterable(head[0].batch, source.unit)
    made = Collection(name, encoder.dim, fields=fields, metadata=metadata_of(source, encoder))
    target = _prepare(connector, made, encoder, wanted, lambda: _sample(head), replace)
    for block in chain(head, blocks):
        began = time.perf_counter()
        for start in range(0, len(block.ids), UPSERT_ROWS):
            some = slice(start, start + UPSERT_ROWS)
            connector.upsert(target, Points(block.ids[some], block.vectors[some], block.payloads[some]))
        summary.seconds["write"] += time.perf_counter() - began
        summary.written += len(block.ids)
        tick("write", len(block.batch))
    _finish(connector, target, summary, tick)
    if replace:
        switch(connector, name, target)
    return connector.describe(name).collection


@dataclass(frozen=True)
class _Block:
    """A batch, and what of it is written: `vectors` (n, dim) float32, unit rows only."""

    batch: Batch
    ids: list[str]
    vectors: Vectors
    payloads: list[Payload]


def _encoded(source: WatchedSource, encoder: Encoder, summary: Summary, tick: Tick) -> Iterator[_Block]:
    for batch in source.batches():
        began = time.perf_counter()
        vectors = encoder.encode(batch)
        rows = payloads(batch)
        ids = batch.units["unit_id"].tolist()
        kept = np.flatnonzero(vectors.any(axis=1))
        summary.seconds["encode"] += time.perf_counter() - began
        summary.units += len(batch)
        summary.not_encodable += len(batch) - len(kept)
        tick("encode", len(batch))
        yield _Block(batch, [ids[i] for i in kept], vectors[kept], [rows[i] for i in kept])


def _head(blocks: Iterator[_Block], many: int) -> list[_Block]:
    """Take the first blocks that hold `many` vectors: patients come in the order of a hash, so they are a sample."""
    head: list[_Block] = []
    while sum(len(block.ids) for block in head) < many and (block := next(blocks, None)) is not None:
        head.append(block)
    return head


def _sample(head: list[_Block]) -> Vectors:
    return np.concatenate([block.vectors for block in head])[:SAMPLE]


def metadata_of(source: Source, encoder: Encoder) -> dict[str, Scalar]:
    """Return what a collection keeps of its making."""
    return {
        "encoder": encoder.name,
        "encoder_fingerprint": encoder.fingerprint,
        "source": source.name,
        "source_fingerprint": source.fingerprint,
        "unit": str(source.unit),
        "synthetic": source.synthetic,
    }


def _prepare(
    connector: Connector,
    made: Collection,
    encoder: Encoder,
    wanted: Wanted,
    sample: Callable[[], Vectors],
    replace: bool,
) -> str:
    """Return the collection to write to: the one there is, or a new version; an alias leads to the first at once."""
    name = made.name
    there = name in connector.collections() or name in connector.aliases()
    if there:
        old = connector.describe(name).collection
        if not replace:
            check_fingerprint(old, encoder)
            wanted.refuse_other(old)
            return name
        if old.metadata.get("attached"):
            raise InputError(f"Collection {name} belongs to others: --replace would drop it.")
    fresh = dataclass_replace(made, name=next_version(connector, name))
    connector.create(wanted.settle(connector, fresh, sample))
    if not there:
        connector.alias(name, fresh.name)
    return fresh.name


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
