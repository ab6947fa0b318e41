"""Saved cohorts by the command line: what a clinic keeps, lists, compares, hands out, and must forget."""

import csv
import json
from io import StringIO
from pathlib import Path

import pytest
from command_line import ok, refused, run


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept") / "hospital"
    ok(f"synth {folder} --patients 60 --seed 3")
    return folder


@pytest.fixture
def ward(hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the options of a collection of 60 patients, with a working folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    ok(
        f"ingest --source mimic3 --path {hospital} --encoder codes:dim=8 --store milvus:./s.db --collection icu"
    )
    return "--store milvus:./s.db --collection icu"


def test_cohorts_are_made_listed_shown_compared_exported_and_removed(ward: str, tmp_path: Path) -> None:
    ok(f"cohort make old --where 'age >= 60' {ward}")
    ok(f"cohort make failing --phenotype heart_failure {ward}")
    listed = json.loads(ok(f"cohort list --format json {ward}"))
    assert [(row["cohort"], row["made by"]) for row in listed] == [
        ("failing", "phenotype heart_failure"),
        ("old", "filter age >= 60"),
    ]
    assert all(row["synthetic"] for row in listed)
    old = json.loads(ok(f"cohort show old --format json {ward}"))
    shown = ok(f"cohort show old {ward}")
    assert "synthetic data" in shown
    assert old["members"][0]["patient"] in shown
    failing = list(csv.DictReader(StringIO(ok(f"cohort show failing --format csv {ward}"))))
    apart = json.loads(ok(f"cohort diff old failing --format json {ward}"))
    members = {one["patient"] for one in old["members"]}
    assert set(apart["both"]) == members & {row["patient"] for row in failing}
    assert set(apart["only old"]) == members - set(apart["both"])
    assert "both" in ok(f"cohort diff old failing {ward}")
    ok(f"cohort export old --out old.json --format fhir {ward}")
    assert json.loads((tmp_path / "old.json").read_text())["quantity"] == old["patients"]
    (tmp_path / "ids.txt").write_text("\n".join([*sorted(members)[:5], "", "nobody"]))
    _, _, told = run(f"cohort make five --ids ids.txt {ward}")
    assert "1 of 6 ids are of no patient" in told
    assert "5 patients" in told
    refreshed = json.loads(ok(f"cohort refresh five --format json {ward}"))
    assert (len(refreshed["stayed"]), refreshed["went"], refreshed["came"]) == (5, [], [])
    ok(f"cohort rm five {ward}")
    newer = tmp_path / "s.db.runs" / "icu" / "cohorts" / "newer.json"
    newer.write_text('{"format": 2}')
    _, out, told = run(f"cohort list --format csv {ward}")
    assert [line.split(",")[0] for line in out.splitlines()] == ["cohort", "failing", "old"]
    assert "newer.json is not of format 1" in told
    newer.unlink()
    assert "There are: failing, old" in refused(f"cohort show five {ward}")
    assert "--where FILTER" in refused(f"cohort make nobody {ward}")


def test_who_is_erased_is_in_no_cohort_of_the_collection(ward: str, tmp_path: Path) -> None:
    ok(f"cohort make old --where 'age >= 60' {ward}")
    patient = json.loads(ok(f"cohort show old --format json {ward}"))["members"][0]["patient"]
    (tmp_path / "ids.txt").write_text(f"{patient}\n")
    ok(f"cohort make one --ids ids.txt {ward}")
    kept = tmp_path / "s.db.runs" / "icu" / "cohorts"
    assert all(patient in file.read_text() for file in kept.iterdir())
    ok(f"compare old --format csv {ward}")
    _, _, told = run(f"delete --patient {patient} --run-dir elsewhere {ward}")
    assert "2 saved cohorts held or named the patient" in told
    assert len(list(kept.iterdir())) == 2
    assert not [file for file in kept.iterdir() if patient in file.read_text()]
    ok(f"compare old --format csv {ward}")  # which without the erasure would tell of the one who lacks


def test_a_text_is_kept_as_it_was_typed_and_a_note_is_not(
    hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ward = "--store qdrant:./s --collection notes"
    ok(f"ingest --source mimic3 --path {hospital} --encoder lsa:dim=8 {ward}")
    (tmp_path / "note.txt").write_text("Admitted with fever and cough, quillfeather.")
    _, _, told = run(f"query --note-file note.txt --text dyspnea --save both -k 5 --format csv {ward}")
    assert "The text asked by is kept in it" in told
    file = tmp_path / "s.runs" / "notes" / "cohorts" / "both.json"
    assert f"in {file.relative_to(tmp_path)}, yours alone" in told
    assert "dyspnea" in file.read_text()
    assert "quillfeather" not in file.read_text()
    assert "a text of 44 characters, not kept" in " ".join(ok(f"cohort show both {ward}").split())
    assert json.loads(ok(f"cohort refresh both --format json {ward}"))["overlap"] == 1
    assert "There is a cohort both already" in refused(f"query --text dyspnea --save both {ward}")
    ok(f"ingest --source mimic3 --path {hospital} --encoder lsa:dim=9 --replace {ward}")
    assert "another encoder now" in json.loads(ok(f"cohort list --format json {ward}"))[0]["state"]
    assert "--anyway" in refused(f"cohort refresh both {ward}")
    assert "can't be asked" in refused(f"cohort refresh both --anyway {ward}")


def test_who_is_recruited_is_listed_written_for_review_and_judged(
    ward: str, hospital: Path, tmp_path: Path
) -> None:
    (tmp_path / "p.toml").write_text(
        'title = "Old"\n[[include]]\nwhere = "age >= 60"\n[[exclude]]\ndrug = "heparin"\n'
    )
    code, out, told = run(f"recruit p.toml -k 5 --out r.csv {ward}")
    assert code == 0
    assert "synthetic data" in out
    assert "exclude: heparin" in out
    assert "small counts" in told, "60 patients, of whom few are left"
    found = json.loads(ok(f"recruit p.toml -k 5 --as-of 2100-01-01 --min-cell 1 --format json {ward}"))
    assert (found["as_of"], found["synthetic"]) == ("2100-01-01", True)
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert len(rows) == 5
    (tmp_path / "r.csv").write_text((tmp_path / "r.csv").read_text().replace(",,\n", ",yes,\n"))
    assert "1.00 (0.57 to 1.00)" in ok(f"recruit p.toml --judged r.csv {ward}")
    assert "takes a day" in refused(f"recruit p.toml --as-of May {ward}")
    passages = f"recruit p.toml -k 5 --evidence mimic3:{hospital} --out s.csv {ward}"
    (one, *_) = [
        row["evidence"]["passage"]
        for row in json.loads(ok(f"{passages} --format json"))["candidates"]
        if row["evidence"]
    ]
    assert one not in (tmp_path / "s.csv").read_text()
    assert "as in mimic3:FOLDER" in refused(f"recruit p.toml --evidence mimic3 {ward}")
