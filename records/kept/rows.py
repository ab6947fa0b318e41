"""Batches as rows of two tables: every code, measurement and event of a unit in one, its admissions in the other.

No note is among them. A cell of text is a name, a code, a unit or a dose: one that is too long for that, or has several
lines, is left out and counted.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from cohorts.records.arrow_types import ARROW_TYPES
from cohorts.records.base import (
    ADMISSION_COLUMNS,
    CODE_COLUMNS,
    EVENT_COLUMNS,
    MEASUREMENT_COLUMNS,
    Batch,
)

MOST_CHARACTERS = 255  # of a cell of text: MIMIC's longest names of drugs have as many
_IDS = ("unit_id", "patient_id", "admission_id")
_TIME = pa.timestamp("us")

EVENTS = pa.schema(
    [
        ("unit_id", pa.string()),
        ("patient_id", pa.string()),
        ("admission_id", pa.string()),
        (
            "kind",
            pa.string(),
        ),  # diagnosis, procedure, drug, laboratory, vital, output, icu stay, …: all of the batch's
        ("system", pa.string()),  # of the code; missing for measurements
        ("code", pa.string()),  # of a measurement the source's number of the item
        ("name", pa.string()),  # of an event or an item, by the source's dictionary
        ("rank", pa.int64()),  # of a diagnosis or procedure within its admission
        ("time", _TIME),  # diagnoses have none
        ("stop", _TIME),
        ("value", pa.float64()),  # in `uom`
        ("uom", pa.string()),
        ("rate", pa.float64()),  # in `rate_uom`
        ("rate_uom", pa.string()),
        ("low", pa.float64()),  # of the reference range, in `uom`
        ("high", pa.float64()),
        ("flag", pa.string()),
        ("result", pa.string()),
        ("loinc", pa.string()),
        ("route", pa.string()),
        ("dose", pa.string()),  # of a drug, as the source has it
        ("dose_uom", pa.string()),
        ("ndc", pa.string()),
        ("block", pa.int32()),  # the same in all rows of a unit, here and among its outcomes
    ]
)
"""Columns of events.parquet: rows as in a batch's `codes`, `measurements` and `events`, whose columns these are.

A measurement's `item` is its `name`. When a code's admission began stands among the outcomes.
"""
OUTCOMES = pa.schema(
    [
        *((name, ARROW_TYPES[kind]) for name, kind in ADMISSION_COLUMNS.items()),
        ("described", pa.bool_()),  # whether it is the admission that the unit's row in the batch describes
        ("age", pa.float64()),  # of the unit, at the admission described; over 89 is 90
        ("sex", pa.string()),
        ("block", pa.int32()),  # of the unit's events
    ]
)
"""Columns of outcomes.parquet: a batch's `admissions`, with age and sex of the unit.

