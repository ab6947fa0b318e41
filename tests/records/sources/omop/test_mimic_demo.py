"""The official OMOP form of MIMIC-IV's demo against the demo itself: the same patients, admissions and codes."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts.encoders.codes import Codes
from cohorts.records.base import Batch, Report, Unit
from cohorts.records.sources.registry import open_source
from small_sources import Small

Code = tuple[str, str, str]
KINDS = ("diagnosis", "procedure")


@dataclass(frozen=True)
class Demo:
    """Both forms, read by patient; and of the OMOP form, what its rows say themselves."""

    mimic: Batch
    omop: Batch
    report: Report
    hadm: dict[str, str]  # by visit
    subject: dict[str, str]  # by person
    source_values: dict[str, set[str]]  # by hadm


@pytest.fixture(scope="module")
def demo(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = shared_data / "omop-mimic4-demo"

    def read(name: str, path: Path, share: float = 0.1) -> tuple[Batch, Report]:
        work = tmp_path_factory.mktemp(name)
        with open_source(
            name, path, work_dir=work, quarantine_file=work / "bad.csv", max_bad_share=share
        ) as source:
            (batch,) = source.batches()
            return batch, source.report

    mimic, _ = read("mimic4", shared_data / "mimic4-demo", 1.0)  # a spreadsheet has saved two tables of it
    omop, report = read("omop", folder)
    visits = pd.read_csv(folder / "visit_occurrence.csv.gz", dtype="str")
    people = pd.read_csv(folder / "person.csv.gz", dtype="str")
    hadm = dict(
        zip(visits["visit_occurrence_id"], visits["visit_source_value"].str.split("|").str[1], strict=True)
    )
    values: defaultdict[str, set[str]] = defaultdict(set)
    for kind in ("condition", "procedure"):
        rows = pd.read_csv(folder / f"{kind}_occurrence.csv.gz", dtype="str")
        pairs = zip(rows["visit_occurrence_id"], rows[f"{kind}_source_value"].str.strip(), strict=True)
        for visit, value in pairs:
            values[hadm.get(visit, "")].add(value)
    who = dict(zip(people["person_id"], people["person_source_value"], strict=True))
    return Demo(mimic, omop, report, hadm, who, values)


def icd_of(batch: Batch, named: Callable[[str], str]) -> dict[str, set[Code]]:
    codes = batch.codes[batch.codes["kind"].isin(KINDS) & batch.codes["system"].isin(["ICD-9", "ICD-10"])]
    found: defaultdict[str, set[Code]] = defaultdict(set)
    columns = (codes[name] for name in ("admission_id", "kind", "system", "code"))
    for admission, *code in zip(*columns, strict=True):
        found[named(admission)].add((code[0], code[1], code[2]))
    return found


def test_an_admission_has_the_icd_codes_of_the_demo_but_those_that_the_form_lacks(demo: Demo) -> None:
    ours, theirs = icd_of(demo.mimic, str), icd_of(demo.omop, lambda visit: demo.hadm[visit])
    assert not {one: codes - ours[one] for one, codes in theirs.items() if codes - ours[one]}
    lacking = Counter((one, code) for one, codes in ours.items() for code in codes - theirs[one])
    assert not [code for one, code in lacking if code[2] in demo.source_values[one]]
    # Of 5,173 pairs of admission and code, 3,921 are there. The others stand in no row: conditions that OMOP calls
    # observations or measurements, two tables that this copy lacks, and all procedures of ICD-9.
    assert sum(map(len, ours.values())) == 5_173
    assert Counter(code[:2] for _, code in lacking) == {
        ("diagnosis", "ICD-9"): 412,
        ("diagnosis", "ICD-10"): 454,
        ("procedure", "ICD-9"): 370,
        ("procedure", "ICD-10"): 16,
    }


def test_rows_of_no_icd_origin_are_kept_and_none_is_taken_for_icd(demo: Demo) -> None:
    codes = demo.omop.codes[demo.omop.codes["kind"].isin(KINDS)]
    others = codes[~codes["system"].isin(["ICD-9", "ICD-10"])]
    assert Counter(others["kind"]) == {
        "diagnosis": 12_608,
        "procedure": 18_142,
    }  # 32 of them are CPT and HCPCS
    assert len(codes) == 16_441 + 18_447


def test_admissions_are_those_of_the_demo_and_the_other_visits_are_events(demo: Demo) -> None:
    assert {demo.hadm[one] for one in demo.omop.admissions["admission_id"]} == set(
        demo.mimic.admissions["admission_id"]
    )
    assert (demo.omop.events["kind"] == "visit").sum() == 852 - 275
    ours = demo.mimic.admissions.set_index("admission_id").sort_index()
    theirs = demo.omop.admissions.assign(hadm=demo.omop.admissions["admission_id"].map(demo.hadm))
    theirs = theirs.set_index("hadm").sort_index()
    for column in ("discharged", "died"):
        assert (ours[column] == theirs[column]).all(), column
    # Visits of the OMOP form begin in the emergency department, where the admission began there: all but one.
    assert (ours[["emergency_from", "admitted"]].min(axis=1) != theirs["admitted"]).sum() == 1


def test_who_they_are(demo: Demo) -> None:
    ours = demo.mimic.units.set_index("patient_id").sort_index()
    theirs = demo.omop.units.assign(patient_id=demo.omop.units["patient_id"].map(demo.subject))
    theirs = theirs.set_index("patient_id").sort_index()
    for column in ("sex", "age", "died", "admissions"):
        assert (ours[column] == theirs[column]).all(), column


class Read(Small):
    """A batch that was read, as a source."""

    def __init__(self, batch: Batch) -> None:
        super().__init__(codes=[])
        self._read = batch

    def batches(self) -> Iterator[Batch]:
        yield self._read


def neighbours(batch: Batch, named: Callable[[str], str]) -> dict[str, set[str]]:
    vectors = Codes().fit(Read(batch)).encode(batch)
    ids = [named(one) for one in batch.units["unit_id"]]
    near = vectors @ vectors.T
    np.fill_diagonal(near, -1)
    order = np.argsort(-near, axis=1, kind="stable")[:, :10]
    return {one: {ids[at] for at in row} for one, row in zip(ids, order.tolist(), strict=True)}


def test_neighbours_by_diagnoses_and_procedures_are_those_of_the_demo_less_what_the_form_lacks(
    demo: Demo,
) -> None:
    theirs = icd_of(demo.omop, lambda visit: demo.hadm[visit])

    def less(batch: Batch, keep: Callable[[pd.DataFrame], "pd.Series[bool]"]) -> Batch:
        return replace(batch, codes=batch.codes[keep(batch.codes)].reset_index(drop=True))

    def there(codes: pd.DataFrame) -> "pd.Series[bool]":
        rows = zip(codes["admission_id"], codes["kind"], codes["system"], codes["code"], strict=True)
        return pd.Series([row[1:] in theirs[row[0]] for row in rows], index=codes.index)

    def icd(codes: pd.DataFrame) -> "pd.Series[bool]":
        return codes["kind"].isin(KINDS) & codes["system"].isin(["ICD-9", "ICD-10"])

    ours = neighbours(less(demo.mimic, there), str)
    found = neighbours(less(demo.omop, icd), lambda person: demo.subject[person])
    overlap = np.mean([len(ours[one] & found[one]) / 10 for one in ours])
    assert overlap >= 0.85


def test_what_was_taken_by_source_values_is_told(demo: Demo) -> None:
    told = [one for one in demo.report.warnings if "by their source values" in one]
    assert len(told) == 2
    assert any(one.startswith("2,286 rows were taken for ICD-10") for one in told)


def test_a_unit_of_admissions_leaves_out_what_is_of_visits_to_clinics(
    shared_data: Path, tmp_path: Path
) -> None:
    with open_source(
        "omop",
        shared_data / "omop-mimic4-demo",
        unit=Unit.ADMISSION,
        work_dir=tmp_path,
        quarantine_file=tmp_path / "b",
    ) as source:
        assert sum(map(len, source.batches())) == 275
        assert source.report.left_out["rows of visit_occurrence without an admission"] == 577
        assert not source.report.quarantined
