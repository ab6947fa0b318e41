"""What is known in a window: nothing outside it changes what lies within, whichever table it stands in."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from cohorts.errors import InputError
from cohorts.records.base import Batch, Unit
from cohorts.records.sources.registry import open_source
from cohorts.records.transforms import View, reading
from cohorts.records.window import AsOf, parse_window
from hypothesis import given
from hypothesis import strategies as st
from small_hospitals import mimic3, mimic4

ADMITTED = pd.Timestamp(
    "2164-10-23 21:09:00"
)  # of the last admission of patient 1, which ends two days later
DAY = "admission+24h"

ADMISSIONS = (
    "SUBJECT_ID,HADM_ID,ADMITTIME,DISCHTIME,DEATHTIME,ADMISSION_TYPE,DISCHARGE_LOCATION,EDOUTTIME,"
    "HOSPITAL_EXPIRE_FLAG\n"
    "1,9,2164-03-01 10:00:00,2164-03-04 10:00:00,,EMERGENCY,HOME,,0\n"
    "1,10,2164-10-23 21:09:00,2164-10-25 21:09:00,,EMERGENCY,{place},2164-10-23 23:09:00,{died}\n"
    "2,20,2165-01-01 10:00:00,2165-01-03 10:00:00,2165-01-03 09:00:00,ELECTIVE,DEAD/EXPIRED,,1"
)
# Of each table of MIMIC-III: its columns, a row that is known a day after admission, and one that is not. {key} is the
# patient and the admission.
TABLES = {
    "NOTEEVENTS": (
        "CHARTDATE,CHARTTIME,CATEGORY,ISERROR,TEXT",
        "2164-10-24,2164-10-24 08:00:00,Nursing,,early",
        "2164-10-25,2164-10-25 08:00:00,Nursing,,late",
    ),
    "LABEVENTS": (
        "ITEMID,CHARTTIME,VALUE,VALUENUM,VALUEUOM",
        "50912,2164-10-24 08:00:00,1.1,1.1,mg/dL",
        "50912,2164-10-25 08:00:00,3.3,3.3,mg/dL",
    ),
    "CHARTEVENTS": (
        "ITEMID,CHARTTIME,VALUE,VALUENUM,VALUEUOM,ERROR",
        "220045,2164-10-24 08:00:00,80,80,bpm,0",
        "220045,2164-10-25 08:00:00,140,140,bpm,0",
    ),
    "OUTPUTEVENTS": (
        "CHARTTIME,ITEMID,VALUE,VALUEUOM",
        "2164-10-24 08:00:00,226559,100,mL",
        "2164-10-25 08:00:00,226559,10,mL",
    ),
    "INPUTEVENTS_MV": (
        "STARTTIME,ENDTIME,ITEMID,AMOUNT,AMOUNTUOM,RATE,RATEUOM",
        "2164-10-24 08:00:00,2164-10-24 10:00:00,221906,4,mg,0.1,mcg/kg/min",
        "2164-10-25 08:00:00,2164-10-25 10:00:00,221906,9,mg,0.9,mcg/kg/min",
    ),
    "INPUTEVENTS_CV": (
        "CHARTTIME,ITEMID,AMOUNT,AMOUNTUOM,RATE,RATEUOM",
        "2164-10-24 08:00:00,30120,,,0.1,mcgkgmin",
        "2164-10-25 08:00:00,30120,,,0.9,mcgkgmin",
    ),
    "PROCEDUREEVENTS_MV": (
        "STARTTIME,ENDTIME,ITEMID,VALUE,VALUEUOM",
        "2164-10-24 08:00:00,2164-10-24 09:00:00,225792,60,min",
        "2164-10-25 08:00:00,2164-10-25 09:00:00,225792,60,min",
    ),
    "MICROBIOLOGYEVENTS": (
        "CHARTDATE,CHARTTIME,SPEC_ITEMID,SPEC_TYPE_DESC,ORG_ITEMID,ORG_NAME,AB_ITEMID,AB_NAME,INTERPRETATION",
        "2164-10-24,2164-10-24 08:00:00,70012,BLOOD CULTURE,,,,,",
        "2164-10-25,2164-10-25 08:00:00,70079,URINE,80002,ESCHERICHIA COLI,90004,AMPICILLIN,R",
    ),
    "PRESCRIPTIONS": (
        "STARTDATE,ENDDATE,DRUG",
        "2164-10-23,2164-10-23,Insulin",
        "2164-10-25,2164-10-26,Norepinephrine",
    ),
    "PROCEDURES_ICD": ("SEQ_NUM,ICD9_CODE", "", "2,9604"),
    "DIAGNOSES_ICD": ("SEQ_NUM,ICD9_CODE", "", "2,0389"),
    "DRGCODES": ("DRG_TYPE,DRG_CODE,DESCRIPTION", "", "HCFA,871,SEPSIS"),
    "TRANSFERS": (
        "EVENTTYPE,CURR_CAREUNIT,CURR_WARDID,INTIME,OUTTIME",
        "admit,MICU,1,2164-10-23 21:10:00,2164-10-24 09:10:00",
        "transfer,CCU,2,2164-10-25 08:00:00,2164-10-25 12:00:00",
    ),
    "SERVICES": ("TRANSFERTIME,CURR_SERVICE", "2164-10-23 21:09:00,MED", "2164-10-25 08:00:00,SURG"),
    "ICUSTAYS": (
        "ICUSTAY_ID,FIRST_CAREUNIT,LAST_CAREUNIT,INTIME,OUTTIME,LOS",
        "100,MICU,MICU,2164-10-23 21:10:00,2164-10-24 09:10:00,0.5",
        "101,CCU,CCU,2164-10-25 08:00:00,2164-10-25 12:00:00,0.2",
    ),
}
GOES_ON = {  # rows that began in time: what differs between the two is told only when they end, or when it has grown
    "INPUTEVENTS_MV": (
        "2164-10-24 20:00:00,2164-10-25 00:00:00,221906,4,mg,0.1,mcg/kg/min",
        "2164-10-24 20:00:00,2164-10-25 09:00:00,221906,9,mg,0.1,mcg/kg/min",
    ),
    "PROCEDUREEVENTS_MV": (
        "2164-10-24 20:00:00,2164-10-25 00:00:00,225792,240,min",
        "2164-10-24 20:00:00,2164-10-25 20:00:00,225792,1440,min",
    ),
    "MICROBIOLOGYEVENTS": (
        "2164-10-24,2164-10-24 08:00:00,70012,BLOOD CULTURE,,,,,",
        "2164-10-24,2164-10-24 08:00:00,70012,BLOOD CULTURE,80002,ESCHERICHIA COLI,90004,AMPICILLIN,R",
    ),
    "PRESCRIPTIONS": ("2164-10-23,2164-10-25,Insulin", "2164-10-23,2164-10-27,Insulin"),
    "TRANSFERS": (
        "admit,MICU,1,2164-10-23 21:10:00,2164-10-25 00:10:00",
        "admit,MICU,1,2164-10-23 21:10:00,2164-10-25 09:10:00",
    ),
    "ICUSTAYS": (
        "100,MICU,MICU,2164-10-23 21:10:00,2164-10-25 00:10:00,1.1",
        "100,MICU,CCU,2164-10-23 21:10:00,2164-10-25 09:10:00,1.5",
    ),
}
# Of each table of MIMIC-IV: its columns behind patient and admission, and a row that is not known after a day.
TABLES_IV = {
    "labevents": ("itemid,charttime,value,valuenum,valueuom", "50912,2164-10-25 08:00:00,3.3,3.3,mg/dL"),
    "prescriptions": ("starttime,stoptime,drug", "2164-10-25 08:00:00,2164-10-25 09:00:00,Norepinephrine"),
    "procedures_icd": ("seq_num,chartdate,icd_code,icd_version", "1,2164-10-25,0066,9"),
    "diagnoses_icd": ("seq_num,icd_code,icd_version", "2,A419,10"),
    "microbiologyevents": (
        "chartdate,charttime,spec_itemid,spec_type_desc,org_itemid,org_name,ab_itemid,ab_name,interpretation",
        "2164-10-25,2164-10-25 08:00:00,70012,BLOOD CULTURE,80002,ESCHERICHIA COLI,,,",
    ),
    "services": ("transfertime,curr_service", "2164-10-25 08:00:00,SURG"),
    "transfers": (
        "transfer_id,eventtype,careunit,intime,outtime",
        "7,transfer,CCU,2164-10-25 08:00:00,2164-10-25 09:00:00",
    ),
    "drgcodes": ("drg_type,drg_code,description", "HCFA,871,SEPSIS"),
    "icustays": ("stay_id,intime,outtime,los", "101,2164-10-25 08:00:00,2164-10-25 12:00:00,0.2"),
    "chartevents": ("itemid,charttime,value,valuenum,valueuom", "220045,2164-10-25 08:00:00,140,140,bpm"),
    "outputevents": ("itemid,charttime,value,valueuom", "226559,2164-10-25 08:00:00,10,mL"),
    "inputevents": (
        "itemid,starttime,endtime,amount,amountuom,rate,rateuom",
        "221906,2164-10-25 08:00:00,2164-10-25 10:00:00,9,mg,0.9,mcg/kg/min",
    ),
    "procedureevents": (
        "itemid,starttime,endtime,value,valueuom",
        "225792,2164-10-25 08:00:00,2164-10-25 09:00:00,60,min",
    ),
    "discharge": ("charttime,text", "2164-10-25 08:00:00,late"),
    "radiology": ("charttime,text", "2164-10-25 08:00:00,late"),
}


def one_row(table: str, row: str, *, key: str = "1,10") -> str:
    """Return a table of MIMIC-III with one row, or none."""
    head = f"SUBJECT_ID,HADM_ID,{TABLES[table][0]}"
    return f"{head}\n{key},{row}" if row else head


def hospital(folder: Path, tables: Mapping[str, str] = MappingProxyType({}), end: str = "HOME 0") -> Path:
    """Write a hospital with the early rows, but for `tables`; `end` is where patient 1 went, and whether she died."""
    place, died = end.split()
    early = {name: one_row(name, known) for name, (_, known, _) in TABLES.items()}
    return mimic3(folder, ADMISSIONS=ADMISSIONS.format(place=place, died=died), **{**early, **tables})


def read_one(
    folder: Path, unit: Unit = Unit.PATIENT, source: str = "mimic3", notes: Path | None = None
) -> Batch:
    with open_source(
        source,
        folder,
        unit=unit,
        work_dir=folder.parent / "work",
        quarantine_file=folder.parent / "bad",
        max_bad_share=1,
        notes=notes,
    ) as opened:
        (batch,) = opened.batches()
        return batch


def known_of(batch: Batch, window: str) -> Batch:
    return parse_window(window).cut(batch)[0]


def differs(one: Batch, other: Batch) -> list[str]:
    """Return the frames in which two batches differ."""
    frames = zip(one.of_units().items(), other.of_units().values(), strict=True)
    return [name for (name, mine), theirs in frames if not mine.equals(theirs)]


def kinds(batch: Batch) -> Counter[str]:
    """Return how many rows of each kind a batch has, admissions left out."""
    named = (batch.codes["kind"], batch.measurements["kind"], batch.events["kind"])
    return Counter({"note": len(batch.notes)}) + Counter(pd.concat(named).tolist())


OF_TABLES = Counter(
    {  # what a row of each table is
        **dict.fromkeys(("note", "laboratory", "vital", "output", "bedside procedure", "culture", "drug"), 1),
        **dict.fromkeys(
            ("procedure", "diagnosis", "drg", "transfer", "service", "icu stay", "susceptibility"), 1
        ),
        "input": 2,  # of MetaVision and of CareVue
    }
)


@pytest.fixture(scope="module")
def early(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Return a hospital of which all is known a day after admission, but for the end."""
    return read_one(hospital(tmp_path_factory.mktemp("early") / "iii"))


