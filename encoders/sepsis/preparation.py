"""What the network sees of stays: scaled, without gaps, of fixed width. All of it is learnt on training stays alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from cohorts.encoders.sepsis.columns import Scaling, Values, columns_of, informative, usable
from cohorts.encoders.sepsis.inputs import Floats, Inputs, Rows
from cohorts.encoders.sepsis.series import BEFORE, STATISTICS, Cells, variables
from cohorts.encoders.sepsis.settings import Settings
from cohorts.encoders.sepsis.statics import in_groups, static_columns
from cohorts.encoders.sepsis.stays import Notes, Stays, text_source
from cohorts.errors import EncoderError

if TYPE_CHECKING:
    from cohorts.encoders.base import Encoder

_COUNTED = STATISTICS.index("count")
_SINCE = STATISTICS.index("since")
_LONGEST_H = 1_000.0  # between a value and what is known of it
_TEXTS_AT_ONCE = 2_000
_STAYS_AT_ONCE = 2_000


class Columns(NamedTuple):
    """The columns that were taken, by name, and their scaling: `lacking` are those whose absence has a column too."""

    names: list[str]
    lacking: list[str]
    scaling: Scaling


class SeriesColumns(NamedTuple):
    """Columns of a step: (variable, statistic) each with a scaling; `measured` are the variables, each once."""

    taken: list[tuple[str, str]]
    measured: list[str]
    scaling: Scaling


@dataclass(frozen=True)
class Preparation:
    """How stays become inputs. `text` encodes notes; None where they don't enter."""

    settings: Settings
    static: Columns
    series: SeriesColumns
    summary: Columns
    text: "Encoder | None"

    @classmethod
    def learn(
        cls, stays: Stays, rows: Rows, settings: Settings, text: "Encoder | None" = None
    ) -> "Preparation":
        """Learn columns, scalings and, where none is given, the text encoder from the stays at `rows` alone.

        Raises EncoderError where they hold nothing to learn from.
        """
        learnt = stays.take(rows[~np.isnan(stays.died[rows])])
        if text is None and settings.reads_notes:
            text = _fitted(learnt, settings)
        of_groups = in_groups(settings.statics)
        static = _columns(
            columns_of(stays.static_names, of_groups),
            learnt.static[:, of_groups],
            learnt.died,
            settings.missing,
            settings.static_columns,
        )
        names = _summary_names()
        flat = window_statistics(learnt.cells, len(learnt)).reshape(len(learnt), len(names))
        made = cls(
            settings,
            static,
            _series_columns(learnt, flat, names, settings),
            _columns(names, flat, learnt.died, settings.missing, 4 * settings.series_columns),
            text,
        )
        made.check()
        return made

    def check(self) -> None:
        """Raise EncoderError where a branch that was asked for has no column."""
        for branch, names in (("static", self.static.names), ("series", self.series.measured)):
            if branch in self.settings.chosen and not names:
                raise EncoderError(
                    f"sepsis finds no column for its {branch} branch: a column may be missing in "
                    f"{self.settings.missing:.0%} of the training stays at most. Raise it, or leave the branch out."
                )

    def inputs(self, stays: Stays) -> Inputs:
        """Return what the network sees of n stays."""
        notes, many = self._notes(stays)
        names = _summary_names()
        flat = window_statistics(stays.cells, len(stays)).reshape(len(stays), len(names))
        return Inputs(
            self.static_of(stays.static),
            self.series_of(stays.cells, stays.steps),
            stays.steps,
            notes,
            many,
            _filled(self.summary, names, flat),
        )

    def static_of(self, static: Values) -> Floats:
        """Return what the network sees of static data, (n, all columns) with NaN in their gaps."""
        return _filled(self.static, list(static_columns()), static)

    def series_of(self, cells: Cells, lengths: npt.NDArray[np.int64]) -> Floats:
        """Return (n, steps, columns): values carried forward, then for each variable whether and how long ago.

        A stay's last steps, `lengths` (n,) of them, come first, and zeros behind them.
        """
        width, many = len(self.series.taken) + 2 * len(self.series.measured), len(lengths)
        made = np.zeros((many, self.settings.steps, width), np.float32)
        for start in range(0, many, _STAYS_AT_ONCE):
            rows = slice(start, min(start + _STAYS_AT_ONCE, many))
            steps = self._steps_of(cells.between(rows.start, rows.stop), rows.stop - rows.start)
            made[rows] = _from_the_left(steps, lengths[rows])
        return made

    def _steps_of(self, cells: Cells, many: int) -> Values:
        """Return the columns of all steps, those before the series begins too, (n, steps, columns)."""
        taken, measured, scaling = self.series
        where = {name: place for place, name in enumerate(measured)}
        found = np.full((many, self.settings.steps + 1, len(measured), len(STATISTICS)), np.nan, np.float32)
        place = np.array([where.get(name, -1) for name in variables()], np.int64)[cells.variable]
        mine = place >= 0
        found[cells.stay[mine], cells.step[mine] + 1, place[mine]] = cells.values[mine]
        there = ~np.isnan(found[:, 1:, :, _COUNTED])
        values = np.full((many, self.settings.steps, len(taken)), np.nan)
        for column, (variable, statistic) in enumerate(taken):
            own = found[..., where[variable], STATISTICS.index(statistic)]
            if statistic in ("count", "sd"):  # of this step alone
                values[..., column] = np.where(there[..., where[variable]], own[:, 1:], 0)
            else:
                values[..., column] = _carried(own)[:, 1:]
        since = _since(found[..., _SINCE], self.settings.step_h)
        return np.concatenate([scaling.filled(values), there, since], axis=2)

    def _notes(self, stays: Stays) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Return (n, notes, width + 1): vectors of notes, the oldest first, and how long ago each was written."""
        many = np.bincount(stays.notes.stay, minlength=len(stays)).astype(np.int64)
        if self.text is None:
            return np.zeros((len(stays), 1, 1), np.float32), np.zeros(len(stays), np.int64)
        made = np.zeros((len(stays), self.settings.max_notes, self.text.dim + 1), np.float32)
        place = np.arange(len(stays.notes.stay)) - np.repeat(np.cumsum(many) - many, many)
        made[stays.notes.stay, place, :-1] = note_vectors(self.text, stays.notes)
        made[stays.notes.stay, place, -1] = np.log1p(stays.notes.hours) / np.log1p(_LONGEST_H)
        return made, many

    def facts(self) -> dict[str, Any]:
        """Return what JSON keeps of it."""
        return {
            "static": {"names": self.static.names, "lacking": self.static.lacking},
            "series": [f"{variable}:{statistic}" for variable, statistic in self.series.taken],
            "summary": {"names": self.summary.names, "lacking": self.summary.lacking},
        }

    def tensors(self) -> dict[str, Values]:
        """Return its arrays by name."""
        scalings = {
            "static": self.static.scaling,
            "series": self.series.scaling,
            "summary": self.summary.scaling,
        }
        return {
            f"{part}/{name}": array
            for part, scaling in scalings.items()
            for name, array in scaling.tensors().items()
        }


@cache
def _summary_names() -> list[str]:
    """Return the names of the statistics of all variables, in the order of `window_statistics`."""
    return [f"{variable}:{statistic}" for variable in variables() for statistic in STATISTICS]


def note_vectors(text: "Encoder", notes: Notes) -> Floats:
    """Return a vector of every note, (notes, dim) float32."""
    made = [np.zeros((0, text.dim), np.float32)]
    for start in range(0, len(notes.text), _TEXTS_AT_ONCE):
        made.append(text.encode_text(notes.text[start : start + _TEXTS_AT_ONCE]))
    return np.concatenate(made)


def window_statistics(cells: Cells, many: int) -> Values:
    """Return the statistics of every variable over the whole window, (n, variables, 7), NaN where it has none.

    What was known before is the first value; where nothing else was measured, it is all there is.
    """
    made = np.full((many, len(variables()), len(STATISTICS)), np.nan)
    key = cells.stay.astype(np.int64) * len(variables()) + cells.variable
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if len(key) else np.zeros(0, np.intp)
    if not len(starts):
        return made
    values, counts = cells.values.astype(np.float64), cells.values[:, _COUNTED].astype(np.float64)
    runs = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(key)]))
    total = np.add.reduceat(counts, starts)
    mean = np.add.reduceat(values[:, 3] * counts, starts) / total
    squares = np.add.reduceat((values[:, 4] ** 2 + (values[:, 3] - mean[runs]) ** 2) * counts, starts)
    ends = np.r_[starts[1:], len(key)] - 1
    measured = np.add.reduceat(np.where(cells.step == BEFORE, 0, counts), starts)
    found = (
        values[starts, 0],
        np.minimum.reduceat(values[:, 1], starts),
        np.maximum.reduceat(values[:, 2], starts),
        mean,
        np.sqrt(squares / total),
        measured,
        np.minimum(cells.ago_h[ends], _LONGEST_H),
    )
    made[cells.stay[starts], cells.variable[starts]] = np.stack(found, axis=1)
    return made


def _columns(names: Sequence[str], values: Values, died: Values, missing: float, most: int) -> Columns:
    """Take columns of (n, c) and learn their scaling."""
    there = np.flatnonzero(usable(values, missing))
    taken = there[informative(values[:, there], died, most)]
    kept = columns_of(names, taken)
    lacking = [
        name for name, many in zip(kept, np.isnan(values[:, taken]).sum(axis=0).tolist(), strict=True) if many
    ]
    return Columns(kept, lacking, Scaling.learn(values[:, taken]))


def _series_columns(learnt: Stays, flat: Values, names: list[str], settings: Settings) -> SeriesColumns:
    """Take variables and statistics by what they tell over the window, and scale them by what stands in the cells."""
    there = np.flatnonzero(usable(flat, settings.missing))
    of_time = np.array([not names[place].endswith(":since") for place in there.tolist()], dtype=bool)
    there = there[of_time] if len(there) else there  # how long ago stands beside every variable anyway
    taken = there[informative(flat[:, there], learnt.died, settings.series_columns)]
    pairs = [
        (name, statistic) for name, _, statistic in (names[place].rpartition(":") for place in taken.tolist())
    ]
    order = {name: place for place, name in enumerate(variables())}
    measured = sorted({variable for variable, _ in pairs}, key=order.__getitem__)
    scalings = [_cell_scaling(learnt.cells, order[variable], statistic) for variable, statistic in pairs]
    return SeriesColumns(pairs, measured, _stacked(scalings))


def _cell_scaling(cells: Cells, variable: int, statistic: str) -> Scaling:
    own = cells.values[cells.variable == variable, STATISTICS.index(statistic)].astype(np.float64)
    return Scaling.learn(own[:, None])


def _stacked(scalings: Sequence[Scaling]) -> Scaling:
    """Return the scalings of one column each as one."""
    arrays = [one.tensors() for one in scalings]
    names = Scaling.__dataclass_fields__
    return Scaling(*(np.concatenate([np.zeros(0), *(one[name] for one in arrays)]) for name in names))


def _filled(columns: Columns, names: list[str], values: Values) -> Floats:
    """Return the columns taken of (n, c), scaled and filled, and for those that may be missing whether they are."""
    where = {name: place for place, name in enumerate(names)}
    own = values[:, [where[name] for name in columns.names]]
    gaps = np.isnan(values[:, [where[name] for name in columns.lacking]])
    return np.concatenate([columns.scaling.filled(own), gaps], axis=1).astype(np.float32)


def _carried(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return (n, steps) with the last value known in every gap; NaN where none is."""
    at = np.where(np.isnan(values), 0, np.arange(values.shape[1]))
    return np.take_along_axis(values, np.maximum.accumulate(at, axis=1), axis=1)


