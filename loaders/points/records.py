"""A source and an encoder as the origin of units: patients or admissions, encoded chunk by chunk."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from cohorts.connectors.base import Collection, Points, Scalar, Vectors
from cohorts.connectors.collection import POPULATION
from cohorts.connectors.padding import PADDING
from cohorts.encoders.base import Encoder, Explains, Explanation, padding_of, population_of
from cohorts.encoders.features.codes import with_names
from cohorts.encoders.fingerprint import check_fingerprint
from cohorts.encoders.needs import frames_read
from cohorts.encoders.views.windowed import as_of
from cohorts.loaders.journal.chunks import HEAVY_UNITS, Chunk, chunks_of_batch
from cohorts.loaders.load import Summary
from cohorts.loaders.points.patients import PatientPoints
from cohorts.loaders.points.payload import PATIENT_ID, explained, filterable, payloads
from cohorts.loaders.points.ray import encode_on_ray
from cohorts.progress import ProgressCallback
from cohorts.records.base import Batch, Source, counted
from cohorts.records.transforms import View, reading, take_units

T = TypeVar("T")
_NOTHING = Points([], np.empty((0, 0), np.float32), [])


class Ray(NamedTuple):
    """How many workers encode, on the Ray at `address`, or on one of this machine's own."""

    workers: int
    address: str | None = None


class WatchedSource(View):
    """A source that keeps the time spent reading it, and ticks, in the name of a stage, for every batch worked on.

    A batch has at most so many units; what is expected of the stage are the units up to the end of the pass under way.
    """

    def __init__(
        self,
        source: Source,
        summary: Summary,
        tick: ProgressCallback,
        stage: str,
        at_most: int | None = None,
    ) -> None:
        super().__init__(source)
        self._summary, self._tick, self._stage, self._at_most = summary, tick, stage, at_most
        self._done = 0

    def batches(self) -> Iterator[Batch]:
        """Yield the source's batches."""
        before, read = self._done, 0
        for batch in _timed(self._source.batches(), self._summary):
            read += len(batch)
            share = self.report.share_read
            for part in _cut(batch, self._at_most):
                yield part
                self._done += len(part)
                self._tick(self._stage, len(part), before + round(read / share) if share else None)


def _timed(parts: Iterator[T], summary: Summary) -> Iterator[T]:
    """Yield the parts, and keep the time that it takes to get them as that of reading."""
    while True:
        began = time.perf_counter()
        part = next(parts, None)
        summary.spend("read", time.perf_counter() - began)
        if part is None:
            return
        yield part
        del part  # the next one is read while it may be large


def _cut(batch: Batch, at_most: int | None) -> Iterator[Batch]:
    """Yield the batch in parts of at most so many units."""
    if at_most is None or len(batch) <= at_most:
        yield batch
        return
    for start in range(0, len(batch), at_most):
        yield take_units(batch, range(start, min(start + at_most, len(batch))))


def read_only(source: Source, summary: Summary, tick: ProgressCallback) -> int:
    """Read and check the source, encode and write nothing; return how many units it has."""
    units = 0
    for more in _timed(counted(source), summary):
        units += more
        share = source.report.share_read
        tick("read", more, round(units / share) if share else None)
    return units


def train(source: Source, encoder: Encoder, summary: Summary, tick: ProgressCallback) -> None:
    """Fit the encoder on the source."""
    began, read_s = time.perf_counter(), summary.seconds.get("read", 0.0)
    at_most = HEAVY_UNITS if encoder.uses_transformer else None
    with reading(source, frames_read(encoder)):
        encoder.fit(WatchedSource(source, summary, tick, "train", at_most))
    read_s = summary.seconds.get("read", 0.0) - read_s
    summary.spend("train", time.perf_counter() - began - read_s)


