"""What can be refused is refused before the work: here the source is not even there, or reading it fails the test."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts.harness import fineehr
from cohorts.harness.units import Units
from cohorts.records.source import PartitionedSource
from commands import ok, refused, run

NOWHERE = "--source mimic3 --path nowhere"
NOTES = "--source notes-csv --path nowhere.csv --columns id=id,text=text"
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
        (f"evaluate fineehr {NOWHERE} --as-of never", "never"),
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
        told = "pip install 'cohorts[reference]'"
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
    assert "pip install 'cohorts[" in refused(command)


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return how a collection of 16 dimensions is made from a source; whoever reads that again fails."""
    words = np.random.default_rng(0).choice(["cough", "fever", "fall", "pain", "rash", "sepsis"], (60, 8))
    lines = [f"{number},{' '.join(row)} of patient\n" for number, row in enumerate(words)]
    Path("notes.csv").write_text("id,text\n" + "".join(lines))
    source = "--source notes-csv --path notes.csv --columns id=id,text=text"
    ok(f"ingest {source} --collection notes --encoder word2vec:dim=16,epochs=1")
    ok(f"fit {source} --out kept --encoder word2vec:dim=16,epochs=2")

    def read(_: PartitionedSource) -> None:
        raise AssertionError("The source was read.")

    monkeypatch.setattr(PartitionedSource, "_deal", read)
    return f"ingest {source}"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--collection notes --encoder word2vec:dim=32", "made by encoder word2vec of 16 dimensions"),
        ("--collection notes --encoder fineehr:dim=16", "the one asked for is fineehr of 16"),
        ("--collection notes --encoder kept", "fingerprint"),
        ("--collection notes --index flat", "The collection has index hnsw"),
        ("--collection more --index ivf", "pip install 'cohorts[reference]'"),
        ("--collection notes --index ivf --replace", "pip install 'cohorts[reference]'"),
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
        fineehr.evaluate(None, fineehr.Plan())  # type: ignore[arg-type]


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
