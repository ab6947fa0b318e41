"""Who may be recruited, ranked, with what the records tell of each criterion; and the file for chart review."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cohorts.analysis.recruit.funnel import Step
from cohorts.errors import InputError
from cohorts.plain_text import csv_cell
from cohorts.private_files import replace_private

if TYPE_CHECKING:
    import pandas as pd
    from cohorts.analysis.evidence import Passage
    from cohorts.records.base import Source

REVIEWER = "reviewer"  # the column that a reviewer fills in


@dataclass(frozen=True)
class Verdict:
    """What the records tell of a criterion: `status` is met, not met or unknown, and which row told so, if one did."""

    criterion: str
    role: str
    status: str
    what: str = ""
    value: float | None = None
    unit: str = ""
    time: datetime | None = None

    @property
    def told_by(self) -> str:
        """Return the code or item, the value and the day in one line."""
        value = "" if self.value is None else f" {self.value:g} {self.unit}".rstrip()
        return f"{self.what}{value}{f' ({self.time:%Y-%m-%d})' if self.time else ''}"


@dataclass(frozen=True)
class Candidate:
    """A patient to look at: `missed` counts criteria to include by that are not met, `unknown` those not told of."""

    patient: str = field(repr=False)
    missed: int
    unknown: int
    score: float | None
    verdicts: tuple[Verdict, ...] = field(repr=False)


@dataclass(frozen=True, repr=False)
class Recruited:
    """The patients who meet a profile or may, best first, and behind them those who miss one criterion of several.

    Of whom all is known stands before of whom it is not, and then who is nearer to the profile's text.
    `screened` is how many were looked at, None where that is hidden, `funnel` what each criterion costs. `as_of` is the
    day after which records don't count. The list holds patients; the counts leave small groups out. `wanted` are the
    words that `evidence` looks for.
    """

    title: str
    collection: str
    candidates: tuple[Candidate, ...]
    screened: int | None
    funnel: tuple[Step, ...]
    as_of: date | None = None
    synthetic: bool = False
    notes: tuple[str, ...] = ()
    wanted: str = ""

    def evidence(self, source: "Source") -> "list[Passage | None]":
        """Return, for each of the first 100 patients, the passage of the notes that fits the profile best, or None.

        It fits by the words of the profile's text or, without one, of its criteria to include by. It is read from the
        source now, up to `as_of`, and nothing of it is kept.

        Args:
            source: What `open_source` returns, with a unit for each patient.

        Raises:
            InputError: The source is of admissions.
            SourceError: It can't be read.
        """
        from cohorts.analysis.evidence import read_passages
        from cohorts.connectors.base import Hit
        from cohorts.records.base import Unit
        from cohorts.search.question import Question, examples_of

        if source.unit is not Unit.PATIENT:
            raise InputError(
                "Passages of patients are read from a source of patients: open it with that unit."
            )
        hits = [Hit(one, 0.0, {}) for one in self.patients]
        question = Question(examples=examples_of(texts=[self.wanted]), k=max(1, len(hits)))
        whose = [{one} for one in self.patients]
        return read_passages(source, hits, whose, question, until=self.as_of)

    @property
    def patients(self) -> tuple[str, ...]:
        """Return the ids, best first."""
        return tuple(one.patient for one in self.candidates)

    def to_pandas(self) -> "pd.DataFrame":
        """Return a frame with a row for each patient and, for each criterion, its status and what told so."""
        import pandas as pd

        return pd.DataFrame(list(self._rows()))

    def write(self, file: Path | str) -> None:
        """Write a new CSV file for chart review, for its owner alone, with an empty column `reviewer`.

        Raises InputError where there is such a file, or it can't be written.
        """
        file = Path(file)
        if file.exists() or file.is_symlink():
            raise InputError(f"There is a file {file} already; move it away or take another name.")
        rows = list(self._rows())
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([*map(csv_cell, rows[0] if rows else ("rank", "patient")), REVIEWER, "remark"])
        writer.writerows([*map(csv_cell, row.values()), "", ""] for row in rows)
        try:
            with replace_private(file) as stream:
                stream.write(text.getvalue().encode())
        except OSError as error:
            raise InputError(f"{file} can't be written: {error.strerror}.") from error

    def __len__(self) -> int:
        """Return how many patients are listed."""
        return len(self.candidates)

    def __repr__(self) -> str:
        """Return how many are listed, and of what: no patient."""
        synthetic = ", synthetic: invented patients, no clinical meaning" if self.synthetic else ""
        return f"<Recruited {len(self):,} patients of {self.collection}{synthetic}>"

    def _rows(self) -> Iterator[dict[str, Any]]:
        for rank, one in enumerate(self.candidates, start=1):
            row: dict[str, Any] = {
                "rank": rank,
                "patient": one.patient,
                "missed": one.missed,
                "unknown": one.unknown,
                "score": one.score,
            }
            for verdict in one.verdicts:
                label = f"{verdict.role}: {verdict.criterion}"
                row |= {label: verdict.status, f"{label}, told by": verdict.told_by}
            yield row
