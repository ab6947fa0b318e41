"""Readers on real data, and on what people do to their files."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cohorts.errors import InputError, SourceError, TooManyBadRows
from cohorts.records.base import Batch, Unit
from cohorts.records.sources.admissions import age_in_years
from cohorts.records.sources.partitioned import PartitionedSource
from cohorts.records.sources.registry import open_source
from cohorts.records.tables import partition
from small_hospitals import told

Open = Callable[..., PartitionedSource]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    def open_it(name: str, path: Path, **more: Any) -> PartitionedSource:
        return open_source(
            name, path, work_dir=tmp_path / "work", quarantine_file=tmp_path / "bad.csv", **more
        )

    return open_it


def one_batch(source: PartitionedSource) -> Batch:
    with source:
        (batch,) = source.batches()
    return batch


def copied(folder: Path, target: Path) -> Path:
    """Copy real data to where a test may change it."""
    shutil.copytree(folder, target, copy_function=shutil.copyfile)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target


def change_rows(path: Path, change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> None:
    with path.open(newline="") as stream:
        reader = csv.DictReader(stream)
        rows = list(reader)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, reader.fieldnames or [])
        writer.writeheader()
        writer.writerows(change(rows))


def quarantined(tmp_path: Path) -> list[dict[str, str]]:
    with (tmp_path / "bad.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_mimic3_demo_exactly(shared_data: Path, opened: Open) -> None:
    source = opened("mimic3", shared_data / "mimic3-demo")
    batch = one_batch(source)
    assert len(batch) == batch.units["patient_id"].nunique() == 100
    assert source.report.counts == {
        "patients": 100,
        "admissions": 129,
        "diagnoses": 1_761,
        "diagnoses ICD-9": 1_761,
        "procedures": 506,
        "procedures ICD-9": 506,
        "prescriptions": 10_398,
        "notes": 0,
        "measurements": 53_029,
        "outputs": 11_320,
        "stays": 136,
        "transfers": 524,
        "services": 163,
        "diagnosis related groups": 297,
        "inputs": 10_314,
        "bedside procedures": 727,
        "cultures": 1_067,
        "susceptibilities": 971,
    }
    assert source.report.quarantined == {
        "LABEVENTS": 4
    }  # no blood has 138 mg/dL of creatinine, nor air 2 % of oxygen
    assert source.report.left_out == {
        "rows of INPUTEVENTS_MV that were rewritten": 2_910,
        "rows of PROCEDUREEVENTS_MV that were rewritten": 26,
    }
    assert source.report.rows == {
        "PATIENTS": 100,
        "ADMISSIONS": 129,
        "DIAGNOSES_ICD": 1_761,
        "PROCEDURES_ICD": 506,
        "PRESCRIPTIONS": 10_398,
        "NOTEEVENTS": 0,
        "LABEVENTS": 53_033,
        "ICUSTAYS": 136,
        "OUTPUTEVENTS": 11_320,
        "INPUTEVENTS_MV": 13_224,
        "PROCEDUREEVENTS_MV": 753,
        "MICROBIOLOGYEVENTS": 2_003,
        "DRGCODES": 297,
        "TRANSFERS": 524,
        "SERVICES": 163,
    }
    assert told(source.report) == ["NOTEEVENTS has a header and no rows"]


def test_mimic3_demo_units(shared_data: Path, opened: Open) -> None:
    batch = one_batch(opened("mimic3", shared_data / "mimic3-demo"))
    unit = batch.units.set_index("unit_id").loc["10006"]
    assert (unit["age"], unit["sex"], unit["died"]) == (70.0, "F", False)
    assert unit["admission_type"] == "EMERGENCY"
    assert unit["stay_days"] == pytest.approx(8 + (20 + 6 / 60) / 24)  # 10-23 21:09 to 11-01 17:15
    assert (unit["principal_code"], unit["principal_title"]) == ("99591", "Sepsis")
    ids = [int(one) for one in batch.units["unit_id"]]
    assert ids == sorted(ids)
    assert batch.units["age"].max() == 90.0
    assert batch.units["age"].notna().all()
    leading_zero = batch.codes[(batch.codes["kind"] == "diagnosis") & batch.codes["code"].str.startswith("0")]
    assert len(leading_zero) > 0


def test_admissions_as_units_of_one_patient_stand_together(shared_data: Path, opened: Open) -> None:
    batch = one_batch(opened("mimic3", shared_data / "mimic3-demo", unit=Unit.ADMISSION))
    assert len(batch) == 129
    patients = batch.units["patient_id"]
    assert (patients != patients.shift()).sum() == patients.nunique() == 100
    assert set(batch.codes["unit_id"]) <= set(batch.units["unit_id"])
    dead = batch.units.groupby("patient_id")["died"].sum()
    assert dead.max() == 1  # one dies once


def test_mimic4_demo_exactly_without_notes_and_dictionaries(shared_data: Path, opened: Open) -> None:
    source = opened("mimic4", shared_data / "mimic4-demo")
    batch = one_batch(source)
    counts = source.report.counts
    assert (counts["patients"], counts["admissions"]) == (100, 275)
    assert (counts["diagnoses ICD-9"], counts["diagnoses ICD-10"]) == (2_193, 2_313)
    assert counts["prescriptions"] == 18_087
    assert batch.units["age"].between(18, 90).all()
    assert any("No dictionary d_icd_diagnoses" in warning for warning in source.report.warnings)
    assert any("MIMIC-IV-Note is a data set of its own" in warning for warning in source.report.warnings)


def test_mimic4_notes_come_from_a_folder_of_their_own(
    shared_data: Path, opened: Open, tmp_path: Path
) -> None:
    (tmp_path / "note").mkdir()
    header = "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text\n"
    row = '10000032-DS-21,10000032,22595853,DS,21,2180-05-07 00:00:00,,"Pt w/ ascites\nand ""more"""\n'
    (tmp_path / "note" / "discharge.csv").write_text(header + row)
    batch = one_batch(opened("mimic4", shared_data / "mimic4-demo", notes=tmp_path))
    (note,) = batch.notes.to_dict("records")
    assert (note["unit_id"], note["category"]) == ("10000032", "Discharge summary")
    assert note["text"] == 'Pt w/ ascites\nand "more"'


