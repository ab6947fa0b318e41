"""What can not be loaded is refused at once, by file, row and reason, and never by content."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from array_files import DIM, IDS, MATRIX, ROWS, hdf5, lists, npy, parquet, text
from cohorts.errors import InputError
from cohorts.loaders.files.vectors import open_vectors

DEFINITION: dict[str, Any] = {
    "name": "c",
    "dim": DIM,
    "index": {"kind": "flat"},
    "fields": {},
    "metadata": {},
}

Make = Callable[[Path], dict[str, Any]]


def given(path: Path, **more: Any) -> dict[str, Any]:
    return {"path": path, **more}


def csv_of(folder: Path, content: str | bytes) -> dict[str, Any]:
    return given(npy(folder / "v.npy"), payload=text(folder / "p.csv", content))


REFUSED: dict[str, tuple[Make, str]] = {
    "missing file": (lambda f: given(f / "v.npy"), r"There is no file .*v\.npy"),
    "folder": (lambda f: given(f), r"holds no file whose name ends in \.parquet"),
    "suffix": (
        lambda f: given(text(f / "v.tsv", "")),
        r"v\.tsv .*Vectors come as: \.parquet, \.npy, \.hdf5, \.h5",
    ),
    "no id column": (
        lambda f: given(parquet(f / "v.parquet"), id_column="pid"),
        "has no column pid. It has: id, vector",
    ),
    "no vector column": (
        lambda f: given(parquet(f / "v.parquet", age=range(ROWS)), vector_column="emb"),
        "has no column emb. It has: id, vector, age",
    ),
    "two id columns": (
        lambda f: given(twice(f / "v.parquet", "id")),
        "has more than one column id. It has: id, vector, id",
    ),
    "two payload columns": (
        lambda f: given(twice(f / "v.parquet", "age", "age")),
        "Columns 3 and 4 of .* have one name",
    ),
    "vectors that are numbers": (
        lambda f: given(parquet(f / "v.parquet", vector=pa.array([1.0] * ROWS))),
        "Column vector of .* is double; vectors must be lists of numbers",
    ),
    "vectors of text": (
        lambda f: given(parquet(f / "v.parquet", vector=pa.array([["a"]] * ROWS))),
        "is list<.*string>; vectors must be lists of numbers",
    ),
    "no vector at all": (
        lambda f: given(parquet(f / "v.parquet", vector=pa.array([None] * ROWS, pa.list_(pa.float32())))),
        "holds no vector that has a length",
    ),
    "vectors of no length": (
        lambda f: given(parquet(f / "v.parquet", vector=pa.array([[]] * ROWS, pa.list_(pa.float32())))),
        "holds no vector that has a length",
    ),
    "ids of floats": (
        lambda f: given(parquet(f / "v.parquet", id=pa.array([1.0] * ROWS))),
        "Column id of .* is double; ids are text or whole numbers",
    ),
    "ids of dates": (
        lambda f: given(parquet(f / "v.parquet", id=pa.array([datetime(2150, 1, 1)] * ROWS))),
        "is timestamp.*; ids are text or whole numbers",
    ),
    "payload of structs": (
        lambda f: given(parquet(f / "v.parquet", fact=pa.array([{"a": 1}] * ROWS))),
        "Column fact of .* is struct<.*; a payload may hold text, whole numbers, .*lists of text",
    ),
    "payload of lists of numbers": (
        lambda f: given(parquet(f / "v.parquet", fact=pa.array([[1]] * ROWS))),
        "Column fact of .* is list<.*int64>; a payload may hold",
    ),
    "payload of bytes": (
        lambda f: given(parquet(f / "v.parquet", fact=pa.array([b"a"] * ROWS))),
        "Column fact of .* is binary",
    ),
    "our name": (
        lambda f: given(parquet(f / "v.parquet", {"_cohorts_key": range(ROWS)})),
        "has a column _cohorts_key; _cohorts_ is ours",
    ),
    "filterable": (
        lambda f: given(parquet(f / "v.parquet", age=range(ROWS)), filterable=["age", "sex"]),
        "Column sex can't be indexed for filters: it is not there. Columns that can: age",
    ),
    "payload beside Parquet": (
        lambda f: given(parquet(f / "v.parquet"), payload=text(f / "p.csv", "a\n")),
        r"v\.parquet is Parquet and holds its payload itself",
    ),
    "no Parquet": (lambda f: given(text(f / "v.parquet", "PAR0")), r"v\.parquet can't be read"),
    "half a Parquet": (lambda f: given(half(parquet(f / "v.parquet"))), r"v\.parquet can't be read"),
    "damaged definition": (
        lambda f: given(defined(f / "v.parquet", "{")),
        "definition of the collection in .* is damaged",
    ),
    "definition of another size": (
        lambda f: given(defined(f / "v.parquet", json.dumps(DEFINITION | {"dim": 9}))),
        "vectors of 3 dimensions and its definition says 9",
    ),
    "no npy": (lambda f: given(text(f / "v.npy", "abc")), r"v\.npy can't be read"),
    "half an npy": (lambda f: given(half(npy(f / "v.npy"))), r"v\.npy can't be read"),
    "objects": (
        lambda f: given(npy(f / "v.npy", np.array([[{}]], dtype=object))),
        "holds Python objects; save a matrix of floats",
    ),
    "one dimension": (
        lambda f: given(npy(f / "v.npy", MATRIX[0])),
        r"array of shape \(3,\); vectors are a matrix",
    ),
    "no dimension": (lambda f: given(npy(f / "v.npy", MATRIX[:, :0])), r"array of shape \(7, 0\)"),
    "text in npy": (
        lambda f: given(npy(f / "v.npy", np.array([["a"]]))),
        "values of type <U1; vectors are numbers",
    ),
    "complex": (lambda f: given(npy(f / "v.npy", MATRIX * 1j)), "values of type complex64"),
    "ids that are nowhere": (
        lambda f: csv_of(f, "id,age\n" + "a,1\n" * ROWS) | {"id_column": "pid"},
        "no column pid to take the ids from. Columns: id, age",
    ),
    "ids that are nowhere in npy": (
        lambda f: given(npy(f / "v.npy"), id_column="pid"),
        "no column pid to take the ids from. Columns: none",
    ),
    "payload missing": (
        lambda f: given(npy(f / "v.npy"), payload=f / "p.csv"),
        r"There is no file .*p\.csv",
    ),
    "payload suffix": (
        lambda f: given(npy(f / "v.npy"), payload=text(f / "p.tsv", "")),
        r"p\.tsv has no suffix that is known. A payload comes as: \.parquet, \.csv",
    ),
    "payload too short": (
        lambda f: csv_of(f, "a\n" + "x\n" * (ROWS - 1)),
        r"p\.csv has 6 rows and .*v\.npy 7 vectors",
    ),
    "payload too long": (
        lambda f: given(npy(f / "v.npy", MATRIX[:2]), payload=parquet_payload(f / "p.parquet")),
        r"p\.parquet has 7 rows and .*v\.npy 2 vectors",
    ),
    "empty csv": (lambda f: csv_of(f, ""), r"p\.csv can't be read as CSV"),
    "csv in Latin-1": (lambda f: csv_of(f, b"a\n" + b"\xe9\n" * ROWS), "must be UTF-8"),
    "csv with a column twice": (
        lambda f: csv_of(f, "a,a\n" + "1,2\n" * ROWS),
        "Columns 1 and 2 of .* have one name",
    ),
    "no dataset": (
        lambda f: given(hdf5(f / "v.hdf5", a=MATRIX, b=MATRIX)),
        "has no dataset vector or train. It has: a, b",
    ),
    "no dataset of that name": (
        lambda f: given(hdf5(f / "v.hdf5", train=MATRIX), vector_column="emb"),
        "has no dataset emb. It has: train",
    ),
    "hdf5 of one dimension": (lambda f: given(hdf5(f / "v.hdf5", train=MATRIX[0])), r"shape \(3,\)"),
    "hdf5 of text": (lambda f: given(hdf5(f / "v.hdf5", train=np.array([[b"a"]]))), "vectors are numbers"),
    "hdf5 ids too few": (
        lambda f: given(hdf5(f / "v.hdf5", train=MATRIX, id=IDS[:3])),
        r"Dataset id of .* has shape \(3,\); 7 vectors need \(7,\)",
    ),
    "hdf5 payload type": (
        lambda f: given(hdf5(f / "v.hdf5", train=MATRIX, fact=np.full(ROWS, 1j))),
        "Column fact of .* is complex128; a payload may hold",
    ),
    "hdf5 column twice": (
        lambda f: given(
            hdf5(f / "v.hdf5", train=MATRIX, age=np.arange(ROWS)),
            payload=text(f / "p.csv", "age,sex\n" + "1,f\n" * ROWS),
        ),
        "Payload column age is there twice",
    ),
    "no hdf5": (lambda f: given(text(f / "v.hdf5", "abc")), r"v\.hdf5 can't be read"),
    "half an hdf5": (lambda f: given(half(hdf5(f / "v.hdf5", train=MATRIX))), r"v\.hdf5 can't be read"),
}


def twice(path: Path, *names: str) -> Path:
    arrays = [pa.array(IDS), lists(), *(pa.array(IDS) for _ in names)]
    pq.write_table(pa.Table.from_arrays(arrays, names=["id", "vector", *names]), path)
    return path


def half(path: Path) -> Path:
    return text(path, path.read_bytes()[: path.stat().st_size // 2])


def defined(path: Path, definition: str) -> Path:
    table = pa.table({"id": IDS, "vector": lists()}).replace_schema_metadata({"cohorts": definition})
    pq.write_table(table, path)
    return path


def parquet_payload(path: Path) -> Path:
    pq.write_table(pa.table({"age": range(ROWS)}), path)
    return path


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_used_is_refused_at_once(tmp_path: Path, case: str) -> None:
    make, message = REFUSED[case]
    arguments = make(tmp_path)
    with pytest.raises(InputError, match=message):
        open_vectors(arguments.pop("path"), **arguments)


def test_vectors_of_unequal_length_name_the_row(tmp_path: Path) -> None:
    rows = [[1.0, 2.0]] * 5 + [[1.0, 2.0, 3.0], [1.0]]
    file = open_vectors(parquet(tmp_path / "v.parquet", vector=pa.array(rows)))
    assert file.dim == 2
    with pytest.raises(InputError, match=r"vector in row 5 .from 0. has 3 numbers and the first one 2"):
        list(file.points(2))


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_missing_id_names_the_row(tmp_path: Path, suffix: str) -> None:
    ids = [*IDS[:5], None, "p6"]
    if suffix == "parquet":
        file = open_vectors(parquet(tmp_path / "v.parquet", id=pa.array(ids)))
    else:
        payload = text(tmp_path / "p.csv", "id,a\n" + "".join(f"{one or ''},1\n" for one in ids))
        file = open_vectors(npy(tmp_path / "v.npy"), payload=payload)
    with pytest.raises(InputError, match=r"has no id in row 5 .from 0."):
        list(file.points(2))


@pytest.mark.parametrize("broken", ["SECRET,b,c\n", "SECRET\n"])
def test_a_csv_row_of_other_width_is_refused_without_its_content(tmp_path: Path, broken: str) -> None:
    payload = text(tmp_path / "p.csv", "a,b\n" + "1,2\n" * 3 + broken + "1,2\n" * 3)
    with pytest.raises(InputError, match=r"p\.csv can't be read as CSV: .*Expected 2 columns, got") as caught:
        open_vectors(npy(tmp_path / "v.npy"), payload=payload)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None  # which a traceback would show


def test_text_that_is_no_utf8_is_an_error_of_ours(tmp_path: Path) -> None:
    file = open_vectors(hdf5(tmp_path / "v.hdf5", train=MATRIX, id=np.array([b"\xff"] * ROWS)))
    with pytest.raises(InputError, match=r"v\.hdf5 can't be read"):
        list(file.points())


def test_a_timestamp_that_is_no_date_is_an_error_of_ours(tmp_path: Path) -> None:
    path = parquet(tmp_path / "v.parquet", fact=pa.array([2**60] * ROWS, pa.timestamp("ms")))
    with pytest.raises(InputError, match=r"v\.parquet can't be read"):
        list(open_vectors(path).points())