def _since(found: npt.NDArray[np.float32], step_h: int) -> Values:
    """Return how long ago each variable was measured at the end of each step, (n, steps, variables), 0 to 1.

    1 is never. `found` (n, steps + 1, variables) has hours to the end of a cell's own step, NaN where there is no cell.
    """
    hours = np.full(found.shape, _LONGEST_H)
    hours[:, 0] = np.where(np.isnan(found[:, 0]), _LONGEST_H, found[:, 0])
    for step in range(1, found.shape[1]):
        own = found[:, step]
        hours[:, step] = np.where(np.isnan(own), hours[:, step - 1] + step_h, own)
    made: Values = np.log1p(np.minimum(hours[:, 1:], _LONGEST_H)) / np.log1p(_LONGEST_H)
    return made


def _from_the_left(values: Values, steps: npt.NDArray[np.int64]) -> Values:
    """Return (n, steps, c) with each stay's last `steps` (n,) steps first and zeros behind them."""
    most = values.shape[1]
    at = np.arange(most)[None, :] + (most - steps)[:, None]
    made = np.take_along_axis(values, np.minimum(at, most - 1)[..., None], axis=1)
    return np.where((at < most)[..., None], made, 0)


def _fitted(learnt: Stays, settings: Settings) -> "Encoder":
    """Return the text encoder, trained on the notes of stays. Raises EncoderError, NoText."""
    made = text_encoder(settings)
    if not learnt.notes.text:
        raise EncoderError(
            "The septic stays of this source have no notes before the window's end: leave that branch out, as in "
            "sepsis:branches=static+series."
        )
    return made.fit(text_source(learnt))


