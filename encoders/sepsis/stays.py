"""Septic stays as they are known at the end of the window: static data, series, notes, and how they ended.

Everything but the outcome is read out of records that were cut at that moment: what is later is not there to be seen.
The rule by codes is the exception that its name tells: diagnoses are written after the stay, so who is septic by them
is known later than anything that is predicted.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from cohorts.encoders.sepsis.onsets import first_onsets, labelled
from cohorts.encoders.sepsis.series import Cells, cells_of
from cohorts.encoders.sepsis.settings import ONSET, Settings
from cohorts.encoders.sepsis.statics import static_columns, statics_of
from cohorts.errors import EncoderError
from cohorts.private_files import work_folder
from cohorts.records.base import (
    CODE_COLUMNS,
    MEASUREMENT_COLUMNS,
    NOTE_COLUMNS,
    UNIT_COLUMNS,
    Batch,
    Report,
    Source,
    Unit,
    empty_frame,
    typed,
)
from cohorts.records.scores.measured_rows import places_of
from cohorts.records.sepsis.cohort import CODES, NO_CODE, septic
from cohorts.records.transforms import take_units

if TYPE_CHECKING:
    from cohorts.encoders.sepsis.inputs import Rows

NO_MOMENT = "the window's moment is not known"
ENDED = "died or left the hospital within the window"
_STAYS_AT_ONCE = 500
_HOUR = np.timedelta64(3600, "s")


@dataclass(frozen=True)
class Notes:
    """Notes in the order of stays and time: `stay` (m,), hours before the window's end (m,), and their text."""

    stay: npt.NDArray[np.int64]
    hours: npt.NDArray[np.float64]
    text: list[str]

    def take(self, rows: "Rows", many: int) -> "Notes":
        """Return those of the stays at `rows`, each once, which are numbered anew; there are `many` now."""
        place = np.full(many, -1, np.int64)
        place[rows] = np.arange(len(rows))
        kept = np.flatnonzero(place[self.stay] >= 0)
        kept = kept[np.argsort(place[self.stay[kept]], kind="stable")]
        return Notes(place[self.stay[kept]], self.hours[kept], [self.text[row] for row in kept.tolist()])

    @classmethod
    def join(cls, parts: "Sequence[Notes]", many: Sequence[int]) -> "Notes":
        """Return the notes of several lots of stays as one; `many` is how many stays each lot has."""
        first = np.cumsum([0, *many[:-1]])
        stays = [part.stay + start for part, start in zip(parts, first, strict=True)]
        return cls(
            np.concatenate([np.zeros(0, np.int64), *stays]),
            np.concatenate([np.zeros(0), *(part.hours for part in parts)]),
            [text for part in parts for text in part.text],
        )


@dataclass(frozen=True)
class Stays:
    """What is known of n septic stays, row i of everything being the same stay.

    `died` is 1 for a death in hospital, 0 for none, NaN where that is not told. `static` (n, columns) has NaN in its
    gaps; `steps` (n,) is how many steps of the series lie within the stay. `about` has age, sex, admission_type, sofa
    and sapsii, the scores NaN where no part of them could be seen. `left_out` counts the units that are no such stays.
    """

    ids: npt.NDArray[np.str_]
    patients: npt.NDArray[np.str_]
    died: npt.NDArray[np.float64]
    about: pd.DataFrame
    static: npt.NDArray[np.float64]
    cells: Cells
    steps: npt.NDArray[np.int64]
    notes: Notes
    left_out: Counter[str]

    def __len__(self) -> int:
        """Return n."""
        return len(self.ids)

    @property
    def static_names(self) -> Sequence[str]:
        """Return what the columns of `static` are."""
        return static_columns()

    def take(self, rows: "Rows") -> "Stays":
        """Return the stays at `rows`, each once."""
        return Stays(
            self.ids[rows],
            self.patients[rows],
            self.died[rows],
            self.about.iloc[rows].reset_index(drop=True),
            self.static[rows],
            self.cells.take(rows, len(self)),
            self.steps[rows],
            self.notes.take(rows, len(self)),
            self.left_out,
        )

    @classmethod
    def join(cls, parts: "Sequence[Stays]") -> "Stays":
        """Return several lots of stays, at least one, as one."""
        many = [len(part) for part in parts]
        return cls(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.patients for part in parts]),
            np.concatenate([part.died for part in parts]),
            pd.concat([part.about for part in parts], ignore_index=True),
            np.concatenate([part.static for part in parts]),
            Cells.join([part.cells for part in parts], many),
            np.concatenate([part.steps for part in parts]),
            Notes.join([part.notes for part in parts], many),
            sum((part.left_out for part in parts), Counter[str]()),
        )


