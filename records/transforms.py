"""Parts of a source: some of its units, or what was written by a certain time."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from cohorts.errors import InputError
from cohorts.records.base import Batch, Report, Source, Unit

if TYPE_CHECKING:
    import pandas as pd

_AS_OF = re.compile(r"admission\+(\d{1,5})([hd])")


def take_units(batch: Batch, rows: Sequence[int]) -> Batch:
    """Return the batch of some units, in the order of `rows`, which ascends."""
    units = batch.units.iloc[list(rows)]
    frames = {
        name: frame[frame["unit_id"].isin(units["unit_id"])].reset_index(drop=True)
        for name, frame in batch.of_units().items()
    }
    return Batch(units=units.reset_index(drop=True), **frames)


class View:
    """A source whose batches are made of another's."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self.unit: Unit = source.unit
        self.synthetic = source.synthetic
        self.report: Report = source.report
        self._source = source

    @property
    def has_notes(self) -> bool:
        """Return that of the whole source."""
        return self._source.has_notes

    @property
    def has_codes(self) -> bool:
        """Return that of the whole source."""
        return self._source.has_codes

    @property
    def frames(self) -> frozenset[str]:
        """Return what is read of the whole source; AttributeError where it reads all it has."""
        return self._source.frames  # type: ignore[attr-defined, no-any-return]

    @frames.setter
    def frames(self, wanted: frozenset[str]) -> None:
        self._source.frames = wanted  # type: ignore[attr-defined]

    @property
    def fingerprint(self) -> str:
        """Return that of the whole source."""
        return self._source.fingerprint

    @property
    def work_dir(self) -> Path:
        """Return that of the whole source."""
        return self._source.work_dir


@contextmanager
def reading(source: Source, frames: frozenset[str]) -> Iterator[None]:
    """Let a source leave out, meanwhile, the tables that none of these frames is made of, where it can."""
    before = getattr(source, "frames", None)
    if before is None:
        yield
        return
    source.frames = frames  # type: ignore[attr-defined]
    try:
        yield
    finally:
        source.frames = before  # type: ignore[attr-defined]


class Subset(View):
    """The units of a source whose ids are in `ids`."""

    def __init__(self, source: Source, ids: Set[str]) -> None:
        super().__init__(source)
        self._ids = ids

    def batches(self) -> Iterator[Batch]:
        """Yield them in the source's order."""
        for batch in self._source.batches():
            rows = np.flatnonzero(batch.units["unit_id"].isin(self._ids)).tolist()
            if rows:
                yield take_units(batch, rows)


class RewrittenNotes(View):
    """A source whose notes are rewritten one by one; `rewrite` gives the new text and counts for the report.

    They are counted once, however often the source is read; `counted` is told even if it stays 0. `version` stands for
    what the rewriting depends on.
    """

    def __init__(
        self, source: Source, rewrite: Callable[[str], tuple[str, Counter[str]]], version: str, counted: str
    ) -> None:
        super().__init__(source)
        self._rewrite, self._version = rewrite, version
        self._batches_counted = 0
        self.report.counts[counted] = 0

    @property
    def fingerprint(self) -> str:
        """Return a hash of the whole source's and of the version (hex)."""
        both = f"{self._source.fingerprint}/{self._version}"
        return hashlib.sha256(both.encode()).hexdigest()[:16]

    def batches(self) -> Iterator[Batch]:
        """Yield all units, with their notes rewritten."""
        for number, batch in enumerate(self._source.batches()):
            rewritten = [self._rewrite(text) for text in batch.notes["text"]]
            if number >= self._batches_counted:
                self._batches_counted = number + 1
                self._count(sum((counts for _, counts in rewritten), Counter()))
            texts = batch.notes.assign(text=[text for text, _ in rewritten])
            yield replace(batch, notes=texts.astype({"text": batch.notes["text"].dtype}))

    def _count(self, counts: Counter[str]) -> None:
        known = self.report.counts
        for name, many in sorted(counts.items()):
            known[name] = known.get(name, 0) + many


class AsOf(View):
    """A source as it was known some time after the admission that a unit describes: what is written later is not there.

    A note or measurement that has a day and no time of day counts from the end of that day, one without a day never.
    Codes have no time, and diagnoses are coded after the stay: there are none.
    """

    def __init__(self, source: Source, after_admission: timedelta) -> None:
        super().__init__(source)
        self._after = after_admission

    def batches(self) -> Iterator[Batch]:
        """Yield all units, with what was known of them by then."""
        for batch in self._source.batches():
            until = batch.units.set_index("unit_id")["admitted"] + self._after
            yield replace(
                batch,
                codes=batch.codes.iloc[:0],
                notes=_known(batch.notes, until),
                measurements=_known(batch.measurements, until),
                events=_known(batch.events, until),
            )


def parse_as_of(text: str) -> timedelta:
    """Read `admission+24h` or `admission+2d`. Raises InputError."""
    found = _AS_OF.fullmatch(text.replace(" ", ""))
    if found is None:
        raise InputError(f"{text!r} is no time to cut at: write admission+24h, or admission+2d for two days.")
    return timedelta(**{"hours" if found[2] == "h" else "days": int(found[1])})


def _known(rows: "pd.DataFrame", until: "pd.Series[pd.Timestamp]") -> "pd.DataFrame":
    time = rows["time"]
    written = time.mask(time == time.dt.normalize(), time + timedelta(days=1))
    return rows[(written <= rows["unit_id"].map(until)).to_numpy(dtype=bool)].reset_index(drop=True)
