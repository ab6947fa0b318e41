"""What embedded Qdrant and the server share: filters, and what stands in a payload beside the user's own keys."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import repeat
from operator import attrgetter
from typing import Any

from cohorts.connectors.base import NOTHING, Hit, Payload, hits_of, make_hit
from cohorts.connectors.collection import OUR_PREFIX
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
from cohorts.connectors.index import Flat, Hnsw, Index
from cohorts.connectors.qdrant.ids import KEY_FIELD

INDEXING_THRESHOLD_KB = 1  # the engine's default of 10,000 kB would leave small collections without an index
OVERSAMPLING = 4.0  # candidates per neighbour asked for, where vectors are compressed
_WHOLE = {"gte": math.ceil, "gt": math.floor, "lt": math.ceil, "lte": math.floor}
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_score = attrgetter("score")  # a loop of Python over all hits would take a twentieth of a search
_digits = int.__repr__  # it refuses what is no number
_BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


@dataclass(frozen=True)
class Terms:
    """The classes that one client builds filters from."""

    filter: Callable[..., Any]
    field: Callable[..., Any]
    match: Callable[..., Any]
    numbers: Callable[..., Any]
    dates: Callable[..., Any]
    empty: Callable[[str], Any]
    flag: Callable[[str, bool], Any]


@dataclass(frozen=True)
class Compiler:
    """Translates filters; `fields` are their types, `paths` where a field stands under another payload key."""

    terms: Terms
    fields: Mapping[str, Any]
    paths: Mapping[str, str] = field(default_factory=dict)

    def compile(self, filter_: Filter) -> Any:
        """Return the client's filter; a missing value meets no comparison, negated ones included."""
        match filter_:
            case All(parts):
                return self.terms.filter(must=[self.compile(part) for part in parts])
            case AnyOf(parts):
                return self.terms.filter(should=[self.compile(part) for part in parts])
            case Not(part):
                return self.terms.filter(must_not=[self.compile(part)])
            case IsNull(name, negated):
                empty = [self.terms.empty(self._path(name))]
                return self.terms.filter(must_not=empty) if negated else self.terms.filter(must=empty)
            case Comparison(name, op, value) if op in _BOUNDS:
                return self.terms.filter(must=[self._range(name, **{_BOUNDS[op]: value})])
            case Comparison(name, op, value):
                return self._one_of(name, (value,), negated=op == "!=")
            case OneOf(name, values, negated):
                return self._one_of(name, values, negated=negated)
            case Contains(name, value, negated):
                return self._one_of(name, (value,), negated=negated)
            case _:
                raise TypeError(f"not a filter: {filter_!r}")

    def _path(self, name: str) -> str:
        return self.paths.get(name) or to_path(name)

    def _one_of(self, name: str, values: tuple[Value, ...], *, negated: bool) -> Any:
        any_of = [self._equal(name, value) for value in values]
        if negated:
            return self.terms.filter(must_not=[*any_of, self.terms.empty(self._path(name))])
        return self.terms.filter(should=any_of)

    def _equal(self, name: str, value: Value) -> Any:
        if isinstance(value, bool):
            return self.terms.flag(self._path(name), value)
        if isinstance(value, str) and self.fields.get(name) is not date:
            return self.terms.field(key=self._path(name), match=self.terms.match(value=value))
        return self._range(name, gte=value, lte=value)

    def _range(self, name: str, **bounds: Any) -> Any:
        if self.fields.get(name) is date:
            limits = self.terms.dates(**bounds)
        else:
            if self.fields.get(name) is int:  # the engine would cut the fraction off: n >= .5 would find 0
                bounds = {bound: _WHOLE[bound](value) for bound, value in bounds.items()}
            limits = self.terms.numbers(**{bound: float(value) for bound, value in bounds.items()})
        return self.terms.field(key=self._path(name), range=limits)


def may_lack_index(vectors: int, dim: int, segments: int) -> bool:
    """Tell whether so many vectors may have no index: a segment of so few, as an update makes, is searched whole."""
    return vectors * dim * 4 / 1024 <= INDEXING_THRESHOLD_KB * segments


def to_path(key: str) -> str:
    """Return the engine's path to a payload key, which in it stands in quotes unless it is plain."""
    return key if _PLAIN.fullmatch(key) else f'"{key}"'


def is_compressed(index: Index) -> bool:
    """Tell whether vectors may be kept compressed too, so that a search must score its candidates anew."""
    if isinstance(index, Hnsw):
        return index.quantization != "none"
    return not isinstance(index, Flat)


def why_exact(index: Index, indexed: int) -> str:
    """Return why every search is exact, '' where one may not be: without a graph, too, compressed vectors are read."""
    if isinstance(index, Flat):
        return "no index: search is exact"
    if not indexed and not is_compressed(index):
        return "no index yet or too few vectors for one: search is exact"
    return ""


def key_of(point: Any) -> str:
    """Return the key that a point was written under."""
    return str((point.payload or {}).get(KEY_FIELD, point.id))


def shown(payload: Mapping[str, Any] | None) -> Payload:
    """Return the payload without the keys that are ours."""
    return {key: value for key, value in (payload or {}).items() if not key.startswith(OUR_PREFIX)}


def to_hits(points: Sequence[Any]) -> list[Hit]:
    """Return what the engine found, under the keys that it was written under."""
    payloads = [
        point.payload or {} for point in points
    ]  # made for us alone: what is ours is taken out of them
    ids = [
        f"{id_}" if isinstance(id_ := point.id, int) else payload.pop(KEY_FIELD, str(id_))
        for point, payload in zip(points, payloads, strict=True)
    ]
    return hits_of(ids, map(_score, points), payloads)


def to_bare_hits(
    found: Sequence[Sequence[Any]], keys_of: Callable[[list[str]], Mapping[str, str]]
) -> list[list[Hit]]:
    """Return what was found without payloads; numbers are their own keys, the keys of UUIDs are asked for."""
    # In one pass over the points: each pass beside an embedded engine's search takes 1 to 2 % of it.
    try:
        return [
            [make_hit(Hit, (_digits(point.id), point.score, NOTHING)) for point in points] for points in found
        ]
    except TypeError:  # an id that is no number
        ids = [[f"{point.id}" for point in points] for points in found]
    keys = keys_of([one for row in ids for one in row if "-" in one])
    return [
        hits_of([keys.get(one, one) for one in row], map(_score, points), repeat(NOTHING))
        for row, points in zip(ids, found, strict=True)
    ]


def complete(
    hits: list[list[Hit]], k: int, exactly: Callable[[list[int]], list[list[Hit]]]
) -> tuple[list[list[Hit]], tuple[str, ...]]:
    """Search again, exactly, for the queries that came back short; a note says for how many that found more."""
    short = [row for row, found in enumerate(hits) if len(found) < k]
    if not short:
        return hits, ()
    better = {
        row: found for row, found in zip(short, exactly(short), strict=True) if len(found) > len(hits[row])
    }
    note = f"{len(better)} of {len(hits)} filtered queries came back short and were searched exactly"
    return [better.get(row, found) for row, found in enumerate(hits)], (note,) if better else ()