def text_encoder(settings: Settings) -> "Encoder":
    """Return the encoder of the notes, not trained yet. Raises EncoderError for one that reads more than notes."""
    from cohorts.encoders.registry import make_encoder

    made = make_encoder(settings.text)
    if not made.needs_notes:
        raise EncoderError(
            f"sepsis text is {settings.text!r}, which does not live on notes alone; take lsa, word2vec, bert "
            "or clinicalnotebert."
        )
    return made


def restored(
    settings: Settings, facts: Mapping[str, Any], tensors: Mapping[str, Values], text: Any
) -> Preparation:
    """Return what `facts` and `tensors` returned as a preparation. Raises KeyError, TypeError."""
    scaling = {
        part: Scaling(*(tensors[f"{part}/{name}"] for name in Scaling.__dataclass_fields__))
        for part in ("static", "series", "summary")
    }
    pairs = [(name, statistic) for name, _, statistic in (one.rpartition(":") for one in facts["series"])]
    order = {name: place for place, name in enumerate(variables())}
    return Preparation(
        settings,
        Columns(facts["static"]["names"], facts["static"]["lacking"], scaling["static"]),
        SeriesColumns(pairs, sorted({name for name, _ in pairs}, key=order.__getitem__), scaling["series"]),
        Columns(facts["summary"]["names"], facts["summary"]["lacking"], scaling["summary"]),
        text,
    )
