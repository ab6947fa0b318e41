"""A collection written to Parquet and loaded again: the same ids, vectors, payload, fields and metadata."""

import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts.connectors.base import Collection, Connector, Payload, Points
from cohorts.connectors.collection import OUR_PREFIX
from cohorts.connectors.index import Flat, Hnsw, SearchParams
from cohorts.connectors.memory import MemoryConnector
from cohorts.connectors.registry import connect
from cohorts.errors import CollectionNotFound, EngineError, InputError
from cohorts.loaders.files import export as module
from cohorts.loaders.files.export import export
from cohorts.loaders.files.vectors import open_vectors
from hypothesis import given, settings
from hypothesis import strategies as st

DIM = 4
COLLECTION = Collection(
    "patients",
    DIM,
    Hnsw(m=16, ef_construction=100),
    {"sex": str, "age": float, "stays": int, "died": bool, "born": date, "codes": list[str]},
    {"encoder": "tfidf", "rows": 3, "share": 0.5, "synthetic": True, "note": None, "ü": "ä"},
    SearchParams(ef_search=77),
    "annoy(n_trees=100) → matched",
)
ROWS: list[Payload] = [
    {
        "sex": "f",
        "age": 61.5,
        "stays": 2,
        "died": True,
        "born": "2150-01-31",
        "codes": ["E11", "E119"],
    },
    {"sex": None, "age": None, "stays": None, "died": None, "born": None, "codes": None},
    {"codes": [], "age": 70.0, "sex": "", "id": "theirs", "vector": 3, "payload_id": "third"},
    {"mixed": 1, "a.b": "dots", "": "nothing", "ü": "ä"},
    {"mixed": "1", "list": ["x"], "large": 2**53},
    {"mixed": None, "number": 1, "list": "x"},
    {"mixed": True, "number": 0.5, "list": None},
    {"mixed": ["a"], "number": None},
    {},
]


def silent(stage: str, units: int) -> None:
    """Take no notice."""


def points_of(payloads: list[Payload], seed: int = 3) -> Points:
    vectors = np.random.default_rng(seed).normal(size=(len(payloads), DIM)).astype(np.float32)
    return Points([f"p{row}" for row in range(len(payloads))], vectors, payloads)


def filled(connector: Connector, payloads: list[Payload], collection: Collection = COLLECTION) -> Connector:
    connector.create(collection)
    if payloads:
        connector.upsert(collection.name, points_of(payloads))
    return connector


def plain(payloads: list[Payload]) -> Connector:
    return filled(connect("memory:"), payloads, Collection("patients", DIM, Flat()))


def by_id(pages: Iterator[Points]) -> dict[str, tuple[list[float], Payload]]:
    return {
        one: (vector.tolist(), payload)
        for page in pages
        for one, vector, payload in zip(page.ids, page.vectors, page.payloads, strict=True)
    }


def exact(value: Any) -> Any:
    """Return a value that equals only those of the same type; a whole number may come back as an equal float."""
    return ("bool", value) if isinstance(value, bool) else value


def same(one: Payload, other: Payload) -> bool:
    return {key: exact(value) for key, value in one.items()} == {k: exact(v) for k, v in other.items()}


@pytest.fixture(params=["memory:", "qdrant:{}/store"])
def connector(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connector]:
    with connect(request.param.format(tmp_path)) as opened:
        yield opened


@pytest.mark.parametrize("page", [1, 2, 4, 1_000])
def test_an_exported_collection_is_read_as_it_was(connector: Connector, tmp_path: Path, page: int) -> None:
    filled(connector, ROWS)
    there = by_id(connector.scroll("patients"))
    assert export(connector, "patients", tmp_path / "p.parquet", silent, page=page) == len(ROWS)
    file = open_vectors(tmp_path / "p.parquet")
    assert (file.name, file.dim, file.rows) == ("parquet", DIM, len(ROWS))
    found = by_id(file.points(2))
    assert {one: vector for one, (vector, _) in found.items()} == {one: v for one, (v, _) in there.items()}
    assert [one for one in there if not same(found[one][1], there[one][1])] == []
    assert file.definition == connector.describe("patients").collection == COLLECTION
    assert file.fields == COLLECTION.fields


def test_an_exported_collection_can_be_loaded_again(connector: Connector, tmp_path: Path) -> None:
    filled(connector, ROWS)
    export(connector, "patients", tmp_path / "p.parquet", silent)
    file = open_vectors(tmp_path / "p.parquet")
    assert file.definition is not None
    again = connect(f"qdrant:{tmp_path}/again")
    again.create(file.definition)
    for points in file.points(4):
        again.upsert("patients", points)
    assert again.describe("patients").collection == COLLECTION
    there, found = by_id(connector.scroll("patients")), by_id(again.scroll("patients"))
    assert sorted(there) == sorted(found)
    for one, (vector, payload) in there.items():
        np.testing.assert_allclose(found[one][0], vector, atol=1e-6)
        assert same(found[one][1], payload)
    again.close()


