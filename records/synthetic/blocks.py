"""A hospital written block by block: all tables of some patients, then those of the next."""

from collections.abc import Mapping
from pathlib import Path
from random import Random

import pyarrow as pa
from cohorts.records.synthetic.admissions import write_admissions, write_patients
from cohorts.records.synthetic.care import write_bedside, write_inputs
from cohorts.records.synthetic.coding import new_codes, write_diagnoses, write_groups, write_procedures
from cohorts.records.synthetic.courses import write_labs, write_outputs, write_signs
from cohorts.records.synthetic.cultures import culture, write_cultures
from cohorts.records.synthetic.dictionaries import write_dictionaries
from cohorts.records.synthetic.facts import facts_of
from cohorts.records.synthetic.movements import move, write_movements
from cohorts.records.synthetic.network import Streams
from cohorts.records.synthetic.notes import VALUES, Row, write_notes
from cohorts.records.synthetic.orders import drugs, order, write_orders
from cohorts.records.synthetic.patients import invent
from cohorts.records.synthetic.plants.declared import Plants
from cohorts.records.synthetic.plants.planting import Planted, Planting, Truth
from cohorts.records.synthetic.tables import Tables

HELD_BACK = 0.5  # share of a block's notes that waits for the next block, so that patients' notes lie apart
_NOTE_COLUMNS = [
    "SUBJECT_ID",
    "HADM_ID",
    "CHARTDATE",
    "CHARTTIME",
    "CATEGORY",
    "DESCRIPTION",
    "ISERROR",
    "TEXT",
]


class Blocks:
    """Writes the tables of a hospital, and what was planted where something was."""

    def __init__(
        self, folder: Path, plants: Plants, start: tuple[int, int], first: int, patients: int
    ) -> None:
        self._folder, self._start, self._first, self._patients = folder, start, first, patients
        self._planting = Planting(plants, start[1], first, patients)
        self._truth = Truth(self._planting)
        self._waiting: list[Row] = []

    def write(self, at_once: int) -> Mapping[str, int]:
        """Write everything, `at_once` patients at a time; return the rows of each table."""
        with Tables(self._folder) as tables:
            write_dictionaries(
                tables, {code: self._planting.titles[code] for code in new_codes(self._planting)}
            )
            for block in range(0, self._patients, at_once):
                self._write_block(tables, block, min(at_once, self._patients - block))
            _add_notes(tables, self._waiting)
        if self._planting.plants != Plants():
            self._truth.write(self._folder)
        return dict(tables.rows)

    def _write_block(self, tables: Tables, block: int, many: int) -> None:
        streams = Streams(*self._start, block)
        patients, stays = invent(streams, self._first + block, many, self._planting)
        planted, where = Planted(self._planting, stays), move(streams, stays)
        orders = order(streams, stays, where, planted)
        names = [*drugs().names, *self._planting.new_drugs]
        planted.react(
            {
                one.drug: orders.first(names.index(one.drug), len(stays))
                for one in self._planting.plants.reaction
            }
        )
        self._truth.add(planted)
        write_patients(tables, patients)
        write_admissions(tables, streams, stays)
        write_movements(tables, streams, stays, where)
        write_diagnoses(tables, streams, stays, planted)
        write_procedures(tables, streams, stays)
        write_groups(tables, streams, stays)
        write_orders(tables, streams, stays, where, orders, planted)
        write_cultures(tables, streams, stays, culture(streams, stays, where))
        write_inputs(tables, streams, stays, where, orders)
        write_bedside(tables, streams, stays, where)
        write_outputs(tables, streams, stays, where, orders, planted)
        values = write_labs(tables, streams, stays, orders, planted)
        values |= write_signs(tables, streams, stays, where, orders, planted)
        values = {name: values[name] for name in VALUES}
        rng = Random(f"cohorts-synth/{self._start}/{block}")
        for facts in facts_of(streams, stays, orders, planted, values):
            self._waiting += write_notes(rng, facts)
        rng.shuffle(self._waiting)
        ready = int(len(self._waiting) * (1 - HELD_BACK))
        _add_notes(tables, self._waiting[:ready])
        del self._waiting[:ready]


def _add_notes(tables: Tables, rows: list[Row]) -> None:
    columns = dict(zip(_NOTE_COLUMNS, map(pa.array, zip(*rows, strict=True)), strict=False))
    tables.add("NOTEEVENTS", len(rows), **columns, STORETIME=columns.get("CHARTTIME"))
