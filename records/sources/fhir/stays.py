"""Patients and encounters: rows of who they are, what happened when, where, and which diagnosis came first."""

from collections.abc import Iterator

from cohorts.records.sources.fhir.elements import (
    NO_KEY,
    Found,
    Json,
    Remarks,
    Row,
    Unusable,
    first,
    is_intensive,
    key_of_type,
    patient_of,
    time_of,
    unused,
)
from cohorts.records.sources.fhir.systems import words_of

_DIED = {
    "exp",
    "expired",
    "died",
    "dead",
    "deceased",
    "death",
    "20",
    "40",
    "41",
    "42",
}  # 20 and 40 to 42: UB-04
_MINOR_ROLES = {"AD", "CC", "pre-op", "post-op"}  # of a diagnosis: what was thought at first

_SYNTHEA = "https://github.com/synthetichealth/synthea"  # the system of its patients' identifiers


def patient_rows(found: Found, remarks: Remarks) -> Iterator[tuple[str, Row]]:
    """Yield the row of a Patient: id, version, sex, birth, death, whether dead."""
    one = found.resource
    dead = one.get("deceasedBoolean")
    death = one.get("deceasedDateTime")
    known = [other for other in one.get("identifier") or () if isinstance(other, dict)]
    remarks.synthetic |= any(other.get("system") == _SYNTHEA for other in known)
    yield (
        "Patient",
        (
            _key(found),
            found.version,
            one.get("gender"),
            time_of(one.get("birthDate"), remarks),
            time_of(death, remarks),
            None if dead is None and death is None else str(bool(dead or death)).lower(),
            *found.place,
        ),
    )


def encounter_rows(found: Found, remarks: Remarks) -> Iterator[tuple[str, Row]]:
    """Yield the row of an Encounter, of its places that have a time, and of its diagnoses."""
    one, patient, key = found.resource, patient_of(found.resource), _key(found)
    left_out = unused(one.get("status"))
    period = one.get("period") or {}
    if left_out is None and not period.get("start"):
        raise Unusable("it has no start")
    types = [words_of(kind) for kind in one.get("type") or ()]
    codes = [coding.get("code") for kind in one.get("type") or () for coding in kind.get("coding") or ()]
    called = next((name for name in types if name), None)
    disposition = (one.get("hospitalization") or one.get("admission") or {}).get("dischargeDisposition")
    yield (
        "Encounter",
        (
            patient,
            key,
            None if left_out else key,
            found.version,
            _class(one),
            called,
            "true" if is_intensive(*types, *codes, words_of(one.get("serviceType"))) else "false",
            time_of(period.get("start"), remarks),
            time_of(period.get("end"), remarks),
            _in_words(disposition),
            _died(disposition),
            left_out,
            *found.place,
        ),
    )
    if left_out is None:
        yield from _places(one, (patient, key, found.version), found, remarks)
        yield from _ranks(one, (patient, key), found)


def parent_of(encounter: Json) -> str | None:
    """Return the id of the encounter that this one is a part of."""
    return key_of_type((encounter.get("partOf") or {}).get("reference"), "Encounter")


def _key(found: Found) -> str:
    if found.key.startswith(NO_KEY):
        raise Unusable("it has no id")
    return found.key


def _class(encounter: Json) -> str | None:
    kind = first(encounter.get("class"))
    if not kind:
        return None
    return words_of(kind) if "coding" in kind else kind.get("code") or kind.get("display")


def _in_words(disposition: Json | None) -> str | None:
    """Return where to a patient was discharged, in words."""
    shown = [one["display"] for one in (disposition or {}).get("coding") or () if one.get("display")]
    return shown[0] if shown else words_of(disposition)


def _died(disposition: Json | None) -> str | None:
    """Return whether a discharge was a death, None where nothing is said of it."""
    if not disposition:
        return None
    said = [disposition.get("text")]
    for one in disposition.get("coding") or ():
        said += [one.get("code"), one.get("display")]
    return str(any(word.strip().lower() in _DIED for word in said if word)).lower()


def _places(
    encounter: Json, of: tuple[str, str, str], found: Found, remarks: Remarks
) -> Iterator[tuple[str, Row]]:
    for one in encounter.get("location") or ():
        place, period = one.get("location") or {}, one.get("period") or {}
        if period.get("start"):
            name = place.get("display")
            yield (
                "EncounterLocation",
                (
                    *of,
                    name,
                    key_of_type(place.get("reference"), "Location"),
                    "true" if is_intensive(name) else "false",
                    time_of(period["start"], remarks),
                    time_of(period.get("end"), remarks),
                    *found.place,
                ),
            )


def _ranks(encounter: Json, of: tuple[str, str], found: Found) -> Iterator[tuple[str, Row]]:
    """Yield the diagnoses of an encounter; those of minor roles have no rank where others have one."""
    listed: list[tuple[str, float | None, bool]] = []
    for one in encounter.get("diagnosis") or ():
        condition = key_of_type((one.get("condition") or {}).get("reference"), "Condition")
        if condition is not None:
            use = {coding.get("code") for coding in (first(one.get("use")) or {}).get("coding") or ()}
            listed.append((condition, one.get("rank"), bool(use & _MINOR_ROLES)))
    major = any(rank is not None and not minor for _, rank, minor in listed)
    for condition, rank, minor in listed:
        yield "EncounterDiagnosis", (*of, condition, None if minor and major else rank, *found.place)