KEYS = st.sampled_from(
    ["a", "b", "id", "vector", "payload_id", "a.b", "list.element", ""]
) | st.text().filter(lambda key: not key.startswith(OUR_PREFIX))
SCALARS: list[st.SearchStrategy[Any]] = [
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.lists(st.text(), max_size=3),
]


@st.composite
def payload_rows(draw: st.DrawFn) -> list[Payload]:
    keys = draw(st.lists(KEYS, max_size=4, unique=True))
    kinds = {
        key: draw(st.sampled_from([*SCALARS, st.one_of(SCALARS), SCALARS[2] | SCALARS[3]])) for key in keys
    }
    row = st.fixed_dictionaries({}, optional=kinds) | st.fixed_dictionaries(kinds)
    return draw(st.lists(row, max_size=6))


@settings(max_examples=150, deadline=None)
@given(payload_rows(), st.integers(1, 4))
def test_every_payload_comes_back(rows: list[Payload], page: int) -> None:
    connector = plain(rows)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "p.parquet"
        assert export(connector, "patients", file, silent, page=page) == len(rows)
        found = [payload for points in open_vectors(file).points(page + 1) for payload in points.payloads]
    assert len(found) == len(rows)
    assert all(same(one, other) for one, other in zip(found, rows, strict=True)), (found, rows)


@pytest.mark.parametrize(
    ("values", "arrow"),
    [
        ([1, 2, None], "int64"),
        ([1, 0.5], "double"),
        ([0.5], "double"),
        ([True, None], "bool"),
        (["a", None], "string"),
        ([["a"], []], "list<element: string>"),
        ([None, None], "string"),
        ([True, 1], "string"),
        (["a", ["a"]], "string"),
    ],
)
def test_other_programs_find_typed_columns(tmp_path: Path, values: list[Any], arrow: str) -> None:
    export(plain([{"fact": value} for value in values]), "patients", tmp_path / "p.parquet", silent)
    schema = pq.read_schema(tmp_path / "p.parquet")
    assert str(schema.field("fact").type) == arrow
    assert str(schema.field("id").type) == "string"
    assert schema.field("vector").type == pa.list_(pa.float32(), DIM)
    assert json.loads(schema.metadata[b"cohorts"])["name"] == "patients"


def test_numbers_beyond_2_to_53_of_collections_of_others_come_back(tmp_path: Path) -> None:
    class Attachable(MemoryConnector):
        def scroll(self, name: str, page: int = 1_000) -> Iterator[Points]:
            yield replace(points_of([{}, {}, {}]), payloads=[{"n": 2**64}, {"n": 0.5}, {"n": 2**53 + 1}])

    export(filled(Attachable(), []), "patients", tmp_path / "p.parquet", silent)
    (points,) = open_vectors(tmp_path / "p.parquet").points()
    assert points.payloads == [{"n": 2**64}, {"n": 0.5}, {"n": 2**53 + 1}]


def test_columns_that_clash_stand_beside_under_another_name(tmp_path: Path) -> None:
    export(plain([{"id": "x", "vector": 1, "payload_id": "y"}]), "patients", tmp_path / "p.parquet", silent)
    names = pq.read_schema(tmp_path / "p.parquet").names
    assert sorted(names) == ["id", "payload_id", "payload_payload_id", "payload_vector", "vector"]
    file = open_vectors(tmp_path / "p.parquet", filterable=["id"])
    assert file.fields == {"id": str}
    assert next(file.points()).payloads == [{"id": "x", "vector": 1, "payload_id": "y"}]


def test_mixed_columns_can_not_be_indexed_and_further_ones_can(tmp_path: Path) -> None:
    filled(connector := connect("memory:"), [{"mixed": 1, "weight": 0.5}, {"mixed": "a"}])
    export(connector, "patients", tmp_path / "p.parquet", silent)
    with pytest.raises(InputError, match=r"mixed can't be indexed .*several types.*that can: weight"):
        open_vectors(tmp_path / "p.parquet", filterable=["mixed"])
    file = open_vectors(tmp_path / "p.parquet", filterable=["weight"])
    assert file.fields == {**COLLECTION.fields, "weight": float}


def test_an_empty_collection_keeps_its_definition(connector: Connector, tmp_path: Path) -> None:
    filled(connector, [])
    assert export(connector, "patients", tmp_path / "p.parquet", silent) == 0
    file = open_vectors(tmp_path / "p.parquet")
    assert (file.rows, file.dim, file.definition, list(file.points())) == (0, DIM, COLLECTION, [])


def test_an_alias_is_exported_under_its_own_name(tmp_path: Path) -> None:
    filled(connector := connect("memory:"), ROWS, replace(COLLECTION, name="patients_v3"))
    connector.alias("patients", "patients_v3")
    export(connector, "patients", tmp_path / "p.parquet", silent)
    assert open_vectors(tmp_path / "p.parquet").definition == COLLECTION


