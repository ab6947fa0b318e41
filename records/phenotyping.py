"""Phenotypes: named groups of diagnosis codes, defined in `phenotypes/*.toml`.

The groups are narrow and follow the categories of ICD-9-CM and ICD-10-CM: heart failure is I50 and leaves out
combination codes such as I11.0 (hypertensive heart disease with heart failure). A code belongs to one at most.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from cohorts.errors import SourceError
from cohorts.records.codes import FIELDS, longest_prefix

if TYPE_CHECKING:
    import pandas as pd

_TEXTS = ("name", "title", "group", "source")
_LISTS = {  # what every entry looks like
    "ccs": re.compile(r"\d{1,3}"),
    "icd9": re.compile(r"(?:\d{3}|V\d{2}|E\d{3})\d{0,2}"),
    "icd10": re.compile(r"[A-Z]\d[0-9A-Z]{1,5}"),
    "terms": re.compile(r"\S(?:.*\S)?"),
}


@dataclass(frozen=True)
class Phenotype:
    """A condition: the prefixes of its codes (no dots), its words in notes, and the CCS groups it lies in."""

    name: str
    title: str
    group: str
    source: str
    ccs: tuple[str, ...]
    icd9: tuple[str, ...]
    icd10: tuple[str, ...]
    terms: tuple[str, ...]


@cache
def load_phenotypes() -> tuple[Phenotype, ...]:
    """Return all definitions, sorted by name. Raises SourceError where one is not well formed."""
    folder = files("cohorts.records").joinpath("phenotypes")
    texts = {
        file.name: file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".toml")
    }
    return parse_phenotypes(texts)


def parse_phenotypes(texts: dict[str, str]) -> tuple[Phenotype, ...]:
    """Return the definitions in `texts` (TOML by file name), sorted by name.

    Raises SourceError where one is not well formed, or where a code would belong to two of them.
    """
    found = tuple(_parse(file, texts[file]) for file in sorted(texts))
    for field in FIELDS.values():
        _check_apart(field, [(prefix, one.name) for one in found for prefix in getattr(one, field)])
    return found


@cache
def phenotype_of(system: str, code: str) -> str | None:
    """Return the name of the phenotype that a diagnosis code (no dot) belongs to, None where there is none."""
    return longest_prefix(_prefixes(system), code)


def phenotypes_of(codes: "pd.DataFrame") -> "pd.Series[str]":
    """Return the phenotype of every row by its columns `system` and `code`; missing where there is none.

    Where a column `kind` tells what a code is, diagnoses alone have one: 43.11 is a feeding tube, and 431 a stroke.
    """
    import pandas as pd

    if "kind" in codes:
        return phenotypes_of(codes.loc[codes["kind"] == "diagnosis", ["system", "code"]]).reindex(codes.index)
    unique = codes[["system", "code"]].dropna().drop_duplicates()
    pairs = list(zip(unique["system"], unique["code"], strict=True))
    names = {pair: phenotype_of(*pair) for pair in pairs}
    every = zip(codes["system"], codes["code"], strict=True)
    return pd.Series([names.get(pair) for pair in every], index=codes.index, dtype="str", name="phenotype")


@cache
def _prefixes(system: str) -> dict[str, str]:
    if system not in FIELDS:
        return {}
    return {prefix: one.name for one in load_phenotypes() for prefix in getattr(one, FIELDS[system])}


def _parse(file: str, text: str) -> Phenotype:
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SourceError(f"Phenotype {file} is not TOML: {error}.") from error
    keys = {*_TEXTS, *_LISTS}
    if set(value) != keys:
        raise SourceError(f"Phenotype {file} has the keys {sorted(value)}; it needs exactly {sorted(keys)}.")
    for key in _TEXTS:
        if not isinstance(value[key], str) or not value[key]:
            raise SourceError(f"Phenotype {file}: {key} is {value[key]!r}; it must be text.")
    for key, shape in _LISTS.items():
        _check_list(file, key, value[key], shape)
    if f"{value['name']}.toml" != file:
        raise SourceError(f"Phenotype {file} calls itself {value['name']!r}; file and name must agree.")
    fields: dict[str, Any] = {key: tuple(one) if key in _LISTS else one for key, one in value.items()}
    return Phenotype(**fields)


def _check_list(file: str, key: str, entries: object, shape: re.Pattern[str]) -> None:
    if not isinstance(entries, list) or not entries:
        raise SourceError(f"Phenotype {file}: {key} must be a list with at least one entry.")
    for entry in entries:
        if not isinstance(entry, str) or not shape.fullmatch(entry):
            hint = "; codes are strings without a dot, as in '4280'" if key.startswith("icd") else ""
            raise SourceError(f"Phenotype {file}: {key} holds {entry!r}, which can't be one{hint}.")


def _check_apart(field: str, owners: list[tuple[str, str]]) -> None:
    """Refuse a prefix that stands below another: its codes would count twice."""
    ordered = sorted(owners)
    for (prefix, name), (following, other) in pairwise(ordered):
        if following.startswith(prefix):
            raise SourceError(f"Phenotypes {name} and {other}: {field} {following} lies within {prefix}.")
