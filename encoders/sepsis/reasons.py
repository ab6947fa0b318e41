"""Why a stay's risk is what it is: by how much it changes where something had not been measured, known or written.

Each variable, static column and note is taken away in turn, and the whole way from cells to risk is gone again: what
was known before is carried forward in its place, as it would have been. Single hours of a variable are taken away too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.encoders.base import Explanation
from cohorts.encoders.pooling import unit_rows
from cohorts.encoders.sepsis.inputs import Inputs
from cohorts.encoders.sepsis.preparation import Preparation
from cohorts.encoders.sepsis.series import BEFORE, variables
from cohorts.encoders.sepsis.stays import Notes, Stays
from cohorts.encoders.sepsis.training import Trained
from cohorts.records.measured.measures import load_measures

REASONS = 6  # told of a vector
_MEAN = 3  # the column of a cell's mean value
_LEAST = 0.5  # degrees: what turns a vector less is no reason
_NO_NOTES = Notes(np.zeros(0, np.int64), np.zeros(0), [])


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


def variants(preparation: Preparation, stay: Stays, *, hours: bool) -> tuple[list[Taken], Inputs]:
    """Return what can be taken away of one stay, single hours too if asked for, and its inputs without each."""
    taken: list[Taken] = []
    copies: list[Stays] = []
    for what, copy in (*_less_static(preparation, stay), *_less_series(preparation, stay, hours)):
        taken.append(what)
        copies.append(replace(copy, notes=_NO_NOTES))
    whole = preparation.inputs(stay)
    made = preparation.inputs(Stays.join(copies)) if copies else whole.take(np.zeros(0, np.intp))
    notes, many = _less_notes(whole, len(copies))
    taken += [Taken("notes", f"note {place + 1}") for place in range(len(many) - len(copies))]
    again = whole.take(np.zeros(len(many) - len(copies), np.intp))
    joined = {
        name: np.concatenate([getattr(made, name), getattr(again, name)])
        for name in ("static", "series", "steps", "summary")
    }
    return taken, Inputs(**joined, notes=notes, many_notes=many)


def turns(trained: Trained, preparation: Preparation, stay: Stays) -> Explanation:
    """Return the angles by which a stay's vector turns without each thing, the widest first.

    What came from notes is told by what their absence turns, beside that of static data and of series.
    """
    taken, without = variants(preparation, stay, hours=False)
    whole = preparation.inputs(stay)
    hidden = (
        replace(whole, many_notes=np.zeros_like(whole.many_notes)),
        preparation.inputs(replace(stay, cells=stay.cells.chosen(slice(0)), notes=_NO_NOTES)),
        preparation.inputs(replace(stay, static=np.full_like(stay.static, np.nan), notes=_NO_NOTES)),
    )
    branches = [
        hidden[0],
        *(replace(one, notes=whole.notes, many_notes=whole.many_notes) for one in hidden[1:]),
    ]
    vector = trained.vectors(whole)
    of_notes, *others = (float(_angles(vector, trained.vectors(one))[0]) for one in branches)
    angles = _angles(vector, trained.vectors(without))
    told = [
        (f"{what.kind}:{what.name}", round(angle, 1))
        for what, angle in zip(taken, angles.tolist(), strict=True)
        if angle >= _LEAST
    ]
    share = of_notes / max(of_notes + sum(others), _LEAST)
    return Explanation(share, tuple(sorted(told, key=lambda one: (-one[1], one[0]))[:REASONS]))


def _angles(vector: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the angles in degrees between a vector (1, dim) and others (n, dim), (n,); 90 to one of zeros."""
    made: npt.NDArray[np.float64] = np.degrees(
        np.arccos(np.clip(unit_rows(others) @ unit_rows(vector)[0], -1, 1))
    )
    return made.astype(np.float64)


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
        float(cells.values[at, _MEAN]),
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


def _less_series(preparation: Preparation, stay: Stays, hours: bool) -> Iterator[tuple[Taken, Stays]]:
    """Yield the stay without each variable and, if asked for, without each of its steps where it has several."""
    cells = stay.cells
    for name in preparation.series.measured:
        own = cells.variable == variables().index(name)
        if own.any():
            yield Taken("series", name), replace(stay, cells=cells.chosen(~own))
        steps = cells.step[own]
        if hours and len(steps) > 1:
            for step in steps[steps != BEFORE].tolist():
                kept = ~(own & (cells.step == step))
                yield Taken("series", name, step), replace(stay, cells=cells.chosen(kept))


def _less_notes(whole: Inputs, copies: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the notes of so many copies, which keep them all, and of one more for each note, which lacks it."""
    many = int(whole.many_notes[0])
    notes = np.repeat(whole.notes, copies + many, axis=0)
    for place in range(many):
        row = notes[copies + place]
        row[place:-1] = whole.notes[0, place + 1 :]
        row[-1] = 0
    return notes, np.array([many] * copies + [many - 1] * many, np.int64)
