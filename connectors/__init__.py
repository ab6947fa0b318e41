"""One vector engine behind one small protocol, `Connector`; what a plug-in of another engine needs."""

from typing import TYPE_CHECKING

from cohorts.lazy import lazy_names

__all__ = [
    "Abilities",
    "Annoy",
    "Collection",
    "Connector",
    "Description",
    "FieldType",
    "Filter",
    "Flat",
    "Found",
    "Hit",
    "Hnsw",
    "Index",
    "Ivf",
    "Payload",
    "Points",
    "SearchParams",
    "connect",
    "parse_filter",
]

if TYPE_CHECKING:
    from cohorts.connectors.base import (
        Abilities,
        Collection,
        Connector,
        Description,
        FieldType,
        Found,
        Hit,
        Payload,
        Points,
    )
    from cohorts.connectors.filters.conditions import Filter
    from cohorts.connectors.filters.reading import parse_filter
    from cohorts.connectors.index import Annoy, Flat, Hnsw, Index, Ivf, SearchParams
    from cohorts.connectors.registry import connect
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "cohorts.connectors.base": (
                "Abilities",
                "Collection",
                "Connector",
                "Description",
                "FieldType",
                "Found",
                "Hit",
                "Payload",
                "Points",
            ),
            "cohorts.connectors.filters.conditions": ("Filter",),
            "cohorts.connectors.filters.reading": ("parse_filter",),
            "cohorts.connectors.index": ("Annoy", "Flat", "Hnsw", "Index", "Ivf", "SearchParams"),
            "cohorts.connectors.registry": ("connect",),
        },
    )
