"""The maps by name: those that come with this package, and a site's own by their file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cohorts.errors import InputError
from cohorts.records.codes.concepts.applied import Maps
from cohorts.records.codes.concepts.base import ConceptMap
from cohorts.records.codes.concepts.categories import Categories
from cohorts.records.codes.concepts.drugs import Ingredients
from cohorts.records.codes.concepts.laboratory import Laboratory

_OPEN = "public domain (AHRQ)"
BUILT_IN: Mapping[str, ConceptMap] = {
    one.name: one
    for one in (
        Categories("ccs", "CCS", "ICD-9-CM 2015, ICD-10-CM and PCS 2019.1", _OPEN),
        Categories("ccsr", "CCSR", "2023.1", _OPEN),
        Categories(
            "hcpcs",
            "HCPCS",
            "sections of level II, 2024",
            "public domain (CMS); CPT is the AMA's and not here",
        ),
        Ingredients(),
        Laboratory(),
    )
}


def open_maps(asked: Sequence[str | Path]) -> Maps:
    """Return the maps asked for, by a built-in's name or a file. Raises InputError for neither, and for one twice."""
    maps = tuple(_open(one) for one in asked)
    names = [one.name for one in maps]
    if again := next((name for name in names if names.count(name) > 1), None):
        raise InputError(
            f"The concept map {again} is asked for twice: once is enough, or let one file have another name."
        )
    return Maps(maps)


def beside_built_in(maps: Maps | None) -> Maps:
    """Return all built-in maps, and these beside them."""
    own = maps.maps if maps is not None else ()
    return Maps((*BUILT_IN.values(), *(one for one in own if one.name not in BUILT_IN)))


def _open(asked: str | Path) -> ConceptMap:
    if str(asked) in BUILT_IN:
        return BUILT_IN[str(asked)]
    from cohorts.records.codes.concepts.site_files import (
        read_map,  # it reads tables, which a question does not
    )

    path = Path(asked)
    if not path.exists():
        raise InputError(
            f"There is no concept map {asked}, neither built in nor a file. Built in: {', '.join(BUILT_IN)}."
        )
    return read_map(path)
