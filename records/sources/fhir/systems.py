"""Codes: of several codings one, its system by the name that maps of codes know, ICD without a dot."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from cohorts.records.codes.concepts.base import LOINC, NDC, normal

ICD9, ICD10, SNOMED, RXNORM, CPT, HCPCS = "ICD-9", "ICD-10", "SNOMED", "RxNorm", "CPT", "HCPCS"
BY_NAME, LOCAL = "name", "local"
DIAGNOSES = (ICD10, ICD9, SNOMED)
PROCEDURES = (ICD10, ICD9, SNOMED, CPT, HCPCS)
DRUGS = (RXNORM, SNOMED)
ITEMS = (LOINC,)

_OIDS = {
    "2.16.840.1.113883.6.90": ICD10,
    "2.16.840.1.113883.6.4": ICD10,
    "2.16.840.1.113883.6.3": ICD10,
    "2.16.840.1.113883.6.103": ICD9,
    "2.16.840.1.113883.6.104": ICD9,
    "2.16.840.1.113883.6.2": ICD9,
    "2.16.840.1.113883.6.96": SNOMED,
    "2.16.840.1.113883.6.1": LOINC,
    "2.16.840.1.113883.6.88": RXNORM,
    "2.16.840.1.113883.6.12": CPT,
    "2.16.840.1.113883.6.285": HCPCS,
    "2.16.840.1.113883.6.69": NDC,
}
_URLS = (
    (re.compile(r"icd[-_]?9"), ICD9),
    (re.compile(r"icd[-_]?10"), ICD10),
    (re.compile(r"snomed"), SNOMED),
    (re.compile(r"loinc"), LOINC),
    (re.compile(r"rxnorm"), RXNORM),
    (re.compile(r"ama-assn\.org/go/cpt|[/-]cpt-?4?$"), CPT),
    (re.compile(r"hcpcs"), HCPCS),
    (re.compile(r"[/-]ndc$"), NDC),
)  # in lower case
_DOTS = {
    "diagnosis": re.compile(r"^(\w{3}|E\d{3})\.(?=\w)"),
    "procedure": re.compile(r"^(\w\w)\.(?=\w)"),
}  # as in sources/icd.py: a dot elsewhere was made by a program that took the code for a number


class Coded(NamedTuple):
    """A code of a system, and what its coding shows, None without; a concept's own text may be of the patient."""

    system: str
    code: str
    words: str | None


@lru_cache(4096)
def system_of(url: str) -> str:
    """Return the name of a code system: one that maps know, else the last part of its address."""
    plain = url.partition("|")[0].strip()
    if known := _OIDS.get(plain.removeprefix("urn:oid:")):
        return known
    for pattern, name in _URLS:
        if pattern.search(plain.lower()):
            return name
    return re.split(r"[/:#]", plain.rstrip("/:#"))[-1] or LOCAL


@lru_cache(65_536)
def written(kind: str, system: str, code: str) -> str:
    """Return a code as MIMIC writes it: ICD in capitals and without its dot, others as they are."""
    code = code.strip()
    return _DOTS[kind].sub(r"\1", code.upper()) if system in (ICD9, ICD10) and kind in _DOTS else code


def codings(concept: Mapping[str, Any]) -> list[Coded]:
    """Return the codings that have a code, with their systems' names, in their order."""
    return [
        Coded(
            system_of(system) if (system := one.get("system")) else LOCAL,
            one["code"],
            one.get("display"),
        )
        for one in concept.get("coding") or ()
        if one.get("code")
    ]


def chosen(concept: Mapping[str, Any] | None, order: Sequence[str]) -> Coded | None:
    """Return the coding whose system comes first in `order`, else the first, else the concept in words, else None."""
    if not concept:
        return None
    found = codings(concept)
    if not found:
        words = words_of(concept)
        return Coded(BY_NAME, words, words) if words else None
    if len(found) == 1:
        return found[0]
    return min(found, key=lambda one: order.index(one.system) if one.system in order else len(order))


def words_of(concept: Mapping[str, Any] | None) -> str | None:
    """Return a concept in words: its text, or what a coding shows, or its code; None where it says nothing."""
    if not concept:
        return None
    words: str | None = concept.get("text")
    for part in ("display", "code"):
        words = words or next((one[part] for one in concept.get("coding") or () if one.get(part)), None)
    return words


def ndc_of(concept: Mapping[str, Any] | None) -> str | None:
    """Return the National Drug Code among the codings, of 11 digits where it is written in its three parts."""
    for system, code, _ in codings(concept or {}):
        if system == NDC:
            return normal(NDC, code)
    return None
