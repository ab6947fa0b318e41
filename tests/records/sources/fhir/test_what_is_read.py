"""What becomes of resources: rows of frames, as servers of several kinds write them."""

from pathlib import Path

import pandas as pd
import pytest
from cohorts.records.base import Batch, Unit
from fhir_files import (
    ICD9,
    ICD10,
    LOINC,
    NDC,
    RXNORM,
    SNOMED,
    Json,
    Open,
    ReadFhir,
    concept,
    hospital,
    observation,
    of,
    text,
    to,
    write_ndjson,
)


def rows(frame: pd.DataFrame, *columns: str) -> list[tuple[object, ...]]:
    found = frame[list(columns)].astype(object).where(frame[list(columns)].notna(), None)
    return sorted(found.itertuples(index=False, name=None), key=str)


def codes(batch: Batch, kind: str) -> list[tuple[object, ...]]:
    return rows(batch.codes[batch.codes["kind"] == kind], "admission_id", "system", "code")


def test_persons_and_their_admissions(read_fhir: ReadFhir) -> None:
    batch, report = read_fhir(hospital())
    first, second = batch.units.to_dict("records")
    assert (first["patient_id"], first["sex"], first["age"], first["died"]) == ("p1", "F", 69, True)
    assert (first["admissions"], first["admission_type"], first["admission_id"]) == (1, "IMP", "e1")
    assert (first["principal_code"], first["principal_title"]) == ("I214", "NSTEMI")
    assert (second["sex"], second["age"], second["died"], second["admission_type"]) == ("M", 31, False, "AMB")
    inpatient, outpatient = batch.admissions.to_dict("records")
    assert inpatient["admitted"] == pd.Timestamp("2020-01-02 10:00")
    assert inpatient["died_at"] == inpatient["death"] == pd.Timestamp("2020-01-09 23:10")
    assert inpatient["discharge_location"] == "Expired"
    assert inpatient["emergency_from"] == pd.Timestamp("2020-01-02 07:30")
    assert inpatient["emergency_to"] == pd.Timestamp("2020-01-02 10:00")
    assert pd.isna(outpatient["death"])
    assert report.left_out == {}
    assert report.quarantined == {}
    assert report.warnings[-2:] == [
        "17 times have a zone: each is read as the local clock that was written",
        "1 dates have no day: the first of the month, or of the year, is read",
    ]


def test_a_condition_has_one_code_by_preference_and_its_rank(read_fhir: ReadFhir) -> None:
    batch, _ = read_fhir(hospital())
    assert codes(batch, "diagnosis") == [
        ("e1", "ICD-10", "E119"),
        ("e1", "ICD-10", "I214"),
        ("e2", "SNOMED", "38341003"),
    ]
    ranks = batch.codes.set_index("code")["rank"]
    assert (ranks["I214"], ranks["E119"], bool(pd.isna(ranks["38341003"]))) == (1, 2, True)


def test_what_happened_in_a_part_is_of_the_whole(read_fhir: ReadFhir) -> None:
    batch, report = read_fhir(hospital())
    (procedure,) = batch.codes[batch.codes["kind"] == "procedure"].to_dict("records")
    assert (procedure["admission_id"], procedure["system"], procedure["code"]) == ("e1", "ICD-9", "9671")
    assert procedure["time"] == pd.Timestamp("2020-01-03 01:00")
    (stay,) = batch.events[batch.events["kind"] == "icu stay"].to_dict("records")
    assert (stay["admission_id"], stay["value"], stay["uom"]) == ("e1", 2.5, "day")
    assert report.counts["admissions"] == 2


