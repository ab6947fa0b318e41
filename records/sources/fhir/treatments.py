"""Conditions, procedures and drugs: rows of coded things, one for each resource."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cohorts.records.sources.fhir.elements import (
    Found,
    Json,
    Remarks,
    Row,
    encounter_of,
    first,
    key_of_type,
    patient_of,
    time_of,
    unused,
)
from cohorts.records.sources.fhir.systems import (
    BY_NAME,
    DIAGNOSES,
    DRUGS,
    LOCAL,
    PROCEDURES,
    chosen,
    codings,
    ndc_of,
    words_of,
    written,
)

_NOT_ORDERED = {"proposal", "plan", "option"}


def condition_rows(found: Found, remarks: Remarks) -> Iterator[tuple[str, Row]]:
    """Yield the row of a Condition: a diagnosis, known from when it was recorded."""
    one = found.resource
    system, code, words = _code(one.get("code"), "diagnosis")
    states = [coding.get("code") for coding in (one.get("verificationStatus") or {}).get("coding") or ()]
    left_out = next((why for state in states if (why := unused(state))), None)
    onset = one.get("onsetDateTime") or (one.get("onsetPeriod") or {}).get("start")
    time = time_of(one.get("recordedDate") or onset, remarks)
    yield "Condition", (*_whose(found), system, code, time, left_out, *found.place)
    if code and words:
        yield "Title", (system, code, words)


def procedure_rows(found: Found, remarks: Remarks) -> Iterator[tuple[str, Row]]:
    """Yield the row of a Procedure."""
    one = found.resource
    system, code, words = _code(one.get("code"), "procedure")
    start, stop = _period(one, "performed", remarks)
    yield "Procedure", (*_whose(found), system, code, start, stop, unused(one.get("status")), *found.place)
    if code and words:
        yield "Title", (system, code, words)


def order_rows(found: Found, remarks: Remarks) -> Iterator[tuple[str, Row]]:
    """Yield the row of a MedicationRequest."""
    one = found.resource
    dosage = first(one.get("dosageInstruction")) or {}
    bounds = ((dosage.get("timing") or {}).get("repeat") or {}).get("boundsPeriod") or {}
    valid = (one.get("dispenseRequest") or {}).get("validityPeriod") or {}
    amount, unit = _amount(first(dosage.get("doseAndRate")) or dosage, "dose")
    left_out = unused(one.get("status"))
    if one.get("intent") in _NOT_ORDERED or one.get("doNotPerform"):
        left_out = left_out or "that are no orders"
    yield (
        "MedicationRequest",
        (
            *_whose(found),
            *_medication(one),
            time_of(bounds.get("start") or valid.get("start") or one.get("authoredOn"), remarks),
            time_of(bounds.get("end") or valid.get("end"), remarks),
            words_of(dosage.get("route")),
            None if amount is None else str(amount),
            unit,
            left_out,
            *found.place,
        ),
    )


def administration_rows(found: Found, remarks: Remarks) -> Iterator[tuple[str, Row]]:
    """Yield the row of a MedicationAdministration."""
    one = found.resource
    dosage = one.get("dosage") or {}
    amount, unit = _amount({"doseQuantity": dosage.get("dose")}, "dose")
    rate, rate_unit = _amount(dosage, "rate")
    yield (
        "MedicationAdministration",
        (
            *_whose(found),
            *_medication(one),
            *_period(one, "effective", remarks),
            words_of(dosage.get("route")),
            amount,
            unit,
            rate,
            rate_unit,
            unused(one.get("status")),
            *found.place,
        ),
    )


@dataclass(frozen=True)
class Drug:
    """A drug by name, its NDC, and what it is mixed of: ids of other Medications."""

    name: str | None
    ndc: str | None
    of: tuple[str, ...] = ()


def drug_of(medication: Json) -> Drug:
    """Return what a Medication is."""
    code = medication.get("code")
    ingredients = medication.get("ingredient") or ()
    name = _drug_name(code) or _identified(medication, "name")
    if not name:
        shown = [words_of(one.get("itemCodeableConcept")) for one in ingredients]
        name = " / ".join(one for one in shown if one) or None
    references = [(one.get("itemReference") or {}).get("reference") for one in ingredients]
    of = tuple(key for one in references if (key := key_of_type(one, "Medication")))
    return Drug(name or _identified(medication, "") or words_of(code), ndc_of(code), of)


def _whose(found: Found) -> tuple[str, str | None, str, str | None]:
    one = found.resource
    return patient_of(one), found.key, found.version, encounter_of(one)


def _code(concept: Json | None, kind: str) -> tuple[str | None, str | None, str | None]:
    code = chosen(concept, DIAGNOSES if kind == "diagnosis" else PROCEDURES)
    if code is None:
        return None, None, None
    if code.system == BY_NAME:
        return BY_NAME, code.code, None
    return code.system, written(kind, code.system, code.code), code.words


def _period(one: Json, what: str, remarks: Remarks) -> tuple[str | None, str | None]:
    """Return when something was, from and to: of performedDateTime or performedPeriod, or of effective…."""
    period = one.get(f"{what}Period") or {}
    start = one.get(f"{what}DateTime") or period.get("start")
    return time_of(start, remarks), time_of(period.get("end"), remarks)


def _medication(one: Json) -> tuple[str | None, str | None, str | None]:
    """Return the id of a drug that stands elsewhere, or its name and NDC."""
    concept = one.get("medicationCodeableConcept")
    reference = (one.get("medicationReference") or {}).get("reference")
    if concept or not reference:
        return None, _drug_name(concept) or words_of(concept), ndc_of(concept)
    if reference.startswith("#"):
        for inner in one.get("contained") or ():
            if inner.get("id") == reference[1:]:
                drug = drug_of(inner)
                return None, drug.name, drug.ndc
        return None, None, None
    shown: str | None = one["medicationReference"].get("display")
    return key_of_type(reference, "Medication"), shown, None


def _drug_name(concept: Json | None) -> str | None:
    """Return a drug in words: as RxNorm shows it, else as another coding does, else its text; None where none does."""
    if not concept:
        return None
    known = {system: words for system, _, words in reversed(codings(concept)) if words}
    shown = next((known[system] for system in DRUGS if system in known), None) or next(
        (one["display"] for one in concept.get("coding") or () if one.get("display")), None
    )
    text: str | None = shown or concept.get("text")
    if text:
        return text
    # A code of no drug vocabulary may be the name itself.
    codes = [code for system, code, _ in codings(concept) if system in (LOCAL,) or "name" in system]
    return codes[0] if codes else None


def _identified(medication: Json, what: str) -> str | None:
    for one in medication.get("identifier") or ():
        if what in (one.get("system") or "").rsplit("/", 1)[-1] and one.get("value"):
            value: str = one["value"]
            return value
    return None


def _amount(of: Json, what: str) -> tuple[Any, str | None]:
    """Return an amount and its unit: of doseQuantity, doseRange (as 1-2), rateQuantity, rateRatio and the like."""
    quantity = of.get(f"{what}Quantity")
    if quantity:
        return quantity.get("value"), _unit(quantity)
    span = of.get(f"{what}Range")
    if span and what == "dose":
        low, high = span.get("low") or {}, span.get("high") or {}
        ends = [f"{one['value']:g}" for one in (low, high) if one.get("value") is not None]
        return "-".join(ends) or None, _unit(high or low)
    ratio = of.get(f"{what}Ratio")
    if ratio:
        return _quotient(ratio.get("numerator") or {}, ratio.get("denominator") or {})
    return None, None


def _quotient(above: Json, below: Json) -> tuple[float | None, str | None]:
    if above.get("value") is None:
        return None, None
    return above["value"] / (below.get("value") or 1), "/".join(
        one for one in (_unit(above), _unit(below)) if one
    )


def _unit(quantity: Json) -> str | None:
    unit: str | None = quantity.get("unit") or quantity.get("code")
    return unit
