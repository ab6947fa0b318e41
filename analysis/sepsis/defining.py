"""A source read once, stay after stay: the cohort of sepsis, its flow chart, and what no score could see."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pandas as pd
from cohorts.analysis.compare.small_cells import LEAST, SmallCells
from cohorts.analysis.sepsis.first_day import FirstDay, first_day, part_names, parts_told
from cohorts.analysis.sepsis.flowchart import Excluded, Group, Step, shown
from cohorts.errors import InputError
from cohorts.plain_text import csv_cell
from cohorts.private_files import private_folder, replace_private
from cohorts.progress import ProgressCallback
from cohorts.records.base import Source, Unit
from cohorts.records.sepsis.cohort import CODES, SEPSIS3, exclusions
from cohorts.records.transforms import reading

STAYS = "stays.csv"


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """A part of a score, and in how many stays with intensive care it could not be seen; None is hidden."""

    score: str
    part: str
    stays: int | None


@dataclass(frozen=True, kw_only=True)
class Defined:
    """A cohort of sepsis in counts; None is hidden.

    `admissions` are all that were read, `icu` those with intensive care, `died` how many of the cohort did in hospital,
    where that is known. `suspected` tells whether any stay had a suspected infection.
    """

    rule: str
    admissions: int | None
    steps: Sequence[Step]
    icu: int | None
    died: int | None
    unseen: Sequence[Unseen]
    min_cell: int
    synthetic: bool
    suspected: bool
    seconds: float

    @property
    def members(self) -> int | None:
        """Return how many stays are of the cohort."""
        return self.steps[-1].remaining

    @property
    def notes(self) -> list[str]:
        """Return what is to be said of it."""
        notes = [
            "a SOFA of 0 is assumed before the illness",
            "a part that was not seen adds nothing: who was not measured may be septic and is not counted",
            "chronic disease (SAPS II, Charlson) is by codes, which are known at the end of a stay only",
        ]
        if self.rule == CODES:
            notes.append("codes of sepsis are written after the stay: this cohort is known at its end only")
        elif not self.suspected:
            notes.append(
                "no stay had an antibiotic and a culture that belong together: this source may hold no cultures"
            )
        if any(step.remaining is None or step.left_out is None for step in self.steps):
            notes.append("small counts, and those that would give them away, are hidden")
        return notes


def define(
    source: Source, folder: Path, progress: ProgressCallback, *, by: str = SEPSIS3, min_cell: int = LEAST
) -> Defined:
    """Write stays.csv, a row for each admission with intensive care, and return the cohort in counts.

    One batch of the source is held at a time. Raises InputError where there is no such rule, where the source's units
    are not admissions, or where it can't tell sepsis by either rule.
    """
    reasons, began = exclusions(by), time.monotonic()
    if source.unit != Unit.ADMISSION:
        raise InputError("A cohort of sepsis is made of admissions: open the source with unit=admission.")
    if not source.has_codes:
        raise InputError(
            f"The source {source.name} holds neither drugs nor diagnoses: sepsis is told by antibiotics and cultures, "
            "or by codes of diagnoses. Take a source that has them."
        )
    tally = _Tally(reasons)
    private_folder(folder)
    with (
        replace_private(folder / STAYS) as stream,
        reading(source, frozenset({"measurements", "events"})),
    ):
        for batch in source.batches():
            tally.add(first_day(batch, by))
            tally.write(stream)
            progress("reading", len(batch))
    return tally.told(by, SmallCells(min_cell), source.synthetic, time.monotonic() - began)


class _Tally:
    """What is counted of all batches; the patients of one stand in no other."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.everybody = Group(0, 0)
        self._reasons = reasons
        self._left: Counter[tuple[str, str]] = Counter()
        self._died: Counter[str] = Counter()
        self._unseen: Counter[tuple[str, str, str]] = Counter()
        self._parts: list[tuple[str, str]] = []
        self._icu = self._suspected = 0
        self._rows = pd.DataFrame()
        self._began = False

    def add(self, day: FirstDay) -> None:
        """Count a batch."""
        self._rows = day.rows
        self._icu += len(day.rows)
        self._suspected += int(day.rows["suspected"].notna().sum())
        self.everybody = _more(self.everybody, day.patients)
        remaining = day.patients
        left_out = day.left_out
        for reason in self._reasons:
            gone = left_out == reason
            self._count("left", reason, remaining[gone])
            remaining, left_out = remaining[~gone], left_out[~gone]
            self._count("remaining", reason, remaining)
        members = day.rows[day.rows["left_out"] == ""]
        for died in (0, 1):
            self._died[f"{died}"] += int((members["died"] == died).sum())
            self._died[f"patients {died}"] += members["patient_id"][members["died"] == died].nunique()
        self._parts = part_names(day.scores)
        for score in day.scores:
            for part, points in parts_told(score).items():
                self._see(score.name, str(part), points.isna(), day.rows["patient_id"])

    def write(self, stream: BinaryIO) -> None:
        """Write the rows of the batch that was counted last."""
        texts = {
            str(one): self._rows[one].map(csv_cell) for one in self._rows.select_dtypes(["object", "str"])
        }
        self._rows.assign(**texts).to_csv(
            stream, mode="wb", index=False, header=not self._began, date_format="%Y-%m-%d %H:%M:%S"
        )
        self._began = True

    def told(self, rule: str, cells: SmallCells, synthetic: bool, seconds: float) -> Defined:
        """Return what may be told."""
        flow = [
            Excluded(one, self._group("left", one), self._group("remaining", one)) for one in self._reasons
        ]
        admissions, steps = shown(self.everybody, flow, cells)
        few = any(cells.small(self._died[f"patients {died}"]) for died in (0, 1))
        icu = steps[0].remaining
        return Defined(
            rule=rule,
            admissions=admissions,
            steps=steps,
            icu=icu,
            died=None if few or steps[-1].remaining is None else self._died["1"],
            unseen=[self._told_of(score, part, cells, hidden=icu is None) for score, part in self._parts],
            min_cell=cells.least,
            synthetic=synthetic,
            suspected=self._suspected > 0,
            seconds=seconds,
        )

    def _count(self, what: str, reason: str, patients: "pd.Series[str]") -> None:
        self._left[what, reason] += len(patients)
        self._left[f"patients {what}", reason] += patients.nunique()

    def _group(self, what: str, reason: str) -> Group:
        return Group(self._left[what, reason], self._left[f"patients {what}", reason])

    def _see(self, score: str, part: str, unseen: "pd.Series[bool]", patients: "pd.Series[str]") -> None:
        self._unseen[score, part, "unseen"] += int(unseen.sum())
        self._unseen[score, part, "patients unseen"] += patients[unseen].nunique()
        self._unseen[score, part, "patients seen"] += patients[~unseen].nunique()

    def _told_of(self, score: str, part: str, cells: SmallCells, *, hidden: bool) -> Unseen:
        few = any(cells.small(self._unseen[score, part, f"patients {one}"]) for one in ("unseen", "seen"))
        return Unseen(
            score=score, part=part, stays=None if few or hidden else self._unseen[score, part, "unseen"]
        )


def _more(group: Group, patients: "pd.Series[str]") -> Group:
    return Group(group.stays + len(patients), group.patients + patients.nunique())
