"""MEDS data sets: the same patients as in MIMIC's tables, admissions without ids, rules of one's own, hostile files."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from cohorts import make_encoder
from cohorts.encoders.base import Vectors
from cohorts.errors import InputError, SourceError
from cohorts.records.base import Batch, Source, Unit
from cohorts.records.sources.registry import open_source
from cohorts.records.transforms import View
from command_line import ok, refused
from other_forms.as_meds import write_meds
from small_hospitals import Read
from source_contract import SECRET, Patient, SourceContract

CODE = ["admission_id", "kind", "system", "code"]
EVENTS = {
    "subject_id": pa.int64(),
    "time": pa.timestamp("us"),
    "code": pa.string(),
    "numeric_value": pa.float32(),
    "text_value": pa.large_string(),
}
Event = tuple[Any, ...]  # subject_id, time, code, numeric_value, text_value, and what a data set adds


def write_events(folder: Path, events: Sequence[Event], name: str = "train/0", **more: pa.DataType) -> Path:
    """Write events as a file of a data set; those of no number or text end before it."""
    kinds = EVENTS | more
    columns = {
        column: pa.array([one[place] if place < len(one) else None for one in events], kind)
        for place, (column, kind) in enumerate(kinds.items())
    }
    file = folder / "data" / f"{name}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pa.table(columns), file)
    return folder


def day(text: str) -> pd.Timestamp:
    return pd.Timestamp(text)


class TestMeds(SourceContract):
    name = "meds"

    def write(self, folder: Path, people: Sequence[Patient]) -> Path:
        events: list[Event] = []
        for one in people:
            events += [(one.number, None, f"GENDER//{one.sex}"), (one.number, one.born, "MEDS_BIRTH")]
            for stay in one.stays:
                there = (None, None, stay.number)
                events.append((one.number, stay.admitted, "HOSPITAL_ADMISSION//URGENT", *there))
                events += [
                    (one.number, time, f"MEDICATION//START//{drug}", *there) for drug, time in stay.drugs
                ]
                events.append((one.number, stay.discharged, "HOSPITAL_DISCHARGE//HOME", *there))
                events += [
                    (one.number, stay.discharged, f"DIAGNOSIS//ICD//10//{code}", *there)
                    for code in stay.diagnoses
                ]
        write_events(folder, events[::2], hadm_id=pa.int64())
        return write_events(folder, events[1::2], "tuning/0", hadm_id=pa.int64())

    def spoil(self, path: Path) -> None:
        table = pa.table({"subject_id": [1001], "time": [SECRET], "code": ["MEDICATION//START//Aspirin"]})
        pyarrow.parquet.write_table(table, path / "data" / "train" / "1.parquet")


# -- the demo, beside the tables that it was made of


@pytest.fixture(scope="module")
def demos(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Batch]:
    """Return the 100 patients as MEDS and as MIMIC-IV's tables."""
    folder, made = tmp_path_factory.mktemp("demos"), {}
    for name in ("meds", "mimic4"):
        path = shared_data / ("meds-mimic4-demo" if name == "meds" else "mimic4-demo")
        with open_source(name, path, work_dir=folder, quarantine_file=folder / name) as source:
            (made[name],) = source.batches()
    return made


def code_sets(batch: Batch) -> set[tuple[str, ...]]:
    return set(batch.codes.loc[batch.codes["kind"] != "drug", CODE].itertuples(index=False, name=None))


def test_every_admission_has_the_same_codes(demos: dict[str, Batch]) -> None:
    assert code_sets(demos["meds"]) == code_sets(demos["mimic4"])
    assert len(code_sets(demos["meds"])) == 5_173


