"""Hospitals as projects ship and cut them: whatever is left is read, and what is lost is told."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from cohorts.commands import hints
from cohorts.encoders.registry import make_encoder, parse_encoder
from cohorts.encoders.specs import EncoderSpec
from cohorts.errors import EncoderError, SourceError
from cohorts.records.base import Batch, Unit
from cohorts.records.shards import Shard
from cohorts.records.sources.registry import open_source
from cohorts.records.tables import partition
from cohorts.records.withheld import Withheld
from command_line import ok, refused, run
from small_hospitals import Read, mimic3, mimic4, told, without_column

LEFT_OUT = "of admissions that the admissions' table does not have"


# Cohorts cut by admission

OF_ABSENT = {
    "DIAGNOSES_ICD": "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE\n1,10,1,4019\n1,11,1,4280",
    "PROCEDURES_ICD": "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE\n1,10,1,0066\n1,11,1,9604",
    "PRESCRIPTIONS": "SUBJECT_ID,HADM_ID,DRUG\n1,10,Insulin\n1,11,Heparin",
    "NOTEEVENTS": "SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,CATEGORY,ISERROR,TEXT\n"
    "1,10,2164-10-24,,Nursing,,pt stable\n1,11,2164-10-24,,Nursing,,pt worse",
    "LABEVENTS": "SUBJECT_ID,HADM_ID,ITEMID,CHARTTIME,VALUENUM,VALUEUOM\n"
    "1,10,50912,2164-10-24,1.1,mg/dL\n1,11,50912,2164-10-24,9.9,mg/dL",
    "ICUSTAYS": "SUBJECT_ID,HADM_ID,LOS\n1,10,1.5\n1,11,9.5",
}


@pytest.mark.parametrize("unit", Unit)
def test_rows_of_admissions_that_were_cut_away_are_left_out_and_counted(
    tmp_path: Path, read: Read, unit: Unit
) -> None:
    whole, _ = read("mimic3", mimic3(tmp_path / "whole"), unit=unit)
    cut, report = read("mimic3", mimic3(tmp_path / "cut", **OF_ABSENT), unit=unit)
    assert report.quarantined == {}
    assert report.left_out == {f"rows of {table} {LEFT_OUT}": 1 for table in OF_ABSENT}
    known = cut.units["unit_id"] == cut.units["unit_id"].iloc[0]
    pd.testing.assert_frame_equal(cut.units[known], whole.units[known])
    assert cut.codes["code"].tolist() == ["4019", "Insulin", "0066"]
    assert (len(cut.notes), len(cut.measurements)) == (1, 1)


@pytest.mark.parametrize("part_bytes", [partition.PART_BYTES, 20])
def test_a_row_of_an_admission_of_another_patient_is_bad(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch, part_bytes: int
) -> None:
    """Also where the other patient's rows lie in another part, or in another shard."""
    rows = "SUBJECT_ID,HADM_ID,SEQ_NUM,ICD9_CODE\n1,20,1,4019\n2,10,1,0389\n1,99,1,4280\n2,20,1,0389"
    folder = mimic3(tmp_path / "tables", DIAGNOSES_ICD=rows)
    monkeypatch.setattr(partition, "PART_BYTES", part_bytes)
    bad: list[str] = []
    for number in (1, 2):
        file = tmp_path / f"bad{number}.csv"
        with open_source(
            "mimic3",
            folder,
            work_dir=tmp_path,
            quarantine_file=file,
            max_bad_share=1,
            shard=Shard(number, 2),
        ) as source:
            list(source.batches())
        bad += _rows(file) if file.exists() else []
    assert sorted(bad) == [f"DIAGNOSES_ICD {row} an admission of another patient" for row in (1, 2)]


def _rows(file: Path) -> list[str]:
    with file.open(newline="") as stream:
        return [f"{row['table']} {row['row']} {row['reason']}" for row in csv.DictReader(stream)]


# Columns that are lacking


def of_first(batch: Batch, name: str) -> object:
    return batch.units[name].astype("object").iloc[0]


REPLACED = [
    ("ICUSTAYS", "LOS", "intime and outtime"),
    ("ADMISSIONS", "HOSPITAL_EXPIRE_FLAG", "deathtime"),
    ("LABEVENTS", "VALUENUM", "value"),
]


