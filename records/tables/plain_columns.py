"""Columns of which every cell is plainly written, typed at once: by the bytes of all cells, not cell by cell.

Each function gives what the reading of single values (columns.py, cells.py, times.py) would, or None where a cell might
be read otherwise there.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_MAX_SIGNS = 15  # of a number: pandas before 3 rounds longer ones otherwise
_ZERO, _POINT, _MINUS, _BLANK = b"0.- "
_DATE = "dddd-mm-dd"
_SHAPES = {len(_DATE): _DATE, 19: f"{_DATE}_hh:mm:ss"}  # letters are digits, _ is a blank or a T
_YEARS = (1700, 2260)  # in which all that reads dates agrees: pandas counted nanoseconds once


class Cells:
    """The bytes of a column of text without nulls, and how many of them each cell has."""

    def __init__(self, texts: pa.Array) -> None:
        self._texts = texts
        _, offsets, data = texts.buffers()
        begins = np.frombuffer(offsets, np.int32, len(texts) + 1, texts.offset * 4)
        everything = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
        self.data = everything[begins[0] : begins[-1]]
        self.begins = begins[:-1] - begins[0]
        self.lengths = np.diff(begins)

    def whole_numbers(self, *, needed: bool, most_digits: int, signed: bool = False) -> pa.Array | None:
        """Return whole numbers as text, null for the empty cells, which there may not be if all are needed.

        Those that are `signed` may have a minus.
        """
        digits, lengths = self.data - _ZERO <= 9, self.lengths  # unsigned: less than 0 is much more than 9
        if not digits.all():
            filled = lengths > 0
            minus = self.data[self.begins[filled]] == _MINUS
            lengths = lengths[filled] - minus
            if not signed or (~digits).sum() != minus.sum() or not lengths.all():
                return None
        if lengths.max(initial=0) > most_digits:
            return None
        return None if needed and not self.lengths.all() else self._or_null()

    def numbers(self) -> pa.Array | None:
        """Return decimal numbers, double; null for the empty cells."""
        data = self.data
        plain = (data - _ZERO <= 9) | (data == _POINT) | (data == _MINUS)
        if not plain.all() or self.lengths.max(initial=0) > _MAX_SIGNS:
            return None
        try:
            return self._or_null().cast(pa.float64())
        except pa.ArrowInvalid:
            return None

    def flags(self) -> pa.Array | None:
        """Return bool of 0 and 1; null for the empty cells."""
        if self.lengths.max(initial=0) > 1 or not (self.data - _ZERO <= 1).all():
            return None
        return pc.equal(self._or_null(), "1")

    def times(self, *, needed: bool) -> pa.Array | None:
        """Return dates, or dates and times to the second, timestamp("us"); null for the empty cells."""
        length, given = int(self.lengths.max(initial=0)), self.lengths > 0
        if not length and not (needed and len(given)):
            return pa.nulls(len(given), pa.timestamp("us"))
        if length not in _SHAPES or (needed and not given.all()) or (self.lengths[given] != length).any():
            return None
        if not _have_shape(self.data.reshape(-1, length), _SHAPES[length]):
            return None
        try:
            times = self._or_null().cast(pa.timestamp("us"))
        except pa.ArrowInvalid:  # a day or an hour that there is not
            return None
        span = pc.min_max(pc.year(times)).as_py()
        return times if _YEARS[0] <= span["min"] and span["max"] <= _YEARS[1] else None

    def _or_null(self) -> pa.Array:
        given = self.lengths > 0
        return self._texts if given.all() else null_where(self._texts, ~given)

    @property
    def may_be_stripped(self) -> bool:
        """Tell whether a cell may begin or end with a blank."""
        first, last = self._edges(self.lengths > 0)
        return bool((_may_be_blank(first) | _may_be_blank(last)).any())

    def may_be_among(self, few: frozenset[str]) -> npt.NDArray[np.bool_]:
        """Tell which cells may be one of some short texts of ASCII once they are stripped, (rows,)."""
        found: npt.NDArray[np.bool_] = self.lengths == 0
        filled = ~found
        first, last = self._edges(filled)
        begins = np.zeros(256, np.bool_)
        begins[[ord(text[0]) for text in few if text]] = True
        short = self.lengths[filled] <= max(map(len, few))
        found[filled] = (short & begins[first]) | _may_be_blank(first) | _may_be_blank(last)
        return found

    def _edges(self, filled: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Return the first and the last byte of cells that have some."""
        begins = self.begins[filled]
        return self.data[begins], self.data[begins + self.lengths[filled] - 1]


def null_where(texts: pa.Array, nothing: npt.NDArray[np.bool_]) -> pa.Array:
    """Return the texts, null where nothing is: not by `if_else`, which in Arrow 17 spoils slices of text."""
    return texts.take(pa.array(np.arange(len(texts)), mask=nothing))


def _may_be_blank(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Tell which bytes may be of a blank: controls, or any but ASCII."""
    return (data <= _BLANK) | (data >= 0x7F)


def _have_shape(rows: npt.NDArray[np.uint8], shape: str) -> bool:
    """Tell whether all rows, (n, length), are digits and marks as the shape has them."""
    for place, mark in enumerate(shape):
        column = rows[:, place]
        if mark.isalpha():
            fits = column - _ZERO <= 9
        elif mark == "_":
            fits = (column == _BLANK) | (column == ord("T"))
        else:
            fits = column == ord(mark)
        if not fits.all():
            return False
    return True
