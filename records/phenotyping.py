"""Phenotypes: named groups of diagnosis codes, defined in `phenotypes/*.toml`."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from cohorts.errors import SourceError

_KEYS = {"name", "title", "group", "source", "ccs", "icd9", "icd10", "terms"}


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
    return tuple(_read(name, texts[name]) for name in sorted(texts))


@cache
def phenotype_of(system: str, code: str) -> str | None:
    """Return the name of the phenotype that a diagnosis code belongs to; the longest prefix wins."""
    prefixes = _prefixes(system)
    found = (prefixes.get(code[:length]) for length in range(len(code), 2, -1))
    return next((name for name in found if name), None)


@cache
def _prefixes(system: str) -> dict[str, str]:
    if system not in ("ICD-9", "ICD-10"):
        return {}
    field = "icd9" if system == "ICD-9" else "icd10"
    return {prefix: one.name for one in load_phenotypes() for prefix in getattr(one, field)}


def _read(file: str, text: str) -> Phenotype:
    value = tomllib.loads(text)
    if set(value) != _KEYS or f"{value['name']}.toml" != file:
        raise SourceError(
            f"Phenotype {file} needs exactly the keys {', '.join(sorted(_KEYS))}, and its own file name."
        )
    fields: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in value.items()}
    return Phenotype(**fields)
