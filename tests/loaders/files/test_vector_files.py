"""Ready vectors in files: what the readers give back, and what they say of files that can't be used."""

import sys
from datetime import date, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from array_files import DIM, IDS, MATRIX, NUMBERS, ROWS, column, hdf5, lists, npy, parquet, text, whole
from cohorts.errors import InputError, MissingExtra
from cohorts.loaders.files.vectors import open_vectors

h5py: Any = import_module("h5py")  # which has no types
# Parquet


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 1_000])
def test_parquet_comes_in_even_batches_in_the_files_order(tmp_path: Path, rows: int) -> None:
    path = tmp_path / "v.parquet"
    pq.write_table(pa.table({"id": IDS, "age": range(ROWS), "vector": lists()}), path, row_group_size=2)
    file = open_vectors(path)
    assert (file.name, file.dim, file.rows, file.definition, dict(file.fields)) == (
        "parquet",
        DIM,
        ROWS,
        None,
        {},
    )
    pages = list(file.points(rows))
    assert [len(page.ids) for page in pages][:-1] == [rows] * (len(pages) - 1)
    assert all(len(page.ids) == len(page.vectors) == len(page.payloads) <= rows for page in pages)
    points = whole(file, rows)
    assert points.ids == IDS
    assert points.vectors.dtype == np.float32
    np.testing.assert_array_equal(points.vectors, MATRIX)
    assert points.payloads == [{"age": row} for row in range(ROWS)]


@pytest.mark.parametrize("make", [pa.list_, pa.large_list, lambda kind: pa.list_(kind, DIM)])
@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64(), pa.int8(), pa.int64()])
def test_vectors_of_every_list_and_number_type(tmp_path: Path, make: Any, kind: Any) -> None:
    values: npt.NDArray[Any] = np.arange(ROWS * DIM).reshape(ROWS, DIM)  # which all the types hold
    if pa.types.is_floating(kind):
        values = values / 4
    flat = pa.array(values.ravel().astype(kind.to_pandas_dtype()))
    rows = (
        pa.array(values.tolist(), pa.list_(pa.float64())).cast(make(kind)) if kind != pa.float16() else None
    )
    if rows is None:
        offsets = range(0, ROWS * DIM + 1, DIM)
        rows = {
            "list": lambda: pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat),
            "large_list": lambda: pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), flat),
            "fixed_size_list": lambda: pa.FixedSizeListArray.from_arrays(flat, DIM),
        }[str(make(kind)).split("<")[0]]()
    assert rows.type.value_type == kind
    found = whole(open_vectors(parquet(tmp_path / "v.parquet", vector=rows)), 2).vectors
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), DIM)]
)
def test_missing_vectors_and_numbers_become_nan_for_the_loader_to_find(tmp_path: Path, kind: Any) -> None:
    rows = [None, [1, 2, 3], None, [4, None, 6], [0, 0, 0], [float("nan"), 1, 1], [7, 8, 9]]
    found = whole(open_vectors(parquet(tmp_path / "v.parquet", vector=pa.array(rows, kind))), 2).vectors
    nan = float("nan")
    expected = [[nan] * 3, [1, 2, 3], [nan] * 3, [4, nan, 6], [0, 0, 0], [nan, 1, 1], [7, 8, 9]]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_numbers_too_large_for_float32_become_infinite_without_a_warning(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"v.{suffix}"
    wide = MATRIX.astype(np.float64)
    wide[2, 1] = 1e300
    if suffix == "npy":
        npy(path, wide)
    else:
        parquet(path, vector=pa.array(wide.tolist(), pa.list_(pa.float64())))
    with np.errstate(all="raise"):
        found = whole(open_vectors(path)).vectors
    assert found[2, 1] == np.inf
    assert np.isfinite(found).sum() == found.size - 1


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (pa.array(range(5, 5 + ROWS), pa.int64()), [str(one) for one in range(5, 5 + ROWS)]),
        (
            pa.array([2**64 - 1] * ROWS, pa.uint64()),
            [str(2**64 - 1)] * ROWS,
        ),  # repeated ids are the loader's to find
        (pa.array(IDS).dictionary_encode(), IDS),
        (pa.array(IDS, pa.large_string()), IDS),
    ],
)
def test_ids_are_text_or_whole_numbers(tmp_path: Path, ids: Any, expected: list[str]) -> None:
    assert whole(open_vectors(parquet(tmp_path / "v.parquet", id=ids)), 3).ids == expected