def read_stays(source: Source, settings: Settings) -> Stays:
    """Return the septic stays of a source. Raises EncoderError where there is none."""
    parts = [stays_of(batch, settings) for batch in source.batches()]
    left_out = sum((part.left_out for part in parts), Counter[str]())
    if not any(len(part) for part in parts):
        told = "; ".join(f"{many:,} {why}" for why, many in left_out.most_common()) or "it is empty"
        raise EncoderError(f"No stay of this source is septic by {settings.by} at {settings.window}: {told}.")
    return Stays.join(parts)


def stays_of(batch: Batch, settings: Settings) -> Stays:
    """Return the septic stays of a batch, in its order, as they are known at the end of the window."""
    return found_in(batch, settings)[1]


def found_in(batch: Batch, settings: Settings) -> tuple[pd.DataFrame, Stays]:
    """Return what is found of every unit of a batch (`septic`, with `left_out`), and its septic stays, in its order."""
    known, every, end = seen(batch, settings)
    mine = np.flatnonzero(every["left_out"] == "").tolist()
    left_out = Counter[str](every.loc[every["left_out"] != "", "left_out"].tolist())
    known = take_units(known, mine)
    found, end = every.iloc[mine].reset_index(drop=True), end.iloc[mine].reset_index(drop=True)
    units = known.units
    about, static = statics_of(known, found, end, settings.hours)
    cells = cells_of(known.measurements, units["unit_id"].tolist(), end, settings.hours, settings.step_h)
    return every, Stays(
        units["unit_id"].to_numpy(np.str_),
        units["patient_id"].to_numpy(np.str_),
        units["died"].astype("Float64").to_numpy(np.dtype(np.float64), na_value=np.nan),
        about,
        static,
        cells,
        _steps(units["admitted"], end, cells, settings),
        _notes(known.notes, units["unit_id"], end, settings.max_notes),
        left_out,
    )


def seen(batch: Batch, settings: Settings) -> "tuple[Batch, pd.DataFrame, pd.Series[pd.Timestamp]]":
    """Return a batch cut at the window's end, who of it is septic by then and why the others aren't, and the ends."""
    window, whole = settings.seen, batch
    if window.end is not None and window.end.anchor == ONSET:
        whole = labelled(batch, ONSET, first_onsets(batch))
    cut, _ = window.cut(whole)
    known = _of_the_stay(cut)
    assert window.end is not None  # noqa: S101 - the settings have checked it
    end = window.end.of(whole)
    found = septic(known, settings.by)
    if settings.by == CODES:  # the codes alone are known later than all that is told of the stay
        coded = septic(batch, CODES)["left_out"] == ""
        found["left_out"] = found["left_out"].mask((found["left_out"] == NO_CODE) & coded, "")
    left_out = found["left_out"].mask((found["left_out"] == "") & end.isna().to_numpy(), NO_MOMENT)
    left_out = left_out.mask((left_out == "") & _ended(known), ENDED)
    return known, found.assign(left_out=left_out), end


def _of_the_stay(known: Batch) -> Batch:
    """Return a batch with the values, notes and events of the admissions described alone, also of whole patients.

    Diagnoses of earlier admissions stay: they tell what a patient had before.
    """
    own = {
        name: rows[places_of(known, rows) >= 0].reset_index(drop=True)
        for name, rows in (
            ("notes", known.notes),
            ("measurements", known.measurements),
            ("events", known.events),
        )
    }
    return replace(known, **own)