def test_patients_and_admissions_are_the_same(demos: dict[str, Batch]) -> None:
    facts = ["patient_id", "admission_id", "admitted", "admission_type", "stay_days", "age", "sex", "died"]
    pd.testing.assert_frame_equal(demos["meds"].units[facts], demos["mimic4"].units[facts])
    facts = ["admission_id", "discharged", "discharge_location", "died", "died_at", "readmitted"]
    pd.testing.assert_frame_equal(demos["meds"].admissions[facts], demos["mimic4"].admissions[facts])


def test_stays_and_transfers_are_the_same(demos: dict[str, Batch]) -> None:
    for kind in ("icu stay", "transfer"):
        facts = ["admission_id", "code", "result", "time", "stop"]
        found = []
        for batch in demos.values():
            rows = batch.events[(batch.events["kind"] == kind) & batch.events["admission_id"].notna()]
            found.append(rows[facts].sort_values(["time", "admission_id"], ignore_index=True))
        pd.testing.assert_frame_equal(found[0], found[1])


def test_vital_signs_of_omr_are_measurements_in_one_system_of_units(demos: dict[str, Batch]) -> None:
    measured = demos["meds"].measurements
    assert set(measured["kind"]) == {"vital"}
    weight = measured[measured["item"] == "Weight (Lbs)"]
    assert set(weight["uom"]) == {"kg"}
    assert 40 < weight["value"].median() < 120
    assert (
        (measured["item"] == "Systolic blood pressure").sum()
        == (measured["item"] == "Diastolic blood pressure").sum()
        == 872
    )


class WithoutDrugs(View):
    """A source of diagnoses and procedures alone."""

    def batches(self) -> Iterator[Batch]:
        for batch in self._source.batches():
            yield replace(batch, codes=batch.codes[batch.codes["kind"] != "drug"])


def vectors(source: Source, asked: str) -> tuple[list[str], Vectors]:
    encoder = make_encoder(asked).fit(source)
    (batch,) = source.batches()
    return batch.units["unit_id"].tolist(), encoder.encode(batch)


def nearest(rows: Vectors, many: int) -> list[set[int]]:
    near = rows @ rows.T
    np.fill_diagonal(near, -np.inf)
    return [set(np.argsort(-row, kind="stable")[:many].tolist()) for row in near]


def test_the_nearest_patients_are_the_same(shared_data: Path, tmp_path: Path) -> None:
    found = []
    for name, folder in (("meds", "meds-mimic4-demo"), ("mimic4", "mimic4-demo")):
        with open_source(
            name, shared_data / folder, work_dir=tmp_path, quarantine_file=tmp_path / name
        ) as source:
            found.append(vectors(WithoutDrugs(source), "codes"))
    assert found[0][0] == found[1][0]
    pairs = zip(nearest(found[0][1], 10), nearest(found[1][1], 10), strict=True)
    assert np.mean([len(ours & theirs) / 10 for ours, theirs in pairs]) >= 0.95


def test_what_no_code_stands_for_is_not_there(shared_data: Path, tmp_path: Path) -> None:
    """The default encoder goes by it: with notes that are none, it could not be trained."""
    where: dict[str, Any] = {"work_dir": tmp_path, "quarantine_file": tmp_path / "q"}
    with open_source("meds", shared_data / "meds-mimic4-demo", **where) as source:
        assert (source.has_notes, source.has_codes) == (False, True)
    with open_source("meds", write_events(tmp_path / "meds", FEVER), **where) as source:
        assert (source.has_notes, source.has_codes) == (True, True)


# -- the synthetic hospital, written as MEDS


@pytest.mark.parametrize("asked", ["concat:lsa+codes", "codes:labs=0.5"])
def test_the_synthetic_hospital_has_the_same_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ok("synth hospital --patients 200 --seed 5")
    write_meds(tmp_path / "hospital", tmp_path / "meds")
    made = {}
    for name, folder in (("mimic3", "hospital"), ("meds", "meds")):
        with open_source(
            name, tmp_path / folder, work_dir=tmp_path, quarantine_file=tmp_path / "q"
        ) as source:
            made[name] = vectors(source, asked)
    assert made["mimic3"][0] == made["meds"][0]
    assert np.abs(made["mimic3"][1] - made["meds"][1]).max() < 1e-6


