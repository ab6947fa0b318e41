"""Diagnosis and procedure codes by their prefixes, for each classification."""

from collections.abc import Mapping

FIELDS = {"ICD-9": "icd9", "ICD-10": "icd10"}  # where the definitions have a classification's prefixes


def longest_prefix(table: Mapping[str, str], code: str) -> str | None:
    """Return what the longest prefix of a code (no dot) stands for in `table`; None where it has none of it."""
    found = (table.get(code[:length]) for length in range(len(code), 0, -1))
    return next((name for name in found if name), None)
