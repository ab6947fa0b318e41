"""The vectors, queries and filter columns of an experiment: drawn from a seed, or read from a file.

An id is the number of its row, as text; that is how truth and answers are compared.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import FieldType, PayloadValue, Vectors
from cohorts.connectors.checks import unit_rows
from cohorts.errors import InputError
from cohorts.harness.bench.plan.experiment import Experiment, Share, Synthetic, check_rows
from cohorts.harness.bench.plan.payload import Column, PayloadColumns, column, made_up, without
from cohorts.loaders.files.hdf5 import open_queries
from cohorts.loaders.files.vectors import VectorFile, open_vectors

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]

_CHUNK = 8_192
_PAGE = 10_000
_CENTRES, _VECTORS, _QUERIES, _HELD_OUT, _UNCORRELATED, _CORRELATED, _PAYLOAD = range(
    7
)  # streams of one seed


@dataclass(frozen=True, eq=False)
class Dataset:
    """Unit rows `vectors` (n, dim) and `queries` (q, dim), float32, and what stands beside the rows.

    `attributes`, (n,) bool by payload key, are what filters ask for; `payload` is what an ingest would store.
    """

    vectors: Vectors
    queries: Vectors
    attributes: Mapping[str, Mask]
    synthetic: bool
    payload: PayloadColumns = PayloadColumns()

    def __post_init__(self) -> None:
        for values in (self.vectors, self.queries, *self.attributes.values()):
            values.setflags(write=False)  # the checksum is made once

    @cached_property
    def checksum(self) -> str:
        """Return 16 hex digits that follow from vectors, queries and attributes, by which an answer is right."""
        digest = hashlib.sha256()
        for values in (self.vectors, self.queries):
            digest.update(str(values.shape).encode() + np.ascontiguousarray(values).data)
        for name, mask in sorted(self.attributes.items()):
            digest.update(name.encode() + b"\0" + mask.tobytes())
        return digest.hexdigest()[:16]

    @property
    def columns(self) -> Mapping[str, Column | Mask]:
        """Return all that is stored beside the rows, (n,) by payload key."""
        return {**self.payload.columns, **self.attributes}

    @property
    def fields(self) -> Mapping[str, FieldType]:
        """Return the payload keys to filter by; those of the experiment's own filters are always indexed."""
        return {**self.payload.fields, **dict.fromkeys(self.attributes, bool)}


def make_dataset(experiment: Experiment) -> Dataset:
    """Return the data of an experiment.

    Raises InputError where the file can't be used or is too small, or has no such field to index, MissingExtra without
    h5py, VectorError for vectors without a direction.
    """
    data, seed = experiment.data, experiment.seed
    if isinstance(data, Synthetic):
        made, payload = True, PayloadColumns()
        if experiment.payload:
            payload = made_up(data.rows, [seed, _PAYLOAD], experiment.index_fields)
        vectors, queries = synthetic(data, experiment.queries, seed)
    else:
        vectors, queries, made, payload = from_file(
            data.path,
            experiment.queries,
            seed,
            payload=experiment.payload,
            indexed=experiment.index_fields,
        )
    check_rows(len(vectors), experiment)
    return Dataset(vectors, queries, attributes(vectors, experiment.filters, seed), made, payload)


def synthetic(data: Synthetic, queries: int, seed: int) -> tuple[Vectors, Vectors]:
    """Draw Gaussian clusters on the sphere, as far from their centre as the centres are long, and queries alike.

    The first rows of a larger set are the smaller one. No query is equal to a row.
    """
    vectors = np.empty((data.rows, data.dim), np.float32)
    for first, chunk in zip(range(0, data.rows, _CHUNK), _chunks(data, seed, _VECTORS), strict=False):
        vectors[first : first + _CHUNK] = chunk[: data.rows - first]
    asked = np.empty((0, data.dim), np.float32)
    for chunk in _chunks(data, seed, _QUERIES):
        asked = np.concatenate([asked, _others(chunk, vectors)])
        if len(asked) >= queries:
            break
    return vectors, asked[:queries].copy()


def _chunks(data: Synthetic, seed: int, stream: int) -> Iterator[Vectors]:
    """Yield chunks of unit rows without end; each has random numbers of its own."""
    centres = np.random.default_rng([seed, _CENTRES]).standard_normal((data.clusters, data.dim), np.float32)
    number = 0
    while True:
        rng = np.random.default_rng([seed, stream, number])
        rows = centres[rng.integers(0, data.clusters, _CHUNK)]
        yield unit_rows(rows + rng.standard_normal((_CHUNK, data.dim), np.float32), data.dim)
        number += 1