def test_a_late_row_of_any_table_changes_nothing(tmp_path: Path, early: Batch) -> None:
    both = {name: f"{one_row(name, TABLES[name][1])}\n1,10,{late}" for name, (*_, late) in TABLES.items()}
    after = read_one(hospital(tmp_path / "iii", both))
    assert kinds(after) - kinds(early) == OF_TABLES
    for window in (DAY, f"admission..{DAY}", "icu+24h", "emergency_to+22h"):
        assert not differs(known_of(early, window), known_of(after, window)), window


def test_an_early_row_of_any_table_is_known(tmp_path: Path, early: Batch) -> None:
    before = {name: one_row(name, late, key="1,9") for name, (_, row, late) in TABLES.items() if not row}
    known = read_one(hospital(tmp_path / "iii", before))
    of_then = {"diagnosis", "procedure", "drg"}  # of the stay before, which has ended
    assert set(kinds(known_of(known, DAY))) == set(OF_TABLES) - {"susceptibility"}
    assert set(kinds(known_of(early, DAY))) == set(OF_TABLES) - {"susceptibility"} - of_then
    assert kinds(known_of(known, DAY))["input"] == 2


def test_how_something_that_goes_on_will_end_is_not_known(tmp_path: Path) -> None:
    first, second = (
        read_one(
            hospital(
                tmp_path / str(way) / "iii",
                {name: one_row(name, rows[way]) for name, rows in GOES_ON.items()},
            )
        )
        for way in (0, 1)
    )
    both = zip(first.events.to_dict("records"), second.events.to_dict("records"), strict=False)
    assert {"input", "bedside procedure", "culture", "transfer", "icu stay"} <= {
        one["kind"] for one, other in both if repr(one) != repr(other)
    }
    assert {"codes", "events"} == set(differs(first, second))
    assert not differs(known_of(first, DAY), known_of(second, DAY))
    assert "events" in differs(known_of(first, "discharge-0h"), known_of(second, "discharge-0h"))