A unit of which no admission is told has one row too, with what else is known of it, and is `described` there.
"""


def events_of(batch: Batch, ids: Sequence[str], left_out: Counter[str]) -> Iterator[tuple[str, Any]]:
    """Yield (kind, table) of a batch: the columns of EVENTS that its kind has, in the order of the units.

    `ids[i]` is what unit i is called in the collection. Texts that are left out are counted by column.
    """
    people = _People(batch, ids)
    for frame, columns in (
        (batch.codes, CODE_COLUMNS),
        (batch.measurements, MEASUREMENT_COLUMNS),
        (batch.events, EVENT_COLUMNS),
    ):
        if len(frame):
            told = _table(frame, columns)
            told = told.rename_columns(["name" if one == "item" else one for one in columns])
            told = told.select([one for one in told.column_names if one in EVENTS.names])
            for kind, some in by_kind(told):
                yield kind, people.named(_short(some, left_out))


def outcomes_of(batch: Batch, ids: Sequence[str], left_out: Counter[str]) -> Any:
    """Return the outcomes of a batch, in the order of the units: all columns but `block`. Else as `events_of`."""
    units, people = batch.units, _People(batch, ids)
    bare = units[~units["unit_id"].isin(batch.admissions["unit_id"])]
    known = {name: kind for name, kind in ADMISSION_COLUMNS.items() if name in units}
    rows = pa.concat_tables(
        [_table(batch.admissions, ADMISSION_COLUMNS), _table(bare, known)], promote_options="default"
    )
    at = people.at(rows)
    about = _table(units, {"admission_id": "str", "age": "float64", "sex": "str"}).take(at)
    is_bare = pa.array(np.arange(len(rows)) >= len(batch.admissions))
    same = pc.fill_null(pc.equal(rows["admission_id"], about["admission_id"]), fill_value=False)
    rows = rows.append_column("described", pc.or_(is_bare, same))
    for name in ("age", "sex"):
        rows = rows.append_column(name, about[name])
    rows = people.named(_short(rows, left_out))
    return rows.take(pc.sort_indices(at)).select(OUTCOMES.names[:-1])


class _People:
    """Who the units of a batch are: rows get the unit's id in the collection, and the patient's."""

    def __init__(self, batch: Batch, ids: Sequence[str]) -> None:
        self._units = _table(batch.units, {"unit_id": "str"})["unit_id"].combine_chunks()
        self._ids = pa.array(ids, pa.string())
        patients, names = pd.factorize(batch.units["patient_id"])
        self._patients, self._names = pa.array(patients, pa.int32()), pa.array(list(names), pa.string())

    def at(self, table: Any) -> Any:
        """Return the number of every row's unit in the batch."""
        return pc.index_in(table["unit_id"].combine_chunks(), value_set=self._units)

    def named(self, table: Any) -> Any:
        """Return the table with its ids, those of units and patients without a look at each."""
        at = self.at(table)
        owned = {
            "unit_id": pa.DictionaryArray.from_arrays(at, self._ids),
            "patient_id": pa.DictionaryArray.from_arrays(self._patients.take(at), self._names),
        }
        for name, column in owned.items():
            if name in table.column_names:
                table = table.drop_columns([name])
            table = table.append_column(name, column)
        return table


def _table(frame: pd.DataFrame, columns: Mapping[str, str]) -> Any:
    """Return these columns of a frame, of their types; what the frame has besides is left out."""
    schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in columns.items()])
    return pa.Table.from_pandas(frame, schema=schema, preserve_index=False).replace_schema_metadata(None)


def by_kind(table: Any) -> Iterator[tuple[str, Any]]:
    """Yield (kind, table) of rows of EVENTS; those without a kind are of ""."""
    kinds = table["kind"].unique().to_pylist()
    for kind in kinds:
        mine = pc.equal(table["kind"], kind) if kind is not None else pc.is_null(table["kind"])
        yield kind or "", table if len(kinds) == 1 else table.filter(mine)


def encoded(table: Any) -> Any:
    """Return a table with its texts as dictionaries of the words that stand in it, and of no others."""
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            table = table.set_column(
                place, field.name, table.column(place).combine_chunks().dictionary_encode()
            )
    return table


def _short(table: Any, left_out: Counter[str]) -> Any:
    """Return a table encoded, less the texts that are too long to be a name."""
    table = encoded(table)
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type) and field.name not in _IDS:
            column = _less_long(table.column(place).combine_chunks(), field.name, left_out)
            table = table.set_column(place, field.name, column)
    return table


def _less_long(column: Any, name: str, left_out: Counter[str]) -> Any:
    words = column.dictionary
    lines = pc.match_substring_regex(words, r"[\r\n]")
    is_long = pc.or_(lines, pc.greater(pc.utf8_length(words), MOST_CHARACTERS))
    if not pc.any(is_long).as_py():
        return column
    rows = is_long.take(column.indices)
    left_out[name] += pc.sum(rows).as_py() or 0
    # Made anew: the words of a dictionary are written, whether or not a row has them.
    return pc.if_else(rows, None, column.cast(pa.string())).dictionary_encode()
