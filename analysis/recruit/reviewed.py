"""How right the ranked list was, by a reviewer's answers in the file for chart review."""

import csv
from dataclasses import dataclass
from pathlib import Path

from cohorts.analysis.recruit.recruited import REVIEWER
from cohorts.errors import InputError
from cohorts.measures.intervals import Estimate
from cohorts.measures.shares import wilson

_YES, _NO = {"yes", "y", "1", "true", "eligible"}, {"no", "n", "0", "false", "not eligible"}
_AT = (5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Precision:
    """Of the first `among` patients `judged` have an answer, and `right` of these are eligible: a `share`."""

    among: int
    judged: int
    right: int
    share: Estimate


def read_review(file: Path) -> list[Precision]:
    """Return the precision among the first patients of a list and among all, with Wilson's 95 % interval.

    An empty answer does not count. Raises InputError where the file can't be read, or an answer is neither yes nor no.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The reviewed file {file} can't be read: {type(error).__name__}.") from error
    if not rows or REVIEWER not in rows[0] or "rank" not in rows[0]:
        raise InputError(
            f"{file} has no rows with columns rank and {REVIEWER}, as what is exported for review has."
        )
    answers = [
        _answer(row[REVIEWER], number, file) for number, row in enumerate(_by_rank(rows, file), start=1)
    ]
    found = [_precision(answers, among) for among in (*(at for at in _AT if at < len(answers)), len(answers))]
    if not found[-1].judged:
        raise InputError(f"No row of {file} has an answer in column {REVIEWER}: write yes or no.")
    return found


def _precision(answers: list[bool | None], among: int) -> Precision:
    given = [one for one in answers[:among] if one is not None]
    return Precision(among, len(given), sum(given), wilson(sum(given), len(given)))


def _by_rank(rows: list[dict[str, str]], file: Path) -> list[dict[str, str]]:
    try:
        return sorted(rows, key=lambda row: int(row["rank"]))
    except (TypeError, ValueError) as error:
        raise InputError(f"{file} holds a rank that is no whole number.") from error


def _answer(text: str | None, number: int, file: Path) -> bool | None:
    word = (text or "").strip().lower()
    if word and word not in _YES | _NO:
        raise InputError(f"{file} has an answer at rank {number} that is neither yes nor no.")
    return word in _YES if word else None
