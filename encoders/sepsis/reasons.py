"""Why a stay's risk is what it is: by how much it changes where something had not been measured, known or written.

Each variable, static column and note is taken away in turn, and the whole way from cells to risk is gone again: what
was known before is carried forward in its place, as it would have been. Single hours of a variable are taken away too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.encoders.sepsis.inputs import Inputs
from cohorts.encoders.sepsis.preparation import Preparation
from cohorts.encoders.sepsis.series import BEFORE, Cells, variables
from cohorts.encoders.sepsis.stays import Notes, Stays
from cohorts.records.measured.measures import load_measures

_LAST = 3  # the column of a cell's mean value


class Taken(NamedTuple):
    """What was taken away: a kind (static, series, notes), its name, and the step of a single hour, None for all."""

    kind: str
    name: str
    step: int | None = None


@dataclass(frozen=True)
class Reason:
    """By how much the risk would change without something, in probability: above 0 it raises the risk.

    `hours_before` the window's end is when the value stood that alone changes most, `value` is that value in `unit`;
    missing for what has no time or no number.
    """

    kind: str
    name: str
    change: float
    hours_before: float | None = None
    value: float | None = None
    unit: str = ""


def variants(preparation: Preparation, stay: Stays) -> tuple[list[Taken], Inputs]:
    """Return what can be taken away of one stay, and the inputs of the stay without each."""
    taken: list[Taken] = []
    copies: list[Stays] = []
    for what, copy in _less_static(preparation, stay):
        taken.append(what)
        copies.append(copy)
    for what, kept in _less_cells(preparation, stay.cells):
        taken.append(what)
        copies.append(replace(stay, cells=stay.cells.chosen(kept)))
    whole = preparation.inputs(stay)
    none = Notes(np.zeros(0, np.int64), np.zeros(0), [])
    parts = [replace(copy, notes=none) for copy in copies]
    made = preparation.inputs(Stays.join(parts)) if parts else whole.take(np.zeros(0, np.intp))
    notes, many = _less_notes(whole, len(parts))
    taken += [Taken("notes", f"note {place + 1}") for place in range(len(many) - len(parts))]
    again = whole.take(np.zeros(len(many) - len(parts), np.intp))
    joined = {
        name: np.concatenate([getattr(made, name), getattr(again, name)])
        for name in ("static", "series", "steps", "summary")
    }
    return taken, Inputs(**joined, notes=notes, many_notes=many)


def reasons_of(
    stay: Stays, taken: Sequence[Taken], changes: npt.NDArray[np.float64], most: int
) -> tuple[Reason, ...]:
    """Return the `most` strongest reasons of one stay; `changes` (taken,) is what each would change."""
    by_hour: dict[str, tuple[float, int]] = {}
    for what, change in zip(taken, changes.tolist(), strict=True):
        if what.step is not None and abs(change) > abs(by_hour.get(what.name, (0.0, 0))[0]):
            by_hour[what.name] = (change, what.step)
    made = [
        _reason(stay, what, change, by_hour.get(what.name))
        for what, change in zip(taken, changes.tolist(), strict=True)
        if what.step is None
    ]
    return tuple(sorted(made, key=lambda one: (-abs(one.change), one.kind, one.name))[:most])


def _reason(stay: Stays, what: Taken, change: float, hour: tuple[float, int] | None) -> Reason:
    if what.kind == "notes":
        place = int(what.name.removeprefix("note ")) - 1
        return Reason(what.kind, "note", change, float(stay.notes.hours[place]))
    if what.kind == "static":
        value = float(stay.static[0, list(stay.static_names).index(what.name)])
        return Reason(what.kind, what.name, change, value=None if np.isnan(value) else value)
    cells, variable = stay.cells, variables().index(what.name)
    own = np.flatnonzero(cells.variable == variable)
    at = own[-1] if hour is None else own[cells.step[own] == hour[1]][0]
    return Reason(
        what.kind,
        what.name,
        change,
        float(cells.ago_h[at]),
        float(cells.values[at, _LAST]),
        load_measures()[what.name].unit,
    )


def _less_static(preparation: Preparation, stay: Stays) -> Iterator[tuple[Taken, Stays]]:
    """Yield the stay without each static column that it has."""
    names = list(stay.static_names)
    for name in preparation.static.names:
        column = names.index(name)
        if not np.isnan(stay.static[0, column]):
            static = stay.static.copy()
            static[0, column] = np.nan
            yield Taken("static", name), replace(stay, static=static)


def _less_cells(preparation: Preparation, cells: Cells) -> Iterator[tuple[Taken, npt.NDArray[np.bool_]]]:
    """Yield which cells are left without each variable, and without each of its steps where it has several."""
    for name in preparation.series.measured:
        own = cells.variable == variables().index(name)
        if own.any():
            yield Taken("series", name), ~own
        steps = cells.step[own]
        if len(steps) > 1:
            for step in steps[steps != BEFORE].tolist():
                yield Taken("series", name, step), ~(own & (cells.step == step))


def _less_notes(whole: Inputs, copies: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the notes of so many copies, which keep them all, and of one more for each note, which lacks it."""
    many = int(whole.many_notes[0])
    notes = np.repeat(whole.notes, copies + many, axis=0)
    for place in range(many):
        row = notes[copies + place]
        row[place:-1] = whole.notes[0, place + 1 :]
        row[-1] = 0
    return notes, np.array([many] * copies + [many - 1] * many, np.int64)