def test_how_the_stay_will_end_is_not_known(tmp_path: Path, early: Batch) -> None:
    dead = read_one(hospital(tmp_path / "iii", end="DEAD/EXPIRED 1"))
    assert differs(early, dead) == ["admissions"]
    assert not differs(known_of(early, DAY), known_of(dead, DAY))
    before, now = known_of(early, DAY).admissions.query("patient_id == '1'").to_dict("records")
    assert (before["discharge_location"], before["died"]) == ("HOME", False)
    assert [pd.isna(now[name]) for name in ("discharged", "died", "discharge_location")] == [True] * 3
    assert now["emergency_to"] == pd.Timestamp("2164-10-23 23:09:00")


def mimic4_of(folder: Path, *, late: bool) -> Batch:
    """Return a MIMIC-IV with the rows of `TABLES_IV`, or without."""
    tables = {
        name: f"subject_id,hadm_id,{columns}" + (f"\n1,10,{row}" if late else "")
        for name, (columns, row) in TABLES_IV.items()
    }
    (folder / "notes").mkdir(parents=True)
    for name in ("discharge", "radiology"):
        (folder / "notes" / f"{name}.csv").write_text(tables.pop(name) + "\n")
    return read_one(mimic4(folder / "iv", **tables), source="mimic4", notes=folder / "notes")


