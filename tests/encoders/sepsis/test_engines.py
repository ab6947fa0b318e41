"""Vectors of septic stays on every engine: who is alike, as of when, and what happened to them."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from cohorts.encoders.registry import load_encoder
from cohorts.records.base import Unit
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize
from command_line import ok, refused, run

Exact = dict[str, npt.NDArray[np.float32]]
ENCODER = "sepsis:hidden=8,dim=16,epochs=3,static_columns=12,series_columns=12,text=lsa:dim=8"


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engines") / "tables"
    synthesize(folder, 500, seed=5)
    return folder


@pytest.fixture(scope="module")
def model(hospital: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "model"
    ok(f"fit --source mimic3 --path {hospital} --unit admission --encoder {ENCODER} --out {folder}")
    return folder


@pytest.fixture(scope="module")
def exact(hospital: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Exact:
    """Return the vector of every septic stay, by admission."""
    work, encoder = tmp_path_factory.mktemp("work"), load_encoder(model)
    with open_source(
        "mimic3", hospital, unit=Unit.ADMISSION, work_dir=work, quarantine_file=work / "bad.csv"
    ) as source:
        pairs = [(batch.units["unit_id"].tolist(), encoder.encode(batch)) for batch in source.batches()]
    return {unit: row for units, rows in pairs for unit, row in zip(units, rows, strict=True) if row.any()}


@pytest.fixture(
    params=[
        "qdrant:{tmp}/s",
        "milvus:{tmp}/s.db",
        pytest.param("qdrant", marks=pytest.mark.server),
        pytest.param("milvus", marks=pytest.mark.server),
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    match request.param:
        case "qdrant":
            return (
                f"qdrant+grpc://127.0.0.1:{request.getfixturevalue('qdrant').grpc}?check_compatibility=false"
            )
        case "milvus":
            return f"milvus+http://127.0.0.1:{request.getfixturevalue('milvus').port}"
    return str(request.param).format(tmp=tmp_path)


def test_stays_like_this_one_and_what_happened_to_them(
    store: str, hospital: Path, model: Path, exact: Exact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place = f"--store {store} --collection septic"
    ok(
        f"ingest --source mimic3 --path {hospital} --unit admission --encoder {model} --index flat --replace {place}"
    )
    asked = max(exact)
    found = json.loads(ok(f"query {place} --patient {asked[:-1]} -k 40 --per-unit --format json --save like"))
    assert found["as_of"] == "icu+24h"
    assert found["synthetic"]
    first = found["examples"][0]["admission"]
    similar = {unit: float(exact[first] @ row) for unit, row in exact.items() if unit[:-1] != first[:-1]}
    for one in found["neighbours"]:
        assert one["similarity"] == pytest.approx(similar[one["admission"]], abs=2e-3)
    best = sorted(similar.values(), reverse=True)[:40]
    assert [one["similarity"] for one in found["neighbours"]] == pytest.approx(best, abs=2e-3)
    code, out, err = run(f"compare like rest {place} --format json")
    assert code == 0, err
    told = json.loads(out)
    assert told["as_of"] == "icu+24h"
    patients = {unit[:-1] for unit in exact}
    assert told["patients"][0] + told["patients"][1] == len(patients)
    assert any("septic stays by sepsis3, as of icu+24h" in note for note in told["notes"])
    assert {row["sheet"] for row in told["figures"]} >= {"characteristics", "outcomes"}


def test_who_is_not_septic_is_not_in_the_collection(
    hospital: Path, model: Path, tmp_path: Path, exact: Exact
) -> None:
    place = f"--store qdrant:{tmp_path}/s --collection septic"
    ok(f"ingest --source mimic3 --path {hospital} --unit admission --encoder {model} {place}")
    septic = {unit[:-1] for unit in exact}
    other = next(str(number) for number in range(10_000, 10_500) if str(number) not in septic)
    assert "holds no patient" in refused(f"query {place} --patient {other}")
