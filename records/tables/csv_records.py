"""The records of a CSV stream, one after the other; a broken one costs nothing but itself.

The standard library's strict parser reads them and not a faster one: after a quote that never closes, reading goes on
at the next line that starts a record. Nor does a line or a quote without an end fill the memory: of a record, so many
characters are read and no more.
"""

import csv
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from cohorts.errors import SourceError

MAX_RECORD_CHARS = 16 * 1024 * 1024
_START_CHARS = 200  # of a line that is too long
_PASS_CHARS = 64 * 1024  # at once, of its rest
_MAX_AGAIN_CHARS = 2 * 1024**3  # read a second time behind quotes that are not closed: a minute's work
_ENDS = ("\n", "\r")


@dataclass(frozen=True)
class Record:
    """One row: its fields, its number after the header, its first line, its length in characters."""

    fields: list[str]
    number: int
    line: int
    chars: int


@dataclass(frozen=True)
class Broken:
    """One row that can't be split into the header's columns."""

    number: int
    line: int
    reason: str


class Stream(Protocol):
    """Text that is read line by line."""

    @property
    def name(self) -> str:
        """Return the path of the file."""
        ...

    def readline(self, limit: int, /) -> str:
        """Return the next line, or its first characters."""
        ...


class _Start(str):
    """The start of a line that is too long to be kept; its rest is passed over."""

    __slots__ = ()


def read_line(stream: Stream) -> str:
    """Return the next line, "" at the end; of one that is too long a `_Start`."""
    line = stream.readline(MAX_RECORD_CHARS)
    if len(line) < MAX_RECORD_CHARS or line.endswith(_ENDS):
        return line
    start = _Start(line[:_START_CHARS])
    while line and not line.endswith(_ENDS):
        line = stream.readline(_PASS_CHARS)
    return start


def is_too_long(line: str) -> bool:
    """Tell whether a line that was read is the start of one that is too long."""
    return type(line) is _Start


