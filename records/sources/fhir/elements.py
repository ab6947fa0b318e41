"""Elements that many resources have: references, times, states; what is said of them is counted, never shown."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

Json = Mapping[str, Any]
Row = tuple[Any, ...]
NO_KEY = "#"
_PARTIAL = re.compile(r"\d{4}(-\d\d)?")
_ZONED = re.compile(r"(?:Z|[+-]\d\d:?\d\d)\Z")
_ICU = re.compile(
    r"\b\w{0,6}ICU\b|\bCCU\b|(intensive|critical|coronary) care|intensivstation|soins intensifs|cuidados intensivos",
    re.IGNORECASE,
)
_ICU_CODES = {"305351004", "309904001", "ICU", "PEDICU", "PEDNICU", "CCU"}


class Unusable(Exception):
    """A resource can't be used; says why, never with what stands in it."""


class OfNoPatient(Exception):
    """A resource is of a group, a device, a place: not of a patient."""


@dataclass
class Remarks:
    """What there is to say of all resources: how many times had a zone, or no day, what was not read, whose they are.

    Patients are invented where one is `synthetic`, by Synthea's identifier; `texts` are notes that have one.
    """

    zoned: int = 0
    partial: int = 0
    not_read: Counter[str] = field(default_factory=Counter)
    of_no_patient: Counter[str] = field(default_factory=Counter)
    no_fhir: int = 0
    synthetic: bool = False
    texts: int = 0


@dataclass(frozen=True)
class Found:
    """A resource, the id by which others refer to it (NO_KEY and a number where it has none), and where it stands."""

    resource: Json
    key: str
    row: int
    line: int

    @property
    def version(self) -> str:
        """Return by what the later of two versions is known."""
        return str((self.resource.get("meta") or {}).get("lastUpdated") or "")

    @property
    def place(self) -> tuple[int, int, None]:
        """Return where it stands, and that nothing is wrong with it."""
        return (self.row, self.line, None)


@lru_cache(4096)
def reference_key(reference: str) -> str | None:
    """Return the id in a reference: of urn:uuid:…, Patient/1, an absolute address, each with a version or without."""
    plain = reference.partition("/_history/")[0].partition("|")[0]
    if "?" in plain:  # a search, which names no id
        return None
    return plain[max(plain.rfind("/"), plain.rfind(":")) + 1 :] or None


def patient_of(resource: Json) -> str:
    """Return the id of a resource's patient. Raises Unusable, OfNoPatient."""
    reference = (resource.get("subject") or resource.get("patient") or {}).get("reference")
    if not reference:
        raise Unusable("it refers to no patient")
    key = key_of_type(reference, "Patient")
    if key is None:
        if "?" in reference:
            raise Unusable("it refers to its patient by a search, and not by an id")
        raise OfNoPatient
    return key


@lru_cache(4096)  # one patient's resources follow each other
def key_of_type(reference: str | None, kind: str) -> str | None:
    """Return the id in a reference, None where it is to a resource of another type, or to none."""
    if not reference:
        return None
    path = reference.partition("/_history/")[0].split("/")
    return reference_key(reference) if len(path) == 1 or path[-2] == kind else None


def encounter_of(resource: Json) -> str | None:
    """Return the id of a resource's encounter; up to FHIR R3, and for administrations, `context` has it."""
    found = resource.get("encounter") or resource.get("context")
    return key_of_type(found.get("reference"), "Encounter") if found else None


def time_of(text: str | None, remarks: Remarks) -> str | None:
    """Return a time as the clock showed it, without a zone; the first day of a month or year without one."""
    if text is None:
        return None
    if len(text) >= 19 and text[10] in "Tt ":
        if len(text) > 19 and _ZONED.search(text, 19):
            remarks.zoned += 1
        return text[:19]
    if len(text) < 10 and _PARTIAL.fullmatch(text):
        remarks.partial += 1
        return f"{text}-01" if len(text) == 7 else f"{text}-01-01"
    return text


def first(values: Any) -> Any:
    """Return the first of a list, or what is no list as it is: an element that other versions have once."""
    if isinstance(values, list):
        return values[0] if values else None
    return values


def is_intensive(*words: str | None) -> bool:
    """Tell whether a place or a type of encounter is of intensive care, by its names and codes."""
    return any(one is not None and (one in _ICU_CODES or _ICU.search(one) is not None) for one in words)


_STATES = {
    "entered-in-error": "that were entered in error",
    "cancelled": "that were cancelled",
    "not-done": "that were not done",
    "planned": "that are planned",
    "preparation": "that are planned",
    "draft": "that are planned",
    "refuted": "that were refuted",
}


def unused(state: str | None) -> str | None:
    """Return why a resource in a state is not used, None for one that is."""
    return _STATES.get(state) if state else None
