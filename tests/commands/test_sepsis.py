"""`cohorts sepsis define`: its files, what a terminal shows, what is hidden, and what is refused before any work."""

import json
import stat
from pathlib import Path

import pandas as pd
import pytest
from cohorts.records.sepsis.cohort import exclusions
from cohorts.records.tables import partition
from command_line import ok, refused, run
from small_hospitals import mimic3

FILES = {"stays.csv", "flow.csv", "unseen.csv", "manifest.json", "report.html", "quarantine.csv"}


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic hospital of 300 patients."""
    folder = tmp_path_factory.mktemp("sepsis") / "hospital"
    ok(f"synth {folder} --patients 300 --seed 4")
    return folder


def stays_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "stays.csv", dtype={"patient_id": str, "admission_id": str})


def test_a_synthetic_hospital_is_called_one_and_hides_small_counts(ward: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, shown, said = run(f"sepsis define --source mimic3 --path {ward} --out {out}")
    assert code == 0
    assert shown.count("synthetic data: invented patients") == 2
    assert {one.name for one in out.iterdir()} <= FILES
    for one in out.iterdir():
        assert stat.S_IMODE(one.stat().st_mode) == 0o600, one.name
    for words in ("no suspected infection", "sepsis by Sepsis-3", "died in hospital", "admission kind"):
        assert words in " ".join(shown.split())
    page = (out / "report.html").read_text()
    assert page.count("<svg") == 2
    assert "On synthetic data" in page
    assert "patient data" in said
    counted = stays_of(out)["left_out"].value_counts()
    small = {str(many) for many in counted if many <= 10}
    flow = pd.read_csv(out / "flow.csv", dtype=str)
    assert not small & set(flow["left_out"].dropna())
    assert json.loads((out / "manifest.json").read_text())["synthetic"] is True


def test_each_stay_has_its_scores_and_they_add_up(ward: Path, tmp_path: Path) -> None:
    ok(f"sepsis define --source mimic3 --path {ward} --out {tmp_path} --min-cell 1")
    stays = stays_of(tmp_path)
    assert stays["icu"].notna().all()
    assert stays["admission_id"].is_unique
    for name, parts in (("sofa", 6), ("sapsii", 15), ("charlson", 18)):
        own = stays.filter(regex=f"^{name}_(?!unseen)")
        assert own.shape[1] == parts
        pd.testing.assert_series_equal(
            own.sum(axis=1, min_count=1), stays[name], check_names=False, check_dtype=False
        )
        assert (own.isna().sum(axis=1) == stays[f"{name}_unseen"]).all()
    members = stays[stays["left_out"].isna()]
    flow = pd.read_csv(tmp_path / "flow.csv").set_index("reason")
    assert flow.index.tolist() == ["admissions read", *exclusions("sepsis3")]
    assert flow["remaining"].iloc[-1] == len(members) > 30
    assert members[["suspected", "sepsis_sofa_time", "onset"]].notna().all(axis=None)
    assert (members["onset"] == members[["suspected", "sepsis_sofa_time"]].max(axis=1)).all()
    gone = stays["left_out"].value_counts().reindex(flow.index[2:], fill_value=0)
    assert gone.tolist() == flow["left_out"].iloc[2:].tolist()


def test_many_batches_tell_what_one_tells(
    ward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ok(f"sepsis define --source mimic3 --path {ward} --out {tmp_path / 'one'}")
    monkeypatch.setattr(partition, "PART_BYTES", 1 << 22)
    ok(f"sepsis define --source mimic3 --path {ward} --out {tmp_path / 'many'}")
    one, many = (
        stays_of(tmp_path / name).sort_values("admission_id", ignore_index=True) for name in ("one", "many")
    )
    pd.testing.assert_frame_equal(one, many)
    for name in ("flow.csv", "unseen.csv"):
        assert (tmp_path / "one" / name).read_text() == (tmp_path / "many" / name).read_text()


def test_the_open_demo_has_26_septic_patients_by_code(shared_data: Path, tmp_path: Path) -> None:
    shown = ok(
        f"sepsis define --source mimic3 --path {shared_data / 'mimic3-demo'} --out {tmp_path} --by codes"
    )
    assert "synthetic" not in shown
    stays = stays_of(tmp_path)
    members = stays[stays["left_out"].isna()]
    assert (len(stays), len(members), members["patient_id"].nunique()) == (129, 38, 26)
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "sepsis by diagnosis codes 38" in lines
    assert "SOFA cns 129" in lines  # the demo has no CHARTEVENTS
    assert "SAPS II gcs 129" in lines
    told = json.loads((tmp_path / "manifest.json").read_text())
    assert (told["rule"], told["stays"], told["synthetic"]) == ("codes", 38, False)


def test_nothing_but_the_stays_holds_an_id(shared_data: Path, tmp_path: Path) -> None:
    _, shown, said = run(
        f"sepsis define --source mimic3 --path {shared_data / 'mimic3-demo'} --out {tmp_path}"
    )
    ids = {*stays_of(tmp_path)["patient_id"], *stays_of(tmp_path)["admission_id"]}
    texts = [shown, said, *((tmp_path / one).read_text() for one in FILES - {"stays.csv", "quarantine.csv"})]
    assert not any(one in text for one in ids for text in texts)


def test_a_hospital_without_infections_is_told_of(tmp_path: Path) -> None:
    hospital = mimic3(tmp_path / "hospital")
    code, shown, said = run(
        f"sepsis define --source mimic3 --path {hospital} --out {tmp_path / 'out'} --min-cell 1"
    )
    assert code == 0
    assert "no antibiotic and a culture that belong together" not in shown
    assert "no stay had an antibiotic and a culture that belong together" in said
    stays = stays_of(tmp_path / "out")
    assert stays["left_out"].tolist() == ["no suspected infection"]
    flow = pd.read_csv(tmp_path / "out" / "flow.csv").set_index("reason")
    assert flow["left_out"].to_dict()["no intensive care"] == 1


def test_a_rule_that_is_none_is_refused(ward: Path, tmp_path: Path) -> None:
    said = refused(f"sepsis define --source mimic3 --path {ward} --out {tmp_path / 'out'} --by sofa")
    assert "sepsis3" in said
    assert not (tmp_path / "out").exists()


def test_a_folder_that_can_not_be_written_is_refused(ward: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = refused(f"sepsis define --source mimic3 --path {ward} --out {tmp_path / 'file' / 'out'}")
    assert "Nothing can be written to" in said


def test_a_source_of_notes_alone_is_refused(tmp_path: Path) -> None:
    notes = tmp_path / "notes.csv"
    notes.write_text("id,text\n1,sepsis\n")
    said = refused(f"sepsis define --source notes-csv --path {notes} --out {tmp_path / 'out'}")
    assert "notes-csv" in said


def test_a_source_without_codes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    empty = {
        "DIAGNOSES_ICD": "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE",
        "PROCEDURES_ICD": None,
        "PRESCRIPTIONS": None,
    }
    hospital = mimic3(tmp_path / "hospital", **empty)
    said = refused(f"sepsis define --source mimic3 --path {hospital} --out {tmp_path / 'out'}")
    assert "neither drugs nor diagnoses" in said
    assert not (tmp_path / "out" / "stays.csv").exists()