@pytest.mark.parametrize(
    ("file", "columns", "labels", "patients"),
    [
        ("aci-bench/train.csv", {"id": "encounter_id", "text": "note"}, ["dataset"], 67),
        ("mtsamples/mtsamples.csv.gz", {"id": "sample_id", "text": "text"}, ["medical_specialties"], 1_435),
        (
            "mts-dialog/MTS-Dialog-TrainingSet.csv",
            {"id": "ID", "text": "section_text"},
            ["section_header"],
            1_201,
        ),
    ],
)
def test_notes_csv_on_real_notes(
    shared_data: Path, opened: Open, file: str, columns: dict[str, str], labels: list[str], patients: int
) -> None:
    with opened("notes-csv", shared_data / file, columns=columns, labels=labels) as source:
        batches = list(source.batches())
    assert sum(map(len, batches)) == sum(len(batch.notes) for batch in batches) == patients
    assert all(batch.units[f"label_{labels[0]}"].notna().all() for batch in batches)
    assert source.report.quarantined == {}


def test_notes_csv_gathers_the_notes_of_one_id_in_time(tmp_path: Path, opened: Open) -> None:
    file = tmp_path / "notes.csv"
    file.write_text("who,said,at\nb,2nd,2150-01-02\na,only,\nb,1st,2150-01-01\n,lost,\n")
    source = opened("notes-csv", file, columns={"id": "who", "text": "said", "time": "at"}, max_bad_share=0.5)
    batch = one_batch(source)
    assert list(batch.notes["text"]) == ["only", "1st", "2nd"]
    assert source.report.quarantined == {"notes.csv": 1}
    assert quarantined(tmp_path) == [
        {"table": "notes.csv", "row": "4", "line": "5", "reason": "who is missing"}
    ]


def test_dates_mangled_by_a_spreadsheet_are_refused(shared_data: Path, opened: Open, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"PATIENTS\.csv: .*spreadsheet.*the century"):
        opened("mimic3", shared_data / "mimic3-demo-spreadsheet")
    folder = copied(shared_data / "mimic3-demo", tmp_path / "demo")
    shutil.copyfile(shared_data / "mimic3-demo-spreadsheet" / "ADMISSIONS.csv", folder / "ADMISSIONS.csv")
    with pytest.raises(SourceError, match=r"ADMISSIONS\.csv: .*spreadsheet"):
        opened("mimic3", folder)


def test_lost_leading_zeros_are_noticed(shared_data: Path, opened: Open, tmp_path: Path) -> None:
    folder = copied(shared_data / "mimic4-demo", tmp_path / "demo")
    lost = shared_data / "mimic4-demo-zeros-lost" / "diagnoses_icd.csv.gz"
    shutil.copyfile(lost, folder / "hosp" / "diagnoses_icd.csv.gz")
    source = opened("mimic4", folder)
    one_batch(source)
    assert source.report.quarantined["diagnoses_icd"] > 0
    assert any("leading zeros" in warning for warning in source.report.warnings)