def test_parts_of_parts_and_circles(read_fhir: ReadFhir) -> None:
    def part(key: str, whole: str) -> Json:
        return of("Encounter", key, "p2", status="finished", partOf=to("Encounter", whole)) | {
            "class": {"code": "IMP"},
            "period": {"start": f"2022-01-0{key[-1]}", "end": "2022-01-09"},
        }

    more = [part("x1", "gone"), part("x2", "x1"), part("x3", "x2"), part("y4", "y5"), part("y5", "y4")]
    batch, _ = read_fhir(
        [*hospital(), *more, of("Condition", "c9", "p2", "x3", code=concept((ICD10, "I10", "")))]
    )
    assert {*batch.admissions["admission_id"]} == {"e1", "e2", "x1", "y4", "y5"}
    assert ("x1", "ICD-10", "I10") in codes(batch, "diagnosis")
    transfers = batch.events[batch.events["kind"] == "transfer"]
    assert rows(transfers, "admission_id", "code") == [("x1", "IMP"), ("x1", "IMP")]


def test_drugs_go_by_name_with_dose_route_and_ndc(read_fhir: ReadFhir) -> None:
    batch, _ = read_fhir(hospital())
    heparin, ramipril = batch.codes[batch.codes["kind"] == "drug"].to_dict("records")
    assert (heparin["system"], heparin["code"], heparin["ndc"]) == ("name", "Heparin", "01234567809")
    assert (heparin["dose"], heparin["dose_uom"], heparin["route"]) == ("5000", "UNT", "IV")
    assert heparin["time"] == pd.Timestamp("2020-01-02 12:00")
    assert heparin["stop"] == pd.Timestamp("2020-01-04 12:00")
    assert ramipril["code"] == "Ramipril 5 mg"


def given(key: str, drug: Json, start: str) -> Json:
    """Return an administration, whose encounter R4 calls its context."""
    made = of("MedicationAdministration", key, "p1", status="completed", context=to("Encounter", "e1"))
    return (
        made
        | drug
        | {
            "effectivePeriod": {"start": f"2020-01-03T{start}", "end": "2020-01-03T20:00:00"},
            "dosage": {
                "dose": {"value": 2, "unit": "g"},
                "rateRatio": {
                    "numerator": {"value": 100, "unit": "mL"},
                    "denominator": {"value": 2, "unit": "h"},
                },
            },
        }
    )


def test_a_drug_that_was_given_and_ordered_is_a_code_once(read_fhir: ReadFhir) -> None:
    other = {"medicationCodeableConcept": {"text": "Noradrenaline"}}
    more = [
        given("a1", {"medicationReference": to("Medication", "m1")}, "08:00:00"),
        given("a2", other, "10:00:00"),
        given("a3", other, "09:00:00"),
        given("a4", {"medicationCodeableConcept": {"text": "Nothing"}}, "09:00:00") | {"status": "not-done"},
    ]
    batch, report = read_fhir([*hospital(), *more])
    drugs = batch.codes[(batch.codes["kind"] == "drug") & (batch.codes["admission_id"] == "e1")]
    assert rows(drugs, "code", "time") == [
        ("Heparin", pd.Timestamp("2020-01-02 12:00")),
        ("Noradrenaline", pd.Timestamp("2020-01-03 09:00")),
    ]
    inputs = batch.events[batch.events["kind"] == "input"]
    assert rows(inputs, "code", "admission_id", "value", "uom", "rate", "rate_uom")[0] == (
        "Heparin",
        "e1",
        2000.0,
        "mg",
        50.0,
        "mL/hour",
    )
    assert inputs["code"].tolist() == ["Heparin", "Noradrenaline", "Noradrenaline"]
    assert report.left_out == {"rows of MedicationAdministration that were not done": 1}


def test_measurements_and_answers(read_fhir: ReadFhir) -> None:
    batch, report = read_fhir(hospital())
    creatinine, diastolic, systolic = batch.measurements.sort_values(["kind", "item"]).to_dict("records")
    assert (creatinine["kind"], creatinine["loinc"], creatinine["value"]) == ("laboratory", "2160-0", 1.4)
    assert (creatinine["flag"], creatinine["low"], creatinine["high"]) == ("H", 0.5, 1.1)
    assert (diastolic["item"], diastolic["value"]) == (
        "Diastolic Blood Pressure".replace("B", "b").replace("P", "p"),
        80,
    )
    assert (systolic["kind"], systolic["loinc"], systolic["value"]) == ("vital", "8480-6", 120)
    answers = batch.events[batch.events["kind"] == "social history"]
    assert rows(answers, "admission_id", "system", "code", "result") == [
        ("e2", "LOINC", "72166-2", "Never smoked")
    ]
    assert report.counts["vital signs"] == 2


