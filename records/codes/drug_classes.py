"""Classes of drugs, by ingredient: named one by one, else by the stem of their names."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

FLUIDS = "fluids"


@cache
def class_of(ingredient: str) -> str:
    """Return the class of an ingredient, in lower case as the map of ingredients has it; "" where none is known."""
    names, begins, ends = _tables()
    word = ingredient.lower()
    if found := names.get(word):
        return found
    stems = [stem for stem in ends if any(one.endswith(stem) for one in word.split())]
    if stems:
        return ends[max(stems, key=len)]
    first = [stem for stem in begins if word.startswith(stem)]
    return begins[max(first, key=len)] if first else ""


@cache
def _tables() -> tuple[Mapping[str, str], Mapping[str, str], Mapping[str, str]]:
    """Return the class of every ingredient, of every beginning and of every ending."""
    text = files("cohorts.records.codes").joinpath("drug_classes.toml").read_text(encoding="utf-8")
    names: dict[str, str] = {}
    begins: dict[str, str] = {}
    ends: dict[str, str] = {}
    for name, told in tomllib.loads(text).items():
        names |= {one.lower(): name for one in told.get("ingredients", ())}
        begins |= {one[:-1]: name for one in told.get("stems", ()) if one.endswith("-")}
        ends |= {one[1:]: name for one in told.get("stems", ()) if one.startswith("-")}
    return names, begins, ends