def test_missing_table_and_column_are_named(shared_data: Path, opened: Open, tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match=r"PATIENTS\.csv\.gz.*was looked for in .*nowhere, which is no folder"
    ):
        opened("mimic3", tmp_path / "nowhere")
    folder = copied(shared_data / "mimic3-demo", tmp_path / "demo")
    (folder / "DIAGNOSES_ICD.csv").write_text("ROW_ID,SUBJECT_ID,HADM_ID,SEQ_NUM\n")
    with pytest.raises(SourceError, match=r"DIAGNOSES_ICD\.csv has no column icd9_code.*It has: ROW_ID"):
        opened("mimic3", folder)
    (folder / "DIAGNOSES_ICD.csv").unlink()
    with pytest.raises(SourceError, match="Table DIAGNOSES_ICD is missing"):
        opened("mimic3", folder)


def test_inconsistent_rows_are_quarantined_or_counted(
    shared_data: Path, opened: Open, tmp_path: Path
) -> None:
    folder = copied(shared_data / "mimic3-demo", tmp_path / "demo")

    def spoil(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        rows[0]["HADM_ID"] = "105331"  # of another patient
        rows[1]["SUBJECT_ID"] = "999"  # not a patient
        rows[2]["SUBJECT_ID"] = "one"
        return rows

    change_rows(folder / "DIAGNOSES_ICD.csv", spoil)
    change_rows(folder / "PATIENTS.csv", lambda rows: [*rows, dict(rows[0], row_id="1")])
    source = opened("mimic3", folder)
    one_batch(source)
    assert source.report.counts["diagnoses"] == 1_758
    assert source.report.counts["patients"] == 100
    assert source.report.quarantined == {"DIAGNOSES_ICD": 2, "PATIENTS": 1, "LABEVENTS": 4}
    assert sum(not_rewritten(source.report.left_out).values()) == 1
    assert {(row["table"], row["row"]) for row in quarantined(tmp_path) if row["table"] != "LABEVENTS"} == {
        ("DIAGNOSES_ICD", "1"),
        ("DIAGNOSES_ICD", "3"),
        ("PATIENTS", "101"),
    }


def test_too_many_bad_rows_stop_the_run(shared_data: Path, opened: Open, tmp_path: Path) -> None:
    folder = copied(shared_data / "mimic3-demo", tmp_path / "demo")
    change_rows(
        folder / "DIAGNOSES_ICD.csv", lambda rows: [r | {"HADM_ID": "x"} for r in rows[:40]] + rows[40:]
    )
    with (
        opened("mimic3", folder, max_bad_share=0.02) as source,
        pytest.raises(TooManyBadRows, match="40 of 1,761"),
    ):
        list(source.batches())
    with opened("mimic3", folder, max_bad_share=0.03) as source:
        list(source.batches())
        assert source.report.quarantined == {"DIAGNOSES_ICD": 40, "LABEVENTS": 4}


def test_parts_change_neither_rows_nor_counts(
    shared_data: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = one_batch(opened("mimic3", shared_data / "mimic3-demo"))
    monkeypatch.setattr(partition, "PART_BYTES", 500_000)
    source = opened("mimic3", shared_data / "mimic3-demo")
    with source:
        first, second = list(source.batches()), list(source.batches())
    assert len(first) > 5
    for one, two in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(one.codes, two.codes)
    assert source.report.counts["diagnoses"] == 1_761
    for name in ("units", "codes", "measurements"):
        parts = pd.concat([getattr(batch, name) for batch in first])
        expected = getattr(whole, name)
        keys = list(expected.columns)
        pd.testing.assert_frame_equal(
            parts.sort_values(keys, ignore_index=True), expected.sort_values(keys, ignore_index=True)
        )


def not_rewritten(left_out: dict[str, int]) -> dict[str, int]:
    """Return what was left out, less what the wards of the demo wrote anew."""
    return {what: many for what, many in left_out.items() if not what.endswith("that were rewritten")}


def test_notes_marked_as_errors_are_left_out_and_counted(
    shared_data: Path, opened: Open, tmp_path: Path
) -> None:
    folder = copied(shared_data / "mimic3-demo", tmp_path / "demo")
    header = (
        "ROW_ID,SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,STORETIME,CATEGORY,DESCRIPTION,CGID,ISERROR,TEXT\n"
    )
    rows = [
        "1,10006,142345,2164-10-24,,,Nursing,r,,1,wrong patient",
        '2,10006,142345,2164-10-25,2164-10-25 08:00:00,,"Physician ",r,,,pt stable',
        "3,10006,,2164-10-24,,,ECG,r,,,sinus rhythm",
    ]
    (folder / "NOTEEVENTS.csv").write_text(header + "\n".join(rows))
    source = opened("mimic3", folder)
    batch = one_batch(source)
    assert list(batch.notes["category"]) == ["ECG", "Physician"]
    assert not_rewritten(source.report.left_out) == {"rows of NOTEEVENTS marked as errors (ISERROR)": 1}
    admissions = opened("mimic3", folder, unit=Unit.ADMISSION)
    assert list(one_batch(admissions).notes["category"]) == ["Physician"]
    assert admissions.report.left_out["rows of NOTEEVENTS without an admission"] == 1


def test_five_percent_broken_notes_lose_none_of_the_good_ones(
    shared_data: Path, opened: Open, tmp_path: Path
) -> None:
    folder = copied(shared_data / "mimic3-demo", tmp_path / "demo")
    header = "ROW_ID,SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,STORETIME,CATEGORY,DESCRIPTION,CGID,ISERROR,TEXT"
    kinds = (
        'X,10006,142345,2164-10-24,,,Nursing,r,,,"the quote never ends\nand runs on, and on',
        "X,10006,142345,2164-10-24,,,Nursing,r",
        "X,ten,142345,2164-10-24,,,Nursing,r,,,no identifier",
        "X,10006,142345,24 Oct,,,Nursing,r,,,no date",
        'X,10006,142345,2164-10-24,,,Nursing,r,,,"said "ouch" loudly"',
        "X,10006,105331,2164-10-24,,,Nursing,r,,,admission of another patient",
    )
    lines, broken = [header], set()
    for number in range(1, 1_001):
        if number % 20 == 0:
            broken.add(str(number))
            lines.append(kinds[number // 20 % len(kinds)].replace("X", str(number), 1))
        else:
            lines.append(
                f'{number},10006,142345,2164-10-24,,,Nursing,r,,,"note {number},\nwith ""two"" lines"'
            )
    (folder / "NOTEEVENTS.csv").write_text("\n".join(lines) + "\n")
    source = opened("mimic3", folder)
    batch = one_batch(source)
    expected = {f'note {n},\nwith "two" lines' for n in range(1, 1_001) if n % 20}
    assert set(batch.notes["text"]) == expected
    assert len(batch.notes) == source.report.counts["notes"] == 950
    assert source.report.quarantined == {"NOTEEVENTS": 50, "LABEVENTS": 4}
    assert {row["row"] for row in quarantined(tmp_path) if row["table"] == "NOTEEVENTS"} == broken
    written = (tmp_path / "bad.csv").read_text()
    assert "ouch" not in written
    assert "runs on" not in written


def test_fingerprint_follows_content_and_unit(shared_data: Path, opened: Open, tmp_path: Path) -> None:
    folder = copied(shared_data / "mimic3-demo", tmp_path / "demo")
    first = opened("mimic3", folder).fingerprint
    assert first == opened("mimic3", shared_data / "mimic3-demo").fingerprint
    assert first != opened("mimic3", folder, unit=Unit.ADMISSION).fingerprint
    change_rows(folder / "DIAGNOSES_ICD.csv", lambda rows: rows[:-1])
    second = opened("mimic3", folder).fingerprint
    assert first != second
    change_rows(folder / "D_LABITEMS.csv", lambda rows: rows[:-1])  # what items are called
    assert second != opened("mimic3", folder).fingerprint


def test_nothing_is_left_on_disk(shared_data: Path, opened: Open, tmp_path: Path) -> None:
    with opened("mimic3", shared_data / "mimic3-demo") as source:
        next(iter(source.batches()))
        (parts,) = (tmp_path / "work").iterdir()
        assert parts.stat().st_mode & 0o077 == 0  # patient text is for the user's eyes alone
    assert list((tmp_path / "work").iterdir()) == []


def test_unknown_source_and_column_map(tmp_path: Path, opened: Open) -> None:
    with pytest.raises(InputError, match="Sources: mimic3, mimic4, notes-csv, tables"):
        opened("eicu", tmp_path)
    with pytest.raises(InputError, match="id=encounter_id"):
        opened("notes-csv", tmp_path, columns={"text": "note"})


@pytest.mark.parametrize(
    ("born", "at", "years"),
    [
        ("2094-03-05", "2164-03-04", 69),
        ("2094-03-05", "2164-03-05", 70),
        ("2060-01-01", "2149-12-31", 89),
        ("2060-01-01", "2150-01-01", 90),
        ("1850-01-01", "2150-01-01", 90),  # MIMIC-III moves births of patients over 89 by 300 years
        ("2150-01-01", "2150-01-01", 0),
    ],
)
def test_age(born: str, at: str, years: float) -> None:
    assert age_in_years(pd.Series(pd.to_datetime([born])), pd.Series(pd.to_datetime([at]))).tolist() == [
        years
    ]