# -- admissions by events alone, and what belongs to them


FEVER = [
    (7, None, "GENDER//M"),
    (7, day("2080-02-03"), "MEDS_BIRTH"),
    (7, day("2150-01-01 10:00"), "HOSPITAL_ADMISSION//URGENT"),
    (7, day("2150-01-02 08:00"), "LAB//2951-2//mmol/L", 140.0),
    (7, day("2150-01-03 09:00"), "NOTE//Progress note", None, "Better today."),
    (7, day("2150-01-04 10:00"), "HOSPITAL_DISCHARGE//HOME"),
    (7, day("2150-01-04 10:00"), "DIAGNOSIS//ICD//10//J18.9"),
    (7, day("2150-02-01 08:00"), "LAB//2951-2//mmol/L", 139.0),
    (7, day("2150-03-01 10:00"), "HOSPITAL_ADMISSION//ELECTIVE"),
    (7, day("2150-03-02 10:00"), "GENOME//BRCA1", 1.0),
    (7, day("2150-03-05 10:00"), "HOSPITAL_DISCHARGE//DIED"),
    (7, day("2150-03-05 09:00"), "MEDS_DEATH"),
]


def test_admissions_without_ids_are_those_between_their_events(tmp_path: Path, read: Read) -> None:
    batch, report = read("meds", write_events(tmp_path / "meds", FEVER), unit=Unit.ADMISSION)
    first, second = batch.units["unit_id"]
    assert batch.units["admission_type"].tolist() == ["URGENT", "ELECTIVE"]
    assert batch.units["died"].tolist() == [False, True]
    assert batch.units["age"].tolist() == [69.0, 70.0]
    assert batch.admissions["died_at"].tolist() == [pd.NaT, day("2150-03-05 09:00")]
    assert batch.codes[["unit_id", "code"]].to_numpy().tolist() == [[first, "J189"]]
    assert batch.notes[["unit_id", "category", "text"]].to_numpy().tolist() == [
        [first, "Progress note", "Better today."]
    ]
    assert batch.measurements[["unit_id", "item", "value", "uom"]].to_numpy().tolist() == [
        [first, "2951-2", 140.0, "mmol/L"]
    ]
    assert batch.events[["unit_id", "kind", "system", "code", "value"]].to_numpy().tolist() == [
        [second, "other", "MEDS", "GENOME//BRCA1", 1.0]
    ]
    assert report.left_out == {"rows of events without an admission": 1}


def test_codes_without_a_rule_are_told_and_kept(tmp_path: Path, read: Read) -> None:
    _, report = read("meds", write_events(tmp_path / "meds", FEVER))
    (told,) = [one for one in report.warnings if "No rule" in one]
    assert told.startswith(
        "No rule says what 1 of 11 codes stand for: GENOME (1); they are events of the kind other"
    )
    assert report.counts["other events"] == 1


def test_a_map_of_ones_own_goes_first(tmp_path: Path, read: Read) -> None:
    rules = tmp_path / "rules.csv"
    rules.write_text("prefix,role,system,part\nGENOME//,diagnosis,HGVS,1\nLAB//,vital,,1\n")
    batch, report = read("meds", write_events(tmp_path / "meds", FEVER), mapping=rules)
    assert batch.codes[["system", "code"]].to_numpy().tolist() == [["ICD-10", "J189"], ["HGVS", "BRCA1"]]
    assert set(batch.measurements["kind"]) == {"vital"}
    assert "other events" not in report.counts


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        ("prefix,role\nA//,disease", "line 2: 'disease' is no role. Roles: birth, death"),
        ("prefix,role\n,vital", "line 2: a rule needs a prefix"),
        ("prefix,role\nA//,diagnosis", "line 2: a diagnosis needs a system"),
        ("prefix,role,part\nA//,vital,-1", "line 2: part is the number"),
        ("role\nvital", "has no column prefix"),
    ],
)
def test_a_map_that_can_not_be_used_says_where(tmp_path: Path, read: Read, rules: str, fault: str) -> None:
    (tmp_path / "rules.csv").write_text(rules + "\n")
    with pytest.raises(SourceError, match=fault):
        read("meds", write_events(tmp_path / "meds", FEVER), mapping=tmp_path / "rules.csv")


