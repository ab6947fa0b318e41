"""An HDF5 file as vectors and as tables of its one-dimensional datasets."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from cohorts.connectors.base import Vectors
from cohorts.errors import InputError
from cohorts.extras import missing
from cohorts.loaders.files.checks import check_file, check_names, readable
from cohorts.loaders.files.columns import unsupported
from cohorts.loaders.files.format import VECTOR
from cohorts.loaders.files.npy import check_matrix, float32
from cohorts.loaders.files.stated_metric import check_metric
from cohorts.records.tables.file_kinds import Kind
from cohorts.records.tables.headers import listed

_CHUNK_CACHE_BYTES = 64 << 20  # without it a chunk of HDF5 larger than a batch is unpacked once per batch
_QUERIES = "test"
_BENCHMARK_NAMES = ("train", _QUERIES, "neighbors", "distances")  # ann-benchmarks' own
SUFFIXES = (".hdf5", ".h5")


class _Hdf5Vectors:
    """A dataset of an HDF5 file, (rows, dim)."""

    def __init__(self, path: Path, name: str, rows: int, dim: int) -> None:
        self._path, self._name = path, name
        self.files: Sequence[Path] = (path,)
        self.rows, self.dim = rows, dim

    def pages(self, rows: int) -> Iterator[Vectors]:
        with readable(self._path), _h5py().File(self._path, rdcc_nbytes=_CHUNK_CACHE_BYTES) as file:
            for first in range(0, self.rows, rows):
                yield float32(file[self._name][first : first + rows])


class _Hdf5Part:
    """The one-dimensional datasets of an HDF5 file."""

    def __init__(self, path: Path, rows: int, schema: Any) -> None:
        self.path, self.rows, self.schema = path, rows, schema
        self.files: Sequence[Path] = (path,)
        check_names(path, schema.names)

    def pages(self, rows: int) -> Iterator[Any]:
        with readable(self.path), _h5py().File(self.path) as file:
            for first in range(0, self.rows, rows):
                yield pa.table(
                    [self._cells(file, field, slice(first, first + rows)) for field in self.schema],
                    schema=self.schema,
                )

    def place(self, row: int) -> tuple[Path, int]:
        return self.path, row

    def _cells(self, file: Any, field: Any, rows: slice) -> Any:
        if pa.types.is_string(field.type):
            return pa.array(file[field.name].asstr()[rows], pa.string())
        return pa.array(np.asarray(file[field.name][rows], dtype=field.type.to_pandas_dtype()))


def open_hdf5(path: Path, id_column: str, vector_column: str) -> tuple[_Hdf5Vectors, _Hdf5Part]:
    """Return the vectors, and the datasets beside them that are as long. Raises MissingExtra without h5py."""
    h5py = _h5py()
    with h5py.File(path) as file:
        sets = {name: one for name, one in file.items() if isinstance(one, h5py.Dataset)}
        names = [vector_column, "train"] if vector_column == VECTOR else [vector_column]
        matrix = next((name for name in names if isinstance(file.get(name), h5py.Dataset)), None)
        if matrix is None:
            raise InputError(
                f"{path} has no dataset {' or '.join(names)}. It has: {listed(list(sets), proven=True)}."
            )
        check_matrix(path, file[matrix].shape, file[matrix].dtype)
        check_metric(path, file.attrs, file[matrix].attrs)
        vectors = _Hdf5Vectors(path, matrix, *file[matrix].shape)
        return vectors, _Hdf5Part(path, vectors.rows, _hdf5_schema(sets, vectors.rows, id_column, path))


def open_queries(path: Path) -> _Hdf5Vectors | None:
    """Return the queries that ann-benchmarks keeps beside its vectors; None where the file has none."""
    if path.suffix.lower() not in SUFFIXES:
        return None
    check_file(path, Kind.HDF5)
    h5py = _h5py()
    with readable(path), h5py.File(path) as file:
        if not isinstance(file.get(_QUERIES), h5py.Dataset):
            return None
        check_matrix(path, file[_QUERIES].shape, file[_QUERIES].dtype)
        check_metric(path, file[_QUERIES].attrs)
        return _Hdf5Vectors(path, _QUERIES, *file[_QUERIES].shape)


def _hdf5_schema(sets: Mapping[str, Any], rows: int, id_column: str, path: Path) -> Any:
    """Return the Arrow schema of the ids and payload columns; what is no column is left out."""
    if id_column in sets and sets[id_column].shape != (rows,):
        raise InputError(
            f"Dataset {id_column} of {path} has shape {sets[id_column].shape}; {rows:,} vectors need ({rows},)."
        )
    columns = {
        name: one for name, one in sets.items() if one.shape == (rows,) and name not in _BENCHMARK_NAMES
    }
    return pa.schema([(name, _hdf5_type(name, one, path)) for name, one in columns.items()])


def _hdf5_type(name: str, dataset: Any, path: Path) -> Any:
    if _h5py().check_string_dtype(dataset.dtype) is not None:
        return pa.string()
    if dataset.dtype.kind in "iufb":
        return pa.from_numpy_dtype(dataset.dtype)
    raise unsupported(name, path, dataset.dtype)


def _h5py() -> Any:
    try:
        return import_module("h5py")
    except ModuleNotFoundError as error:
        raise missing("What reads HDF5", "hdf5") from error