@pytest.mark.parametrize(
    ("category", "value", "measured", "event"),
    [
        ("laboratory", {"valueString": "> 12.5"}, 12.5, None),
        ("laboratory", {"valueString": "POSITIVE"}, None, ("laboratory finding", "POSITIVE")),
        ("laboratory", {"valueInteger": 3}, 3, None),
        ("laboratory", {"valueBoolean": False}, None, ("laboratory finding", "no")),
        ("exam", {"valueQuantity": {"value": 3, "code": "cm"}}, 3, None),
        ("Labs", {"valueQuantity": {"value": 3.5}}, 3.5, None),
        ("survey", {"valueQuantity": {"value": 9, "unit": "{score}"}}, None, ("survey", None)),
        ("of our own", {"valueCodeableConcept": {"text": "blue"}}, None, ("observation", "blue")),
        (
            "laboratory",
            {"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 128}}},
            None,
            None,
        ),
    ],
)
def test_values_of_every_kind(
    read_fhir: ReadFhir, category: str, value: Json, measured: float | None, event: tuple[str, str] | None
) -> None:
    one = observation("o9", "p1", "e1", category, code=concept((LOINC, "1-8", "Thing"))) | value
    batch, _ = read_fhir([*hospital(), one])
    found = batch.measurements[batch.measurements["item"] == "Thing"]["value"].tolist()
    assert found == ([] if measured is None else [measured])
    if event:
        assert rows(batch.events[batch.events["name"] == "Thing"], "kind", "result") == [event]


def test_notes_plain_html_and_conclusions(read_fhir: ReadFhir) -> None:
    both = [text("Second page.", charset="latin-1")] * 2
    more = [
        of("DiagnosticReport", "g2", "p1", "e1", status="final", conclusion="Nothing of note."),
        of(
            "DiagnosticReport",
            "g3",
            "p1",
            "e1",
            status="final",
            presentedForm=[text("Died of a heart attack.")],
        ),
        of("DocumentReference", "d2", "p1", status="current", type={"text": "Letter"}, date="2020-01-04")
        | {"content": [{"attachment": one} for one in both]},
        of("DocumentReference", "d3", "p1", status="current")
        | {"content": [{"attachment": {"contentType": "text/plain", "url": "Binary/1"}}]},
        of("DocumentReference", "d4", "p1", status="current")
        | {"content": [{"attachment": text("%PDF", "application/pdf")}]},
        of("DiagnosticReport", "g4", "p1", "e1", status="final"),
    ]
    batch, report = read_fhir([*hospital(), *more])
    assert rows(batch.notes, "category", "admission_id", "text") == [
        ("CT chest", "e2", "No consolidation."),
        ("Discharge summary", "e1", "Died of a heart attack."),
        ("Letter", None, "Second page.\nSecond page."),
        (None, "e1", "Nothing of note."),
    ]
    assert report.left_out == {
        "rows of DiagnosticReport whose text is that of a document": 1,
        "rows of DocumentReference of a kind that is no text": 1,
        "rows of DocumentReference whose text stands elsewhere, by an address": 1,
    }


def test_codes_have_the_names_of_their_codings_and_never_what_was_typed(read_fhir: ReadFhir) -> None:
    """Names go into payloads; a concept's text is whatever somebody wrote."""
    more = [
        of(
            "Condition",
            "x1",
            "p1",
            "e1",
            code=concept((SNOMED, "44054006", "Diabetes mellitus type 2"), text="DM, her son says"),
        ),
        of(
            "Condition",
            "x2",
            "p1",
            "e1",
            code={"coding": [{"system": SNOMED, "code": "84114007"}], "text": "Mr Wu"},
        ),
    ]
    batch, _ = read_fhir([*hospital(), *more])
    named = batch.codes[batch.codes["code"].isin(["44054006", "84114007"])]
    assert rows(named, "code", "name") == [("44054006", "Diabetes mellitus type 2"), ("84114007", None)]


def test_notes_that_all_stand_elsewhere_are_no_notes(tmp_path: Path, open_fhir: Open) -> None:
    """The default encoder goes by it: with notes that are none, it could not be trained."""
    kept = [one for one in hospital() if one["resourceType"] not in ("DocumentReference", "DiagnosticReport")]
    elsewhere = of("DocumentReference", "d3", "p1", status="current")
    elsewhere["content"] = [{"attachment": {"contentType": "text/plain", "url": "Binary/1"}}]
    with open_fhir(write_ndjson(tmp_path / "fhir", [*kept, elsewhere])) as source:
        assert (source.has_notes, source.has_codes) == (False, True)
        list(source.batches())
        why = "rows of DocumentReference whose text stands elsewhere, by an address"
        assert source.report.left_out == {why: 1}


def test_what_was_an_error_is_left_out_and_counted(read_fhir: ReadFhir) -> None:
    refuted = concept(("http://terminology.hl7.org/CodeSystem/condition-ver-status", "refuted", "Refuted"))
    more = [
        of(
            "Condition", "x1", "p1", "e1", code=concept((ICD10, "A00", "Cholera")), verificationStatus=refuted
        ),
        of("Procedure", "x2", "p1", "e1", code=concept((ICD9, "00.66", "PTCA")), status="not-done"),
        observation("x3", "p1", "e1", "laboratory", code=concept((LOINC, "1-8", "Thing")))
        | {"valueInteger": 3, "status": "entered-in-error"},
        of("MedicationRequest", "x4", "p1", "e1", status="draft", intent="order")
        | {"medicationCodeableConcept": {"text": "Aspirin"}},
        of("MedicationRequest", "x5", "p1", "e1", status="active", intent="proposal")
        | {"medicationCodeableConcept": {"text": "Aspirin"}},
        of("Encounter", "x6", "p1", status="cancelled") | {"class": {"code": "AMB"}},
        of("Condition", "x7", "p1", "x6", code=concept((ICD10, "B00", "Herpes"))),
    ]
    batch, report = read_fhir([*hospital(), *more])
    assert report.left_out == {
        "rows of Condition that were refuted": 1,
        "rows of Encounter that were cancelled": 1,
        "rows of MedicationRequest that are no orders": 1,
        "rows of MedicationRequest that are planned": 1,
        "rows of Observation that were entered in error": 1,
        "rows of Procedure that were not done": 1,
    }
    assert (None, "ICD-10", "B00") in codes(batch, "diagnosis")
    assert len(batch.codes) == 3 + 1 + 2 + 1


def test_the_last_of_several_versions_counts(read_fhir: ReadFhir) -> None:
    again = [*hospital(), *hospital()]
    batch, report = read_fhir(again)
    alone, _ = read_fhir(hospital())
    for name, frame in alone.of_units().items():
        pd.testing.assert_frame_equal(frame, batch.of_units()[name])
    assert report.quarantined == {}
    assert report.left_out["rows of Patient that are there in another version"] == 2
    later = of(
        "Condition", "c3", "p2", "e2", code=concept((SNOMED, "1", "Other")), meta={"lastUpdated": "2022"}
    )
    batch, _ = read_fhir([later, *hospital()])
    assert ("e2", "SNOMED", "1") in codes(batch, "diagnosis")
    assert len(codes(batch, "diagnosis")) == 3


def test_an_encounter_that_is_not_there_costs_no_row(read_fhir: ReadFhir) -> None:
    batch, report = read_fhir([one for one in hospital() if one["resourceType"] != "Encounter"])
    assert batch.codes["admission_id"].isna().all()
    assert (len(batch.codes), len(batch.measurements), len(batch.notes)) == (6, 3, 2)
    assert report.counts["rows of Condition whose admission is not there"] == 3
    assert any(told.startswith("No table Encounter in") and "work" not in told for told in report.warnings)


def test_a_unit_is_an_admission(read_fhir: ReadFhir) -> None:
    batch, _ = read_fhir(hospital(), Unit.ADMISSION)
    assert batch.units["unit_id"].tolist() == ["e1", "e2"]
    assert batch.units["principal_code"].tolist()[0] == "I214"


def test_a_diagnosis_is_of_every_encounter_that_names_it(read_fhir: ReadFhir) -> None:
    later = of("Encounter", "e3", "p1", status="finished") | {
        "class": {"code": "AMB"},
        "period": {"start": "2020-01-01", "end": "2020-01-01"},
        "diagnosis": [
            {"condition": to("Condition", "c1"), "rank": 1, "use": concept(("http://x/role", "CC", ""))},
            {"condition": to("Condition", "c4"), "rank": 1, "use": concept(("http://x/role", "DD", ""))},
        ],
    }
    batch, _ = read_fhir(
        [*hospital(), later, of("Condition", "c4", "p1", code=concept((ICD10, "I10", "Pressure")))]
    )
    found = batch.codes[batch.codes["code"].isin(["E119", "I10"])]
    assert rows(found, "admission_id", "code", "rank") == [
        ("e1", "E119", 2),
        ("e3", "E119", None),
        ("e3", "I10", 1),
    ]


def test_places_and_their_names(read_fhir: ReadFhir) -> None:
    moved = of("Encounter", "e3", "p2", status="finished") | {
        "class": {"code": "IMP"},
        "period": {"start": "2021-06-01T08:00:00", "end": "2021-06-05T08:00:00"},
        "location": [
            {
                "location": to("Location", "l1"),
                "period": {"start": "2021-06-01T08:00:00", "end": "2021-06-02T08:00:00"},
            },
            {"location": {"display": "Ward 7"}, "period": {"start": "2021-06-02T08:00:00"}},
            {"location": {"display": "No time"}},
        ],
    }
    place = {
        "resourceType": "Location",
        "id": "l1",
        "name": "Unit B",
        "type": [{"coding": [{"code": "ICU"}]}],
    }
    batch, _ = read_fhir([*hospital(), moved, place])
    mine = batch.events[batch.events["admission_id"] == "e3"]
    assert rows(mine, "kind", "code", "value") == [
        ("icu stay", "Unit B", 1.0),
        ("transfer", "Unit B", None),
        ("transfer", "Ward 7", None),
    ]


@pytest.mark.parametrize(
    ("death", "start", "end", "kind", "died"),
    [
        ({"deceasedDateTime": "2021-06-03"}, "2021-06-01T08:00:00", "2021-06-03T09:00:00", "IMP", True),
        ({"deceasedDateTime": "2021-06-01"}, "2021-06-01T08:00:00", "2021-06-01T09:00:00", "AMB", False),
        ({"deceasedDateTime": "2022"}, "2021-06-01T08:00:00", "2021-06-03T09:00:00", "IMP", False),
        ({"deceasedBoolean": True}, "2021-06-01T08:00:00", "2021-06-03T09:00:00", "IMP", None),
        ({"deceasedBoolean": False}, "2021-06-01T08:00:00", "2021-06-03T09:00:00", "IMP", False),
        ({}, "2021-06-01T08:00:00", None, "IMP", None),
    ],
)
def test_who_died_in_hospital(
    read_fhir: ReadFhir, death: Json, start: str, end: str | None, kind: str, died: bool | None
) -> None:
    period = {"start": start} | ({"end": end} if end else {})
    stay = of("Encounter", "e", "p") | {"class": {"code": kind}, "period": period}
    batch, _ = read_fhir([{"resourceType": "Patient", "id": "p"} | death, stay])
    found = batch.admissions["died"].tolist()[0]
    assert (None if pd.isna(found) else found) is died


def test_codes_of_drugs_in_two_vocabularies(read_fhir: ReadFhir) -> None:
    drug = concept((NDC, "00904198261", "ndc words"), (RXNORM, "2", "Aspirin 81 MG"), text="ASA")
    order = of("MedicationRequest", "q", "p2", "e2", medicationCodeableConcept=drug)
    batch, _ = read_fhir([*hospital(), order])
    assert ("Aspirin 81 MG", "00904198261") in rows(batch.codes, "code", "ndc")
