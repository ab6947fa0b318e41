"""Notes in one table of any layout: a column map says which column is what."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from cohorts.documents import names_a_field
from cohorts.errors import InputError, SourceError
from cohorts.records.base import (
    CODE_COLUMNS,
    MEASUREMENT_COLUMNS,
    NOTE_COLUMNS,
    UNIT_COLUMNS,
    Batch,
    Unit,
    empty_frame,
    typed,
)
from cohorts.records.sources.kinds import SourceKind
from cohorts.records.sources.partitioned import Account, Assembled, Feed, Tables
from cohorts.records.tables.columns import Kind, Table
from cohorts.records.tables.headers import folded
from cohorts.records.tables.reading import READ

ROLES = {"id": Kind.ID, "text": Kind.TEXT, "category": Kind.TEXT, "time": Kind.TIME_OR_NONE}
_LABEL = "label_"


class NotesCsv:
    """The layout of a single table of notes; several rows of one id are several notes of one patient.

    `columns` maps the roles id, text, category and time to columns; `labels` are kept with every
    patient, from its first note that has them, under their own names behind `label_`.
    Raises InputError for a column map or labels that can't be, SourceError without a file.
    """

    name = "notes-csv"
    unit = Unit.PATIENT
    synthetic = False

    def __init__(self, file: Path, columns: dict[str, str], labels: Sequence[str] = ()) -> None:
        unknown = set(columns) - set(ROLES)
        if unknown or not {"id", "text"} <= set(columns):
            raise InputError(
                "The column map of notes-csv names id and text, and category and time where there are such. "
                f"Got: {', '.join(columns) or 'nothing'}.",
                remedy="Map them, as in id=encounter_id, text=note.",
                hint="columns",
            )
        _check_labels(labels, columns["text"])
        if not file.is_file():
            raise SourceError(
                f"{file} is {'a folder' if file.is_dir() else 'no file'}: one table of notes was looked for, {READ}. "
                "Notes in a file each are put into one with columns for the id and the text."
            )
        self._file = file
        self._columns = columns
        self._labels = list(labels)
        self.warnings: list[str] = []

    def feeds(self) -> Iterator[Feed]:
        """Yield the one file to read."""
        called = {_as_field(role): column for role, column in self._columns.items()}
        kinds = {_as_field(role): ROLES[role] for role in self._columns}
        called |= {_LABEL + label: label for label in self._labels}
        kinds |= {_LABEL + label: Kind.TEXT for label in self._labels}
        table = Table(self._file.name, kinds, called=called)
        yield Feed(table, [self._file], "patient_id", frozenset({"patients", "notes"}))

    def dictionaries(self) -> tuple[()]:
        """Return that there are none."""
        return ()

    def assemble(self, tables: Tables, frames: frozenset[str]) -> Assembled:  # noqa: ARG002 - notes are all it has
        """Turn all notes of some ids into one part."""
        notes: pd.DataFrame = tables[self._file.name].to_pandas()
        notes = notes.assign(
            **{role: _missing(notes, role) for role in ROLES if _as_field(role) not in notes}
        )
        notes = notes.sort_values(["patient_id", "time", "row"])
        empty = notes["text"].isna()
        left_out = Counter({f"rows of {self._file.name} without text": int(empty.sum())})
        notes = notes[~empty].reset_index(drop=True)
        labels = [_LABEL + label for label in self._labels]
        units = notes.groupby("patient_id")[labels].first().reset_index()
        for column, kind in UNIT_COLUMNS.items():
            if column != "patient_id":
                units[column] = (
                    0 if column == "admissions" else pd.Series(None, index=units.index, dtype=kind)
                )
        units["unit_id"] = units["patient_id"]
        notes = notes.assign(unit_id=notes["patient_id"], admission_id=None)
        made = Batch(
            units=units[[*UNIT_COLUMNS, *labels]],
            codes=empty_frame(CODE_COLUMNS),
            notes=typed(notes, NOTE_COLUMNS),
            measurements=empty_frame(MEASUREMENT_COLUMNS),
        )
        counts = Counter(patients=len(units), notes=len(notes))
        noted = made.notes.assign(patient_id=notes["patient_id"])
        return Assembled(len(units), {"notes": Account(counts, +left_out)}, noted, lambda: made)


def _as_field(role: str) -> str:
    return "patient_id" if role == "id" else role


def _check_labels(labels: Sequence[str], text: str) -> None:
    plain = [folded(label) for label in labels]
    for label in labels:
        if plain.count(folded(label)) > 1:
            raise InputError(f"Label column {label} is given twice (case does not matter): leave one out.")
        if folded(label) == folded(text):
            raise InputError(
                f"Column {label} can't be a label: it holds the notes, and no payload ever does."
            )
        if not names_a_field(label):
            raise InputError(
                f"{label[:80]!r} can't name a label: it may hold letters, digits, blanks and signs, but no double "
                "quote, backslash or control character. Rename the column."
            )


def _missing(frame: pd.DataFrame, role: str) -> pd.Series:
    return pd.Series(None, index=frame.index, dtype="datetime64[us]" if role == "time" else "str")


NOTES_CSV = SourceKind(
    open=lambda asked: NotesCsv(asked.path, dict(asked.columns), asked.labels),
    takes=frozenset({"columns", "labels"}),
    units=frozenset({Unit.PATIENT}),
)
