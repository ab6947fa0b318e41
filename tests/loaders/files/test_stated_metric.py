"""A file that says its vectors are compared by another measure than cosine is refused, however it says so."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts.errors import InputError
from cohorts.harness.bench.plan.dataset import from_file
from cohorts.loaders.files.vectors import open_vectors
from command_line import refused

h5py: Any = import_module("h5py")  # which has no types
MATRIX = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
OTHERS = [
    "euclidean", "L2", "l2-squared", "IP", "inner_product", "dot", "DOT_PRODUCT", "hamming", "Jaccard", "manhattan"
]  # fmt: skip
COSINE = ["cosine", "COSINE", "cos", "angular", "cosine-similarity", "Cosine distance", b"angular\0"]
NAMES = ["distance", "metric", "METRIC_TYPE", "distance_metric", "similarity", "similarity_fn_name", "space"]


def hdf5(path: Path, name: str, value: Any, *, of: str = "/") -> Path:
    with h5py.File(path, "w") as file:
        file["train"], file["test"] = MATRIX, MATRIX[:4]
        file[of].attrs[name] = value
    return path


def parquet(path: Path, about: dict[str, str], of_vectors: dict[str, str] | None = None) -> Path:
    ids = pa.field("id", pa.string())
    vector = pa.field("vector", pa.list_(pa.float32()), metadata=of_vectors)
    columns = [[str(row) for row in range(len(MATRIX))], MATRIX.tolist()]
    pq.write_table(pa.table(columns, schema=pa.schema([ids, vector], about)), path)
    return path


def is_refused(path: Path, measure: str) -> None:
    for read in (open_vectors, lambda path: from_file(path, 4, 0)):
        with pytest.raises(InputError, match=f"= '{measure}'.*compares by cosine"):
            read(path)


@pytest.mark.parametrize("measure", OTHERS)
def test_another_measure_is_refused_in_every_spelling(measure: str, tmp_path: Path) -> None:
    for value in (measure, np.bytes_(measure), np.array([measure.encode()])):
        is_refused(hdf5(tmp_path / "v.hdf5", "distance", value), measure)
    is_refused(parquet(tmp_path / "v.parquet", {"metric": measure}), measure)


@pytest.mark.parametrize("name", NAMES)
def test_under_every_name(name: str, tmp_path: Path) -> None:
    is_refused(hdf5(tmp_path / "v.h5", name, "l2"), "l2")
    is_refused(hdf5(tmp_path / "v.hdf5", name, "l2", of="train"), "l2")
    is_refused(parquet(tmp_path / "v.parquet", {name: "l2"}), "l2")


def test_wherever_a_file_says_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="= 'l2'"):
        from_file(hdf5(tmp_path / "v.hdf5", "distance", "l2", of="test"), 4, 0)
    definition = {
        "name": "c",
        "dim": 3,
        "index": {"kind": "flat"},
        "fields": {},
        "metadata": {},
        "metric": "dot",
    }
    for place, about in enumerate(
        ({"PANDAS_ATTRS": '{"metric": "dot"}'}, {"cohorts": json.dumps(definition)})
    ):
        is_refused(parquet(tmp_path / f"{place}.parquet", about), "dot")
    is_refused(parquet(tmp_path / "v.parquet", {}, of_vectors={"metric": "dot"}), "dot")


@pytest.mark.parametrize("measure", COSINE)
def test_cosine_is_taken_in_every_spelling(measure: str | bytes, tmp_path: Path) -> None:
    assert open_vectors(hdf5(tmp_path / "v.hdf5", "distance", np.bytes_(measure))).rows == len(MATRIX)
    assert len(from_file(tmp_path / "v.hdf5", 4, 0)[0]) == len(MATRIX)


def test_what_is_no_measure_is_not_taken_for_one(tmp_path: Path) -> None:
    assert open_vectors(hdf5(tmp_path / "v.hdf5", "distance", 3.5)).rows == len(MATRIX)
    assert open_vectors(hdf5(tmp_path / "v.hdf5", "made_of", "distances in l2")).rows == len(MATRIX)


def test_load_and_bench_tell_it_before_they_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hdf5(Path("v.hdf5"), "distance", "euclidean")
    Path("e.toml").write_text(
        'name = "e"\nqueries = 4\nk = [2]\n[data]\nfile = "v.hdf5"\n[[store]]\nname = "q"\naddress = "qdrant:./q"\n'
        '[[index]]\nbuild = "flat"\n'
    )
    for command in (
        "load --vectors v.hdf5 --store qdrant:./q --collection c --made-by m",
        "bench e.toml --out out",
    ):
        assert "distance = 'euclidean'" in refused(command)
    assert not Path("q").exists()
