"""Every figure that was published and is shown here, as printed, with its place; none of them was measured here.

They stand in published.toml, are shown in a column of their own beside ours, and claim no reproduction.
tests/reports/test_published.py compares all of them, cell by cell, with the text of the papers.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

Names = tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """One published figure: as printed (`0.80 ± 0.03`, `97.18%`, `≈5.2 GB`), and paper, table and cell."""

    printed: str
    source: str


@dataclass(frozen=True)
class Table:
    """One table as printed: of which paper, on which data, with the cells of every row by the names of the row."""

    paper: str
    number: str
    data: str
    columns: Names
    rows: Mapping[Names, Names]

    @property
    def source(self) -> str:
        """Return where it stands."""
        return f"{self.paper}, {self.number}"

    @property
    def label(self) -> str:
        """Return the title of its column."""
        return f"published, {self.data}"

    def figure(self, row: Names, column: str) -> Figure | None:
        """Return one cell; None where the table has no such row."""
        if row not in self.rows:
            return None
        printed = self.rows[row][self.columns.index(column)]
        return Figure(printed, f"{self.source}, {', '.join(row)}: {column}")


@cache
def _tables() -> Mapping[str, Table]:
    text = files("cohorts.reports").joinpath("published.toml").read_text(encoding="utf-8")
    return {name: _table(**given) for name, given in tomllib.loads(text).items()}


def _table(paper: str, number: str, data: str, columns: list[str], rows: list[list[str]]) -> Table:
    cells = {tuple(row[: -len(columns)]): tuple(row[-len(columns) :]) for row in rows}
    return Table(paper, number, data, tuple(columns), cells)


FINEEHR_CATEGORIES = _tables()["fineehr_categories"]
FINEEHR_SETTINGS = _tables()["fineehr_settings"]
FINEEHR_AVERAGES = _tables()["fineehr_averages"]
FINEEHR_OTHERS = _tables()["fineehr_others"]
COHORT_SIZES = _tables()["cohort_sizes"]
RETRIEVAL_MIMIC3 = _tables()["retrieval_mimic3"]
RETRIEVAL_MIMIC4 = _tables()["retrieval_mimic4"]
SEARCH = _tables()["search"]
FUSIONS = _tables()["fusions"]
RESOURCES = _tables()["resources"]
SEPSIS = _tables()["sepsis"]
NOTE_MODELS = _tables()["note_models"]
NOTE_TASKS = _tables()["note_tasks"]

RETRIEVAL_K = 100  # section 4.4
PHENOTYPES = {
    "type_2_diabetes": "Diabetes",
    "heart_failure": "CHF",
    "sepsis": "Sepsis",
}  # its cohorts, as ours
SEARCH_OF = (299_712, 256, 100)  # vectors, dimensions, k of Tables 4 and 6: sections 4.1, 4.3 and 4.4
_SCORED_BY = {  # after what a checkpoint was trained for
    "": (NOTE_MODELS, "Fine-tuning"),
    "sentence": (NOTE_TASKS, "STS"),
    "segment": (NOTE_TASKS, "RAG"),
    "note": (NOTE_TASKS, "Fusion"),
}


def of_checkpoint(hub_id: str) -> Figure | None:
    """Return the score of a checkpoint of ClinicalNoteBERT; None for one without, and for any other."""
    base, _, variant = hub_id.partition("-simcse_")
    if variant not in _SCORED_BY:
        return None
    table, column = _SCORED_BY[variant]
    return table.figure(next((names for names in table.rows if names[1] == base), ()), column)