def _others(candidates: Vectors, vectors: Vectors) -> Vectors:
    """Return the candidates that are no row."""
    wanted = {row.tobytes() for row in candidates}
    there = {key for row in vectors if (key := row.tobytes()) in wanted}
    return candidates[[row.tobytes() not in there for row in candidates]]


def from_file(
    path: Path, queries: int, seed: int, *, payload: bool = False, indexed: Sequence[str] | None = None
) -> tuple[Vectors, Vectors, bool, PayloadColumns]:
    """Return vectors, queries, whether the file says that they are synthetic, and its own payload where asked for.

    Queries are the first of the file's own (`test` of ann-benchmarks), or rows held out at random. Raises InputError.
    """
    file = open_vectors(path, filterable=indexed or ())
    made = bool(file.definition and file.definition.metadata.get("synthetic"))
    values: dict[str, list[PayloadValue]] = {key: [] for key in file.columns} if payload else {}
    vectors = _whole(_pages(file, values), file.rows, file.dim)
    own = open_queries(path)
    if own is not None:
        if own.dim != file.dim or own.rows < queries:
            raise InputError(
                f"{path} holds {own.rows:,} queries of {own.dim} dimensions; {queries:,} of {file.dim} were asked for."
            )
        asking = _whole(own.pages(_PAGE), own.rows, own.dim)[:queries].copy()
        return vectors, asking, made, _stored(file, values, np.ones(file.rows, np.bool_), indexed)
    if queries >= file.rows:
        raise InputError(
            f"{path} holds {file.rows:,} vectors, of which {queries:,} can't be held out as queries. Ask fewer."
        )
    held = np.zeros(file.rows, np.bool_)
    held[np.random.default_rng([seed, _HELD_OUT]).choice(file.rows, queries, replace=False)] = True
    return vectors[~held], vectors[held], made, _stored(file, values, ~held, indexed)


def _pages(file: VectorFile, values: Mapping[str, list[PayloadValue]]) -> Iterator[Vectors]:
    """Yield the file's vectors in pages, and add to the values of each payload key those of the rows gone by."""
    for points in file.points(_PAGE):
        for key, own in values.items():
            own.extend(payload.get(key) for payload in points.payloads)
        yield points.vectors


def _stored(
    file: VectorFile, values: Mapping[str, list[PayloadValue]], kept: Mask, indexed: Sequence[str] | None
) -> PayloadColumns:
    """Return the payload of the rows `kept`, (n,), with the fields and indexes of the collection that the file was."""
    if not values:
        return PayloadColumns()
    unindexed = file.unindexed if indexed is None else without(file.fields, indexed)
    return PayloadColumns(
        {key: column(own, file.rows)[kept] for key, own in values.items()}, file.fields, unindexed
    )


def _whole(pages: Iterator[Vectors], rows: int, dim: int) -> Vectors:
    vectors = np.empty((rows, dim), np.float32)
    first = 0
    for page in pages:
        vectors[first : first + len(page)] = page
        first += len(page)
    return unit_rows(vectors, dim)


def attributes(vectors: Vectors, filters: Sequence[Share], seed: int) -> dict[str, Mask]:
    """Return which rows each filter passes, (n,): `round(selectivity * n)` of them, the fewer within the more.

    Uncorrelated, they are drawn; correlated, they are the rows nearest to a random direction, so that the filter cuts
    through the space.
    """
    places = {how: _places(vectors, seed, correlated=how) for how in {one.correlated for one in filters}}
    return {one.column: places[one.correlated] < round(one.selectivity * len(vectors)) for one in filters}


def _places(vectors: Vectors, seed: int, *, correlated: bool) -> Rows:
    """Return the place of every row in the order in which filters take them, (n,)."""
    rng = np.random.default_rng([seed, _CORRELATED if correlated else _UNCORRELATED])
    if not correlated:
        return rng.permutation(len(vectors)).astype(np.int64)
    nearest = np.argsort(-(vectors @ rng.standard_normal(vectors.shape[1], np.float32)), kind="stable")
    places = np.empty(len(vectors), np.int64)
    places[nearest] = np.arange(len(vectors))
    return places
