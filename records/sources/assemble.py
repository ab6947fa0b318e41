"""Rows of some patients, as SELECTs give them, checked, counted, ordered and joined to a batch.

What comes in has the columns of selects.FRAME_COLUMNS. Patients and admissions are few and go by pandas; the other
frames hold millions of rows, and go by Arrow and numpy.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from cohorts.records.base import (
    CODE_COLUMNS,
    EVENT_COLUMNS,
    MEASUREMENT_COLUMNS,
    NOTE_COLUMNS,
    Batch,
    Unit,
    empty_frame,
    typed,
)
from cohorts.records.measured.amounts import amounts_in_one_system
from cohorts.records.measured.one_system import to_one_system
from cohorts.records.sources.admission_ids import AdmissionIds
from cohorts.records.sources.admissions import People, Titles, admissions_of, people_of, units_of
from cohorts.records.sources.icd import BAD_ICD, distinct, is_impossible
from cohorts.records.sources.partitioned import Account, Assembled, named_bad

Bools = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]

_MADE: Mapping[str, tuple[Mapping[str, str], Sequence[str]]] = {
    "codes": (CODE_COLUMNS, ("kind", "admission_id", "rank")),
    "notes": (NOTE_COLUMNS, ("time", "category")),
    "measurements": (MEASUREMENT_COLUMNS, ("time", "item")),
    "events": (EVENT_COLUMNS, ("time", "kind")),
}  # of each frame of a batch: its columns, and how it is sorted within a unit
_CALLED = {
    "diagnosis": "diagnoses",
    "procedure": "procedures",
    "drug": "prescriptions",
    "laboratory": "measurements",
    "vital": "vital signs",
    "output": "outputs",
    "icu stay": "stays",
    "transfer": "transfers",
    "service": "services",
    "drg": "diagnosis related groups",
    "input": "inputs",
    "bedside procedure": "bedside procedures",
    "culture": "cultures",
    "susceptibility": "susceptibilities",
    "observation": "observations",
    "other": "other events",
}  # how rows of a kind are counted
_OF_NO_KIND = {"events": "other events"}
_LAST = np.iinfo(np.int64).max


def assemble(
    frames: Mapping[str, pa.Table],
    unit: Unit,
    titles: Titles,
    of_all: AdmissionIds,
    *,
    mimic: bool,
    loose: bool = False,
) -> Assembled:
    """Return the part that these patients are; `of_all` knows the admissions of all patients.

    Of `frames`, patients, admissions, codes and stays must be there. With `mimic`, items are numbered as in MIMIC; rows
    of admissions that nobody has are left out, or, where they are `loose`, of their patient alone.
    """
    frames = {**frames, "stays": _as_events(frames["stays"])}
    people, account = people_of(frames["patients"], frames["admissions"])
    accounts = {"units": account} | {name: Account() for name in frames}
    rows = {name: _Rows(frames[name], people, accounts[name]) for name in ("stays", *_MADE) if name in frames}
    for one in rows.values():
        one.keep_known(of_all, loose=loose)
        one.keep_used()
    _check_codes(rows["codes"])
    if "notes" in rows:
        rows["notes"].keep_given("text", "without text")
    if "measurements" in rows:
        rows["measurements"].measure_in_one_system(mimic)
    if "events" in rows:
        rows["events"].table = amounts_in_one_system(rows["events"].table)
    rows["codes"].date_by_admissions()
    _count(rows)
    coded, stays = rows["codes"].table, rows["stays"].table  # of the patient, whatever the unit
    if unit is Unit.ADMISSION:
        for one in rows.values():
            one.keep_of_admissions()
    many = len(people.patients if unit is Unit.PATIENT else people.admissions)

    def make() -> Batch:
        return _batch(units_of(people, coded, stays, unit, titles), admissions_of(people, unit), rows, unit)

    return Assembled(many, accounts, _noted(rows), make)


def _batch(units: pd.DataFrame, admissions: pd.DataFrame, rows: Mapping[str, "_Rows"], unit: Unit) -> Batch:
    if "events" in rows:
        rows = {**rows, "events": rows["events"].with_rows(rows["stays"])}
    made = {
        name: rows[name].of_units(units["unit_id"], unit, columns, by)
        for name, (columns, by) in _MADE.items()
        if name in rows
    }
    lacking = {name: empty_frame(columns) for name, (columns, _) in _MADE.items() if name not in rows}
    return Batch(units=units, admissions=admissions, **made, **lacking)


def _noted(rows: Mapping[str, "_Rows"]) -> pd.DataFrame:
    """Return the category, admission_id and patient_id of every note."""
    columns = ["category", "admission_id", "patient_id"]
    return (
        rows["notes"].table.select(columns).to_pandas() if "notes" in rows else pd.DataFrame(columns=columns)
    )


class _Rows:
    """The rows of one frame, and of whom they are: places in the patients and in the admissions, -1 for none."""

    def __init__(self, table: pa.Table, people: People, account: Account) -> None:
        self.table, self.account, self._people = table, account, people
        self.patient = places_in(table.column("patient_id"), people.patients["patient_id"])
        self.admission = places_in(table.column("admission_id"), people.admissions["admission_id"])

    def keep_known(self, of_all: AdmissionIds, *, loose: bool) -> None:
        """Keep what is of patients and admissions that are known, and of both together."""
        stranger = self.patient < 0
        given = self.table.column("admission_id").is_valid().to_numpy()
        owner = np.append(self._people.patient_of, -1)[self.admission]
        unknown = ~stranger & given & (owner != self.patient)
        cut_away = unknown.copy()
        cut_away[unknown] = of_all.lacks(self.table.column("admission_id").filter(pa.array(unknown)))
        self._count_left_out(stranger, "of patients that the patients' table does not have")
        self._name_bad(unknown & ~cut_away, "an admission of another patient")
        if loose:
            self._take_from_admissions(cut_away)
            unknown &= ~cut_away
        else:
            self._count_left_out(cut_away, "of admissions that the admissions' table does not have")
        self._keep(~(stranger | unknown))

    def _take_from_admissions(self, where: Bools) -> None:
        """Let rows be of their patient alone, and count them."""
        if where.any():
            place, ids = self.table.column_names.index("admission_id"), self.table.column("admission_id")
            none = pa.scalar(None, ids.type)
            self.table = self.table.set_column(place, "admission_id", pc.if_else(pa.array(where), none, ids))
            for one in pc.value_counts(self.table.column("table").filter(pa.array(where))).to_pylist():
                self.account.counts[f"rows of {one['values']} whose admission is not there"] += one["counts"]

    def keep_used(self) -> None:
        """Keep what the source itself does not leave out."""
        reasons = self.table.column("left_out")
        for reason in sorted(pc.unique(reasons).drop_null().to_pylist()):
            self._count_left_out(_true(pc.equal(reasons, reason)), reason)
        self._keep(reasons.is_null().to_numpy())
        for remark in pc.value_counts(self.table.column("remark")).to_pylist():
            if remark["values"] is not None:
                self.account.remarks[f"rows {remark['values']}"] += remark["counts"]

    def keep_given(self, column: str, why: str) -> None:
        """Keep rows that have a value there."""
        given = self.table.column(column).is_valid().to_numpy()
        self._count_left_out(~given, why)
        self._keep(given)

    def keep_of_admissions(self) -> None:
        """Keep what is of an admission."""
        self._count_left_out(self.admission < 0, "without an admission")
        self._keep(self.admission >= 0)

    def keep_possible(self, wrong: Bools, reason: str | Sequence[str]) -> None:
        """Take out, and name as bad, what is wrong: for one reason, or each for its own."""
        self._name_bad(wrong, reason)
        self._keep(~wrong)

    def measure_in_one_system(self, mimic: bool) -> None:
        """Write values in one system of units; those that can't be are bad."""
        measured = to_one_system(self.table, mimic=mimic)
        self.table = measured.rows
        self.keep_possible(measured.impossible.to_numpy(), measured.reasons.to_pylist())

    def date_by_admissions(self) -> None:
        """Add when the admission of each row began, null without one."""
        began = pa.array(self._people.admissions["admitted"], pa.timestamp("us"))
        place = pa.array(self.admission, mask=self.admission < 0)
        self.table = self.table.append_column("admitted", began.take(place))

    def _count_left_out(self, where: Bools, why: str) -> None:
        if where.any():
            gone = self.table.column("table").filter(pa.array(where))
            for one in pc.value_counts(gone).to_pylist():
                self.account.left_out[f"rows of {one['values']} {why}"] += one["counts"]

    def _name_bad(self, where: Bools, reason: str | Sequence[str]) -> None:
        if where.any():
            gone = self.table.filter(pa.array(where))
            self.account.bad += named_bad(gone.column("table").to_pylist(), gone, reason)

    def _keep(self, where: Bools) -> None:
        if not where.all():
            self.table = self.table.filter(pa.array(where))
            self.patient, self.admission = self.patient[where], self.admission[where]

    def with_rows(self, other: "_Rows") -> "_Rows":
        """Return these rows and others behind them."""
        return _Rows(
            pa.concat_tables([self.table, other.table], promote_options="default"), self._people, self.account
        )

    def of_units(
        self, ids: "pd.Series[str]", unit: Unit, columns: Mapping[str, str], by: Sequence[str]
    ) -> pd.DataFrame:
        """Return the rows with their `unit_id`, in the units' order and then sorted `by`; else in the file's order."""
        place = self.patient if unit is Unit.PATIENT else self.admission
        keys = [_sortable(self.table.column(name)) for name in reversed(by)]
        order = np.lexsort([*keys, place])
        units = pa.array(ids, pa.string()).take(pa.array(place[order]))
        rows = self.table.select([name for name in columns if name in self.table.column_names])
        return typed(rows.take(order).add_column(0, "unit_id", units).to_pandas(), columns)


