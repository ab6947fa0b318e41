"""Blocks of a CSV file: cut where a record ends, and proved to be such as every reader of CSV reads alike.

A fast reader takes a broken record for a sound one now and then, and says nothing. What it reads is looked at before, a
block at once: `proves` tells that the strict reader would find no fault with it, would pass nothing over and would
split it at the same places. It never holds for a block that is not so, and may not hold for one that is: the strict
reader is slower, and does the same.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from cohorts.records.tables import csv_records

_QUOTE, _NEWLINE, _RETURN = b'"\n\r'
# What a record may begin with: no blank, for a line of blanks is no record, nor the first byte of one in UTF-8 (C2, E1,
# E2, E3), nor of a mark at the start of a text (EF), which is passed over there.
_BEGINS = np.zeros(256, np.bool_)
_BEGINS[0x21:0x80] = _BEGINS[0xC3:0xE1] = _BEGINS[0xE4:0xF5] = True
_BEGINS[0xEF] = False


@dataclass(frozen=True)
class Block:
    """Bytes that begin with a record and end with one, if quotes are paired: the places of its quotes and newlines.

    `ends` are the newlines that end a record, as numbers of newlines.
    """

    data: bytes
    quotes: npt.NDArray[np.intp]
    newlines: npt.NDArray[np.intp]
    ends: npt.NDArray[np.intp]


def cut(data: bytes) -> Block | None:
    """Return as much of the data as can be a block, None where no record ends in it."""
    view = np.frombuffer(data, np.uint8)
    newlines = np.flatnonzero(view == _NEWLINE)
    quotes = np.flatnonzero(view == _QUOTE) if b'"' in data else newlines[:0]
    before = np.searchsorted(quotes, newlines)
    ends = np.flatnonzero((before & 1) == 0)
    if not len(ends):
        return None
    last = ends[-1]
    return Block(data[: newlines[last] + 1], quotes[: before[last]], newlines[: last + 1], ends)


def proves(block: Block, delimiter: str, width: int) -> bool:
    """Tell whether all records of a block are regular, but for the number of their fields.

    They are UTF-8, a line ends with a newline, quotes stand about whole fields, and within them doubled.
    """
    view, mark = np.frombuffer(block.data, np.uint8), ord(delimiter)
    return (
        _has_plain_lines(block.data)
        and _has_paired_quotes(view, block.quotes, mark)
        and _has_plain_records(view, block)
        and _is_utf8(block.data)
        and not _has_swallowed(view, block, delimiter, width)
    )


def _has_plain_lines(data: bytes) -> bool:
    return b"\r" not in data or data.count(b"\r") == data.count(b"\r\n")


def _has_paired_quotes(view: npt.NDArray[np.uint8], quotes: npt.NDArray[np.intp], mark: int) -> bool:
    """Tell whether quotes open at the start of a field, close at its end, or stand two by two within quotes."""
    before, behind = (
        view[quotes[0::2] - 1],
        view[quotes[1::2] + 1],
    )  # the byte before the first one is a newline
    opens = (before == mark) | (before == _NEWLINE) | (before == _QUOTE)
    closes = (behind == mark) | (behind == _NEWLINE) | (behind == _QUOTE) | (behind == _RETURN)
    return bool(opens.all() and closes.all())


def _has_plain_records(view: npt.NDArray[np.uint8], block: Block) -> bool:
    """Tell whether no record is or begins with a blank, or is too long."""
    starts, stops = _records(block)
    return bool(_BEGINS[view[starts]].all() and (stops - starts).max() + 1 < csv_records.MAX_RECORD_CHARS)


def _has_swallowed(view: npt.NDArray[np.uint8], block: Block, delimiter: str, width: int) -> bool:
    """Tell whether a record of several lines may be two, of which the first has a quote that is not closed."""
    starts, stops = _records(block)
    last = stops - 1 - (view[stops - 1] == _RETURN)
    opens = (view[last] == _QUOTE) & (view[last - 1] == ord(delimiter))
    for at in np.flatnonzero(opens & (np.diff(block.ends, prepend=-1) > 1)).tolist():
        lines = block.data[starts[at] : stops[at] + 1].decode().split("\n")
        if csv_records.swallowed_another(lines[0], lines[-2], delimiter, width):
            return True
    return False


def _records(block: Block) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return where the records begin and where the newlines behind them are."""
    stops = block.newlines[block.ends]
    return np.concatenate([[0], stops[:-1] + 1]), stops


def _is_utf8(data: bytes) -> bool:
    places = pa.array([0, len(data)], pa.int32())
    try:
        pa.StringArray.from_buffers(1, places.buffers()[1], pa.py_buffer(data)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