def test_a_late_row_of_any_table_of_mimic4_changes_nothing(tmp_path: Path) -> None:
    bare, late = mimic4_of(tmp_path / "bare", late=False), mimic4_of(tmp_path / "late", late=True)
    of_tables = Counter({**OF_TABLES, "note": 2, "input": 1})
    assert kinds(late) - kinds(bare) == of_tables - Counter(["susceptibility"])
    assert not differs(known_of(bare, DAY), known_of(late, DAY))


def test_diagnoses_of_a_stay_are_known_when_it_has_ended(tmp_path: Path) -> None:
    codes = f"{one_row('DIAGNOSES_ICD', '1,4019')}\n1,9,1,0389"
    batch = read_one(hospital(tmp_path / "iii", {"DIAGNOSES_ICD": codes}))

    def coded(window: str) -> list[str]:
        codes = known_of(batch, window).codes
        return codes[(codes["kind"] == "diagnosis") & (codes["unit_id"] == "1")]["code"].tolist()

    assert coded(DAY) == coded("discharge-1h") == ["0389"]
    assert sorted(coded("discharge-0h")) == ["0389", "4019"]
    assert coded("admission..discharge") == ["4019"]  # the stay before lies before the window
    assert coded("admission-99999h") == []


@pytest.mark.parametrize("unit", list(Unit))
def test_a_day_without_a_time_of_day_counts_as_a_whole(tmp_path: Path, unit: Unit) -> None:
    notes = one_row("NOTEEVENTS", "2164-10-24,,ECG,,a day") + "\n1,10,,,ECG,,no day"
    batch = read_one(hospital(tmp_path / "iii", {"NOTEEVENTS": notes}), unit)

    def known(window: str) -> list[str]:
        return known_of(batch, window).notes["text"].tolist()

    assert (
        known("admission+26h") == []
    )  # the day of 24 October is over 26 hours and 51 minutes after admission
    assert known("admission+27h") == ["a day"]
    assert known("admission+2h..discharge") == ["a day"]
    assert known("admission+3h..discharge") == []
    assert known("admission..") == ["a day"]


