"""`cohorts compare` by the command line and by Python: what people see, what is refused with the command to run."""

import csv
import json
from io import StringIO
from pathlib import Path

import cohorts
import pytest
from command_line import ok, refused, run

STAYS, WHOLE = "--store milvus:./s.db --collection stays", "--store milvus:./s.db --collection whole"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a hospital ingested twice: by its admissions' first day, and whole; both with a cohort `old`."""
    folder = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ok("synth hospital --patients 150 --seed 5")
        source = "ingest --source mimic3 --path hospital --encoder codes:dim=8"
        ok(f"{source} --unit admission --as-of admission+24h {STAYS}")
        ok(f"{source} {WHOLE}")
        for collection in (STAYS, WHOLE):
            ok(f"cohort make old --where 'age >= 65' {collection}")
            ok(f"cohort make young --where 'age < 65' {collection}")
    return folder


@pytest.fixture
def at(there: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(there)
    return there


def test_two_cohorts_are_compared_and_reported(at: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    code, shown, said = run(f"compare old young --out {out} {STAYS}")
    assert code == 0
    for words in (
        "Who they are",
        "age, years",
        "How it ended",
        "What was done",
        "hidden",
    ):
        assert words in shown
    assert "synthetic data" in shown
    assert "Association, not effect" in said
    assert "90 days after discharge" in said
    page = (out / "report.html").read_text()
    assert "Synthetic data" in page
    assert "On synthetic data: No outcome of these groups can be told" in page
    assert "An association, not effect" in page
    assert page.count("<svg") >= 10  # each wide and narrow: two curves, two of differences, pathways, courses
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert {file.name for file in out.iterdir()} >= {"report.html", "figures.csv", "comparison.json"}
    assert {file.stat().st_mode & 0o777 for file in out.iterdir()} == {0o600}
    told = json.loads((out / "comparison.json").read_text())
    assert told["groups"] == ["old", "young"]
    assert json.loads(ok(f"compare old young --format json {STAYS}")) == told
    rows = list(csv.DictReader(StringIO(ok(f"compare old young --format csv {STAYS}"))))
    assert len(rows) == len(told["figures"])
    (age,) = (
        row
        for row in rows
        if row["item"] == "age, years" and row["measure"] == "mean" and row["group"] == "old"
    )
    assert float(age["value"]) > 65


def test_endings_in_the_vectors_are_refused_with_the_command_that_allows_them(at: Path) -> None:
    told = refused(f"compare old --outcome death-in-hospital {WHOLE}")
    assert "cohorts ingest --source … --path … --collection whole_24h" in told
    assert "--as-of admission+24h" in told
    assert "--anyway" in told
    _, _, said = run(f"compare old --outcome death-in-hospital --anyway --min-cell 1 {WHOLE}")
    assert "may have seen the outcomes" in said


def test_another_source_gives_the_records_and_small_groups_are_refused(at: Path) -> None:
    (at / "few.txt").write_text("10006\n10007\n")
    ok(f"cohort make few --ids few.txt {STAYS}")
    assert "--min-cell 1" in refused(f"compare few {STAYS}")
    records = "--source mimic3 --path hospital"
    told = json.loads(ok(f"compare old young {records} --format json {WHOLE}"))
    assert told["patients"] == json.loads(ok(f"compare old young --format json {WHOLE}"))["patients"]
    assert "Collections here: stays" in refused("compare old --store milvus:./s.db --collection nope")
    assert "up to 9999" in refused(f"compare old --follow-up 99999d {STAYS}")
    assert "--source NAME and --path together" in refused(f"compare old --source mimic3 {STAYS}")


def test_python_compares_as_the_command_does(at: Path) -> None:
    with cohorts.connect("milvus:./s.db") as store:
        old = store.collection("stays").cohort("old")
        told = old.compare("young")
    assert told.as_dict()["figures"] == json.loads(ok(f"compare old young --format json {STAYS}"))["figures"]
    assert told.sheet("outcomes")["item"].tolist()[0] == "length of stay, days"
    assert old.patients[0] not in repr(told)
