"""FHIR holds the contract of every source."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from source_contract import SECRET, Patient, SourceContract, Stay

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
CLASS = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"}


def when(time: datetime) -> str:
    return time.isoformat()


def write_lines(file: Path, resources: Iterator[Mapping[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{json.dumps(one)}\n" for one in resources))


def of_stay(one: Patient, stay: Stay) -> dict[str, Any]:
    return {
        "subject": {"reference": f"Patient/{one.number}"},
        "encounter": {"reference": f"Encounter/{stay.number}"},
    }


class TestFhir(SourceContract):
    name = "fhir"

    def write(self, folder: Path, people: Sequence[Patient]) -> Path:
        stays = [(one, stay) for one in people for stay in one.stays]
        write_lines(
            folder / "Patient.ndjson",
            (
                {
                    "resourceType": "Patient",
                    "id": str(one.number),
                    "gender": {"F": "female", "M": "male"}[one.sex],
                    "birthDate": one.born.date().isoformat(),
                }
                for one in people
            ),
        )
        write_lines(
            folder / "Encounter.ndjson",
            (
                {
                    "resourceType": "Encounter",
                    "id": str(stay.number),
                    "status": "finished",
                    "class": CLASS,
                    "subject": {"reference": f"Patient/{one.number}"},
                    "period": {"start": when(stay.admitted), "end": when(stay.discharged)},
                }
                for one, stay in stays
            ),
        )
        write_lines(
            folder / "Condition.ndjson",
            (
                {
                    "resourceType": "Condition",
                    "id": f"{stay.number}-{rank}",
                    **of_stay(one, stay),
                    "code": {"coding": [{"system": ICD, "code": f"{code[:3]}.{code[3:]}".rstrip(".")}]},
                }
                for one, stay in stays
                for rank, code in enumerate(stay.diagnoses)
            ),
        )
        write_lines(
            folder / "MedicationRequest.ndjson",
            (
                {
                    "resourceType": "MedicationRequest",
                    "id": f"{stay.number}-{drug}",
                    "status": "completed",
                    "intent": "order",
                    **of_stay(one, stay),
                    "medicationCodeableConcept": {"text": drug},
                    "authoredOn": when(time),
                }
                for one, stay in stays
                for drug, time in stay.drugs
            ),
        )
        return folder

    def spoil(self, path: Path) -> None:
        with (path / "MedicationRequest.ndjson").open("a") as stream:
            stream.write(f'{{"resourceType": "MedicationRequest", "id": "x", "note": "{SECRET}\n')

    def test_patients_are_not_taken_for_invented_ones(self, path: Path, tmp_path: Path) -> None:
        with self.opened(path, tmp_path) as source:
            assert not source.synthetic
