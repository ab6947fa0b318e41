"""`cohorts bench` as it is typed, on real engines: what it measures, and how it goes on."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest
from cohorts.errors import EngineError
from cohorts.harness.bench.load.modes import Closed
from cohorts.harness.bench.run.runner import BUILDS
from command_line import ok, refused
from planted.bench import experiment_of
from servers import QdrantNode

REAL = """
name = "Real"
repeats = 2
queries = 40
k = [5]
clients = [2]
rates = [100]
seconds = 0.2
[data]
rows = 2_000
dim = 16
clusters = 10
[filters]
selectivities = [0.1]
[[store]]
name = "Qdrant embedded"
address = "qdrant:{folder}/store"
[[store]]
name = "faiss"
address = "reference:faiss"
[[index]]
build = "hnsw:m=8,ef_construction=40"
search = ["ef_search=8", "ef_search=64"]
"""


def manifests(folder: Path) -> Mapping[str, str]:
    return {
        str(file.relative_to(folder)): file.read_text(encoding="utf-8")
        for file in folder.rglob("repeat=*/manifest.json")
    }


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, str]:
    """Return the command of an experiment that has run, its results, and what was printed."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "real.toml").write_text(REAL.format(folder=folder), encoding="utf-8")
    command = f"bench {folder}/real.toml --out {folder}/results"
    return command, folder / "results" / "real", ok(command)


def test_bench_measures_real_engines_and_tells(real: tuple[str, Path, str]) -> None:
    _, folder, out = real
    assert len(manifests(folder)) == 2 * 2 * 4 + 2 * 2 * 3  # a library has no filter
    for words in (
        "2,000 × 16 vectors",
        "At equal recall, k = 5",
        "Synthetic data",
        "Qdrant embedded",
        "faiss (reference)",
    ):
        assert words in out
    told = pd.read_csv(folder / "settings.csv")
    assert len(told) == 14
    assert told["faults"].isna().all()
    alone = told[(told["mode"] == "single") & told["selectivity"].isna()].set_index(["store", "search"])
    assert (alone.loc[:, "recall"] > 0.5).all()
    assert (alone.xs("ef_search=64", level="search")["recall"] > 0.99).all()
    assert (told["p50_ms"] > 0).all()
    assert (told[told["mode"] == "closed"]["qps"] > 0).all()
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        "report.html",
        "report.md",
        "manifest.json",
        "settings.csv",
        "builds.csv",
        "equal_recall.csv",
        "data.json",
    }


def test_what_is_there_is_not_measured_again(real: tuple[str, Path, str]) -> None:
    command, folder, _ = real
    before = manifests(folder)
    built = {path: path.stat().st_mtime_ns for path in folder.rglob(BUILDS)}
    ok(command)
    assert manifests(folder) == before
    assert {path: path.stat().st_mtime_ns for path in folder.rglob(BUILDS)} == built


def test_a_run_that_died_goes_on_with_what_is_missing(real: tuple[str, Path, str]) -> None:
    command, folder, _ = real
    kept = {path: path.stat().st_ino for path in folder.rglob("repeat=*/manifest.json")}
    lost = next(path for path in kept if path.is_relative_to(folder / "faiss"))
    left = lost.parent.with_name(f".{lost.parent.name}.dead.part")
    lost.parent.rename(left)  # as it lies when a run is killed while it writes
    ok(command)
    after = {path: path.stat().st_ino for path in kept}
    assert {path for path in kept if kept[path] != after[path]} <= {lost}
    assert lost.exists()
    assert len(list(folder.rglob("faiss/**/build-2.json"))) == 1  # what the first build cost is kept
    assert "measurements of the experiment are not there" not in (folder / "report.html").read_text(
        encoding="utf-8"
    )


def test_force_measures_a_store_again_and_no_other(real: tuple[str, Path, str]) -> None:
    command, folder, _ = real
    before = {path: path.stat().st_ino for path in folder.rglob("repeat=*/manifest.json")}
    ok(f"{command} --only faiss --force")
    after = {path: path.stat().st_ino for path in before}
    changed = {path for path in before if before[path] != after[path]}
    assert changed == {path for path in before if path.is_relative_to(folder / "faiss")}
    assert not list(folder.rglob("build-2.json"))


def test_a_client_of_another_age_than_the_server_measures_nothing(qdrant: QdrantNode, tmp_path: Path) -> None:
    file, address = tmp_path / "served.toml", f"qdrant+grpc://127.0.0.1:{qdrant.grpc}"
    text = REAL.format(folder=tmp_path).replace(f"qdrant:{tmp_path}/store", address)
    file.write_text(text, encoding="utf-8")
    told = refused(f"bench {file} --out {tmp_path} --only 'Qdrant embedded'")
    assert "Nothing was measured. The Qdrant client is version" in told
    assert not list(tmp_path.rglob("manifest.json"))


def test_bench_refuses_what_it_can_not_measure(real: tuple[str, Path, str], tmp_path: Path) -> None:
    command, folder, _ = real
    assert "no store Milvus. Stores: Qdrant embedded, faiss" in refused(f"{command} --only Milvus")
    file = tmp_path / "real.toml"
    file.write_text(REAL.format(folder=tmp_path).replace("rows = 2_000", "rows = 2_001"), encoding="utf-8")
    assert "measurement of something else" in refused(f"bench {file} --out {folder.parent}")
    assert "can't be read" in refused(f"bench {tmp_path}/none.toml --out {tmp_path}")
    assert "holds no report" in refused(f"{command} --growth {tmp_path}")


def test_a_run_goes_on_behind_a_measurement_that_failed(
    real: tuple[str, Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command, folder, _ = real
    before = manifests(folder)
    lost = [file for file in folder.glob("faiss/*/*/*/*/closed*/repeat=*") if file.is_dir()]
    assert len(lost) == 4
    for one in lost:
        shutil.rmtree(one)

    def refuse(*_: object, **__: object) -> None:
        raise EngineError("It is too slow.")

    with monkeypatch.context() as patched:
        patched.setattr(Closed, "measure", refuse)
        assert "FAULT It is too slow." not in ok(command)  # the terminal shows one client
    assert "It is too slow." in (folder / "report.html").read_text(encoding="utf-8")
    ok(command)
    assert manifests(folder).keys() == before.keys()
    assert not list(folder.rglob("*.failed.txt"))


def test_the_example_of_the_documentation_is_an_experiment(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "bench.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    found = experiment_of(tmp_path, example)
    assert (found.repeats, found.queries, found.k, len(found.filters)) == (3, 1000, (10, 100), 8)
    assert [plan.stores for plan in found.plans][1] == ("Qdrant server", "faiss")
