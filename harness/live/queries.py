"""Queries to measure with, of a kind that is always told: recall for one kind says little of another.

A collection's own points flatter an index that was built by searching for them; the words of a user lie farther off.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cohorts.connectors.base import Vectors
from cohorts.connectors.checks import row_lengths, unit_rows
from cohorts.errors import InputError
from cohorts.harness.bench.results import Floats
from cohorts.loaders.files.checks import check_file
from cohorts.loaders.files.hdf5 import SUFFIXES, open_queries
from cohorts.loaders.files.vectors import open_vectors
from cohorts.records.tables.file_kinds import Kind

OWN, PERTURBED, VECTORS, TEXTS = "own", "perturbed", "vectors", "texts"
# A copy of its nearest point would be turned by nothing, and one with none near would be noise alone.
MOST_COSINE, LEAST_COSINE = 0.99, 0.1
PAGE = 1_000
_VECTOR_SUFFIXES = (".npy", ".parquet", *SUFFIXES)

Encode = Callable[[Sequence[str]], Vectors]


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample:
    """Queries of one kind: `vectors` is (queries, dim) float32, unit rows, and `about` says in words what they are.

    `ids` name them: ids of own points, of the points that perturbed ones were turned away from, or the places in a file
    (lines from 1, rows from 0).
    """

    kind: str
    ids: list[str]
    vectors: Vectors
    about: str

    @property
    def selves(self) -> Sequence[str | None]:
        """Return for every query the point that is the query itself, and no neighbour of it; None for a new one."""
        return self.ids if self.kind == OWN else [None] * len(self.ids)


def perturbed(own: Sample, nearest: Floats, seed: int) -> Sample:
    """Return held-out queries: own points, each turned in a random direction as far as its nearest other point lies.

    `nearest` is the cosine of every point and that neighbour, (queries,); it is kept within .1 and .99. The direction
    is uniform among those at a right angle to the point: a query is as far from its point as a new patient would be,
    and where no index has seen one.
    """
    cosine = np.clip(nearest, LEAST_COSINE, MOST_COSINE)[:, None]
    noise = np.random.default_rng([seed, 1]).standard_normal(own.vectors.shape)
    noise -= (noise * own.vectors).sum(axis=1, keepdims=True) * own.vectors
    noise /= np.maximum(np.linalg.norm(noise, axis=1, keepdims=True), np.finfo(float).tiny)
    turned = cosine * own.vectors + np.sqrt(1 - cosine**2) * noise
    angle = np.degrees(np.arccos(np.median(cosine)))
    about = f"{len(own.ids):,} of its points, each turned away as far as its nearest other lies (median {angle:.0f}°)"
    vectors = unit_rows(turned.astype(np.float32), own.vectors.shape[1])
    return Sample(kind=PERTURBED, ids=own.ids, vectors=vectors, about=about)


def read_queries(path: Path, dim: int, queries: int, seed: int, encode: Encode) -> Sample:
    """Return at most `queries` of a file, drawn by the seed: vectors (.npy, .parquet, .hdf5, .h5), or texts (.txt).

    Texts stand one on a line, and `encode` makes their vectors; ann-benchmarks' HDF5 files hold queries beside their
    vectors. Raises InputError for a file that can't be used, and vectors of another size or without a direction.
    """
    suffix = path.suffix.lower()
    if suffix in _VECTOR_SUFFIXES:
        return _vectors(path, dim, queries, seed)
    if suffix == ".txt":
        return _texts(path, queries, seed, encode)
    raise InputError(
        f"{path} has no suffix that is known. Queries come as vectors ({', '.join(_VECTOR_SUFFIXES)}) or as texts, one "
        "on a line (.txt)."
    )


def _vectors(path: Path, dim: int, queries: int, seed: int) -> Sample:
    there, rows, pages = _open(path)
    if there != dim:
        raise InputError(f"{path} holds vectors of {there} dimensions; the collection's have {dim}.")
    wanted = _drawn(rows, queries, seed, path)
    found, first = [], 0
    for page in pages:
        at = wanted[(wanted >= first) & (wanted < first + len(page))]
        found.append(page[at - first])
        first += len(page)
        if first > wanted[-1]:
            break
    vectors = np.concatenate(found)
    lengths = row_lengths(vectors)
    bad = wanted[~((lengths > 0) & np.isfinite(lengths))]
    if len(bad):
        raise InputError(
            f"Row {bad[0]} (from 0) of {path} is missing, all zeros, or holds NaN or infinity: it can't be searched by."
        )
    about = f"{len(wanted):,} of the {rows:,} vectors of a file"
    ids = [str(row) for row in wanted]
    return Sample(kind=VECTORS, ids=ids, vectors=unit_rows(vectors, dim), about=about)


def _open(path: Path) -> tuple[int, int, Iterator[Vectors]]:
    """Return dimension, rows and pages of the vectors of a file, of its queries where it names them so."""
    beside = open_queries(path)
    if beside is not None:
        return beside.dim, beside.rows, beside.pages(PAGE)
    file = open_vectors(path)
    return file.dim, file.rows, (points.vectors for points in file.points(PAGE))


def _texts(path: Path, queries: int, seed: int, encode: Encode) -> Sample:
    check_file(path, Kind.TEXT)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} can't be read as text in UTF-8. Queries stand in it one on a line."
        ) from error
    there = [(str(number), line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    drawn = [there[at] for at in _drawn(len(there), queries, seed, path)]
    vectors = encode([text for _, text in drawn])
    known: npt.NDArray[np.bool_] = np.any(vectors != 0, axis=1)
    if not known.any():
        raise InputError(f"The encoder knows no word of the queries in {path}.")
    ids = [number for (number, _), one in zip(drawn, known, strict=True) if one]
    about = f"{len(ids):,} of the {len(there):,} texts of a file"
    if not known.all():
        about += f"; {(~known).sum():,} more were drawn, of which the encoder knows no word"
    return Sample(kind=TEXTS, ids=ids, vectors=unit_rows(vectors[known], vectors.shape[1]), about=about)


def _drawn(there: int, queries: int, seed: int, path: Path) -> npt.NDArray[np.int64]:
    """Return the places that are drawn, in order."""
    if not there:
        raise InputError(f"{path} holds no query.")
    return np.sort(np.random.default_rng(seed).choice(there, min(queries, there), replace=False))