def test_other_columns_are_read_in_place_of_those_that_are_lacking(tmp_path: Path, read: Read) -> None:
    whole, _ = read("mimic3", mimic3(tmp_path / "whole"))
    folder = mimic3(tmp_path / "cut")
    for table, column, _ in REPLACED:
        without_column(folder, table, column)
    batch, report = read("mimic3", folder)
    for frame in ("units", "codes", "notes", "measurements"):
        pd.testing.assert_frame_equal(getattr(batch, frame), getattr(whole, frame))
    assert batch.units["died"].tolist() == [False, True]
    assert of_first(batch, "icu_days") == 1.5
    assert batch.measurements["value"].tolist()[0] == 1.1
    assert set(told(report)) == {
        f"{table} has no column {column.lower()}: it is made of {instead}"
        for table, column, instead in REPLACED
    }
    assert report.quarantined == {}


LOST = [
    ("PATIENTS", "GENDER", ("units", "sex"), "sex is not known"),
    ("PATIENTS", "DOB", ("units", "age"), "ages are not known"),
    ("ADMISSIONS", "DISCHTIME", ("units", "stay_days"), "how long admissions lasted is not known"),
    ("ADMISSIONS", "ADMISSION_TYPE", ("units", "admission_type"), "types of admission are not known"),
    ("ADMISSIONS", "HOSPITAL_EXPIRE_FLAG DEATHTIME", ("units", "died"), "who died in hospital is not known"),
    ("ICUSTAYS", "LOS INTIME", ("units", "icu_days"), "days in intensive care are not known"),
    ("DIAGNOSES_ICD", "SEQ_NUM", ("units", "principal_code"), "which code is the principal one is not known"),
    ("LABEVENTS", "VALUENUM VALUE", ("measurements", "value"), "measurements have no value"),
    ("LABEVENTS", "VALUEUOM", ("measurements", "uom"), "measurements have no unit"),
    ("NOTEEVENTS", "CATEGORY", ("notes", "category"), "notes have no category"),
]


def test_what_is_lost_with_columns_is_missing_and_told(tmp_path: Path, read: Read) -> None:
    whole, _ = read("mimic3", mimic3(tmp_path / "whole"))
    folder = mimic3(tmp_path / "cut")
    for table, columns, _, _ in LOST:
        without_column(folder, table, *columns.split())
    batch, report = read("mimic3", folder)
    for _, _, (frame, name), _ in LOST:
        assert getattr(batch, frame)[name].isna().all(), name
        assert getattr(whole, frame)[name].notna().any(), name
    assert set(told(report)) == {
        f"{table} has no column {columns.split()[0].lower()}: {lost}" for table, columns, _, lost in LOST
    }
    assert report.quarantined == {}
    assert (len(batch), len(batch.codes), len(batch.notes), len(batch.measurements)) == (2, 4, 1, 2)


@pytest.mark.parametrize(
    ("column", "times"),
    [
        ("CHARTTIME", ["2164-10-24 00:00", "2165-01-02 00:00"]),
        ("CHARTDATE", ["2164-10-24 08:00", None]),
    ],
)
def test_notes_have_the_time_that_is_left(
    tmp_path: Path, read: Read, column: str, times: list[str | None]
) -> None:
    folder = mimic3(tmp_path / "cut")
    without_column(folder, "NOTEEVENTS", "ISERROR", column)
    batch, report = read("mimic3", folder)
    assert batch.notes["time"].equals(pd.to_datetime(pd.Series(times)).astype("datetime64[us]"))
    assert len(told(report)) == 2


def test_mimic4_is_read_without_columns_too(tmp_path: Path, read: Read) -> None:
    folder = mimic4(tmp_path / "cut")
    without_column(folder, "icustays", "los")
    without_column(folder, "patients", "gender", "anchor_age", "anchor_year")
    without_column(folder, "procedures_icd", "seq_num")
    batch, report = read("mimic4", folder)
    assert [warning for warning in report.warnings if "has no column" in warning] == [
        "patients has no column gender: sex is not known",
        "patients has no column anchor_age: ages are not known",
        "patients has no column anchor_year: ages are not known",
        "procedures_icd has no column seq_num: which code is the principal one is not known",
        "ICUSTAYS has no column los: it is made of intime and outtime",
    ]
    assert batch.units[["sex", "age"]].isna().all(axis=None)
    assert (len(batch), len(batch.codes), of_first(batch, "icu_days")) == (1, 3, 1.5)


def test_titles_are_the_short_ones_where_there_are_no_long_ones(tmp_path: Path, read: Read) -> None:
    folder = mimic3(tmp_path / "cut")
    without_column(folder, "D_ICD_DIAGNOSES", "LONG_TITLE")
    batch, _ = read("mimic3", folder)
    assert of_first(batch, "principal_title") == "Hypertension NOS"