class EncodedRecords:
    """The units of a source, as an encoder sees them. A unit with nothing to encode gives no point.

    Where the `points` of patients are given, a unit goes by the id of its patient's point from here on. `indexed` tells
    which of the fields to filter by get an index where a collection is made; patients are always found by one.
    """

    def __init__(
        self,
        source: Source,
        encoder: Encoder,
        points: PatientPoints | None = None,
        indexed: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._source, self._encoder, self._points, self._indexed = source, encoder, points, indexed
        self._units = 0

    @property
    def expected(self) -> int | None:
        """Return how many units there are, estimated from the share that was read."""
        share = self._source.report.share_read
        return round(self._units / share) if share else None

    def chunks(self, refuse: Callable[[str, str], None]) -> Iterator[Chunk]:  # noqa: ARG002 - sources refuse rows
        """Yield every unit once."""
        for batch in self._source.batches():
            self._units += len(batch)
            for chunk in chunks_of_batch(batch, small=self._encoder.uses_transformer):
                yield replace(chunk, ids=self._points.of(chunk.ids)) if self._points else chunk

    def encoded(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Points]]:
        """Yield every chunk with the points of the units in which there is something to encode."""
        for chunk in chunks:
            batch = _batch_of(chunk)
            encoder, told = self._encoder, list[Explanation]()
            if isinstance(encoder, Explains):
                vectors, told = encoder.explain(batch)
            else:
                vectors = encoder.encode(batch)
            yield chunk, _points(chunk.ids, batch, vectors, told)

    def collection(self, name: str, first: Chunk) -> Collection:
        """Return what a collection for these units is made from."""
        fields = filterable(_batch_of(first), self._source.unit)
        return Collection(
            name,
            self._encoder.dim,
            fields=fields,
            metadata=metadata_of(self._source, self._encoder),
            unindexed=tuple(one for one in fields if one != PATIENT_ID and not self._indexed(one)),
        )

    def check_fits(self, there: Collection) -> None:
        """Raise FingerprintMismatch where the collection was made by another encoder."""
        check_fingerprint(there.name, there.metadata, self._encoder)


class EncodedRecordsOnRay(EncodedRecords):
    """The same, encoded by the workers of a Ray cluster. The whole source is read, and lies in `spool`, before that."""

    def __init__(
        self,
        source: Source,
        encoder: Encoder,
        folder: Path,
        spool: Path,
        ray: Ray,
        points: PatientPoints | None = None,
        indexed: Callable[[str], bool] = lambda _: True,
    ) -> None:
        super().__init__(source, encoder, points, indexed)
        self._folder, self._spool, self._ray = folder, spool, ray

    def encoded(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Points]]:
        """Yield every chunk with the points of the units in which there is something to encode."""
        waiting: deque[Chunk] = deque()  # without their records, which are in the spool

        def batches() -> Iterator[Batch]:
            for chunk in chunks:
                waiting.append(replace(chunk, body=_NOTHING))
                yield _batch_of(chunk)

        workers, address = self._ray
        done = encode_on_ray(batches(), self._folder, self._spool, workers=workers, address=address)
        for batch, vectors in done:
            chunk = replace(waiting.popleft(), body=batch)
            yield chunk, _points(chunk.ids, batch, vectors)


def _batch_of(chunk: Chunk) -> Batch:
    assert isinstance(chunk.body, Batch)  # noqa: S101 - `chunks` made it
    return chunk.body


def _points(ids: Sequence[str], batch: Batch, vectors: Vectors, told: Sequence[Explanation] = ()) -> Points:
    rows = payloads(batch)
    if told:
        rows = [{**row, **explained(why)} for row, why in zip(rows, with_names(told, batch), strict=True)]
    kept = np.flatnonzero(vectors.any(axis=1)).tolist()
    return Points([ids[row] for row in kept], vectors[kept], [rows[row] for row in kept])


def metadata_of(source: Source, encoder: Encoder) -> dict[str, Scalar]:
    """Return what a collection keeps of its making."""
    padding = padding_of(encoder)
    return {
        "encoder": encoder.name,
        "encoder_fingerprint": encoder.fingerprint,
        "source": source.name,
        "source_fingerprint": source.fingerprint,
        "unit": str(source.unit),
        "as_of": as_of(encoder),
        "synthetic": source.synthetic,
        **({} if padding is None else {PADDING: padding}),
        **({POPULATION: population} if (population := population_of(encoder)) else {}),
    }
