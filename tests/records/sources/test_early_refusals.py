"""What can be refused is refused before the work: here the source is not even there, or reading it fails the test."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cohorts.errors import EncoderError
from cohorts.harness.evaluate import fineehr
from cohorts.harness.evaluate.base import Run, figures
from cohorts.harness.evaluate.data.units import Units
from cohorts.records.sources.partitioned import PartitionedSource
from cohorts.records.window import parse_window
from cohorts.reports.long_table import Record
from command_line import ok, refused, run
from qdrant_client import models
from servers import QdrantNode

NOWHERE = "--source mimic3 --path nowhere"
NOTES = "--source notes-csv --path nowhere.csv --columns id=id,text=text"
WITH_NOTES: Any = SimpleNamespace(has_notes=True)  # all that is asked of a source before it is read
SOURCE = "--source notes-csv --path notes.csv --columns id=id,text=text"
UNKNOWN = "There is no checkpoint nobody/nothing"
UNWRITABLE = "Nothing can be written to file"
EXPERIMENT = """
name = "e"
k = [10]
[data]
rows = 200
clusters = 4
dim = 8
[[store]]
name = "s"
address = "qdrant:s"
[[index]]
build = "flat"
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("where a folder should be")
    Path("e.toml").write_text(EXPERIMENT)
    Path("pairs.csv").write_text("text_a,text_b,score\na,b,1\nb,c,2\nc,d,3\nd,e,2\n")
    Path("grades.csv").write_text("patient,other\n1,2\n")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (f"ingest {NOWHERE} --encoder bert:nobody/nothing", UNKNOWN),
        (f"ingest {NOWHERE} --encoder bert:nobody/nothing --withhold sepsis", UNKNOWN),
        (f"ingest {NOWHERE} --encoder fused:model=nobody/nothing", UNKNOWN),
        (f"ingest {NOWHERE} --encoder gpt", "There is no encoder 'gpt'"),
        (f"ingest {NOWHERE} --withhold flu", "There is no phenotype 'flu'"),
        (f"ingest {NOWHERE} --shard 1/2", "Every shard needs the same encoder"),
        (f"ingest {NOWHERE} --run-dir file/run", UNWRITABLE),
        (f"ingest {NOWHERE} --store qdrant:./file/store", "Nothing can be written to file/store.runs"),
        (f"fit {NOWHERE} --encoder bert:nobody/nothing --out out", UNKNOWN),
        (f"fit {NOWHERE} --encoder gpt --out out", "There is no encoder 'gpt'"),
        (f"fit {NOWHERE} --out file", UNWRITABLE),
        (f"train mlm --base nobody/nothing {NOWHERE} --out out", UNKNOWN),
        (f"train chess --base nobody/nothing {NOWHERE} --out out", "There is no objective 'chess'"),
        (f"train mlm --base nobody/nothing {NOWHERE} --out out --resume", "holds no training to go on with"),
        (f"evaluate fineehr {NOWHERE} --out file/report", UNWRITABLE),
        (f"evaluate fineehr {NOWHERE} --as-of 24h", "24h"),
        ("evaluate fineehr --source notes-csv --path nowhere", "does not say who died"),
        (f"evaluate fused {NOWHERE} --encoder fused:model=nobody/nothing", UNKNOWN),
        ("evaluate fused --source notes-csv --path nowhere", "does not say who died"),
        (f"evaluate space {NOTES} --labels topic --encoder bert:nobody/nothing", UNKNOWN),
        (f"evaluate space {NOTES} --labels topic --encoder word2vec --out file", UNWRITABLE),
        ("evaluate similarity --pairs pairs.csv --encoder bert:nobody/nothing", UNKNOWN),
        (f"evaluate retrieval {NOWHERE} --encoder bert:nobody/nothing", UNKNOWN),
        (f"evaluate retrieval {NOWHERE} --cohort flu", "There is no phenotype 'flu'"),
        (f"evaluate retrieval {NOWHERE} --judgements grades.csv", "has no column grade"),
        (f"evaluate retrieval {NOWHERE} --judgements nowhere.csv", "nowhere.csv"),
        (f"evaluate retrieval {NOWHERE} --store redis:x", "is no store address"),
        (f"evaluate retrieval {NOWHERE} --store qdrant:s --index hnsw:m=32 --index ivf:variant=pq", "annoy"),
        (f"evaluate retrieval {NOWHERE} --out file", UNWRITABLE),
        ("bench e.toml --out file", UNWRITABLE),
        ("bench e.toml --out out --growth nowhere", "nowhere holds no report"),
        ("synth file/hospital", UNWRITABLE),
        ("export --out file/icu.parquet", UNWRITABLE),
        ("audit --out file", UNWRITABLE),
        ("load --vectors nowhere.npy --run-dir file", "nowhere.npy"),
    ],
)
def test_nothing_is_looked_at_before(command: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if told == "annoy":
        monkeypatch.setitem(sys.modules, "faiss", None)
        told = "pip install 'ehr-cohorts[reference]'"
    assert told in refused(command)
    assert not list(Path().glob("*/*"))


@pytest.mark.parametrize(
    ("missing", "command"),
    [
        ("ray", f"ingest {NOWHERE} --ray-workers 2"),
        ("umap", f"evaluate space {NOTES} --labels topic --encoder word2vec --projection umap"),
        ("accelerate", f"train mlm --base nobody/nothing {NOWHERE} --out out"),
    ],
)
def test_a_missing_extra_is_told_before(missing: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert "pip install 'ehr-cohorts[" in refused(command)


def write_notes() -> None:
    words = np.random.default_rng(0).choice(["cough", "fever", "fall", "pain", "rash", "sepsis"], (60, 8))
    lines = [f"{number},{' '.join(row)} of patient\n" for number, row in enumerate(words)]
    Path("notes.csv").write_text("id,text\n" + "".join(lines))


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return how a collection of 16 dimensions is made from a source; whoever reads that again fails."""
    write_notes()
    ok(f"ingest {SOURCE} --collection notes --encoder word2vec:dim=16,epochs=1")
    ok(f"fit {SOURCE} --out kept --encoder word2vec:dim=16,epochs=2")

    def read(_: PartitionedSource) -> None:
        raise AssertionError("The source was read.")

    monkeypatch.setattr(PartitionedSource, "_deal", read)
    return f"ingest {SOURCE}"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--collection notes --encoder word2vec:dim=32", "made by encoder word2vec of 16 dimensions"),
        ("--collection notes --encoder fineehr:dim=16", "the one asked for is fineehr of 16"),
        ("--collection notes --encoder kept", "fingerprint"),
        ("--collection notes --index flat", "The collection has index hnsw"),
        ("--collection more --index ivf", "pip install 'ehr-cohorts[reference]'"),
        ("--collection notes --index ivf --replace", "pip install 'ehr-cohorts[reference]'"),
        ("--collection more --index ivf --strict-index", "has no index ivf"),
    ],
)
def test_what_the_store_refuses_is_known_before_the_source_is_read(
    unreadable: str, options: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert told in refused(f"{unreadable} {options}")


def test_a_split_that_can_not_be_made_is_told_before_words_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    units = Units(list("abcdef"), pd.Series(list("abcdef")), np.zeros(6, np.bool_), np.array([""] * 6))
    monkeypatch.setattr(fineehr, "read_units", lambda _: units)
    with pytest.raises(Exception, match="0 ended with death"):
        list(fineehr.FineEhrTask().measure(WITH_NOTES, Run()))


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch) -> Callable[[set[str]], Run]:
    """Return what evaluates 200 admissions with two seeds, where some kinds of notes teach nothing at the second."""
    people, died = [str(one) for one in range(200)], np.arange(200) % 2 == 0
    units = Units(people, pd.Series(people), died, np.array([""] * 200))
    monkeypatch.setattr(fineehr, "read_units", lambda _: units)
    monkeypatch.setattr(
        fineehr, "read_baselines", lambda _: SimpleNamespace(words=SimpleNamespace(empty=~died))
    )
    monkeypatch.setattr(fineehr, "AsOf", lambda *_: None)

    def evaluate(poor: set[str]) -> Run:
        def measure(view: Any, seed: int, _: Any) -> Iterator[Record]:
            if view.notes in poor and seed:
                raise EncoderError("too few notes")
            yield from figures("predictions", {"notes": view.notes, "seed": seed}, auc=0.6)

        monkeypatch.setattr(fineehr._View, "measure", measure)
        run = Run()
        run.records += fineehr.FineEhrTask(seeds=2, window=parse_window("admission+24h")).measure(
            WITH_NOTES, run
        )
        return run

    return evaluate


@pytest.mark.parametrize(("poor", "left"), [("admission+24h", "all notes"), ("all notes", "admission+24h")])
def test_the_half_that_works_is_reported(halves: Callable[[set[str]], Run], poor: str, left: str) -> None:
    run = halves({poor})
    assert run.facts["not_measured"] == {poor: "too few notes"}
    assert [(row["notes"], row["seed"]) for row in run.records] == [(left, 0), (left, 1)]
    assert list(run.facts["learnt"]) == [left]


def test_where_neither_half_works_that_is_the_error(halves: Callable[[set[str]], Run]) -> None:
    with pytest.raises(EncoderError, match="too few notes"):
        halves({"all notes", "admission+24h"})


def test_an_encoder_that_can_not_be_trained_is_a_row_and_the_others_go_on() -> None:
    ok("synth hospital --patients 100 --seed 7")
    command = "evaluate retrieval --source mimic3 --path hospital --cohort sepsis --k 5 --out report"
    bad, good = "--encoder bad=fineehr:dim=16", "--encoder good=word2vec:dim=16,epochs=1"
    code, shown, _ = run(f"{command} {bad} {good}")
    assert code == 0
    (row,) = pd.read_csv("report/not_measured.csv").to_dict("records")
    assert (row["view"], row["encoder"]) == ("codes withheld", "bad")
    assert "learns from who died" in row["reason"]
    assert "bad" in shown
    assert "good, centred" in pd.read_csv("report/figures.csv")["encoder"].tolist()
    assert f"<strong>not measured:</strong> {row['reason']}" in Path("report/report.html").read_text()


@pytest.mark.parametrize(
    ("dim", "told"),
    [(16, "60 of the first 60 units are no points of theirs"), (32, "16 dimensions, the encoder 32")],
)
def test_what_a_collection_of_others_refuses_is_known_before_training(
    dim: int, told: str, qdrant: QdrantNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"note": 8, "cohorts": 16}
    vectors = {
        name: models.VectorParams(size=size, distance=models.Distance.COSINE) for name, size in sizes.items()
    }
    client = qdrant.client()
    client.create_collection("theirs", vectors)
    client.upsert("theirs", [models.PointStruct(id=9_000, vector={"note": [1.0] * 8}, payload={})], wait=True)
    client.close()
    store = f"--store qdrant+http://127.0.0.1:{qdrant.http}?check_compatibility=false --collection theirs"
    ok(f"attach {store} --vector note --write")
    write_notes()

    def train(*_: object) -> None:
        raise AssertionError("An encoder was trained.")

    monkeypatch.setattr("cohorts.loaders.run.train", train)
    assert told in refused(f"ingest {SOURCE} {store} --encoder word2vec:dim={dim}")