def _ended(known: Batch) -> npt.NDArray[np.bool_]:
    """Return whose admission had ended by the window's end, (units,): of one that goes on it is not known how."""
    over = known.admissions["discharged"].notna() | known.admissions["died_at"].notna()
    return known.units["admission_id"].isin(known.admissions.loc[over, "admission_id"]).to_numpy(dtype=bool)


def _steps(
    admitted: "pd.Series[pd.Timestamp]", end: "pd.Series[pd.Timestamp]", cells: Cells, settings: Settings
) -> npt.NDArray[np.int64]:
    """Return how many steps lie within each stay, (n,): from admission, or from the first value if that is earlier."""
    hours = ((end - admitted) / _HOUR).to_numpy(np.float64)
    whole = np.ceil(np.nan_to_num(hours, nan=settings.hours) / settings.step_h)
    steps = np.clip(whole, 1, settings.steps).astype(np.int64)
    first = np.full(len(steps), cells.steps)
    np.minimum.at(first, cells.stay, np.maximum(cells.step, 0))
    made: npt.NDArray[np.int64] = np.maximum(steps, settings.steps - first)
    return made


def _notes(notes: pd.DataFrame, units: "pd.Series[str]", end: "pd.Series[pd.Timestamp]", most: int) -> Notes:
    """Return the last `most` notes of every stay, the oldest first."""
    stay = pd.Index(units).get_indexer(pd.Index(notes["unit_id"]))
    hours = (
        ((end.to_numpy("datetime64[us]")[stay] - notes["time"].to_numpy("datetime64[us]")) / _HOUR)
        if len(notes)
        else np.zeros(0)
    )
    known = np.flatnonzero((stay >= 0) & (hours >= 0))
    known = known[np.lexsort((-hours[known], stay[known]))]
    many = np.bincount(stay[known], minlength=len(units))
    from_last = np.repeat(np.cumsum(many), many) - np.arange(len(known))
    known = known[from_last <= most]
    return Notes(stay[known].astype(np.int64), hours[known], notes["text"].iloc[known].tolist())


def text_source(stays: Stays) -> Source:
    """Return the notes of stays as a source to train a text encoder on: no codes, no outcome."""
    return _NotesAlone(stays)


class _NotesAlone:
    """A source of a unit for each stay, with its notes."""

    name, unit, synthetic, has_notes, has_codes = "sepsis", Unit.ADMISSION, False, True, False

    def __init__(self, stays: Stays) -> None:
        self._stays, self.report = stays, Report()

    @property
    def fingerprint(self) -> str:
        """Return a hash of ids and notes (hex)."""
        digest = hashlib.sha256("\0".join([*self._stays.ids.tolist(), *self._stays.notes.text]).encode())
        return digest.hexdigest()[:16]

    @property
    def work_dir(self) -> Path:
        """Return the folder for temporary files."""
        return work_folder()

    def batches(self) -> Iterator[Batch]:
        """Yield all stays."""
        notes = self._stays.notes
        for start in range(0, len(self._stays), _STAYS_AT_ONCE):
            ids = self._stays.ids[start : start + _STAYS_AT_ONCE]
            mine = slice(*np.searchsorted(notes.stay, [start, start + len(ids)]).tolist())
            named = {"unit_id": ids, "patient_id": self._stays.patients[start : start + len(ids)]}
            texts = {"unit_id": self._stays.ids[notes.stay[mine]], "text": notes.text[mine]}
            yield Batch(
                units=typed(pd.DataFrame(named), UNIT_COLUMNS),
                codes=empty_frame(CODE_COLUMNS),
                notes=typed(pd.DataFrame(texts), NOTE_COLUMNS),
                measurements=empty_frame(MEASUREMENT_COLUMNS),
            )
