"""Values that a filter asks for and nobody has, and what there is instead: a mistyped filter finds nobody, or all.

What was typed is tried in other spellings. Values that were not typed are shown of our own coded fields alone, never of
ids, names or texts.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from cohorts.connectors.base import Collection
from cohorts.connectors.filters.conditions import (
    All,
    AnyOf,
    Comparison,
    Contains,
    Filter,
    IsNull,
    Not,
    OneOf,
    Value,
)
from cohorts.connectors.filters.reading import quoted
from cohorts.connectors.patients import patient_field, patients_of

LOOKED_UP = 20  # values of a filter; each costs a search for one point
LOOKED_THROUGH = 2_000  # points, for the values of a field
SHOWN = 15
_ID = re.compile(r"(.*_)?id")
_CODE = re.compile(r"[A-Z]?\d[0-9A-Z]{1,2}\.?[0-9A-Z]{1,4}")
_CODES = ("codes", "principal_code")
_CLOSED = ("sex", "phenotype")  # their values are words of a vocabulary
_WORD = re.compile(r"[\w-]{1,40}")
_LABEL = re.compile(r"label_.+")
_FEW = 30  # values that a label may have: one with more may be a text
_LONG = 40


@dataclass(frozen=True)
class Lookup:
    """What is asked of a collection: whether any point passes a filter, and what its points hold in a field.

    `values` returns that of every point with its id, page by page, as a connector does.
    """

    collection: Collection
    any_passes: Callable[[Filter], bool]
    values: Callable[[str], Iterable[Sequence[tuple[str, Any]]]]

    def absent(self, where: Filter) -> tuple[str, ...]:
        """Return a sentence (no period) for every text, word or code in a filter that no point has, of the first 20."""
        asked = dict.fromkeys(islice(self._asked(where), LOOKED_UP))
        return tuple(self._told(field, value) for field, value in asked if not self._has(field, value))

    def _asked(self, where: Filter) -> Iterator[tuple[str, Value]]:
        match where:
            case All(parts) | AnyOf(parts):
                for part in parts:
                    yield from self._asked(part)
            case Not(Comparison(_, _, bool())):
                return  # `not died` is no mistake where all live
            case Not(part):
                yield from self._asked(part)
            case Comparison(field, "=" | "!=", value) | Contains(field, value) if self._is_looked_up(field):
                yield field, value
            case OneOf(field, values) if self._is_looked_up(field):
                yield from ((field, value) for value in values)

    def _is_looked_up(self, field: str) -> bool:
        is_id = field == patient_field(self.collection) or _ID.fullmatch(field)
        # Others' fields may be named by their paths, too; what they hold is not looked up.
        return not is_id and self.collection.fields.get(field) in (str, bool, list[str])

    def _has(self, field: str, value: Value) -> bool:
        if self.collection.fields[field] == list[str]:
            return self.any_passes(Contains(field, str(value)))
        return self.any_passes(Comparison(field, "=", value))

    def _told(self, field: str, value: Value) -> str:
        if not self.any_passes(IsNull(field, negated=True)):
            return f"no point has a value of {quoted(field)}"
        is_list = self.collection.fields[field] == list[str]
        told = f"no point has {quoted(field)} {'with' if is_list else '='} {_literal(value)}"
        if not isinstance(value, str):
            return told
        near = [other for other in spellings(value) if self._has(field, other)]
        if near:
            undotted = field in _CODES and "." in value and "." not in near[0]
            why = " (codes stand without their dot)" if undotted else ""
            return f"{told}; there is {_listed(near, 'and')}{why}"
        return told + self._instead(field, value)

    def _instead(self, field: str, value: str) -> str:
        """Return the values that a coded field has, the nearest where there are many; "" for any other field."""
        closed = field in _CLOSED
        if self.collection.attached or not (closed or _LABEL.fullmatch(field)):
            return ""
        points = self._first(field)
        patient = patient_field(self.collection)
        owners = {} if closed or patient is None else self._first(patient)
        whose: dict[str, set[str]] = {}
        for key, found in points.items():
            if isinstance(found, str):
                of_point = patients_of(patient, key, {} if patient is None else {patient: owners.get(key)})
                whose.setdefault(found, set()).update(of_point)
        if closed:
            shown = [one for one in whose if _WORD.fullmatch(one)]
        else:
            shown = [one for one, patients in whose.items() if len(patients) > 1 and _is_short(one)]
        if not shown or (not closed and len(whose) > _FEW):
            return ""
        nearest = sorted(difflib.get_close_matches(value, shown, SHOWN, cutoff=0.0))
        if len(nearest) == len(whose) and len(points) < LOOKED_THROUGH:
            return f"; {quoted(field)} is {_listed(nearest, 'or')}"
        return f"; there is {_listed(nearest, 'and')}, among others"

    def _first(self, field: str) -> dict[str, Any]:
        """Return what the first points hold in a field, by their ids."""
        return dict(islice(chain.from_iterable(self.values(field)), LOOKED_THROUGH))


def spellings(value: str) -> list[str]:
    """Return other ways to write a value: in other cases, without dots, zeros, blanks, wildcards; a code's category."""
    bare = value.strip()
    upper = bare.upper()
    code = upper.replace(".", "")
    others = [code, f"{code[:3]}.{code[3:]}", code[:3]] if _CODE.fullmatch(upper) else []
    others += [bare, upper, bare.lower(), bare.capitalize(), bare.title()]
    others += [
        bare.lower().replace(" ", "_"),
        bare.replace("_", " "),
        re.sub(r"\.0+$", "", bare),
        bare.lstrip("0"),
        bare.strip("%*"),
    ]
    return [other for other in dict.fromkeys(others) if other and other != value]


def _is_short(value: str) -> bool:
    return len(value) <= _LONG and value.isprintable()


def _listed(values: Sequence[str], word: str) -> str:
    *most, last = map(_literal, values)
    return f"{', '.join(most)} {word} {last}" if most else last


def _literal(value: Value) -> str:
    return f"'{value.replace(chr(39), chr(39) * 2)}'" if isinstance(value, str) else str(value).lower()