def _as_events(stays: pa.Table) -> pa.Table:
    """Return stays in intensive care as the events that they are."""
    for name, value in (("kind", "icu stay"), ("system", "name"), ("uom", "day")):
        stays = stays.append_column(name, pa.repeat(pa.scalar(value), stays.num_rows))
    return stays


def places_in(column: pa.ChunkedArray, ids: "pd.Series[str]") -> Places:
    """Return where each id stands among `ids`, (rows,), -1 for none of them."""
    found: Places = pc.fill_null(pc.index_in(column, pa.array(ids, pa.string())), -1).to_numpy()
    return found.astype(np.int64)


def _sortable(column: pa.ChunkedArray) -> Any:
    """Return numbers in the order of the values, (rows,); what is missing comes last."""
    if pa.types.is_floating(column.type):
        return pc.fill_null(column, np.inf).to_numpy()
    if pa.types.is_timestamp(column.type):
        return pc.fill_null(column.cast(pa.int64()), _LAST).to_numpy()
    known = column.combine_chunks().dictionary_encode()
    rank = np.empty(len(known.dictionary) + 1, np.int64)
    rank[pc.sort_indices(known.dictionary).to_numpy()] = np.arange(len(known.dictionary))
    rank[-1] = _LAST
    return rank[pc.fill_null(known.indices, len(known.dictionary)).to_numpy()]


