"""Where the files of a MEDS data set are, and which rules, names and frames its codes have; the rest is declared."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from cohorts.documents import read_json
from cohorts.errors import InputError, SourceError
from cohorts.records.sources.declared.declaration import Declaration, builtin
from cohorts.records.sources.declared.folders import Places
from cohorts.records.sources.declared.hospital import Hospital
from cohorts.records.sources.kinds import SourceKind, SourceRequest
from cohorts.records.sources.meds.code_map import Name, kinds_of, ordered, own_rules, read_rules
from cohorts.records.tables.reading import read_rows, read_strings

_FRAME_OF = {
    "note": "notes",
    "laboratory": "measurements",
    "vital": "measurements",
    "blood pressure": "measurements",
    "output": "measurements",
    "diagnosis": "codes",
    "procedure": "codes",
    "drug": "codes",
}  # the frames that only codes of some roles make
_TOLD = 8  # beginnings of codes that no rule is for
_LOINC = re.compile(r"LOINC/+(\S+)")


@dataclass(frozen=True)
class EventFiles(Places):
    """The folder `data` of a data set, whose files are one table."""

    def find(self, table: str) -> list[Path]:
        """Return the files of events in the order of their paths."""
        return sorted(self.root.rglob("*.parquet")) if table == "events" else []


class Meds(Hospital):
    """The layout of a MEDS data set, whose codes are told by the file `codes`, if there is one."""

    codes: Path

    def dictionaries(self) -> Iterator[tuple[str, Path]]:
        """Yield the file that tells what codes are called."""
        if self.codes.is_file():
            yield "codes", self.codes


def _open(asked: SourceRequest) -> Meds:
    events = EventFiles(asked.path / "data", [asked.path / "data"])
    if not (files := events.find("events")):
        raise SourceError(
            f"{asked.path} is no MEDS data set: it has no data/**/*.parquet. Name the folder that holds data/ and "
            "metadata/."
        )
    rules = ordered(read_rules(asked.mapping) if asked.mapping else [], own_rules())
    codes = asked.path / "metadata" / "codes.parquet"
    kinds = kinds_of(_codes_in(files), rules, _names(codes))
    roles = kinds.column("role").to_pylist()
    unfilled = frozenset(_FRAME_OF.values()) - {_FRAME_OF.get(role, "") for role in roles}
    declaration, values = _declared(asked)
    made = Meds(
        "meds",
        declaration,
        {"": events},
        asked.unit,
        values=values,
        given={"kinds": kinds},
        unfilled=unfilled,
    )
    made.codes = codes
    made.warnings += _told_unknown(dict(zip(kinds.column("code").to_pylist(), roles, strict=True)))
    return made


def _declared(asked: SourceRequest) -> tuple[Declaration, Mapping[str, frozenset[str]]]:
    """Return the declaration, of the patients of the splits asked for alone, and the lists that it names."""
    declaration = builtin("meds", "meds")
    about = asked.path / "metadata" / "dataset.json"
    name = read_json(about, dict[str, Any], error=SourceError).get("dataset_name") if about.is_file() else ""
    if "mimic" in str(name).casefold():
        declaration = replace(declaration, items="mimic")
    if not asked.split:
        return declaration, {}
    events = replace(declaration.tables["events"], only={"subject_id": "split"})
    tables = {**declaration.tables, "events": events}
    return replace(declaration, tables=tables), {"split": _subjects(asked)}


def _subjects(asked: SourceRequest) -> frozenset[str]:
    """Return the subjects of some splits. Raises SourceError, and InputError for a split that there is not."""
    file, wanted = asked.path / "metadata" / "subject_splits.parquet", set(asked.split.split(","))
    if not file.is_file():
        raise SourceError(f"There is no {file}: without it, no split is known.")
    rows = [row for chunk in read_rows(file, ["subject_id", "split"]) for row in chunk.values]
    there = Counter(split for _, split in rows)
    if unknown := wanted - there.keys():
        known = ", ".join(f"{name} ({many:,} subjects)" for name, many in sorted(there.items()))
        raise InputError(f"There is no split {', '.join(sorted(unknown))}. Splits: {known}.")
    return frozenset(subject for subject, split in rows if split in wanted)


def _names(file: Path) -> dict[str, Name]:
    """Return what codes are called: nothing where there is no such file. Raises SourceError."""
    if not file.is_file():
        return {}
    try:
        table = pyarrow.parquet.read_table(file)
        codes = table.column("code").cast(pa.string()).to_pylist()
        lacking = [None] * len(codes)
        there = set(table.column_names)
        called = (
            table.column("description").cast(pa.string()).to_pylist() if "description" in there else lacking
        )
        parents = table.column("parent_codes").to_pylist() if "parent_codes" in there else lacking
    except (pa.ArrowException, KeyError, OSError):
        raise SourceError(
            f"{file} can't be read as the codes of a MEDS data set: a Parquet file with the column code, and "
            "description (text) and parent_codes (lists of text) where there are such. Is it complete?"
        ) from None
    rows = zip(codes, called, parents, strict=True)
    return {code.strip(): Name(name or None, _loinc(of)) for code, name, of in rows if code}


def _loinc(parents: Sequence[object] | None) -> str | None:
    """Return the LOINC code among the parents of a code."""
    found = (_LOINC.fullmatch(str(parent)) for parent in parents or ())
    return next((match[1] for match in found if match), None)


def _codes_in(files: Sequence[Path]) -> list[str]:
    """Return all codes of some files. Raises SourceError."""
    found: set[str] = set()
    for file in files:
        for piece in read_strings(
            file, ["code"], [], lambda strings: pc.unique(strings.columns[0]).to_pylist()
        ):
            found.update(code.strip() for code in piece.made)
    return sorted(found - {""})


def _told_unknown(roles: Mapping[str, str | None]) -> list[str]:
    """Return what is to be said of codes that no rule is for."""
    unknown = Counter(re.split("/+", code)[0] for code, role in roles.items() if not role)
    if not unknown:
        return []
    shown = ", ".join(f"{begins} ({many:,})" for begins, many in unknown.most_common(_TOLD))
    more = f" and {len(unknown) - _TOLD:,} other beginnings" if len(unknown) > _TOLD else ""
    told = f"No rule says what {unknown.total():,} of {len(roles):,} codes stand for: {shown}{more}"
    return [f"{told}; they are events of the kind other, until a mapping of your own says more"]


MEDS = SourceKind(open=_open, takes=frozenset({"mapping", "split"}))