PAYLOADS: list[tuple[Any, Any, list[Any]]] = [
    (pa.string(), str, ["a", "", "ü\nz"]),
    (pa.large_string(), str, ["a", "b", "c"]),
    (pa.int8(), int, [1, -2, 3]),
    (pa.uint32(), int, [1, 2, 2**32 - 1]),
    (pa.float64(), float, [0.1, -0.5, 1e300]),
    (pa.float32(), float, [0.5, 1.5, 2.5]),
    (pa.bool_(), bool, [True, False, True]),
    (pa.list_(pa.string()), list[str], [["a", "b"], [], ["c"]]),
    (pa.large_list(pa.string()), list[str], [["a"], [], ["c"]]),
    (pa.list_(pa.null()), list[str], [[], [], []]),
    (pa.dictionary(pa.int32(), pa.string()), str, ["a", "b", "a"]),
    (pa.null(), str, [None, None, None]),
]


@pytest.mark.parametrize(("arrow", "kind", "values"), PAYLOADS, ids=lambda one: str(one))
def test_payload_types(tmp_path: Path, arrow: Any, kind: Any, values: list[Any]) -> None:
    cells = [*values, None, *values]
    path = parquet(tmp_path / "v.parquet", {"fact": pa.array(cells, arrow)})
    file = open_vectors(path, filterable=["fact"])
    assert column(file, "fact") == cells
    assert [type(one) for one in column(file, "fact")] == [type(one) for one in cells]
    assert file.fields == {"fact": kind}


def test_dates_and_timestamps_come_as_iso_text(tmp_path: Path) -> None:
    day, moment = date(2150, 2, 3), datetime(2150, 2, 3, 4, 5, 6, 7)
    path = parquet(
        tmp_path / "v.parquet",
        day=pa.array([day, None] + [day] * 5),
        moment=pa.array([moment, None] + [moment] * 5, pa.timestamp("us")),
        zoned=pa.array([moment] * 7, pa.timestamp("ms", "UTC")),
    )
    file = open_vectors(path, filterable=["day", "moment"])
    assert column(file, "day")[:2] == ["2150-02-03", None]
    assert column(file, "moment")[:2] == ["2150-02-03T04:05:06.000007", None]
    assert column(file, "zoned")[0] == "2150-02-03T04:05:06+00:00"
    assert file.fields == {"day": date, "moment": str}


def test_only_named_columns_are_filterable_and_columns_may_have_other_names(tmp_path: Path) -> None:
    path = tmp_path / "v.parquet"
    columns = {"emb": lists(), "emb.x": ["a"] * ROWS, "": range(ROWS), "pid": IDS, "id": range(ROWS)}
    pq.write_table(pa.table(columns), path)
    file = open_vectors(path, id_column="pid", vector_column="emb", filterable=["id"])
    points = whole(file, 2)
    assert points.ids == IDS
    np.testing.assert_array_equal(points.vectors, MATRIX)
    assert points.payloads[6] == {"emb.x": "a", "": 6, "id": 6}
    assert file.fields == {"id": int}


def test_fingerprint_follows_the_content_of_every_file_and_nothing_else(tmp_path: Path) -> None:
    def of(matrix: npt.NDArray[Any], payload: str, name: str) -> str:
        beside = text(tmp_path / f"{name}.csv", payload)
        return open_vectors(npy(tmp_path / f"{name}.npy", matrix), payload=beside).fingerprint

    rows = "a\n" + "x\n" * ROWS
    first = of(MATRIX, rows, "a")
    assert len(first) == 16
    assert int(first, 16) >= 0
    assert of(MATRIX, rows, "b") == first
    assert of(MATRIX + 1, rows, "c") != first
    assert of(MATRIX, rows.replace("x", "y"), "d") != first


# Constant memory


def test_a_file_that_is_one_row_group_is_not_held_in_memory(tmp_path: Path) -> None:
    rows, dim = 40_000, 128  # 20 MB
    values = pa.array(np.random.default_rng(1).random(rows * dim, dtype=np.float32))
    columns = {"id": pa.array(range(rows)), "vector": pa.FixedSizeListArray.from_arrays(values, dim)}
    pq.write_table(pa.table(columns), tmp_path / "v.parquet", row_group_size=rows)
    del values, columns
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in open_vectors(tmp_path / "v.parquet").points(500)]
    assert len(held) == rows // 500
    assert max(held) < 10e6


def test_the_first_batch_comes_before_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "v.parquet"
    pq.write_table(
        pa.table({"id": IDS, "vector": lists()}),
        path,
        row_group_size=3,
        use_dictionary=False,
        compression="zstd",
    )
    damaged = bytearray(path.read_bytes())
    place = pq.ParquetFile(path).metadata.row_group(1).column(1).data_page_offset
    damaged[place : place + 60] = b"\xff" * 60
    path.write_bytes(damaged)
    pages = open_vectors(path).points(3)
    assert next(pages).ids == IDS[:3]
    with pytest.raises(InputError, match=r"v\.parquet can't be read"):
        next(pages)


