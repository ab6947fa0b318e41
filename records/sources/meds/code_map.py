"""What the codes of events stand for: rules by prefix, ours and those of a site's own file."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from cohorts.errors import SourceError
from cohorts.records.tables.reading import read_rows

COLUMNS = ("prefix", "role", "system", "part", "unit", "loinc")
ROLES = (
    *("birth", "death", "sex", "admission", "discharge", "emergency arrival", "emergency departure"),
    *("icu admission", "icu discharge", "transfer", "diagnosis", "procedure", "drug", "drug stop"),
    *(
        "laboratory",
        "vital",
        "blood pressure",
        "output",
        "note",
        "drg",
        "bedside procedure",
        "input",
        "service",
    ),
    *("observation", "end", "ignored"),
)
_KIND = ("code", "role", "system", "word", "further", "first_part", "own_unit", "loinc", "description")
_OF_A_SYSTEM = ("diagnosis", "procedure", "drug")


@dataclass(frozen=True)
class Rule:
    """What a code stands for that begins with `prefix`: its `role`, and the `system` of what is told by it.

    Behind the prefix, the code is cut at `//`; the part of number `part` tells the diagnosis, drug, item or word, and
    without a number all of it does. The part behind it is a unit; `unit` is that of codes that name none.
    """

    prefix: str
    role: str
    system: str
    part: str
    unit: str
    loinc: str


@cache
def own_rules() -> tuple[Rule, ...]:
    """Return the rules that come with the package."""
    text = files("cohorts.records.sources.meds").joinpath("code_map.csv").read_text(encoding="utf-8")
    return tuple(Rule(**row) for row in csv.DictReader(text.splitlines()))


def read_rules(file: Path) -> list[Rule]:
    """Return the rules of a site's own file, a table with the columns prefix and role, and others where needed.

    Raises SourceError, which names what is wrong and where.
    """
    if not file.is_file():
        raise SourceError(f"There is no code map {file}.")
    rules: list[Rule] = []
    for chunk in read_rows(file, COLUMNS[:2], COLUMNS[2:]):
        for number, line, reason in chunk.broken:
            raise SourceError(f"{file}: row {number:,} (line {line:,}) can't be used: {reason}.")
        for values, line in zip(chunk.values, chunk.lines, strict=True):
            rule = Rule(*(value.strip() for value in values))
            if fault := _fault(rule):
                raise SourceError(f"{file}, line {line:,}: {fault}")
            rules.append(rule)
    return rules


def _fault(rule: Rule) -> str:
    """Return what is wrong with a rule, "" for one that can be used."""
    if not rule.prefix:
        return "a rule needs a prefix, as DIAGNOSIS//ICD//10//."
    if rule.role not in ROLES:
        return f"{rule.role!r} is no role. Roles: {', '.join(ROLES)}."
    if rule.role in _OF_A_SYSTEM and not rule.system:
        return f"a {rule.role} needs a system, as ICD-10, SNOMED or name."
    if rule.part and not (rule.part.isascii() and rule.part.isdigit() and 0 < int(rule.part) < 100):
        return "part is the number of a part behind the prefix, from 1, or empty for all of it."
    return ""


def ordered(first: Sequence[Rule], then: Sequence[Rule]) -> list[Rule]:
    """Return rules in the order in which they are tried: a site's own first, and longer prefixes first."""
    return [rule for some in (first, then) for rule in sorted(some, key=lambda rule: -len(rule.prefix))]


class Name(NamedTuple):
    """What a data set calls a code, and its LOINC code; None where it does not tell."""

    description: str | None = None
    loinc: str | None = None


def kinds_of(codes: Iterable[str], rules: Sequence[Rule], names: Mapping[str, Name]) -> pa.Table:
    """Return what every code stands for: a row each, with nulls for one that no rule is for.

    `rules` stand in the order in which they are tried.
    """
    unknown = Name()
    rows = [_kind(code, rules, names.get(code, unknown)) for code in codes]
    return pa.Table.from_pylist(rows, pa.schema([(name, pa.string()) for name in _KIND]))


def _kind(code: str, rules: Sequence[Rule], name: Name) -> dict[str, str | None]:
    made: dict[str, str | None] = {"code": code, "description": name.description, "loinc": name.loinc}
    rule = next((rule for rule in rules if code.startswith(rule.prefix)), None)
    if rule is None:
        return made
    rest = code[len(rule.prefix) :].lstrip("/")
    parts, place = rest.split("//"), int(rule.part or 0)
    word = _told(parts, place - 1) if place else _told([rest], 0)
    is_loinc = rule.prefix.startswith("LOINC")
    return made | {
        "role": rule.role,
        "system": rule.system or None,
        "word": word,
        "further": _told(parts, place),
        "first_part": _told(parts, 0),
        "own_unit": rule.unit or None,
        "loinc": name.loinc or rule.loinc or (word if is_loinc else None),
    }


def _told(parts: Sequence[str], place: int) -> str | None:
    """Return a part of a code, None where it is not there or says that nothing is known."""
    part = parts[place].strip() if place < len(parts) else ""
    return None if part in ("", "UNK") else part
