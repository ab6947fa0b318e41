"""Observations: a row for each that has a value, and one for each of its components."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from cohorts.records.codes.concepts.base import LOINC
from cohorts.records.sources.fhir.elements import (
    Found,
    Json,
    Remarks,
    Row,
    encounter_of,
    first,
    patient_of,
    time_of,
    unused,
)
from cohorts.records.sources.fhir.systems import ITEMS, chosen, words_of

_NUMBER = re.compile(r"\s*([<>]=?)?\s*([+-]?\d{1,15}(?:\.\d{1,15})?)\s*")
_CALLED = {
    "laboratory": "laboratory finding",
    "vital-signs": "vital sign in words",
    "social-history": "social history",
    "survey": "survey",
    "exam": "examination",
    "imaging": "imaging finding",
    "procedure": "procedure finding",
    "therapy": "therapy",
    "activity": "activity",
    "sdoh": "social history",
    "functional-status": "survey",
    "disability-status": "survey",
    "cognitive-status": "survey",
}  # the kind of an event, by the category of an observation
_OTHER = "observation"
_ASKED = {"social history", "survey"}  # whose numbers are answers, and not measured


class _Value(NamedTuple):
    number: float | None = None
    uom: str | None = None
    result: str | None = None


def observation_rows(found: Found, remarks: Remarks) -> Iterator[tuple[str, Row]]:
    """Yield the rows of an Observation; of one without any value, one that is left out."""
    one = found.resource
    measured, event = _kinds(one.get("category"))
    effective = (
        one.get("effectiveDateTime")
        or (one.get("effectivePeriod") or {}).get("start")
        or one.get("effectiveInstant")
        or one.get("issued")
    )
    whose = (patient_of(one), found.key, found.version, encounter_of(one))
    when = time_of(effective, remarks)
    left_out = unused(one.get("status"))
    several = one.get("component") or ()
    valued = [(part, value) for part in (one, *several) if (value := _value(part)) is not None]
    if not valued:
        valued, left_out = [(one, _Value())], left_out or "without a value"
    for part, value in valued:
        yield (
            "Observation",
            (
                *whose,
                when,
                *_item(part.get("code")),
                measured if value.number is not None and event not in _ASKED else "",
                event,
                *value,
                _flag(part),
                *_normal(part),
                left_out,
                *found.place,
            ),
        )


def _kinds(categories: Any) -> tuple[str, str]:
    """Return what a number of a category is measured as, and the kind of the event that another value is."""
    codes = [coding.get("code") or "" for one in categories or () for coding in one.get("coding") or ()] or [
        one.get("text") or "" for one in categories or ()
    ]
    for code in codes:
        if code in _CALLED:
            return {"laboratory": "laboratory", "vital-signs": "vital"}.get(code, "other"), _CALLED[code]
    said = " ".join(codes).lower()
    kinds = {"lab": "laboratory", "vital": "vital", "output": "output"}
    return next((kind for word, kind in kinds.items() if word in said), "other"), _OTHER


def _item(concept: Json | None) -> tuple[str | None, str | None, str | None, str | None]:
    """Return what was observed: in words, its system, its code, and LOINC's."""
    code = chosen(concept, ITEMS)
    if code is None:
        return None, None, None, None
    loinc = code.code if code.system == LOINC else None
    return code.words or words_of(concept) or code.code, code.system, code.code, loinc


def _value(part: Json) -> _Value | None:
    quantity = part.get("valueQuantity")
    if quantity:
        number = quantity.get("value")
        return (
            None if number is None else _Value(_number(number), quantity.get("unit") or quantity.get("code"))
        )
    if "valueCodeableConcept" in part:
        return _in_words(words_of(part["valueCodeableConcept"]))
    if "valueInteger" in part:
        return _Value(_number(part["valueInteger"]))
    if "valueString" in part:
        return _of_text(part["valueString"])
    if "valueBoolean" in part:
        return _Value(result="yes" if part["valueBoolean"] else "no")
    for name in ("valueDateTime", "valueTime"):
        if name in part:
            return _in_words(part[name])
    return _of_span(part)


def _number(value: Any) -> float:
    """Return a number as it is. Raises TypeError for all else, flags too."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return value


def _of_text(text: str) -> _Value | None:
    number = _NUMBER.fullmatch(text)
    return _Value(float(number[2])) if number else _in_words(text)


def _in_words(words: str | None) -> _Value | None:
    return _Value(result=words) if words and words.strip() else None


def _of_span(part: Json) -> _Value | None:
    """Return a range, a period or a ratio in words."""
    for name, ends, between in (
        ("valueRange", ("low", "high"), "-"),
        ("valueRatio", ("numerator", "denominator"), ":"),
    ):
        if part.get(name):
            told = [str((part[name].get(end) or {}).get("value", "")) for end in ends]
            return _in_words(between.join(told))
    period = part.get("valuePeriod")
    return _in_words(period.get("start")) if period else None


def _flag(part: Json) -> str | None:
    """Return the code of an interpretation: H, L, A and the like."""
    said = first(part.get("interpretation"))
    if not said:
        return None
    codes: list[str] = [one["code"] for one in said.get("coding") or () if one.get("code")]
    return codes[0] if codes else said.get("text")


def _normal(part: Json) -> tuple[Any, Any]:
    """Return the lower and the upper end of the reference range."""
    spans = part.get("referenceRange") or ()
    if not spans:
        return None, None
    return tuple((spans[0].get(end) or {}).get("value") for end in ("low", "high"))  # type: ignore[return-value]