def test_a_matrix_of_100_gb_is_opened_and_begun(tmp_path: Path) -> None:
    rows, dim = 10**8, 256  # in files that are holes
    with (tmp_path / "v.npy").open("wb") as stream:
        np.lib.format.write_array_header_1_0(
            stream, {"descr": "<f4", "fortran_order": False, "shape": (rows, dim)}
        )
        stream.truncate(stream.tell() + rows * dim * 4)
    with h5py.File(tmp_path / "v.hdf5", "w") as out:
        out.create_dataset("train", (rows, dim), np.float32, chunks=(1_000, dim))
    for name in ("v.npy", "v.hdf5"):
        file = open_vectors(tmp_path / name)
        assert (file.rows, file.dim) == (rows, dim)
        assert next(file.points(10)).vectors.shape == (10, dim)


# npy, and the payload file beside it


@pytest.mark.parametrize(
    "matrix", [MATRIX, MATRIX.astype(">f8"), np.asfortranarray(MATRIX), (MATRIX * 7).astype(np.int16)]
)
def test_npy_takes_row_numbers_for_ids(tmp_path: Path, matrix: npt.NDArray[Any]) -> None:
    file = open_vectors(npy(tmp_path / "v.npy", matrix))
    assert (file.name, file.dim, file.rows) == ("npy", DIM, ROWS)
    points = whole(file, 3)
    assert points.ids == NUMBERS
    assert points.payloads == [{}] * ROWS
    assert points.vectors.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(points.vectors, matrix.astype(np.float32))


def test_an_empty_matrix_has_no_points(tmp_path: Path) -> None:
    file = open_vectors(npy(tmp_path / "v.npy", MATRIX[:0]))
    assert (file.rows, file.dim, list(file.points())) == (0, DIM, [])


def test_parquet_beside_a_matrix_gives_ids_and_payload(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"id": IDS, "age": [1.5] * ROWS}), path, row_group_size=2)
    file = open_vectors(npy(tmp_path / "v.npy"), payload=path, filterable=["age"])
    assert whole(file, 3).ids == IDS
    assert whole(file, 3).payloads == [{"age": 1.5}] * ROWS
    assert file.fields == {"age": float}


CSV = """\ufeffid,age,weight,died,born,code,icd,note,none,long
007,61,1,true,2150-01-31,0389,250.00,"a, ""b""
c",,1234567890123456
008,,2.5,False,,4019,V10,,,2
"""


def test_csv_types_follow_from_all_cells(tmp_path: Path) -> None:
    payload = text(tmp_path / "p.csv", CSV)
    matrix = npy(tmp_path / "v.npy", MATRIX[:2])
    names = ["age", "weight", "died", "born", "code", "icd", "note", "none", "long"]
    file = open_vectors(matrix, payload=payload, filterable=names)
    points = whole(file, 1)
    assert points.ids == ["007", "008"]
    first = [61, 1.0, True, "2150-01-31", "0389", "250.00", 'a, "b"\nc', None, "1234567890123456"]
    second = [None, 2.5, False, None, "4019", "V10", None, None, "2"]
    assert points.payloads == [dict(zip(names, first, strict=True)), dict(zip(names, second, strict=True))]
    kinds = [int, float, bool, date, str, str, str, str, str]
    assert file.fields == dict(zip(names, kinds, strict=True))


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "x"], str),
        (["1", "+2"], str),
        (["1", "-0"], int),
        (["1", "2e3"], float),
        (["true", "1"], str),
        (["2150-01-31", "2150-02-30"], str),
        (["2150-01-31", "2150-1-3"], str),
        (["nan", "1"], str),
    ],
)
def test_one_cell_settles_the_type_of_a_csv_column(tmp_path: Path, cells: list[str], kind: Any) -> None:
    many = [cells[0]] * 300_000 + cells[1:]  # further in than a parser's first block
    payload = text(tmp_path / "p.csv", "fact,other\n" + "".join(f"{cell},abc\n" for cell in many))
    matrix = npy(tmp_path / "v.npy", np.ones((len(many), 1), np.float32))
    file = open_vectors(matrix, payload=payload, filterable=["fact"])
    assert file.fields == {"fact": kind}
    last = list(file.points(50_000))[-1]
    assert last.ids == ["300000"]
    assert last.payloads[0]["fact"] == ({int: int, float: float}.get(kind, str))(cells[1])


@pytest.mark.parametrize("cell", ["1.50", "true", "12", "2150-01-31"])
def test_ids_of_a_csv_are_text_whatever_they_look_like(tmp_path: Path, cell: str) -> None:
    payload = text(tmp_path / "p.csv", "id,a\n" + f"{cell},1\n" * ROWS)
    assert whole(open_vectors(npy(tmp_path / "v.npy"), payload=payload)).ids == [cell] * ROWS