@pytest.mark.parametrize(
    ("table", "column"),
    [("PATIENTS", "SUBJECT_ID"), ("ADMISSIONS", "ADMITTIME"), ("DIAGNOSES_ICD", "ICD9_CODE")],
)
def test_what_nothing_replaces_must_be_there(tmp_path: Path, read: Read, table: str, column: str) -> None:
    folder = mimic3(tmp_path / "cut")
    without_column(folder, table, column)
    with pytest.raises(SourceError, match=rf"{table}\.csv has no column {column.lower()} "):
        read("mimic3", folder)


# Tables that are lacking


@pytest.mark.parametrize(("name", "written"), [("mimic3", mimic3), ("mimic4", mimic4)])
def test_tables_that_are_lacking_are_told(
    tmp_path: Path, read: Read, name: str, written: Callable[[Path], Path]
) -> None:
    folder, lost = written(tmp_path / "cut"), {"procedures_icd": "procedures", "prescriptions": "drugs"}
    lost |= {"labevents": "measurements", "icustays": "stays"}
    lost |= {"noteevents": "notes"} if name == "mimic3" else {}
    for file in folder.rglob("*.csv"):
        if file.stem.lower() in lost:
            file.unlink()
    batch, report = read(name, folder)
    assert set(batch.codes["kind"]) == {"diagnosis"}
    assert len(batch.notes) == len(batch.measurements) == 0
    tables = [warning for warning in report.warnings if warning.startswith("No table ")]
    parts = [(warning.lower().split(" in ")[0], warning.rpartition(": ")[2]) for warning in tables]
    assert sorted(parts) == sorted((f"no table {table}", f"no {what}") for table, what in lost.items())


@pytest.mark.parametrize(
    "encoder",
    [
        "lsa",
        "concat:lsa+codes",
        "word2vec",
        "fineehr",
        "fused:gated",
        "bert:no-such-model",
        parse_encoder("word2vec", Withheld(("sepsis",), text=True)),
    ],
    ids=str,
)
@pytest.mark.parametrize("lacking", ["table", "rows"])
def test_an_encoder_of_notes_is_refused_before_the_work_where_there_are_none(
    tmp_path: Path, encoder: str | EncoderSpec, lacking: str
) -> None:
    header = "SUBJECT_ID,HADM_ID,CHARTDATE,CHARTTIME,CATEGORY,ISERROR,TEXT"
    folder = mimic3(tmp_path / "cut", NOTEEVENTS=None if lacking == "table" else header)
    work = tmp_path / "work"
    with open_source("mimic3", folder, work_dir=work, quarantine_file=tmp_path / "bad.csv") as source:
        with pytest.raises(EncoderError, match=r"source holds no notes, and .*: use codes, which"):
            make_encoder(encoder).fit(source)
        assert source.report.share_read == 0
    assert not work.exists()


def test_codes_are_read_without_notes_and_encoders_of_notes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mimic3(tmp_path / "whole")
    mimic3(tmp_path / "cut", NOTEEVENTS=None)
    monkeypatch.chdir(tmp_path)
    settings = "min_count=1,dim=8"
    ok(f"ingest --source mimic3 --path cut --encoder word2vec:input=codes,{settings}")
    ok(f"fit --source mimic3 --path whole --encoder word2vec:{settings} --out kept")
    for encoder in ("kept", "word2vec"):  # trained elsewhere, and to be trained here
        told = refused(f"ingest --source mimic3 --path cut --encoder {encoder} --collection other")
        assert "no notes, and word2vec needs them" in told
    mimic4(tmp_path / "iv")
    assert "which --notes names" in refused("fit --source mimic4 --path iv --out more --encoder lsa")


def test_the_default_is_less_what_the_source_lacks_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mimic3(tmp_path / "whole")
    mimic3(tmp_path / "cut", NOTEEVENTS=None)
    mimic4(tmp_path / "iv")
    monkeypatch.chdir(tmp_path)
    for path, asked, lacks in (
        ("whole", "concat:lsa+codes", ""),
        ("cut", "codes", "The source has no notes: the encoder is codes, not concat:lsa+codes."),
    ):
        code, _, text = run(f"ingest --source mimic3 --path {path} --collection {path}")
        manifest = json.loads(Path(f"cohorts.qdrant.runs/{path}/manifest.json").read_text(encoding="utf-8"))
        assert (manifest["encoder"]["asked"], manifest["encoder"]["lacks"]) == (asked, lacks)
        assert (code, "not concat:lsa+codes" in text) == (0, bool(lacks))
    code, _, lacks = run("fit --source mimic4 --path iv --out kept --withhold sepsis")
    assert code == 0
    assert "the encoder is codes without sepsis, not concat:lsa+codes. MIMIC-IV's are a data set" in lacks


