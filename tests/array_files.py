"""Files of arrays that tests make."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from cohorts.connectors.base import Points
from cohorts.loaders.files.vectors import VectorFile


def hdf5(path: Path, **arrays: Any) -> Path:
    """Write arrays, or what is none, under their names."""
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return path


DIM = 3
ROWS = 7
MATRIX = np.arange(ROWS * DIM, dtype=np.float32).reshape(ROWS, DIM) / 7
NUMBERS = [str(row) for row in range(ROWS)]
IDS = [f"p{row}" for row in range(ROWS)]


def lists(kind: Any = None) -> Any:
    return pa.array(MATRIX.tolist(), kind or pa.list_(pa.float32(), DIM))


def parquet(path: Path, columns: dict[str, Any] | None = None, **more: Any) -> Path:
    pq.write_table(pa.table({"id": IDS, "vector": lists(), **(columns or {}), **more}), path)
    return path


def npy(path: Path, matrix: npt.NDArray[Any] = MATRIX) -> Path:
    np.save(path, matrix)
    return path


def text(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def whole(file: VectorFile, rows: int = 1_000) -> Points:
    pages = list(file.points(rows))
    return Points(
        [one for page in pages for one in page.ids],
        np.concatenate([page.vectors for page in pages]),
        [payload for page in pages for payload in page.payloads],
    )


def column(file: VectorFile, name: str) -> list[Any]:
    return [payload[name] for payload in whole(file).payloads]
