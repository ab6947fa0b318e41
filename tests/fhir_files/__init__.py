"""FHIR of a few persons: resources as servers write them, to be changed by a test and written as NDJSON or a Bundle."""

import base64
import gzip
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from cohorts.records.base import Batch, Report
from cohorts.records.sources.partitioned import PartitionedSource

Json = dict[str, Any]
Open = Callable[..., PartitionedSource]  # the fixture `open_fhir`
ReadFhir = Callable[..., tuple[Batch, Report]]  # the fixture `read_fhir`
SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"
ICD10, ICD9 = "http://hl7.org/fhir/sid/icd-10-cm", "http://hl7.org/fhir/sid/icd-9-cm"
RXNORM, NDC = "http://www.nlm.nih.gov/research/umls/rxnorm", "http://hl7.org/fhir/sid/ndc"


def concept(*codings: tuple[str, str, str], text: str | None = None) -> Json:
    """Return a CodeableConcept of codings: system, code, display."""
    made: Json = {
        "coding": [{"system": system, "code": code, "display": shown} for system, code, shown in codings]
    }
    return made | ({"text": text} if text else {})


def to(kind: str, key: str) -> Json:
    return {"reference": f"{kind}/{key}"}


def of(kind: str, key: str, patient: str, encounter: str | None = None, **elements: Any) -> Json:
    """Return a resource of a patient, and of an encounter."""
    made = {"resourceType": kind, "id": key, "subject": to("Patient", patient)}
    if encounter:
        made["encounter"] = to("Encounter", encounter)
    return made | elements


def text(words: str, kind: str = "text/plain", charset: str = "utf-8") -> Json:
    """Return an attachment that holds a text."""
    return {"contentType": kind, "data": base64.b64encode(words.encode(charset)).decode()}


def observation(key: str, patient: str, encounter: str | None, category: str, **elements: Any) -> Json:
    kinds = [concept(("http://terminology.hl7.org/CodeSystem/observation-category", category, category))]
    made = of("Observation", key, patient, encounter, status="final", category=kinds)
    return made | {"effectiveDateTime": "2020-01-02T11:00:00+01:00"} | elements