def test_a_unit_without_the_moment_is_counted_and_nothing_of_it_is_known(early: Batch) -> None:
    known, lacking = parse_window("icu+24h").cut(early)
    assert lacking == 1  # patient 2 was in no intensive care
    pd.testing.assert_frame_equal(known.units, early.units)
    assert all(set(frame["unit_id"]) <= {"1"} for frame in known.of_units().values())


def test_the_time_of_a_column(tmp_path: Path) -> None:
    file = tmp_path / "notes.csv"
    file.write_text(
        "id,when,text,first dose\n"
        "a,2101-05-02 08:00,before,2101-05-03T08:00\na,2101-05-03 09:00,after,\na,2101-06-03 09:00,much later,\n"
        "b,2101-05-03 09:00,never,\n"
    )

    def known(window: str) -> list[str]:
        with open_source(
            "notes-csv",
            file,
            work_dir=tmp_path,
            quarantine_file=tmp_path / "bad",
            columns={"id": "id", "text": "text", "time": "when"},
            labels=["first dose"],
        ) as source:
            (batch,) = AsOf(source, parse_window(window)).batches()
            return batch.notes["text"].tolist()

    assert known("first dose") == ["before"]
    assert known("first dose..first dose+14d") == ["after"]
    with pytest.raises(InputError, match=r"no column 'first_dose'.* first dose, admitted"):
        known("first_dose+1d")
    with pytest.raises(InputError, match="No patient of 2 has the times of discharge-0h"):
        known("discharge-0h")
    file.write_text("id,when,text,first dose\na,2101-05-02 08:00,before,3 May 2101\n")
    with pytest.raises(
        InputError, match=r"first dose holds 1 values that are no times.*2101-05-03"
    ) as refused:
        known("first dose")
    assert "3 May" not in str(refused.value)


def test_windows_as_they_are_written() -> None:
    for text, shown in {
        "admission+24h": "admission+24h",
        " admission + 2d ": "admission+48h",
        "discharge": "discharge-0h",
        "discharge + 0h": "discharge-0h",
        "icu..icu+24h": "icu..icu+24h",
        "..icu": "icu",
        "first dose .. first dose + 14d": "first dose..first dose+336h",
        "discharge..": "discharge-0h..",
    }.items():
        assert str(parse_window(text)) == shown
        assert parse_window(shown) == parse_window(text)
    for wrong in ("24h", "admission+24", "admission+24m", "+24h", "", "a..b..c", "admission+h"):
        with pytest.raises(InputError, match=r"write admission\+24h"):
            parse_window(wrong)
    for wrong in ("..", "admission+2h..admission+1h", "icu..icu"):
        with pytest.raises(InputError):
            parse_window(wrong)


class Counting(View):
    """A source that notes which frames it was asked for."""

    asked: frozenset[str] = frozenset()

    def batches(self) -> Iterator[Batch]:
        return self._source.batches()

    @property
    def frames(self) -> frozenset[str]:
        return self.asked

    @frames.setter
    def frames(self, wanted: frozenset[str]) -> None:
        self.asked = wanted


