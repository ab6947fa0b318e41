"""Bad rows: written down one by one with table, place and reason, and counted; never their content."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

from cohorts.errors import InputError, TooManyBadRows
from cohorts.private_files import open_private, private_folder
from cohorts.records.tables.columns import BadRow, place_of


class Quarantine:
    """The list of bad rows of one reading, as a CSV file (table, row, line, reason) made at the first bad row.

    It is open only while rows are written: a source that is dropped half read leaves no file open.
    """

    def __init__(self, file: Path, max_bad_share: float) -> None:
        self.file = file
        self.max_bad_share = max_bad_share
        self.counts: Counter[str] = Counter()
        self._files: dict[str, Sequence[Path]] = {}  # of tables whose rows are told by their file

    def name_files(self, table: str, files: Sequence[Path]) -> None:
        """Know the files of a table, so that its bad rows are told by their own."""
        self._files[table] = files

    def add(self, rows: Sequence[BadRow]) -> None:
        """Write the rows down. Raises InputError where the file can't be written."""
        if not rows:
            return
        with self._opened("a" if self.counts else "w") as stream:
            lines = csv.writer(stream)
            if not self.counts:
                lines.writerow(("table", "row", "line", "reason"))
            lines.writerows(
                (self._called(row), place_of(row.number)[1], row.line, row.reason) for row in rows
            )
        self.counts.update(row.table for row in rows)

    def _called(self, row: BadRow) -> str:
        """Return the table of a row, or its file where these are known."""
        files = self._files.get(row.table)
        return str(files[place_of(row.number)[0]]) if files else row.table

    def go_on_in(self, file: Path) -> None:
        """Write the list to another file from now on, which begins with what was written so far. Raises InputError."""
        before, self.file = self.file, file
        if self.counts and before != file:
            rows = before.read_text(encoding="utf-8")
            with self._opened("w") as stream:
                stream.write(rows)

    def check_share(self, table: str, rows: int) -> None:
        """Raise TooManyBadRows where more than `max_bad_share` of the table's rows are bad."""
        bad = self.counts[table]
        if bad > self.max_bad_share * rows:
            raise TooManyBadRows(
                f"{bad:,} of {rows:,} rows of {table} are bad, more than the allowed share of {self.max_bad_share:g}. "
                f"The rows and the reasons are in {self.file}.",
                remedy="Mend the table, or allow a larger share.",
                hint="max_bad_share",
            )

    @contextmanager
    def _opened(self, mode: Literal["w", "a"]) -> Iterator[IO[str]]:
        try:
            private_folder(self.file.parent)
            with open_private(self.file, mode) as stream:
                yield stream
        except OSError as error:
            raise InputError(
                f"The quarantine file can't be written: {error}.",
                remedy="Name another.",
                hint="another_quarantine",
            ) from error
