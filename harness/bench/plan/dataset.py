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
from cohorts.connectors.base import FieldType, Vectors
from cohorts.connectors.checks import unit_rows
from cohorts.errors import InputError
from cohorts.harness.bench.plan.experiment import Experiment, Share, Synthetic, check_rows
from cohorts.loaders.files.hdf5 import open_queries
from cohorts.loaders.files.vectors import open_vectors

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]

_CHUNK = 8_192
_PAGE = 10_000
_CENTRES, _VECTORS, _QUERIES, _HELD_OUT, _UNCORRELATED, _CORRELATED = range(6)  # streams of one seed


@dataclass(frozen=True, eq=False)
class Dataset:
    """Unit rows `vectors` (n, dim) and `queries` (q, dim), float32, and `attributes`, (n,) bool by payload key."""

    vectors: Vectors
    queries: Vectors
    attributes: Mapping[str, Mask]
    synthetic: bool

    def __post_init__(self) -> None:
        for values in (self.vectors, self.queries, *self.attributes.values()):
            values.setflags(write=False)  # the checksum is made once

    @cached_property
    def checksum(self) -> str:
        """Return 16 hex digits that follow from vectors, queries and attributes."""
        digest = hashlib.sha256()
        for values in (self.vectors, self.queries):
            digest.update(str(values.shape).encode() + np.ascontiguousarray(values).data)
        for column, mask in sorted(self.attributes.items()):
            digest.update(column.encode() + b"\0" + mask.tobytes())
        return digest.hexdigest()[:16]

    @property
    def fields(self) -> Mapping[str, FieldType]:
        """Return the payload keys to be indexed for filters."""
        return dict.fromkeys(self.attributes, bool)


def make_dataset(experiment: Experiment) -> Dataset:
    """Return the data of an experiment.

    Raises InputError where the file can't be used or is too small, MissingExtra without h5py, VectorError for vectors
    without a direction.
    """
    data, seed = experiment.data, experiment.seed
    if isinstance(data, Synthetic):
        vectors, queries = synthetic(data, experiment.queries, seed)
        made = True
    else:
        vectors, queries, made = from_file(data.path, experiment.queries, seed)
    check_rows(len(vectors), experiment)
    return Dataset(vectors, queries, attributes(vectors, experiment.filters, seed), made)


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


def from_file(path: Path, queries: int, seed: int) -> tuple[Vectors, Vectors, bool]:
    """Return vectors, queries, and whether the file says that they are synthetic.

    Queries are the first of the file's own (`test` of ann-benchmarks), or rows held out at random. Raises InputError.
    """
    file = open_vectors(path)
    made = bool(file.definition and file.definition.metadata.get("synthetic"))
    vectors = _whole((points.vectors for points in file.points(_PAGE)), file.rows, file.dim)
    own = open_queries(path)
    if own is not None:
        if own.dim != file.dim or own.rows < queries:
            raise InputError(
                f"{path} holds {own.rows:,} queries of {own.dim} dimensions; {queries:,} of {file.dim} were asked for."
            )
        return vectors, _whole(own.pages(_PAGE), own.rows, own.dim)[:queries].copy(), made
    if queries >= file.rows:
        raise InputError(
            f"{path} holds {file.rows:,} vectors, of which {queries:,} can't be held out as queries. Ask fewer."
        )
    held = np.zeros(file.rows, np.bool_)
    held[np.random.default_rng([seed, _HELD_OUT]).choice(file.rows, queries, replace=False)] = True
    return vectors[~held], vectors[held], made


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
