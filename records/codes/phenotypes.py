"""Phenotypes: named groups of diagnosis codes, defined in `phenotypes/*.toml`.

The groups are narrow and follow the categories of ICD-9-CM and ICD-10-CM: heart failure is I50 and leaves out
combination codes such as I11.0 (hypertensive heart disease with heart failure). A code belongs to one at most.
Codes that imply a phenotype and don't define it (I11.0) stand apart: they make nobody a member, and are withheld.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from cohorts.errors import SourceError
from cohorts.records.codes.prefixes import FIELDS, longest_prefix

if TYPE_CHECKING:
    import pandas as pd

_TEXTS = ("name", "title", "group", "source")
_LISTS = {  # what every entry looks like
    "ccs": re.compile(r"\d{1,3}"),
    "icd9": re.compile(r"(?:\d{3}|V\d{2}|E\d{3})\d{0,2}"),
    "icd10": re.compile(r"[A-Z]\d[0-9A-Z]{1,5}"),
    "terms": re.compile(r"\S(?:.*\S)?"),
}
_IMPLIES = "implies_"
_OPTIONAL = {_IMPLIES + field: _LISTS[field] for field in FIELDS.values()}


@dataclass(frozen=True)
class Phenotype:
    """A condition: the prefixes of its codes (no dots), its words in notes, and the CCS groups it lies in.

    `implies_icd9` and `implies_icd10` are prefixes of codes that state the condition too, and don't define it.
    """

    name: str
    title: str
    group: str
    source: str
    ccs: tuple[str, ...]
    icd9: tuple[str, ...]
    icd10: tuple[str, ...]
    terms: tuple[str, ...]
    implies_icd9: tuple[str, ...] = ()
    implies_icd10: tuple[str, ...] = ()


@cache
def load_phenotypes() -> tuple[Phenotype, ...]:
    """Return all definitions, sorted by name. Raises SourceError where one is not well formed."""
    folder = files("cohorts.records.codes").joinpath("definitions")
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


def stating(codes: "pd.DataFrame", names: Sequence[str], *, implied: bool = True) -> "pd.Series[bool]":
    """Return whether every row is a diagnosis that defines one of the phenotypes named, or, with `implied`, implies it.

    By the columns `kind`, `system` and `code`. A code may imply several: 493.2 defines asthma and implies COPD.
    """
    import pandas as pd

    found = pd.Series(False, index=codes.index, name="stating")
    for system in FIELDS:
        here = (codes["kind"] == "diagnosis") & (codes["system"] == system)
        prefixes = _stating(system, tuple(names), implied)
        found |= here & codes["code"].isin(
            [code for code in codes.loc[here, "code"].dropna().unique() if code.startswith(prefixes)]
        )
    return found


@cache
def _stating(system: str, names: tuple[str, ...], implied: bool) -> tuple[str, ...]:
    chosen = [one for one in load_phenotypes() if one.name in names]
    fields = [FIELDS[system], *([_IMPLIES + FIELDS[system]] if implied else [])]
    return tuple(prefix for one in chosen for field in fields for prefix in getattr(one, field))


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
    keys, lists = {*_TEXTS, *_LISTS}, _LISTS | _OPTIONAL
    if not keys <= set(value) <= keys | set(_OPTIONAL):
        raise SourceError(
            f"Phenotype {file} has the keys {sorted(value)}; it needs exactly {sorted(keys)}, "
            f"and may have {sorted(_OPTIONAL)}."
        )
    for key in _TEXTS:
        if not isinstance(value[key], str) or not value[key]:
            raise SourceError(f"Phenotype {file}: {key} is {value[key]!r}; it must be text.")
    for key in [one for one in lists if one in value]:
        _check_list(file, key, value[key], lists[key])
    if f"{value['name']}.toml" != file:
        raise SourceError(f"Phenotype {file} calls itself {value['name']!r}; file and name must agree.")
    fields: dict[str, Any] = {key: tuple(one) if key in lists else one for key, one in value.items()}
    return Phenotype(**fields)


def _check_list(file: str, key: str, entries: object, shape: re.Pattern[str]) -> None:
    if not isinstance(entries, list) or not entries:
        raise SourceError(f"Phenotype {file}: {key} must be a list with at least one entry.")
    for entry in entries:
        if not isinstance(entry, str) or not shape.fullmatch(entry):
            hint = "; codes are strings without a dot, as in '4280'" if "icd" in key else ""
            raise SourceError(f"Phenotype {file}: {key} holds {entry!r}, which can't be one{hint}.")


def _check_apart(field: str, owners: list[tuple[str, str]]) -> None:
    """Refuse a prefix that stands below another: its codes would count twice."""
    ordered = sorted(owners)
    for (prefix, name), (following, other) in pairwise(ordered):
        if following.startswith(prefix):
            raise SourceError(f"Phenotypes {name} and {other}: {field} {following} lies within {prefix}.")