def test_an_update_keeps_the_collections_encoder_whatever_the_default_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mimic3(tmp_path / "whole")
    mimic3(tmp_path / "cut", NOTEEVENTS=None)
    monkeypatch.chdir(tmp_path)
    command = "ingest --source mimic3 --path {} --collection icu"
    ok(f"{command.format('whole')} --encoder word2vec:min_count=1,dim=8,input=both")
    assert "was made by encoder word2vec" in refused(command.format("cut"))
    code, _, told = run(f"{command.format('cut')} --update")
    assert (code, "concat:lsa+codes" in told) == (0, False)
    assert "word2vec" in ok("describe --collection icu")


# Folders


@pytest.mark.parametrize("layout", ["hosp", "icu", "above", "far above", "core", "one folder", "here"])
def test_tables_of_mimic4_are_found(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    folder = mimic4(tmp_path / "files" / "mimiciv" / "2.2")
    expected, _ = read("mimic4", folder)
    (folder / "SYNTHETIC.json").write_text('{"synthetic": true}')
    path = {"above": folder.parent, "far above": tmp_path, "hosp": folder / "hosp", "icu": folder / "icu"}
    if layout == "core":
        (folder / "core").mkdir()
        for table in ("patients", "admissions"):
            (folder / "hosp" / f"{table}.csv").rename(folder / "core" / f"{table}.csv")
    elif layout == "one folder":
        for file in list(folder.rglob("*/*.csv")):
            file.rename(folder / file.name)
    elif layout == "here":
        monkeypatch.chdir(folder / "hosp")
        path["here"] = Path()
    with open_source(
        "mimic4", path.get(layout, folder), work_dir=tmp_path / "work", quarantine_file=tmp_path / "bad.csv"
    ) as source:
        (batch,) = source.batches()
        assert source.synthetic
        remarks = told(source.report)
    pd.testing.assert_frame_equal(batch.units, expected.units)
    assert len(remarks) == (1 if layout in ("core", "one folder") else 2)


def test_tables_of_mimic3_are_found_below(tmp_path: Path, read: Read) -> None:
    folder = mimic3(tmp_path / "files" / "mimiciii" / "1.4")
    _, report = read("mimic3", tmp_path / "files")
    assert told(report) == [f"The tables of {tmp_path / 'files'} are those of {folder}"]


def test_which_folder_is_meant_is_never_guessed(tmp_path: Path, read: Read) -> None:
    demo, full = mimic3(tmp_path / "data" / "demo"), mimic3(tmp_path / "data" / "full")
    with pytest.raises(SourceError, match=f"2 folders with tables: {demo}, {full}\\. Name one of them"):
        read("mimic3", tmp_path / "data")
    (demo / "more").mkdir()
    with pytest.raises(SourceError, match=f"no table PATIENTS, but {demo} has: name the folder above"):
        read("mimic3", demo / "more")


def test_a_table_that_stands_in_two_parts_is_refused(tmp_path: Path, read: Read) -> None:
    folder = mimic4(tmp_path / "tables")
    (folder / "patients.csv").write_bytes((folder / "hosp" / "patients.csv").read_bytes())
    with pytest.raises(SourceError, match="patients is there twice"):
        read("mimic4", folder)


def test_notes_of_mimic4_are_found_below_the_folder_that_was_named(tmp_path: Path, read: Read) -> None:
    notes = tmp_path / "mimic-iv-note" / "2.2" / "note"
    notes.mkdir(parents=True)
    (notes / "discharge.csv").write_text("subject_id,hadm_id,text\n1,10,pt stable\n")
    batch, report = read("mimic4", mimic4(tmp_path / "tables"), notes=tmp_path / "mimic-iv-note")
    assert batch.notes["text"].tolist() == ["pt stable"]
    assert batch.notes["time"].isna().all()
    assert "discharge has no column charttime: notes have no time" in report.warnings


def test_the_other_mimic_is_named_with_its_source(tmp_path: Path, read: Read) -> None:
    with pytest.raises(SourceError, match=r"a column icd_code and no icd9_code.*mimic4") as of_four:
        read("mimic3", mimic4(tmp_path / "four"))
    assert "--source mimic4" in hints.told(of_four.value)
    with pytest.raises(SourceError, match=r"a column icd9_code and no icd_code.*mimic3") as of_three:
        read("mimic4", mimic3(tmp_path / "three"))
    assert "--source mimic3" in hints.told(of_three.value)
