"""A source's categories of notes as a table: in FineEHR's form, with its Table I in a column of its own."""

from collections.abc import Iterable, Mapping
from typing import Any

from cohorts.reports.formats import Show, count
from cohorts.reports.long_table import ColumnSpec, ReportTable, TableSpec, long_table
from cohorts.reports.published import FINEEHR_CATEGORIES

_LABEL = FINEEHR_CATEGORIES.label
_PUBLISHED = "published"
# Titles on the page and in the terminal, and how a figure is shown.
_COLUMNS: dict[str, tuple[str, str, Show]] = {
    "notes": ("notes", "notes", count),
    "share_of_notes": ("of all notes", "of all\nnotes", "{:.2%}".format),
    "admissions": ("admissions with one", "admissions\nwith one", count),
    "share_of_admissions": ("of all admissions", "of all\nadmissions", "{:.2%}".format),
    _PUBLISHED: (f"of all admissions, {_LABEL}", _LABEL.replace(", ", ",\n"), count),
}
_TABLE = TableSpec(
    title="notes by category",
    rows={"category": "category"},
    columns=[
        ColumnSpec(
            title=title, short=short, measure=name, show=show, missing="", published=name == _PUBLISHED
        )
        for name, (title, short, show) in _COLUMNS.items()
    ],
)


def category_tables(categories: Iterable[Mapping[str, Any]]) -> list[ReportTable]:
    """Return the table of a manifest's `note_categories`, none where no category is named."""
    printed = {_plain(name): ratio for (name,), (ratio,) in FINEEHR_CATEGORIES.rows.items()}
    rows = [
        {"category": one["name"], "measure": name, "value": one.get(name)}
        | ({"text": printed.get(_plain(one["name"]), "")} if name == _PUBLISHED else {})
        for one in categories
        for name in _COLUMNS
    ]
    return [_TABLE.of(long_table(rows))] if rows else []


def _plain(name: str) -> str:
    return name.replace(" ", "").lower()
