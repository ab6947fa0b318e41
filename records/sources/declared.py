"""What a source is, as a TOML file declares it: tables, their columns, and SELECTs that make the frames of a batch.

MIMIC is declared so (mimic3.toml, mimic4.toml), and so is any other hospital, by a file of its own.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Literal

from cohorts.documents import conform
from cohorts.errors import SourceError
from cohorts.records.sources.selects import FRAME_COLUMNS
from cohorts.records.tables.columns import Kind, Table, Without

ColumnKind = Literal[
    "key", "key?", "id", "id?", "time", "time?", "number", "flag", "icd version", "code", "code?", "text"
]
_KINDS: Mapping[str, Kind] = {
    "key": Kind.KEY,
    "key?": Kind.REFERENCE,
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


@dataclass(frozen=True)
class Icd:
    """The column of a table that holds ICD codes of a kind; ICD-9 where no column tells the version."""

    kind: Literal["diagnosis", "procedure"]
    code: str
    version: str = ""


@dataclass(frozen=True)
class Instead:
    """What a column that a file lacks is made of: other columns, and the SQL of its value."""

    columns: Columns
    value: str


@dataclass(frozen=True)
class DeclaredTable:
    """A table: what its columns are read as, whose its rows are, and what is lost where it is not there.

    `patient` is the column of the patient's id; a table without one is a dictionary, of which every SELECT sees all.
    `admission` is the column by which admissions are known, `key` the one by which a dictionary is looked up.
    `lost` is "" for a table that must be there. `without` names columns that a file may lack, and what is lost with
    each. What is lost with `further` tables, and with `unknown` columns, is told in one line; of `optional` columns
    nothing is told. Of a column in `only`, other values are passed over.
    """

    columns: Columns
    file: str = ""
    part: str = ""
    patient: str = ""
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

    `items` says whose numbers the items of measurements have, where these are known: MIMIC's.
    """

    tables: dict[str, DeclaredTable]
    frames: dict[str, str]
    items: Literal["", "mimic"] = ""


def builtin(name: str) -> Declaration:
    """Return the declaration that comes with the package: mimic3 or mimic4."""
    text = files("cohorts.records.sources").joinpath(f"{name}.toml").read_text(encoding="utf-8")
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
    for name, table in made.tables.items():
        _check_table(f"{of}, table {name}", table)
    return made


def _check_table(of: str, table: DeclaredTable) -> None:
    named = {
        "patient": table.patient,
        "admission": table.admission,
        "key": table.key,
        **({"icd": table.icd.code, "icd version": table.icd.version} if table.icd else {}),
    }
    for what, column in named.items():
        if column and column not in table.columns:
            raise SourceError(f"{of}: {what} names {column}, which is none of its columns.")
    for column in (*table.without, *table.unknown, *table.optional, *table.instead, *table.only):
        if column not in table.columns:
            raise SourceError(f"{of}: {column} is none of its columns.")
    if table.patient and table.columns[table.patient] not in ("key", "id"):
        raise SourceError(
            f"{of}: {table.patient} tells the patient: it must be read as key or id, which no row lacks."
        )


def _kinds(columns: Columns) -> dict[str, Kind]:
    return {name: _KINDS[kind] for name, kind in columns.items()}