def hospital() -> list[Json]:
    """Return the resources of two persons: one who died in hospital after intensive care, one seen as an outpatient."""
    return [
        {"resourceType": "Patient", "id": "p1", "gender": "female", "birthDate": "1950-03-05"}
        | {"deceasedDateTime": "2020-01-09T23:10:00+01:00"},
        {"resourceType": "Patient", "id": "p2", "gender": "male", "birthDate": "1990"},
        of("Encounter", "e1", "p1", status="finished")
        | {
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
            "period": {"start": "2020-01-02T10:00:00+01:00", "end": "2020-01-10T00:05:00+01:00"},
            "hospitalization": {"dischargeDisposition": concept(("http://x/disposition", "exp", "Expired"))},
            "diagnosis": [
                {"condition": to("Condition", "c1"), "rank": 2},
                {"condition": to("Condition", "c2"), "rank": 1},
            ],
        },
        of("Encounter", "e1-ed", "p1", status="finished", partOf=to("Encounter", "e1"))
        | {
            "class": {"code": "EMER"},
            "period": {"start": "2020-01-02T07:30:00Z", "end": "2020-01-02T10:00:00Z"},
        },
        of("Encounter", "e1-icu", "p1", status="finished", partOf=to("Encounter", "e1"))
        | {
            "class": {"code": "ACUTE"},
            "type": [concept((SNOMED, "305351004", "Admission to intensive care unit (procedure)"))],
            "period": {"start": "2020-01-03T00:00:00+01:00", "end": "2020-01-05T12:00:00+01:00"},
        },
        of("Encounter", "e2", "p2", status="finished")
        | {
            "class": {"code": "AMB"},
            "period": {"start": "2021-06-01T08:00:00Z", "end": "2021-06-01T08:20:00Z"},
        },
        of(
            "Condition",
            "c1",
            "p1",
            "e1",
            code=concept((SNOMED, "44054006", "Diabetes"), (ICD10, "E11.9", "T2D")),
        ),
        of("Condition", "c2", "p1", "e1", code=concept((ICD10, "I21.4", "NSTEMI"))),
        of("Condition", "c3", "p2", "e2", code=concept((SNOMED, "38341003", "Hypertension"))),
        of(
            "Procedure",
            "r1",
            "p1",
            "e1-icu",
            status="completed",
            code=concept((ICD9, "96.71", "Ventilation")),
        )
        | {"performedPeriod": {"start": "2020-01-03T01:00:00+01:00", "end": "2020-01-04T01:00:00+01:00"}},
        {
            "resourceType": "Medication",
            "id": "m1",
            "code": concept((RXNORM, "1", "Heparin"), (NDC, "1234-5678-9", "H")),
        },
        of(
            "MedicationRequest",
            "q1",
            "p1",
            "e1",
            status="active",
            intent="order",
            authoredOn="2020-01-02T12:00:00+01:00",
        )
        | {
            "medicationReference": to("Medication", "m1"),
            "dosageInstruction": [
                {
                    "route": concept((SNOMED, "47625008", "IV")),
                    "doseAndRate": [{"doseQuantity": {"value": 5000, "unit": "UNT"}}],
                    "timing": {"repeat": {"boundsPeriod": {"end": "2020-01-04T12:00:00+01:00"}}},
                }
            ],
        },
        of("MedicationRequest", "q2", "p2", "e2", status="active", intent="order")
        | {
            "contained": [{"resourceType": "Medication", "id": "in", "code": {"text": "Ramipril 5 mg"}}],
            "medicationReference": {"reference": "#in"},
        },
        observation("o1", "p1", "e1", "laboratory", code=concept((LOINC, "2160-0", "Creatinine")))
        | {
            "valueQuantity": {"value": 1.4, "unit": "mg/dL"},
            "interpretation": [concept(("http://x/interpretation", "H", "High"))],
            "referenceRange": [{"low": {"value": 0.5}, "high": {"value": 1.1}}],
        },
        observation("o2", "p2", "e2", "vital-signs", code=concept((LOINC, "85354-9", "Blood pressure panel")))
        | {
            "component": [
                {"code": concept((LOINC, code, name)), "valueQuantity": {"value": value, "unit": "mmHg"}}
                for code, name, value in (
                    ("8480-6", "Systolic blood pressure", 120),
                    ("8462-4", "Diastolic blood pressure", 80),
                )
            ]
        },
        observation(
            "o3", "p2", "e2", "social-history", code=concept((LOINC, "72166-2", "Tobacco smoking status"))
        )
        | {"valueCodeableConcept": concept((SNOMED, "266919005", "Never smoked"))},
        of(
            "DocumentReference",
            "d1",
            "p1",
            status="current",
            type=concept((LOINC, "18842-5", "Discharge summary")),
        )
        | {
            "date": "2020-01-10T09:00:00+01:00",
            "context": {"encounter": [to("Encounter", "e1")]},
            "content": [{"attachment": text("Died of a heart attack.")}],
        },
        of("DiagnosticReport", "g1", "p2", "e2", status="final", code=concept((LOINC, "24627-2", "CT chest")))
        | {"presentedForm": [text("<html><body><p>No <b>consolidation</b>.</p></body></html>", "text/html")]},
    ]


def write_ndjson(folder: Path, resources: Iterable[Json], *, packed: bool = False) -> Path:
    """Write a file for each type, as a bulk export has them."""
    folder.mkdir(parents=True, exist_ok=True)
    by_kind: dict[str, list[str]] = {}
    for one in resources:
        by_kind.setdefault(one["resourceType"], []).append(json.dumps(one) + "\n")
    for kind, lines in by_kind.items():
        raw = "".join(lines).encode()
        if packed:
            (folder / f"{kind}.000.ndjson.gz").write_bytes(gzip.compress(raw))
        else:
            (folder / f"{kind}.ndjson").write_bytes(raw)
    return folder


def bundle(resources: Iterable[Json], url: str = "{type}/{id}") -> Json:
    """Return a Bundle; `url` is that of every entry, and what others refer to it by."""
    entries = [
        {"fullUrl": url.format(type=one["resourceType"], id=one["id"]), "resource": one} for one in resources
    ]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def referred(resources: Iterable[Json], url: str) -> list[Json]:
    """Return resources that refer to each other by other addresses."""

    def changed(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {
                key: _address(inner, url) if key == "reference" else changed(inner)
                for key, inner in value.items()
            }
        return [changed(inner) for inner in value] if isinstance(value, list) else value

    return [changed(one) for one in resources]


def _address(reference: str, url: str) -> str:
    if reference.startswith("#"):
        return reference
    kind, key = reference.split("/")
    return url.format(type=kind, id=key)


def read(source: PartitionedSource) -> list[Batch]:
    with source:
        return list(source.batches())