def _true(mask: pa.ChunkedArray) -> Bools:
    known: Bools = pc.fill_null(mask, False).to_numpy()
    return known


def _check_codes(rows: _Rows) -> None:
    rows.keep_given("code", "without a code")
    place, rank = rows.table.column_names.index("rank"), rows.table.column("rank")
    rows.table = rows.table.set_column(place, "rank", pc.if_else(pc.is_finite(rank), pc.round(rank), None))
    few, places, _ = distinct(rows.table.select(["kind", "system", "code"]))
    rows.keep_possible(is_impossible(few.to_pandas())[places], BAD_ICD)


def _count(rows: Mapping[str, _Rows]) -> None:
    """Count the rows of every frame, by kind."""
    for name, one in rows.items():
        counts = one.account.counts
        if name == "codes":
            for kind, system, many in _groups(one.table, "kind", "system"):
                called = _CALLED.get(kind, kind)
                counts[called] += many
                if kind != "drug":
                    counts[f"{called} {system}"] += many
            continue
        if name in ("notes", "measurements"):
            counts[name] += 0  # told even if there are none
        for kind, many in [("notes", one.table.num_rows)] if name == "notes" else _groups(one.table, "kind"):
            counts[_CALLED.get(kind, kind) if kind else _OF_NO_KIND.get(name, name)] += many


def _groups(table: pa.Table, *columns: str) -> list[tuple[Any, ...]]:
    """Return the distinct values of some columns, and behind them how many rows have them."""
    found = table.group_by(list(columns), use_threads=False).aggregate([([], "count_all")]).to_pylist()
    return [(*(one[name] for name in columns), one["count_all"]) for one in found]