class _Lines:
    """Physical lines, remembering those of the record being parsed so that they can be parsed again.

    A record that is too long is as one that can't be parsed: csv.Error.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._again: deque[str] = deque()
        self._chars = 0  # of the record
        self.again_chars = 0  # of the lines to be parsed again
        self._all_again_chars = 0  # of all that ever were
        self.record: list[str] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self._again:
            line = self._again.popleft()
            self.again_chars -= len(line)
        else:
            line = read_line(self._stream)
        if not line:
            raise StopIteration
        self.record.append(line)
        self._chars += len(line)
        if self._chars > MAX_RECORD_CHARS or is_too_long(line):
            raise csv.Error
        return line

    def end_record(self) -> None:
        """Forget the lines of the record."""
        self.record.clear()
        self._chars = 0

    def take_back(self) -> str | None:
        """Return, and forget, what is to be parsed again; None where that holds a line that was not kept."""
        if any(map(is_too_long, self._again)):
            return None
        text = "".join(self._again)
        self._again.clear()
        self.again_chars = 0
        return text

    def keep_first(self) -> None:
        """Give all but the first line of the record back, to be parsed again. Raises SourceError for too many."""
        self._all_again_chars += self._chars
        if self._all_again_chars > _MAX_AGAIN_CHARS:
            raise SourceError(
                f"The quotes of {self._stream.name} are not closed or not doubled in so many rows that they can't be "
                "told apart. Write the table anew, with every quote within a field doubled."
            )
        self._again.extendleft(reversed(self.record[1:]))
        del self.record[1:]
        self.again_chars += self._chars - len(self.record[0])
        self._chars = len(self.record[0])


class Records:
    """The records of a CSV stream; a broken one costs nothing but itself."""

    def __init__(self, stream: Stream, delimiter: str) -> None:
        csv.field_size_limit(MAX_RECORD_CHARS)
        self._lines = _Lines(stream)
        self._delimiter = delimiter
        self._reader = csv.reader(self._lines, delimiter=delimiter, strict=True)
        self.width = 0
        self.ended = False
        self._number = 0
        self._line = 1
        self._damaged: re.Pattern[str] | None = None  # set while lines may be remains of a broken record

    def header(self) -> list[str] | None:
        """Return the first record; [] for one that can't be parsed, None in an empty file."""
        fields = self._next_fields()
        if fields is not None:
            self.width = len(fields)
            self._advance()
        return fields

    def __iter__(self) -> Iterator[Record | Broken]:
        while not self.ended:
            record = self.step()
            if record is not None:
                yield record

    def step(self) -> Record | Broken | None:
        """Read on to the end of a record: None for what is passed over, and where the stream has `ended`."""
        fields = self._next_fields()
        if fields is None:
            self.ended = True
            return None
        record = self._judge(fields)
        self._advance()
        return record

    @property
    def is_damaged(self) -> bool:
        """Tell whether what comes next may be the remains of a broken record."""
        return self._damaged is not None

    @property
    def chars_to_read_again(self) -> int:
        """Return how many characters of the stream were read behind a broken record and are not parsed."""
        return self._lines.again_chars

    def take_back(self) -> str | None:
        """Return, and forget, what was read behind a broken record and is not parsed; None where it was not kept."""
        return self._lines.take_back()

    def pass_by(self, records: int, lines: int) -> tuple[int, int]:
        """Count records and lines that another has read from the stream; return how many came before them."""
        before = self._number, self._line - 1
        self._number += records
        self._line += lines
        return before

    def _next_fields(self) -> list[str] | None:
        """Return the next record's fields; [] for one that can't be parsed; None at the end."""
        try:
            return next(self._reader)
        except StopIteration:
            return None
        except csv.Error:
            self._reread_rest()
            return []

    def _reread_rest(self) -> None:
        self._lines.keep_first()
        self._reader = csv.reader(self._lines, delimiter=self._delimiter, strict=True)

    def _advance(self) -> None:
        self._line += len(self._lines.record)
        self._lines.end_record()

    def _judge(self, fields: list[str]) -> Record | Broken | None:
        """Return the record, or how it is broken, or None for a blank line and the remains of a broken one."""
        lines = self._lines.record
        first = lines[0]
        if not first.strip():
            return None
        reason = ""
        if is_too_long(first):
            reason = f"a line of more than {MAX_RECORD_CHARS:,} characters"
        elif not fields or (
            len(lines) > 1 and swallowed_another(first, lines[-1], self._delimiter, self.width)
        ):
            reason = "a quote in this row is not closed or not doubled"
        elif len(fields) != self.width:
            reason = f"{len(fields)} fields where the header has {self.width}"
        remains = self._damaged is not None and not self._damaged.match(first)
        if remains and len(fields) != self.width:
            self._reread_rest()
            return None
        self._number += 1
        if remains:
            return Broken(self._number, self._line, "stands behind a broken row and may be a part of it")
        if not reason:
            self._damaged = None
            return Record(fields, self._number, self._line, sum(map(len, lines)))
        if not fields or len(lines) > 1:
            self._damaged = _shape_of_start(first, self._delimiter)
            self._reread_rest()
        return Broken(self._number, self._line, reason)


def swallowed_another(first: str, last: str, delimiter: str, width: int) -> bool:
    """Tell whether an unclosed quote ran on into the next record and ended, unnoticed, at its opening quote.

    `first` and `last` are lines of a record of several, in a table of so many columns.
    """
    return (
        last.rstrip("\r\n").endswith(delimiter + '"')
        and last.count(delimiter) >= width - 1
        and bool(_shape_of_start(first, delimiter).match(last))
    )


def _shape_of_start(line: str, delimiter: str) -> re.Pattern[str]:
    """Return a pattern for lines whose first field has the shape of this line's: 12 like 7, D2N001 like D2N1."""
    first = line.split(delimiter, 1)[0].strip().strip('"')
    shape = re.sub(r"[^\W\d_]+", "L", re.sub(r"\d+", "0", first))
    pattern = "".join({"0": r"\d+", "L": r"[^\W\d_]+"}.get(char, re.escape(char)) for char in shape)
    return re.compile(rf'\s*"?{pattern}"?\s*{re.escape(delimiter)}')
