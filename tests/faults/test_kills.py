"""An ingest killed at random moments and resumed leaves what an undisturbed one leaves, on every engine.

`make soak` does it 200 times; here each engine is killed under COHORTS_KILLS times, once unless told.
"""

import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cohorts.connectors.registry import connect
from command_line import ok
from loading import Content, cohorts_in_chunks_of, content, ingest_arguments, make_hospital
from servers import Milvus, QdrantNode

KILLS = int(os.environ.get("COHORTS_KILLS", "1"))
SEED = int(os.environ.get("COHORTS_SEED", "0"))


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hospital(tmp_path_factory.mktemp("kills"), 600, 32)


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the collection's own copy of the encoder lie there, as for a server it is below the working folder."""
    monkeypatch.chdir(tmp_path)


def ingest(hospital: Path, store: str, run_dir: Path, *more: str) -> list[str]:
    given = (f"--store={store}", f"--run-dir={run_dir}", *more)
    return [*cohorts_in_chunks_of(25), *ingest_arguments(hospital, *given)]


def only_content(store: str) -> Content:
    with connect(store) as connector:
        assert connector.collections() == ["icu_v1"], "nothing is left of what died"
        assert connector.aliases() == {"icu": "icu_v1"}
        return content(connector, "icu")


def undisturbed(command: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - began


def die_and_resume(
    command: Callable[..., list[str]], kills: int, draw: random.Random, length_s: float
) -> int:
    """Kill the run and resume it, until it has ended by itself or was killed `kills` times; return how often."""
    for number in range(kills):
        process = subprocess.Popen(command("--resume"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            process.wait(draw.uniform(0.2, 1.1) * length_s)
        except subprocess.TimeoutExpired:
            process.kill()
        _, err = process.communicate()
        assert process.returncode in (0, -9), err.decode()
        if process.returncode == 0:
            return number
    return kills


def survives(hospital: Path, store: str, folder: Path, empty: Callable[[], None]) -> None:
    draw, done, rounds = random.Random(SEED), 0, 0
    length_s = undisturbed(ingest(hospital, store, folder / "whole"))
    expected = only_content(store)
    assert len(expected) == 600
    while done < KILLS:
        empty()
        rounds += 1
        run_dir = folder / f"run{rounds}"
        died = die_and_resume(
            lambda *more, run_dir=run_dir: ingest(hospital, store, run_dir, *more),
            KILLS - done,
            draw,
            length_s,
        )
        done += died
        last = subprocess.run(ingest(hospital, store, run_dir, "--resume"), capture_output=True, text=True)
        assert last.returncode == 0, last.stderr
        assert only_content(store) == expected
        assert not list(run_dir.glob(".cohorts-*")), "patient text of a killed run is removed by the next"
        ok(f"verify --full --store {store} --collection icu --run-dir {run_dir}")


def test_qdrant_server(hospital: Path, qdrant: QdrantNode, tmp_path: Path) -> None:
    store = f"qdrant+grpc://127.0.0.1:{qdrant.grpc}?check_compatibility=false"
    survives(hospital, store, tmp_path, qdrant.empty)


def test_milvus_server(hospital: Path, milvus: Milvus, tmp_path: Path) -> None:
    survives(hospital, f"milvus+http://127.0.0.1:{milvus.port}", tmp_path, milvus.empty)


@pytest.mark.parametrize("address", ["qdrant:store", "milvus:store.db"])
def test_embedded(hospital: Path, address: str, tmp_path: Path) -> None:
    scheme, _, name = address.partition(":")
    store = f"{scheme}:{tmp_path}/{name}"

    def empty() -> None:
        with connect(store) as connector:
            for collection in connector.collections():
                connector.drop(collection)

    survives(hospital, store, tmp_path, empty)
