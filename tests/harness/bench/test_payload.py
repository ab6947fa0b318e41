"""What is measured has the payload that an ingest stores, with the indexes that were chosen, on the engine itself."""

from pathlib import Path

import numpy as np
import pytest
from bench_answers import experiment_from
from cohorts.connectors.base import Collection, Payload, Points
from cohorts.connectors.index import Flat
from cohorts.connectors.memory import MemoryConnector
from cohorts.connectors.registry import connect
from cohorts.errors import InputError
from cohorts.harness.bench.plan.dataset import Dataset, make_dataset
from cohorts.harness.bench.plan.experiment import Experiment
from cohorts.harness.bench.plan.matrix import builds
from cohorts.harness.bench.report.page import Origin, headline, write_report
from cohorts.harness.bench.report.summary import summarize
from cohorts.harness.bench.run.runner import run
from cohorts.harness.bench.run.targets import standing
from cohorts.loaders.files.export import export
from cohorts.loaders.points.payload import FILTERABLE, filterable, payloads
from cohorts.records.base import Unit
from engine_contract import cloud
from small_hospitals import Read

TEXT = """
name = "stored"
repeats = 1
queries = 5
k = [3]
[data]
rows = 60
dim = 4
clusters = 2
[[store]]
name = "Ours"
address = "qdrant:{folder}/store"
[[store]]
name = "faiss"
address = "reference:faiss"
[[index]]
build = "flat"
stores = ["Ours"]
[[index]]
build = "hnsw:m=8"
stores = ["faiss"]
"""
SYNTHETIC = "rows = 60\ndim = 4\nclusters = 2"


def experiment(folder: Path, more: str = "", data: str = SYNTHETIC) -> Experiment:
    text = TEXT.format(folder=folder).replace("repeats = 1", f"repeats = 1\n{more}")
    return experiment_from(folder, text.replace(SYNTHETIC, data))


def built(folder: Path, asked: Experiment, data: Dataset) -> tuple[Collection, Points]:
    """Return the collection that is measured, and its points."""
    (build, _) = builds(asked)
    with standing(build, data, asked.k, 0) as subject, connect(build.store.address) as connector:
        assert subject.built.rows == len(data.vectors)
        (name,) = connector.collections()
        ids = [str(row) for row in range(len(data.vectors))]
        return connector.describe(name).collection, connector.fetch(name, ids)


@pytest.mark.parametrize(
    ("more", "indexed"),
    [("", FILTERABLE), ('index_fields = ["sex", "age"]', ("age", "sex")), ("index_fields = []", ())],
)
def test_synthetic_vectors_have_an_invented_patient_s_payload(
    tmp_path: Path, more: str, indexed: tuple[str, ...]
) -> None:
    asked = experiment(tmp_path, more)
    data = make_dataset(asked)
    about, points = built(tmp_path, asked, data)
    assert (tuple(about.fields), tuple(about.indexed)) == (FILTERABLE, indexed)
    assert data.payload.told == f"13 fields, indexed: {', '.join(indexed) or 'none'}"
    for row in (0, 59):
        assert points.payloads[row] == {key: values[row] for key, values in data.columns.items()}
    np.testing.assert_allclose(points.vectors, data.vectors, atol=1e-6)


def test_it_is_of_the_kind_that_an_ingest_stores(tmp_path: Path, shared_data: Path, read: Read) -> None:
    """The same keys and types, whatever an ingest adds tomorrow."""
    batch, _ = read("mimic3", shared_data / "mimic3-demo")
    (real, *_), kinds = payloads(batch), filterable(batch, Unit.PATIENT)
    asked = make_dataset(experiment(tmp_path))
    assert [*asked.payload.columns] == [*real]
    assert asked.payload.fields == kinds
    for key, kind in kinds.items():
        wanted = list if kind == list[str] else kind
        assert {type(value) for value in asked.payload.columns[key]} == {wanted}, key
    several = [*map(tuple, asked.payload.columns["codes"])]
    assert len({*several}) > 50
    assert all(code[:3] in own for own in several for code in own)


def test_it_follows_from_the_seed(tmp_path: Path) -> None:
    one, same, other = (
        make_dataset(experiment(tmp_path, f"seed = {seed}")).payload.columns for seed in (1, 1, 2)
    )
    assert all((one[key] == same[key]).all() for key in one)
    assert any((one[key] != other[key]).any() for key in one)


def test_without_a_payload_nothing_stands_beside_the_vectors(tmp_path: Path) -> None:
    asked = experiment(tmp_path, "payload = false")
    data = make_dataset(asked)
    about, points = built(tmp_path, asked, data)
    assert (dict(about.fields), data.payload.told) == ({}, None)
    assert points.payloads[0] == {}


def test_a_field_that_is_not_there_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no field 'aeg' to index. Nearest: age. Fields: age, sex, died"):
        make_dataset(experiment(tmp_path, 'index_fields = ["aeg"]'))


@pytest.mark.parametrize(
    ("more", "indexed"),
    [("", ["ward"]), ('index_fields = ["age"]', ["age"]), ('index_fields = ["n"]', ["n"])],
)
def test_an_exported_collection_brings_its_own(tmp_path: Path, more: str, indexed: list[str]) -> None:
    rows = cloud(60, 4)
    own: list[Payload] = [{"age": row / 2, "ward": "AB"[row % 2], "n": row} for row in range(60)]
    with MemoryConnector() as connector:
        connector.create(Collection("c", 4, Flat(), {"age": float, "ward": str}, unindexed=("age",)))
        connector.upsert("c", Points([f"p{row}" for row in range(60)], rows, own))
        export(connector, "c", tmp_path / "c.parquet", lambda *_: None)
    asked = experiment(tmp_path, more, 'file = "c.parquet"')
    data = make_dataset(asked)
    about, points = built(tmp_path, asked, data)
    assert ([*about.indexed], len(data.vectors)) == (indexed, 55)
    assert {*about.fields} == {"age", "ward", *indexed}
    for vector, payload in zip(points.vectors, points.payloads, strict=True):
        of = int(np.argmax(rows @ vector))
        assert payload == own[of], "each row keeps its own"
    with pytest.raises(InputError, match="Column aeg can't be indexed for filters: it is not there"):
        make_dataset(experiment(tmp_path, 'index_fields = ["aeg"]', 'file = "c.parquet"'))


def test_vectors_without_a_payload_have_none(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", cloud(60, 4))
    assert make_dataset(experiment(tmp_path, "", 'file = "v.npy"')).payload.told is None


def test_what_is_stored_is_told_with_the_results_and_another_choice_is_measured_anew(tmp_path: Path) -> None:
    asked = experiment(tmp_path, 'index_fields = ["age"]')
    folder = run(asked, tmp_path / "out")
    summary = summarize(asked, folder)
    told = "payload of 13 fields, indexed: age;"
    assert told in headline(summary)
    page = write_report(folder, summary, Origin("cohorts bench", "…"))
    for file in (page, folder / "report.md"):
        assert told in file.read_text(encoding="utf-8")
    assert '"payload": "13 fields, indexed: age"' in (folder / "data.json").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="'13 fields, indexed: age' there, '13 fields, indexed: none' now"):
        run(experiment(tmp_path, "index_fields = []"), tmp_path / "out")
    for cells in folder.glob("faiss/**/manifest.json"):
        assert '"payload": null' in cells.read_text(encoding="utf-8"), "a library holds none"