def test_row_groups_are_large_and_written_as_they_fill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROW_GROUP_BYTES", 30 * DIM * 4)  # 30 vectors: ids and payloads make it fewer
    ticks: list[tuple[str, int]] = []
    rows: list[Payload] = [{"age": 1.0}] * 100
    export(plain(rows), "patients", tmp_path / "p.parquet", lambda *tick: ticks.append(tick), page=10)
    metadata = pq.read_metadata(tmp_path / "p.parquet")
    assert {metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)} == {20}
    assert ticks == [("read", 10)] * 10 + [("write", 20)] * 5


def test_the_file_is_private_and_has_no_name_before_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "p.parquet"
    seen = []

    def tick(stage: str, units: int) -> None:
        seen.append((stage, file.exists()))

    before = os.umask(0)
    try:
        export(plain(ROWS), "patients", file, tick)
    finally:
        os.umask(before)
    assert seen == [("read", False), ("write", False)]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_written_reaches_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, synced = tmp_path / "p.parquet", []
    fsync = os.fsync

    def watched(handle: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(handle).st_mode), file.exists()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    export(plain(ROWS), "patients", file, silent)
    assert synced == [(False, False), (True, True)]


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_nothing_that_is_there_is_overwritten(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "p.parquet"
    match kind:
        case "file":
            file.touch()
        case "folder":
            file.mkdir()
        case "link":
            file.symlink_to(tmp_path / "gone")
    ticks: list[tuple[str, int]] = []
    with pytest.raises(InputError, match=r"There is a file .*p\.parquet already"):
        export(plain(ROWS), "patients", file, lambda *tick: ticks.append(tick))
    assert list(tmp_path.iterdir()) == [file]
    assert ticks == []  # hours of reading would have been for nothing


def test_nothing_that_comes_meanwhile_is_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "p.parquet"

    def tick(stage: str, units: int) -> None:
        file.write_text("theirs")

    with pytest.raises(InputError, match="already"):
        export(plain(ROWS), "patients", file, tick)
    assert file.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [file]


def test_another_suffix_a_missing_folder_and_a_missing_collection_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"p\.csv must end in \.parquet"):
        export(plain(ROWS), "patients", tmp_path / "p.csv", silent)
    with pytest.raises(InputError, match=r"p\.parquet can't be written: No such file or directory"):
        export(plain(ROWS), "patients", tmp_path / "no" / "p.parquet", silent)
    with pytest.raises(CollectionNotFound):
        export(plain(ROWS), "others", tmp_path / "p.parquet", silent)
    assert list(tmp_path.iterdir()) == []


class Restless(MemoryConnector):
    """A collection to which someone writes between the two readings."""

    def __init__(self, meanwhile: Callable[[Connector], object]) -> None:
        super().__init__()
        self._meanwhile = meanwhile
        self._readings = 0

    def scroll(self, name: str, page: int = 1_000) -> Iterator[Points]:
        self._readings += 1
        if self._readings == 2:
            self._meanwhile(self)
        yield from super().scroll(name, page)


def write(payload: Payload, key: str = "p0") -> Callable[[Connector], object]:
    points = Points([key], np.ones((1, DIM), np.float32), [payload])
    return lambda connector: connector.upsert("patients", points)


@pytest.mark.parametrize(
    ("meanwhile", "what"),
    [
        (write({"a": 1, "b": 2}), "payload key b was not there before"),
        (write({"a": "text"}), "payload key a holds str, which it did not before"),
        (write({"a": None}), "payload key a holds None, which"),
        (write({"a": 0.5}), "payload key a holds float, which"),
        (write({}), "payload key a holds nothing, which"),
        (write({"a": 1}, "new"), "it held 2 points and then 3"),
        (lambda connector: connector.delete("patients", ["p0"]), "it held 2 points and then 1"),
        (lambda connector: connector.delete("patients", ["p0", "p1"]), "it held 2 points and then 0"),
    ],
)
def test_a_collection_that_changes_is_not_exported(
    tmp_path: Path, meanwhile: Callable[[Connector], object], what: str
) -> None:
    connector = filled(Restless(meanwhile), [{"a": 1}, {"a": 2}], Collection("patients", DIM, Flat()))
    with pytest.raises(EngineError, match=f"changed while it was exported: {what}"):
        export(connector, "patients", tmp_path / "p.parquet", silent)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [EngineError("gone"), KeyboardInterrupt()])
def test_what_breaks_off_leaves_no_file(tmp_path: Path, error: BaseException) -> None:
    def breaks(stage: str, units: int) -> None:
        if stage == "write":
            raise error

    with pytest.raises(type(error)):
        export(plain(ROWS), "patients", tmp_path / "p.parquet", breaks)
    assert list(tmp_path.iterdir()) == []
