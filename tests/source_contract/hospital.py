"""Patients as each source writes them in its own form."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

SECRET = "QUILLFEATHER"  # stands in a row that can't be used, and nowhere else
ICD9 = {
    "I10": "4019",
    "I509": "4280",
    "N179": "5849",
    "E119": "25000",
    "J189": "486",
    "A419": "0389",
    "K7460": "5715",
    "C3490": "1629",
}  # of the ICD-10 codes that patients have, for a source that holds ICD-9 alone
_DIAGNOSES = tuple(ICD9)
_EARLY, _LATE = timedelta(hours=2), timedelta(days=3)


@dataclass(frozen=True)
class Stay:
    """An admission of four days: its diagnoses in order, a drug on the first day, and one on the fourth."""

    number: int
    admitted: datetime
    diagnoses: Sequence[str]  # ICD-10-CM, without a dot
    early: str
    late: str

    @property
    def discharged(self) -> datetime:
        return self.admitted + timedelta(days=4)

    @property
    def drugs(self) -> list[tuple[str, datetime]]:
        return [(self.early, self.admitted + _EARLY), (self.late, self.admitted + _LATE)]


@dataclass(frozen=True)
class Patient:
    """A person by a whole number, with two stays and one note, which was written in the second."""

    number: int
    sex: str
    born: datetime
    stays: Sequence[Stay]
    note: str


def patients(many: int = 40) -> list[Patient]:
    """Return so many patients; no two have the same diagnoses."""
    return [_patient(number) for number in range(1, many + 1)]


def _patient(number: int) -> Patient:
    stays = []
    for which in (1, 2):
        first = number * which % len(_DIAGNOSES)
        codes = [_DIAGNOSES[(first + step * (number % 3 + 1)) % len(_DIAGNOSES)] for step in range(3)]
        admitted = datetime(2150, 1, 1, 10) + timedelta(days=number + 100 * which)
        stays.append(
            Stay(number * 10 + which, admitted, list(dict.fromkeys(codes)), "Furosemide", "Vancomycin")
        )
    return Patient(
        1_000 + number,
        "FM"[number % 2],
        datetime(2080 + number % 40, 5, 17),
        stays,
        f"Seen on the ward with fever and cough, day {number}.",
    )


def write_table(file: Path, header: str, rows: Iterable[Sequence[object]], delimiter: str = ",") -> None:
    """Write a table, in a folder that is made if need be; the header's columns are separated by commas."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerow(header.split(","))
        writer.writerows(rows)
