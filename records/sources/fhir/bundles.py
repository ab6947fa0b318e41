"""Entries of a Bundle, cut out of a stream one by one, so that a Bundle of any size takes the memory of an entry.

Only quotes and brackets are looked at, by numpy; what an entry holds is for the parser.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

BLOCK = 4 * 1024 * 1024
MOST_BYTES = 64 * 1024 * 1024  # of one resource
TOO_LONG = f"a resource of more than {MOST_BYTES // 1024**2} MiB"
ENDS_EARLY = "the file ends within it: is it complete?"

_STEP = np.zeros(256, np.int8)
_STEP[[ord("{"), ord("[")]] = 1
_STEP[[ord("}"), ord("]")]] = -1
_QUOTE = ord('"')
_LOOKED_AT = _STEP != 0
_LOOKED_AT[_QUOTE] = True
_ENTRIES = re.compile(rb'"entry"\s*:\s*\Z')
_LONGEST_KEY = 64


@dataclass(frozen=True)
class Piece:
    """The bytes of an entry, or of a whole document that has none, and the line it begins in; a fault in their place.

    `whole` tells a document from an entry.
    """

    raw: bytes
    line: int
    whole: bool = False
    fault: str = ""


class _Cutter:
    """Takes in blocks of a document, and cuts out the objects in its array `entry`, or in the array that it is."""

    def __init__(self) -> None:
        self._depth = self._quotes = 0
        self._held = b""
        self._line, self._at = 1, 0  # the line that begins, or goes on, at a place within what is held
        self._level = 0  # of the objects that are cut out, 0 outside their array
        self._begins = -1  # of the piece in hand, within what is held
        self._cut = 0  # objects of the document so far
        self._skipping = False

    def add(self, block: bytes) -> Iterator[Piece]:
        """Yield what ends in this block."""
        start, self._held = len(self._held), self._held + block
        for place, step, depth in zip(*self._brackets(block), strict=True):
            yield from self._bracket(start + place, step, depth)
        self._let_go()

    def end(self) -> Iterator[Piece]:
        """Yield the fault of a document that has no end."""
        if self._depth or self._quotes & 1:
            yield Piece(b"", self._line, fault=ENDS_EARLY)

    def _brackets(self, block: bytes) -> tuple[list[int], list[int], list[int]]:
        """Return brackets outside of texts: their places, 1 or -1, and how deep it is behind them."""
        plain = block.replace(b"\\\\", b"  ").replace(b'\\"', b"  ") if b"\\" in block else block
        signs = np.frombuffer(plain, np.uint8)
        places = np.flatnonzero(_LOOKED_AT[signs])
        found = signs[places]
        quotes = self._quotes + np.cumsum(found == _QUOTE)
        steps = np.where(quotes & 1, 0, _STEP[found])
        depth: npt.NDArray[np.int64] = self._depth + np.cumsum(steps, dtype=np.int64)
        if len(places):
            self._quotes, self._depth = int(quotes[-1]) & 1, int(depth[-1])
        # Arrays on the way, objects at the level of entries, and the document itself.
        told = (steps != 0) & (depth + (steps < 0) <= 3)
        return places[told].tolist(), steps[told].tolist(), depth[told].tolist()

    def _bracket(self, place: int, step: int, depth: int) -> Iterator[Piece]:
        if step > 0:
            self._opened(place, depth)
        elif depth == 0:
            if not self._cut and not self._level:
                yield self._piece(place, whole=True)
            self._begins, self._level, self._cut = -1, 0, 0
        elif self._level and depth == self._level - 1:
            yield self._piece(place)
            self._cut += 1
        elif self._level and depth == self._level - 2:
            self._level, self._begins = 0, -1

    def _opened(self, place: int, depth: int) -> None:
        is_array = self._held[place] == ord("[")
        if depth == 1:
            self._begins = place
            self._level = 2 if is_array else 0
            self._cut = 0
        elif depth == 2 and is_array and not self._level:
            if _ENTRIES.search(self._held, max(0, place - _LONGEST_KEY), place):
                self._level, self._begins, self._cut, self._skipping = 3, -1, 1, False
        elif self._level and depth == self._level:
            self._begins = place

    def _piece(self, end: int, *, whole: bool = False) -> Piece:
        begins, self._begins = self._begins, -1
        self._count_lines(begins)
        if self._skipping:
            self._skipping = False
            return Piece(b"", self._line, whole, TOO_LONG)
        return Piece(self._held[begins : end + 1], self._line, whole)

    def _count_lines(self, place: int) -> None:
        if place > self._at:
            self._line += self._held.count(b"\n", self._at, place)
            self._at = place

    def _let_go(self) -> None:
        """Hold what may still be needed, and no more of a piece than it may have."""
        keep = self._begins if self._begins >= 0 else max(0, len(self._held) - _LONGEST_KEY)
        if len(self._held) - keep > MOST_BYTES:
            self._skipping, keep = True, len(self._held) - _LONGEST_KEY
        self._count_lines(keep)
        self._held, self._at = self._held[keep:], self._at - keep
        self._begins = min(self._begins, 0)


def cut_entries(stream: BinaryIO) -> Iterator[Piece]:
    """Yield the entries of a Bundle, the objects of an array, or each document whole that is neither."""
    cutter = _Cutter()
    while block := stream.read(BLOCK):
        while block.endswith(b"\\") and (more := stream.read(1)):
            block += more
        yield from cutter.add(block)
    yield from cutter.end()