# -- splits


def test_splits_are_honoured(shared_data: Path, read: Read) -> None:
    folder = shared_data / "meds-mimic4-demo"
    splits = pd.read_parquet(folder / "metadata" / "subject_splits.parquet")
    for asked in ("held_out", "train,tuning"):
        batch, _ = read("meds", folder, split=asked)
        wanted = splits.loc[splits["split"].isin(asked.split(",")), "subject_id"]
        assert set(batch.units["patient_id"]) == set(wanted.astype(str))


def test_a_split_that_is_not_there_is_refused(shared_data: Path, tmp_path: Path, read: Read) -> None:
    with pytest.raises(InputError, match=r"no split test\. Splits: held_out \(\d+ subjects\), train"):
        read("meds", shared_data / "meds-mimic4-demo", split="test")
    with pytest.raises(SourceError, match=r"no .*subject_splits\.parquet"):
        read("meds", write_events(tmp_path / "meds", FEVER), split="train")
    told = refused(f"ingest --source mimic4 --path {shared_data}/mimic4-demo --split train --collection c")
    assert "Splits are those of MEDS; mimic4 has none: leave it out." in told


# -- hostile files


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path, read: Read) -> None:
    with pytest.raises(SourceError, match=r"is no MEDS data set: it has no data/\*\*/\*\.parquet"):
        read("meds", tmp_path)


def test_a_file_cut_short_is_refused(tmp_path: Path, read: Read) -> None:
    folder = write_events(tmp_path / "meds", FEVER)
    file = folder / "data" / "train" / "0.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(SourceError, match=r"0\.parquet is damaged, or no Parquet file\. Is it complete"):
        read("meds", folder)


def test_columns_of_another_type_are_bad_rows_in_their_own_file(tmp_path: Path, read: Read) -> None:
    folder = write_events(tmp_path / "meds", FEVER)
    table = pa.table(
        {
            "subject_id": ["7", SECRET, "7"],
            "time": ["2150-01-02"] * 3,
            "code": ["LAB//1//g", "LAB//1//g", None],
        }
    )
    pyarrow.parquet.write_table(table, folder / "data" / "train" / "1.parquet")
    _, report = read("meds", folder, max_bad_share=0.5)
    assert report.quarantined == {"events": 2}
    bad = pd.read_csv(tmp_path / "work" / "bad.csv")
    assert bad["row"].tolist() == [2, 3]
    assert {Path(one).name for one in bad["table"]} == {"1.parquet"}
    assert SECRET not in (tmp_path / "work" / "bad.csv").read_text()


def test_codes_that_can_not_be_read_are_refused(tmp_path: Path, read: Read) -> None:
    folder = write_events(tmp_path / "meds", FEVER)
    (folder / "metadata").mkdir()
    pyarrow.parquet.write_table(pa.table({"name": ["x"]}), folder / "metadata" / "codes.parquet")
    with pytest.raises(SourceError, match=r"codes\.parquet can't be read as the codes of a MEDS data set"):
        read("meds", folder)


def test_a_number_keeps_the_digits_it_was_written_with(tmp_path: Path, read: Read) -> None:
    batch, _ = read(
        "meds", write_events(tmp_path / "meds", [*FEVER, (7, day("2150-01-03"), "LAB//9//g", 7.4)])
    )
    assert 7.4 in batch.measurements["value"].tolist()  # and not 7.400000095, as 32 bits have it
