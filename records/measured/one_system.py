"""Measurements in one system of units, with those that can't be marked: whole columns at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from cohorts.errors import SourceError
from cohorts.records.measured.measures import Measure, load_measures, measures_by_loinc
from cohorts.records.measured.mimic_items import mimic_items
from cohorts.records.measured.units import conversion

_TEXT, _NUMBER = (pa.string(), pa.large_string()), (pa.float64(),)
_NEEDED = {"code": _TEXT, "loinc": _TEXT, "value": _NUMBER, "uom": _TEXT}
_REFERENCE_RANGE = {"low": _NUMBER, "high": _NUMBER}
_ROWS_AT_ONCE = 1 << 20  # some 60 MiB are worked on


@dataclass(frozen=True)
class Measured:
    """Measurements in one system of units.

    `rows` are those given, in their order, with `value` and `uom` in the measure's unit where both measure and unit are
    known, and as they were elsewhere. `impossible` (n,) marks values outside their measure's bounds; `reasons` has one
    text for each of them, in their order, which names measure and bound and no value. `measures` (n,) are the measures'
    names, null where unknown. Rows are counted as `known` (measure and unit), `converted` (those of them in a unit with
    other numbers) and `without_unit` (a known measure in an unknown unit or in none).
    """

    rows: pa.Table
    impossible: pa.ChunkedArray
    reasons: pa.ChunkedArray
    measures: pa.ChunkedArray
    known: int
    converted: int
    without_unit: int


def to_one_system(measurements: pa.Table, *, mimic: bool) -> Measured:
    """Return measurements with values and units in one system, and which of them are impossible.

    `measurements` has the columns `code` (the source's item id), `loinc`, `uom` (text or dictionaries of text, all may
    be null), `value` (float64) and any others, which are handed on; where it has `low` and `high` (float64, a reference
    range in `uom`), they are converted too. With `mimic`, `code` holds item ids of MIMIC; they go before LOINC codes,
    and tell the unit where none is written. What is not in the tables is never guessed.

    Raises SourceError where a column is missing, or holds something else.
    """
    measurements = _checked(measurements)
    parts = [_measured(batch, mimic) for batch in measurements.combine_chunks().to_batches(_ROWS_AT_ONCE)]
    names = pa.dictionary(pa.int16(), pa.string())
    return Measured(
        rows=pa.Table.from_batches([part.rows for part in parts], measurements.schema),
        impossible=pa.chunked_array([part.impossible for part in parts], pa.bool_()),
        reasons=pa.chunked_array([part.reasons for part in parts], pa.string()),
        measures=pa.chunked_array([part.measures for part in parts], names),
        known=sum(part.known for part in parts),
        converted=sum(part.converted for part in parts),
        without_unit=sum(part.without_unit for part in parts),
    )


def _checked(measurements: pa.Table) -> pa.Table:
    """Return the table, its columns of the kinds needed also where they hold nulls alone. Raises SourceError."""
    if lacking := [name for name in _NEEDED if name not in measurements.column_names]:
        raise SourceError(f"The measurements have no column {lacking[0]}; they need {', '.join(_NEEDED)}.")
    read = _NEEDED | {
        name: kinds for name, kinds in _REFERENCE_RANGE.items() if name in measurements.column_names
    }
    for name, kinds in read.items():
        place, kind = measurements.column_names.index(name), measurements[name].type
        held = kind.value_type if pa.types.is_dictionary(kind) else kind
        if pa.types.is_null(held):
            nulls = pa.nulls(len(measurements), kinds[0])
            measurements = measurements.set_column(place, name, nulls)
        elif held not in kinds:
            raise SourceError(f"The measurements' column {name} holds {held}; it must hold {kinds[0]}.")
    return measurements


@dataclass(frozen=True)
class _Kinds:
    """Every measure with every unit that an item of it has by definition; number 0 is no measure."""

    measures: list[Measure | None]
    bounds: list[str | None]
    named: npt.NDArray[np.int16]
    by_definition: list[str]
    by_code: Mapping[str, int]
    by_loinc: Mapping[str, int]


@dataclass(frozen=True)
class _Part:
    rows: pa.RecordBatch
    impossible: pa.Array
    reasons: pa.Array
    measures: pa.Array
    known: int
    converted: int
    without_unit: int


class _Ways:
    """What becomes of each pair of a kind and a spelling of the unit; a pair is kind × spellings + spelling."""

    def __init__(self, counts: npt.NDArray[np.int64], spellings: list[str | None]) -> None:
        many = len(counts)
        self.offset, self.factor, self.factor_up_to_1 = np.zeros(many), np.ones(many), np.ones(many)
        self.lowest, self.highest = np.full(many, -np.inf), np.full(many, np.inf)
        self.changes = np.zeros(many, dtype=bool)
        self.uoms = list(spellings)
        self.uom = np.tile(np.arange(len(spellings), dtype=np.int32), many // len(spellings))
        self.known = self.converted = self.without_unit = 0
        for pair in np.flatnonzero(counts):
            self._add(int(pair), int(counts[pair]), *divmod(int(pair), len(spellings)))

    def _add(self, pair: int, count: int, kind: int, spelling: int) -> None:
        measure = _kinds().measures[kind]
        if measure is None:
            return
        way = conversion(measure.name, self.uoms[spelling], _kinds().by_definition[kind])
        if way is None:
            self.without_unit += count
            return
        self.known += count
        self.converted += count * way.changes
        self.changes[pair] = way.changes
        self.offset[pair], self.factor[pair] = way.offset, way.factor
        self.factor_up_to_1[pair] = way.factor_up_to_1
        self.lowest[pair], self.highest[pair] = measure.lowest, measure.highest
        if self.uoms[spelling] != measure.unit:
            self.uom[pair] = len(self.uoms)
            self.uoms.append(measure.unit)


def _measured(batch: pa.RecordBatch, mimic: bool) -> _Part:
    kinds = _kinds_of(batch, mimic)
    written, spellings = encoded(batch.column("uom"))
    pairs = kinds * len(spellings) + written
    ways = _Ways(np.bincount(pairs, minlength=len(_kinds().measures) * len(spellings)), spellings)
    rows = batch
    if ways.converted:
        changed = np.flatnonzero(ways.changes[pairs])
        for name in ("value", *(one for one in _REFERENCE_RANGE if one in batch.schema.names)):
            rows = _with(rows, name, _converted(batch.column(name), changed, pairs[changed], ways))
    values = rows.column("value").to_numpy(zero_copy_only=False)
    impossible = (values < ways.lowest[pairs]) | (values > ways.highest[pairs])
    return _Part(
        rows=_with(rows, "uom", _uoms(batch.column("uom"), pairs, ways, len(spellings))),
        impossible=pa.array(impossible),
        reasons=pa.array(_kinds().bounds, pa.string()).take(pa.array(kinds[impossible])),
        measures=pa.DictionaryArray.from_arrays(
            pa.array(_kinds().named[kinds], mask=kinds == 0), pa.array(list(load_measures()), pa.string())
        ),
        known=ways.known,
        converted=ways.converted,
        without_unit=ways.without_unit,
    )


def _kinds_of(batch: pa.RecordBatch, mimic: bool) -> npt.NDArray[np.int64]:
    kinds = np.zeros(len(batch), dtype=np.int64)
    if mimic:
        kinds = _looked_up(batch.column("code"), _kinds().by_code)
    loinc = batch.column("loinc")
    if loinc.null_count < len(loinc) and (unknown := np.flatnonzero(kinds == 0)).size:
        kinds[unknown] = _looked_up(loinc.take(pa.array(unknown)), _kinds().by_loinc)
    return kinds


def _looked_up(codes: pa.Array, kinds: Mapping[str, int]) -> npt.NDArray[np.int64]:
    places, distinct = encoded(codes)
    return np.array([kinds.get(code or "", 0) for code in distinct], dtype=np.int64)[places]


def encoded(texts: pa.Array) -> tuple[npt.NDArray[np.int32], list[str | None]]:
    """Return the place (n,) of every text among the distinct ones; null is the last of them."""
    encoded = texts if pa.types.is_dictionary(texts.type) else texts.dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    places = encoded.indices.cast(pa.int32()).fill_null(len(distinct))
    return places.to_numpy(), [*distinct, None]


def _converted(
    column: pa.Array, changed: npt.NDArray[np.int64], pairs: npt.NDArray[np.int64], ways: _Ways
) -> pa.Array:
    nulls = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
    values = np.array(column.to_numpy(zero_copy_only=False))
    written = values[changed]
    factor = np.where(written <= 1, ways.factor_up_to_1[pairs], ways.factor[pairs])
    values[changed] = (written + ways.offset[pairs]) * factor
    return pa.array(values, mask=nulls)


def _uoms(column: pa.Array, pairs: npt.NDArray[np.int64], ways: _Ways, written: int) -> pa.Array:
    if len(ways.uoms) == written:  # every one is written as we write it, or unknown
        return column
    places = ways.uom[pairs]
    is_text = np.array([text is not None for text in ways.uoms])
    among_texts = np.cumsum(is_text, dtype=np.int32) - is_text  # a null's place is masked
    encoded = pa.array(among_texts[places], mask=~is_text[places])
    texts = pa.array([text for text in ways.uoms if text is not None], pa.string())
    return pa.DictionaryArray.from_arrays(encoded, texts).cast(column.type)


def _with(batch: pa.RecordBatch, name: str, column: pa.Array) -> pa.RecordBatch:
    return batch.set_column(batch.schema.get_field_index(name), batch.schema.field(name), column)


@cache
def _kinds() -> _Kinds:
    kinds: dict[tuple[str, str], int] = {}
    by_code, by_loinc = {}, {}
    for code, item in mimic_items().items():
        if item.name in load_measures():
            by_code[code] = kinds.setdefault((item.name, item.unit), len(kinds) + 1)
    for code, measure in measures_by_loinc().items():
        by_loinc[code] = kinds.setdefault((measure.name, ""), len(kinds) + 1)
    places = {name: place for place, name in enumerate(load_measures())}
    measures = [None, *(load_measures()[name] for name, _ in kinds)]
    return _Kinds(
        measures=measures,
        bounds=[one.bound if one else None for one in measures],
        named=np.array([0, *(places[name] for name, _ in kinds)], dtype=np.int16),
        by_definition=["", *(unit for _, unit in kinds)],
        by_code=by_code,
        by_loinc=by_loinc,
    )
