"""What is stored beside a vector: structured facts to show and to filter by. Never note text."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from cohorts.connectors.base import FieldType, Payload, PayloadValue
from cohorts.connectors.filters.reading import known_fields
from cohorts.encoders.base import Explanation
from cohorts.errors import InputError
from cohorts.records.base import Batch, Source, Unit
from cohorts.records.codes.phenotypes import phenotype_of, phenotypes_of
from cohorts.records.transforms import reading

PHENOTYPES = "phenotypes"
FIELDS: Mapping[str, type[Any]] = {
    "patient_id": str,
    "admission_id": str,
    "admissions": int,
    "age": float,
    "sex": str,
    "died": bool,
    "icu_days": float,
    "principal_system": str,
    "principal_code": str,
    "principal_title": str,
    "phenotype": str,
    "codes": list[str],
    PHENOTYPES: list[str],  # that any of the diagnoses defines
    "from_notes": float,  # of an encoder that explains itself, as are the reasons: `diagnosis:heart_failure=12.4`
    "reasons": list[str],
}
FILTERABLE = (
    "age",
    "sex",
    "died",
    "phenotype",
    "principal_code",
    "codes",
    PHENOTYPES,
)  # an index costs time and memory per field
PATIENT_ID = "patient_id"
LABEL_PREFIX = "label_"


def names_patients(kind: FieldType | None) -> bool:
    """Tell whether values of a type can be the ids of patients, by which points are found."""
    return kind in (str, int, list[str])


def check_names_patients(field: str, kind: FieldType | None) -> None:
    """Raise InputError where a field's values can't be the ids of patients."""
    if not names_patients(kind):
        holds = getattr(kind, "__name__", "several types")
        raise InputError(
            f"Field {field} holds {holds}: a patient's id is text or a whole number, or a list of texts where a point "
            "is of several patients."
        )


def filterable(batch: Batch, unit: Unit) -> dict[str, type[Any]]:
    """Return the payload fields to filter by, labels of the source among them."""
    labels: dict[str, type[Any]] = {
        name: str for name in batch.units.columns if name.startswith(LABEL_PREFIX)
    }
    return {name: FIELDS[name] for name in _of_every_source(unit)} | labels


def check_index_fields(asked: Sequence[str], source: Source) -> None:
    """Raise InputError for a field to be indexed that is none of those to filter by.

    The source is read, up to its first batch of units alone, where one must be a label.
    """
    if set(asked) <= {*_of_every_source(source.unit)}:
        return
    with reading(source, frozenset()):
        first = next(source.batches(), None)
    there = () if first is None else filterable(first, source.unit)
    strange = [name for name in asked if name not in there]
    if first is not None and strange:
        raise InputError(f"There is no field {strange[0]!r} to index. {known_fields(strange[0], there)}")


def _of_every_source(unit: Unit) -> tuple[str, ...]:
    return (PATIENT_ID, *FILTERABLE) if unit is Unit.ADMISSION else FILTERABLE


def payloads(batch: Batch) -> list[Payload]:
    """Return one payload per unit, in order. A missing value is None."""
    codes, phenotypes = _diagnoses(batch), _phenotypes(batch)
    rows: list[Payload] = []
    for unit in batch.units.to_dict("records"):
        row: dict[str, PayloadValue] = {name: _plain(unit[name]) for name in FIELDS if name in unit}
        row["phenotype"] = _phenotype(row)
        row["codes"] = codes.get(unit["unit_id"], [])
        row[PHENOTYPES] = phenotypes.get(unit["unit_id"], [])
        row |= {
            str(name): _plain(value) for name, value in unit.items() if str(name).startswith(LABEL_PREFIX)
        }
        rows.append(row)
    return rows


def explained(explanation: Explanation) -> Payload:
    """Return why a unit's vector is what it is, as payload."""
    reasons = [f"{name}={degrees:.1f}" for name, degrees in explanation.reasons]
    return {"from_notes": round(explanation.from_notes, 4), "reasons": reasons}


def _diagnoses(batch: Batch) -> dict[str, list[str]]:
    """Return the diagnosis codes of every unit and their three-character categories (E119 is also E11)."""
    diagnoses = batch.codes[batch.codes["kind"] == "diagnosis"]
    both = pd.concat([diagnoses["code"], diagnoses["code"].str[:3]])
    unit = pd.concat([diagnoses["unit_id"], diagnoses["unit_id"]])
    return {str(key): sorted(set(group)) for key, group in both.groupby(unit)}


def _phenotypes(batch: Batch) -> dict[str, list[str]]:
    """Return the phenotypes of every unit that has any, sorted."""
    found = phenotypes_of(batch.codes).dropna()
    unit = batch.codes["unit_id"].loc[found.index]
    return {str(key): sorted(set(group)) for key, group in found.groupby(unit)}


def _phenotype(row: Mapping[str, PayloadValue]) -> str | None:
    system, code = row["principal_system"], row["principal_code"]
    return phenotype_of(str(system), str(code)) if system is not None and code is not None else None


def _plain(value: Any) -> PayloadValue:
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value  # type: ignore[no-any-return]