def test_events_are_read_where_the_window_is_of_intensive_care(tmp_path: Path) -> None:
    with open_source(
        "mimic3",
        hospital(tmp_path / "iii"),
        work_dir=tmp_path,
        quarantine_file=tmp_path / "bad",
        max_bad_share=1,
    ) as source:
        for window, more in (("icu+1h", {"events"}), (DAY, set[str]())):
            counting = Counting(source)
            with reading(AsOf(counting, parse_window(window)), frozenset({"notes"})):
                assert counting.asked == {"notes"} | more
            fingerprints = {AsOf(source, parse_window(one)).fingerprint for one in (window, "icu+2h")}
            assert len(fingerprints | {source.fingerprint}) == 3


def scrambled(batch: Batch, end: pd.Timestamp, by: np.random.Generator) -> Batch:
    """Change whatever a batch tells of patient 1 after a time: rows go and change, what goes on ends otherwise."""

    def rows(frame: pd.DataFrame, late: pd.Series, **values: object) -> pd.DataFrame:
        late = late & (frame["unit_id"] == "1")
        gone = late & pd.Series(by.random(len(frame)) < 0.5, frame.index)
        changed = frame.assign(**{name: frame[name].mask(late, value) for name, value in values.items()})
        return changed[~gone].reset_index(drop=True)

    def ends(frame: pd.DataFrame, *told: str) -> pd.DataFrame:
        open_end = (frame["stop"] > end) & (frame["unit_id"] == "1")
        stop = frame["stop"].mask(open_end, end + timedelta(days=int(by.integers(1, 9))))
        return frame.assign(stop=stop, **{name: frame[name].mask(open_end) for name in told})

    open_stays = set(batch.admissions[batch.admissions["discharged"] > end]["admission_id"])
    uncoded = batch.codes["admission_id"].isin(open_stays) & batch.codes["time"].isna()
    growing = batch.events["admission_id"].isin(open_stays)
    events = batch.events.assign(
        result=batch.events["result"].mask(growing & (batch.events["kind"] == "culture"), "X")
    )
    ungrown = growing & events["kind"].isin(["susceptibility", "drg"])
    going = batch.admissions["discharged"] > end
    return replace(
        batch,
        codes=ends(rows(batch.codes, (batch.codes["time"] > end) | uncoded, code="99999")),
        notes=rows(batch.notes, batch.notes["time"] > end, text="late"),
        measurements=rows(batch.measurements, batch.measurements["time"] > end, value=-1.0),
        events=ends(rows(events, (events["time"] > end) | ungrown, code="99999"), "value", "result"),
        admissions=batch.admissions.assign(
            discharged=batch.admissions["discharged"].mask(going, end + timedelta(days=99)),
            discharge_location=batch.admissions["discharge_location"].mask(going, "ELSEWHERE"),
            died=batch.admissions["died"].mask(going, True),
        ),
    )


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Return a batch in which every table tells of patient 1 early and late."""
    folder = tmp_path_factory.mktemp("planted")
    tables = {
        name: "\n".join(
            [one_row(name, late), *(f"1,10,{row}" for row in (early, *GOES_ON.get(name, ())) if row)]
        )
        for name, (_, early, late) in TABLES.items()
    }
    tables["ICUSTAYS"] = one_row("ICUSTAYS", GOES_ON["ICUSTAYS"][1])
    return read_one(hospital(folder / "iii", tables))


@given(
    hours=st.integers(1, 47), first=st.sampled_from(["", "admission..", "icu.."]), seed=st.integers(0, 10_000)
)
def test_nothing_after_the_window_changes_what_is_known(
    planted: Batch, hours: int, first: str, seed: int
) -> None:
    window = f"{first}admission+{hours}h"
    other = scrambled(planted, ADMITTED + timedelta(hours=hours), np.random.default_rng(seed))
    assert differs(planted, other)
    assert not differs(known_of(planted, window), known_of(other, window))