def test_line_breaks_within_cells_of_a_long_csv(tmp_path: Path) -> None:
    rows = 150_000  # several of a parser's blocks, whose borders fall within cells
    payload = text(tmp_path / "p.csv", "id,note\n" + "".join(f'{row},"a\n{row}"\n' for row in range(rows)))
    file = open_vectors(npy(tmp_path / "v.npy", np.ones((rows, 1), np.float32)), payload=payload)
    assert column(file, "note") == [f"a\n{row}" for row in range(rows)]


def test_an_empty_line_of_a_csv_of_one_column_is_an_empty_cell(tmp_path: Path) -> None:
    payload = text(tmp_path / "p.csv", "fact\na\n\nb\nc\nd\ne\nf\n")
    assert column(open_vectors(npy(tmp_path / "v.npy"), payload=payload), "fact") == ["a", None, *"bcdef"]


# HDF5


def test_hdf5_of_ann_benchmarks(tmp_path: Path) -> None:
    path = hdf5(
        tmp_path / "glove.hdf5",
        train=MATRIX,
        test=MATRIX[:2],
        neighbors=np.zeros((2, 5), int),
        distances=np.zeros((2, 5)),
    )
    file = open_vectors(path)
    assert (file.name, file.dim, file.rows) == ("hdf5", DIM, ROWS)
    points = whole(file, 3)
    assert points.ids == NUMBERS
    assert points.payloads == [{}] * ROWS
    np.testing.assert_array_equal(points.vectors, MATRIX)


@pytest.mark.parametrize("ids", [IDS, np.array(IDS, "S3"), np.arange(ROWS)])
def test_hdf5_with_ids_and_payload_datasets(tmp_path: Path, ids: Any) -> None:
    path = hdf5(
        tmp_path / "v.h5",
        vector=MATRIX.astype(np.float64),
        train=np.arange(ROWS),
        id=ids,
        sex=["ü"] * ROWS,
        age=np.arange(ROWS, dtype=">i2"),
        weight=np.full(ROWS, 0.5, np.float16),
        died=np.array([True, False, True, False, True, False, True]),
        shorter=np.arange(3),
        wide=np.zeros((ROWS, 2)),
    )
    with h5py.File(path, "a") as out:
        out.create_group("more")["deep"] = np.arange(ROWS)
    file = open_vectors(path, filterable=["sex", "age", "weight", "died"])
    points = whole(file, 3)
    assert points.ids == (IDS if ids is IDS or ids.dtype.kind == "S" else NUMBERS)
    np.testing.assert_array_equal(points.vectors, MATRIX)
    assert points.payloads[5] == {"sex": "ü", "age": 5, "weight": 0.5, "died": False}
    assert [type(points.payloads[5][key]) for key in ("sex", "age", "weight", "died")] == [
        str,
        int,
        float,
        bool,
    ]
    assert file.fields == {"sex": str, "age": int, "weight": float, "died": bool}


def test_hdf5_in_a_group_with_a_payload_file(tmp_path: Path) -> None:
    path = tmp_path / "v.hdf5"
    with h5py.File(path, "w") as out:
        out.create_group("deep")["emb"] = MATRIX
        out["id"] = IDS
    payload = text(tmp_path / "p.csv", "id,age\n" + "".join(f"{one},61\n" for one in IDS))
    points = whole(open_vectors(path, vector_column="deep/emb", payload=payload), 3)
    assert points.ids == IDS
    assert points.payloads == [{"age": 61}] * ROWS


def test_a_payload_file_in_another_order_is_refused(tmp_path: Path) -> None:
    payload = text(tmp_path / "p.csv", "id,age\n" + "".join(f"{one},61\n" for one in [*IDS[:5], "p6", "p5"]))
    file = open_vectors(hdf5(tmp_path / "v.hdf5", vector=MATRIX, id=IDS), payload=payload)
    with pytest.raises(InputError, match=r"Row 5 .from 0. has one id in .*not in the same order"):
        list(file.points(3))


def test_without_h5py_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = hdf5(tmp_path / "v.hdf5", train=MATRIX)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtra, match=r"pip install 'ehr-cohorts\[hdf5\]'"):
        open_vectors(path)
    assert open_vectors(npy(tmp_path / "v.npy")).rows == ROWS


# What can't be used


def test_a_file_can_be_read_again_and_left_early(tmp_path: Path) -> None:
    for path in (
        parquet(tmp_path / "v.parquet"),
        npy(tmp_path / "v.npy"),
        hdf5(tmp_path / "v.h5", train=MATRIX),
    ):
        file = open_vectors(path)
        assert len(next(file.points(2)).ids) == 2
        assert len(whole(file, 2).ids) == ROWS
