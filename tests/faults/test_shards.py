"""A source in shards: the same collection as in one go, on a cluster that loses a node meanwhile."""

import subprocess
import time
from itertools import chain
from pathlib import Path

import pytest
from cohorts.connectors.registry import connect
from cohorts.errors import InputError
from cohorts.records.shards import Shard, parse_shard, shard_of
from cohorts.records.sources.registry import open_source
from command_line import ok, refused, run
from hypothesis import given
from hypothesis import strategies as st
from loading import cohorts_in_chunks_of, content, ingest_arguments, make_hospital
from servers import QdrantCluster, QdrantNode, wait_until

MANY = 4


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hospital(tmp_path_factory.mktemp("shards"), 800, 16)


@given(st.text(min_size=1), st.integers(1, 50))
def test_every_patient_is_in_one_shard(patient: str, many: int) -> None:
    assert 1 <= shard_of(patient, many) <= many


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "1/0", "a/b", "-1/3", "1/2/3"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no shard"):
        parse_shard(text)


def test_shards_are_a_partition_of_the_source(hospital: Path, tmp_path: Path) -> None:
    def ids(shard: Shard | None) -> list[str]:
        with open_source(
            "mimic3",
            hospital / "hospital",
            work_dir=tmp_path,
            quarantine_file=tmp_path / "q.csv",
            shard=shard,
        ) as source:
            return [key for batch in source.batches() for key in batch.units["unit_id"]]

    shards = [ids(Shard(number, 3)) for number in (1, 2, 3)]
    assert sorted(chain.from_iterable(shards)) == sorted(ids(None))
    assert all(200 < len(shard) < 340 for shard in shards)


def test_shards_fill_one_collection_and_are_verified_together(
    hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ok(" ".join(ingest_arguments(hospital, "--store=qdrant:./whole")))
    refused(" ".join(["ingest --source=mimic3", f"--path={hospital}/hospital", "--shard=1/2"]))
    for number in (1, 2):
        message = refused("verify --store qdrant:./parts --collection icu") if number == 2 else ""
        assert ("The journals of shards 2/2 are not in" in message) is (number == 2)
        ok(" ".join(ingest_arguments(hospital, "--store=qdrant:./parts", f"--shard={number}/2")))
    ok("verify --store qdrant:./parts --collection icu --full")
    with connect("qdrant:./whole") as whole, connect("qdrant:./parts") as parts:
        one, other = content(whole, "icu"), content(parts, "icu")
    assert one.keys() == other.keys()
    assert {key: payload for key, (_, payload) in one.items()} == {
        key: payload for key, (_, payload) in other.items()
    }
    with connect("qdrant:./parts") as parts:
        parts.delete("icu", [next(iter(one))])
    assert run("verify --store qdrant:./parts --collection icu --full")[0] == 1


def test_four_processes_fill_a_cluster_that_loses_a_node(
    hospital: Path, qdrant_cluster: QdrantCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All at once; a node dies while they write, and comes back; each ends well, and the whole is verified."""
    monkeypatch.chdir(tmp_path)
    hosts = ",".join(f"127.0.0.1:{node.grpc}" for node in qdrant_cluster.nodes)
    store = f"qdrant+grpc://{hosts}?check_compatibility=false&shards=6&replicas=2"
    ok(" ".join(ingest_arguments(hospital, "--store=qdrant:./whole")))
    processes = [
        subprocess.Popen(
            [
                *cohorts_in_chunks_of(5),
                *ingest_arguments(hospital, f"--store={store}", f"--shard={number}/{MANY}"),
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for number in range(1, MANY + 1)
    ]
    with connect(store) as engine:
        wait_until(lambda: "icu" in engine.aliases() and engine.count("icu") > 20, "the first points")
        node: QdrantNode = qdrant_cluster.nodes[1]
        node.kill()
        assert any(process.poll() is None for process in processes), "nobody writes any more"
        time.sleep(1)
        node.start()
        for process in processes:
            _, err = process.communicate(timeout=300)
            assert process.returncode == 0, err
        ok(f"verify --store {store} --collection icu --full")
        with connect("qdrant:./whole") as whole:
            one, other = content(whole, "icu"), content(engine, "icu")
    assert one.keys() == other.keys()
    assert {key: payload for key, (_, payload) in one.items()} == {
        key: payload for key, (_, payload) in other.items()
    }
