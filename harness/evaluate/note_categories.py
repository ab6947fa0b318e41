"""A source's categories of notes as they are told: in FineEHR's form, with its Table I in a column of its own."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cohorts.harness.reports.published import FINEEHR_CATEGORIES

LABEL = FINEEHR_CATEGORIES.label


class CategoryLine(NamedTuple):
    """A category, its notes and the admissions that have one, as texts; "" for what can't be told."""

    name: str
    notes: str
    share_of_notes: str
    admissions: str
    share_of_admissions: str
    published: str


def category_lines(categories: Iterable[Mapping[str, Any]]) -> list[CategoryLine]:
    """Return a line for each of a manifest's `note_categories`."""
    ratios = {_plain(name): ratio for (name,), (ratio,) in FINEEHR_CATEGORIES.rows.items()}
    return [
        CategoryLine(
            one["name"],
            f"{one['notes']:,}",
            _percent(one["share_of_notes"]),
            "" if one["admissions"] is None else f"{one['admissions']:,}",
            _percent(one["share_of_admissions"]),
            ratios.get(_plain(one["name"]), ""),
        )
        for one in categories
    ]


def _plain(name: str) -> str:
    return name.replace(" ", "").lower()


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}%"
