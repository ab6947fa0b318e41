"""What a source is, as a TOML file declares it: tables, their columns, and SELECTs that make the frames of a batch.

MIMIC is declared so (mimic/mimic3.toml, mimic4.toml), and so is any other hospital, by a file of its own.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Literal

from cohorts.documents import conform
from cohorts.errors import SourceError
from cohorts.records.sources.declared.selects import FRAME_COLUMNS, reads
from cohorts.records.tables.columns import Kind, Table, Without
from cohorts.records.tables.headers import folded

ColumnKind = Literal[
    "key",
    "key?",
    "integer",
    "integer?",
    "id",
    "id?",
    "time",
    "time?",
    "number",
    "flag",
    "icd version",
    "code",
    "code?",
    "text",
]
_KINDS: Mapping[str, Kind] = {
    "key": Kind.KEY,
    "key?": Kind.REFERENCE,
    "integer": Kind.INTEGER,
    "integer?": Kind.INTEGER_OR_NONE,
    "id": Kind.ID,
    "id?": Kind.ID_OR_NONE,
    "time": Kind.TIME,
    "time?": Kind.TIME_OR_NONE,
    "number": Kind.NUMBER,
    "flag": Kind.FLAG,
    "icd version": Kind.ICD_VERSION,
    "code": Kind.CODE,
    "code?": Kind.CODE_OR_NONE,
    "text": Kind.TEXT,
}
Columns = dict[str, ColumnKind]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_PLACE = ("table", "row", "line")  # of every table
_BEHIND_VIEWS = " SELECT * FROM ("


@dataclass(frozen=True)
class Icd:
    """The column of a table that holds ICD codes of a kind; `version` is 9, 10, or the column that tells it."""

    kind: Literal["diagnosis", "procedure"]
    code: str
    version: str = "9"

    @property
    def columns(self) -> list[str]:
        """Return the columns that it names."""
        return [self.code, *([] if self.version in ("9", "10") else [self.version])]


@dataclass(frozen=True)
class Instead:
    """What a column that a file lacks is made of: other columns, and the SQL of its value."""

    columns: Columns
    value: str


@dataclass(frozen=True)
class DeclaredTable:
    """A table: what its columns are read as, whose its rows are, and what is lost where it is not there.

    `patient` is the column of the patient's id; a table without one is a dictionary, of which every SELECT sees all.
    With `via`, it refers to the `key` of that table instead, whose patient the rows are of. `admission` is the column
    by which admissions are known, `key` that by which the table is looked up: of a dictionary, the last row counts.
    `lost` is "" for a table that must be there. `without` names columns that a file may lack, and what is lost with
    each. What is lost with `further` tables, and with `unknown` columns, is told in one line; of `optional` columns
    nothing is told. Of a column in `only`, other values are passed over. `also` are further files, whose rows are the
    table's own.

    `refers` names, by column, dictionaries that are too large to be read whole: of one with `used`, rows are kept whose
    value in that column stands in a column that refers to it.
    """

    columns: Columns
    file: str = ""
    part: str = ""
    patient: str = ""
    via: str = ""
    admission: str = ""
    key: str = ""
    lost: str = ""
    further: bool = False
    icd: Icd | None = None
    without: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    optional: list[str] = field(default_factory=list)
    instead: dict[str, Instead] = field(default_factory=dict)
    only: dict[str, str] = field(default_factory=dict)
    also: list[str] = field(default_factory=list)
    refers: dict[str, list[str]] = field(default_factory=dict)
    used: str = ""

    @property
    def all_columns(self) -> set[str]:
        """Return its columns, and those that are read instead of others."""
        return {*self.columns, *(column for one in self.instead.values() for column in one.columns)}

    def as_table(self, name: str, values: Mapping[str, frozenset[str]]) -> Table:
        """Return what the reader of tables knows of it; `values` are the lists that `only` names."""
        lacking = {
            column: Without(loss, _kinds(self.instead[column].columns) if column in self.instead else {})
            for column, loss in (self.without | dict.fromkeys([*self.unknown, *self.optional], "")).items()
        }
        only = {column: values[of] for column, of in self.only.items()}
        return Table(name, _kinds(self.columns), lacking, only=only)


@dataclass(frozen=True)
class Declaration:
    """The tables of a source by name, and the SELECT of every frame of the contract by its name.

    `views` are SELECTs by name, which frames, and views behind them, read like tables. `values` are lists by name, for
    `only`. `items` says whose numbers the items of measurements have, where these are known: MIMIC's. Rows of an
    admission that no table has are left out, or, where the source is `loose`, kept as their patient's. Patients are
    invented where it is `synthetic`.
    """

    tables: dict[str, DeclaredTable]
    frames: dict[str, str]
    views: dict[str, str] = field(default_factory=dict)
    values: dict[str, list[str]] = field(default_factory=dict)
    items: Literal["", "mimic"] = ""
    loose: bool = False
    synthetic: bool = False


def builtin(folder: str, name: str) -> Declaration:
    """Return a declaration that comes with the package, in a folder beside this one: mimic3 of mimic."""
    text = files("cohorts.records.sources").joinpath(folder, f"{name}.toml").read_text(encoding="utf-8")
    return parse_declaration(text, f"{name}.toml")


def read_declaration(file: Path) -> Declaration:
    """Return the declaration that a hospital wrote. Raises SourceError, which names what is wrong."""
    try:
        return parse_declaration(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeError) as error:
        raise SourceError(
            f"{file} can't be read: {getattr(error, 'strerror', None) or 'it is no UTF-8'}."
        ) from None


def parse_declaration(text: str, of: str) -> Declaration:
    """Return what a text declares; `of` names it. Raises SourceError."""
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SourceError(f"{of} is no TOML: {error}.") from None
    made = conform(value, Declaration, of, error=SourceError, verdict="can't be used")
    for frame in made.frames:
        if frame not in FRAME_COLUMNS:
            raise SourceError(f"{of}: there is no frame {frame}. Frames: {', '.join(FRAME_COLUMNS)}.")
    if "patients" not in made.frames:
        raise SourceError(f"{of}: the frame patients is missing: it says whom the other rows are of.")
    _check_names(of, [*made.tables, *made.views])
    for name, table in made.tables.items():
        _check_table(f"{of}, table {name}", table)
        if table.via:
            _check_via(f"{of}, table {name}", table, made.tables)
    frames = {frame: _with_views(select, made.views) for frame, select in made.frames.items()}
    return replace(made, frames=frames)


def _with_views(select: str, views: Mapping[str, str]) -> str:
    """Return a SELECT that has the views it reads in front of it."""
    needed: dict[str, str] = {}
    for name, view in reversed(list(views.items())):
        if any(reads(one, name) for one in (select, *needed.values())):
            needed[name] = view
    if not needed:
        return select
    written = ", ".join(f'"{name}" AS ({view})' for name, view in reversed(list(needed.items())))
    return f"WITH {written}{_BEHIND_VIEWS}{select})"


def without_views(select: str) -> str:
    """Return the SELECT of a frame as it is written, without the views in front of it."""
    return select.rpartition(_BEHIND_VIEWS)[2]


def _check_names(of: str, tables: Iterable[str]) -> None:
    """Raise SourceError for a name that a SELECT could not write as it is, or that stands there twice."""
    for name in tables:
        if not _NAME.fullmatch(name):
            raise SourceError(
                f"{of}: {name!r} can't name a table: it must be letters of ASCII, digits and _. The key file says what "
                "its file is called otherwise."
            )
    for name, many in Counter(map(str.casefold, tables)).items():
        if many > 1:
            raise SourceError(f"{of}: table {name} is declared twice (case does not matter).")


def _check_table(of: str, table: DeclaredTable) -> None:
    named = [("patient", table.patient), ("admission", table.admission), ("key", table.key)]
    named += [("icd", column) for column in table.icd.columns] if table.icd else []
    named += [("a list of columns", column) for column in (*table.without, *table.unknown, *table.optional)]
    named += [("instead", column) for column in table.instead] + [("only", column) for column in table.only]
    named += [("used", table.used), *(("refers", column) for column in table.refers)]
    for what, column in named:
        if column and column not in table.columns:
            raise SourceError(f"{of}: {what} names {column}, which is none of its columns.")
    for column in table.all_columns:
        if folded(column) in _PLACE or '"' in column or not column.strip():
            raise SourceError(
                f"{of}: {column!r} can't be the name of a column: every table has {', '.join(_PLACE)} already, and no "
                "name has a double quote."
            )
    if len({*map(folded, table.columns)}) < len(table.columns):
        raise SourceError(f"{of}: two columns have the same name (case does not matter).")
    if table.patient and not table.via and table.columns[table.patient] not in ("key", "integer", "id"):
        raise SourceError(
            f"{of}: {table.patient} tells the patient: it must be read as key, integer or id, which no row lacks."
        )


def _check_via(of: str, table: DeclaredTable, tables: Mapping[str, DeclaredTable]) -> None:
    """Raise SourceError where the rows of a table can't be known by those of another one."""
    if not table.patient:
        raise SourceError(
            f"{of}: via {table.via} needs patient, the column that refers to the key of {table.via}."
        )
    other = tables.get(table.via)
    if other is None or not other.patient or not other.key or other.via:
        raise SourceError(
            f"{of}: via names {table.via}, which must be a table with patient and key, and without via."
        )
    if other.patient in table.columns:
        raise SourceError(
            f"{of}: {other.patient} is what the patient of {table.via} will be called in it: leave it out of its "
            "columns, or leave out via."
        )


def _kinds(columns: Columns) -> dict[str, Kind]:
    return {name: _KINDS[kind] for name, kind in columns.items()}
