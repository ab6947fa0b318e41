"""Why a stay's risk is what it is: by how much it changes where something had not been measured, known or written.

Each variable, static column and note is taken away in turn, and the whole way from cells to risk is gone again: what
was known before is carried forward in its place, as it would have been. Single hours of a variable are taken away too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.encoders.base import Explanation
from cohorts.encoders.pooling import unit_rows
from cohorts.encoders.sepsis.inputs import Inputs
from cohorts.encoders.sepsis.preparation import Preparation
from cohorts.encoders.sepsis.series import BEFORE, variables
from cohorts.encoders.sepsis.settings import NOTES, SERIES, STATIC
from cohorts.encoders.sepsis.stays import Stays
from cohorts.encoders.sepsis.training import Trained
from cohorts.records.measured.measures import load_measures

REASONS = 6  # told of a vector
_MEAN = 3  # the column of a cell's mean value
_LEAST = 0.5  # degrees: what turns a vector less is no reason
_STAYS_AT_ONCE = 32


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


class Variants(NamedTuple):
    """Stays without something: v of them, `of` (v,) the row of the stay that each is of, and what the network sees."""

    of: npt.NDArray[np.intp]
    taken: list[Taken]
    inputs: Inputs


def variants(preparation: Preparation, stays: Stays, whole: Inputs, *, hours: bool) -> Variants:
    """Return stays without each thing that they have and the network reads, single hours too if asked for.

    `whole` is what the network sees of the stays as they are. A step that a stay had it keeps, though nothing be left
    in it.
    """
    branches = preparation.settings.chosen
    parts = [_less_nothing(whole)]
    if STATIC in branches:
        parts.append(_less_static(preparation, stays, whole))
    if SERIES in branches:
        parts.append(_less_series(preparation, stays, whole, hours))
    if NOTES in branches:
        parts.append(_less_notes(whole))
    names = [one.name for one in fields(Inputs)]
    joined = {name: np.concatenate([getattr(part.inputs, name) for part in parts]) for name in names}
    return Variants(
        np.concatenate([part.of for part in parts]),
        [what for part in parts for what in part.taken],
        Inputs(**joined),
    )


def turns(trained: Trained, preparation: Preparation, stays: Stays) -> list[Explanation]:
    """Return of every stay the angles by which its vector turns without each thing, the widest first.

    What came from notes is told by what their absence turns, beside that of static data and of series.
    """
    made: list[Explanation] = []
    for start in range(0, len(stays), _STAYS_AT_ONCE):
        rows = np.arange(start, min(start + _STAYS_AT_ONCE, len(stays)))
        made += _turns(trained, preparation, stays.take(rows))
    return made


def _turns(trained: Trained, preparation: Preparation, stays: Stays) -> list[Explanation]:
    whole = preparation.inputs(stays)
    without = variants(preparation, stays, whole, hours=False)
    nothing = preparation.series_of(stays.cells.chosen(slice(0)), stays.steps)
    branches = (
        replace(whole, many_notes=np.zeros_like(whole.many_notes)),
        replace(whole, series=nothing),
        replace(whole, static=preparation.static_of(np.full_like(stays.static, np.nan))),
    )
    vectors = trained.vectors(whole)
    of_branches = np.stack([_angles(vectors, trained.vectors(one)) for one in branches])
    shares = of_branches[0] / np.maximum(of_branches.sum(axis=0), _LEAST)
    told: list[list[tuple[str, float]]] = [[] for _ in range(len(stays))]
    angles = _angles(vectors[without.of], trained.vectors(without.inputs))
    for row, what, angle in zip(without.of.tolist(), without.taken, angles.tolist(), strict=True):
        if angle >= _LEAST:
            told[row].append((f"{what.kind}:{what.name}", round(angle, 1)))
    return [
        Explanation(share, tuple(sorted(own, key=lambda one: (-one[1], one[0]))[:REASONS]))
        for share, own in zip(shares.tolist(), told, strict=True)
    ]


def _angles(vectors: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the angles in degrees between vectors (n, dim) and others (n, dim), (n,); 90 to one of zeros."""
    cosines = (unit_rows(others) * unit_rows(vectors)).sum(axis=1)
    made: npt.NDArray[np.float64] = np.degrees(np.arccos(np.clip(cosines, -1, 1))).astype(np.float64)
    return made


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


def _again(whole: Inputs, of: npt.NDArray[np.intp]) -> Inputs:
    """Return what the network sees of the stays at `of`; the summary, which it does not, is empty."""
    return replace(whole, summary=whole.summary[:, :0]).take(of)


def _less_nothing(whole: Inputs) -> Variants:
    none = np.zeros(0, np.intp)
    return Variants(none, [], _again(whole, none))


def _less_static(preparation: Preparation, stays: Stays, whole: Inputs) -> Variants:
    """Return the stays without each static column that they have."""
    names = list(stays.static_names)
    columns = np.array([names.index(name) for name in preparation.static.names], np.intp)
    of, which = np.nonzero(~np.isnan(stays.static[:, columns]))
    static = stays.static[of]
    static[np.arange(len(of)), columns[which]] = np.nan
    taken = [Taken("static", preparation.static.names[place]) for place in which.tolist()]
    return Variants(of, taken, replace(_again(whole, of), static=preparation.static_of(static)))


def _less_series(preparation: Preparation, stays: Stays, whole: Inputs, hours: bool) -> Variants:
    """Return the stays without each variable and, if asked for, without each of its steps where it has several."""
    cells, order = stays.cells, {name: place for place, name in enumerate(variables())}
    bounds = np.searchsorted(cells.stay, np.arange(len(stays) + 1))
    of, taken, kept = list[int](), list[Taken](), [np.zeros(0, np.intp)]
    for row in range(len(stays)):
        places = np.arange(bounds[row], bounds[row + 1])
        variable, step = cells.variable[places], cells.step[places]
        for name in preparation.series.measured:
            own = variable == order[name]
            steps = step[own]
            without = [None, *(steps[steps != BEFORE].tolist() if hours and len(steps) > 1 else [])]
            for one in without if len(steps) else []:
                of.append(row)
                taken.append(Taken("series", name, one))
                kept.append(places[~own if one is None else ~(own & (step == one))])
    rows = np.array(of, np.intp)
    lengths = [len(one) for one in kept[1:]]
    stay = np.repeat(np.arange(len(of), dtype=np.int32), lengths)
    copies = replace(cells.chosen(np.concatenate(kept)), stay=stay)
    series = preparation.series_of(copies, stays.steps[rows])
    return Variants(rows, taken, replace(_again(whole, rows), series=series))


def _less_notes(whole: Inputs) -> Variants:
    """Return the stays without each of their notes."""
    of = np.repeat(np.arange(len(whole)), whole.many_notes)
    place = np.arange(len(of)) - np.repeat(np.cumsum(whole.many_notes) - whole.many_notes, whole.many_notes)
    at = np.arange(whole.notes.shape[1])[None, :]
    at = at + (at >= place[:, None])  # those behind move up by one
    there = np.minimum(at, whole.notes.shape[1] - 1)
    notes = np.where(
        (at < whole.many_notes[of][:, None])[..., None],
        np.take_along_axis(whole.notes[of], there[..., None], axis=1),
        np.float32(0),
    )
    taken = [Taken("notes", f"note {number + 1}") for number in place.tolist()]
    return Variants(of, taken, replace(_again(whole, of), notes=notes, many_notes=whole.many_notes[of] - 1))
