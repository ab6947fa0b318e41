"""A CSV file read by two readers in turn: Arrow's, where a block is proved regular, else the strict one.

What comes out is what the strict reader alone would give, whatever the file: rows, their numbers and lines, and what is
broken. Blocks are proved, split and typed by threads, some blocks ahead, and handed on in the file's order.
"""

import codecs
import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, Generic, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.csv
from cohorts.records.tables.blocks import Block, cut, proves
from cohorts.records.tables.csv_records import Records
from cohorts.records.tables.strings import StrictRows, Strings, empty_columns, places
from cohorts.records.tables.text_files import ERRORS, fallback

BLOCK_BYTES = 1024 * 1024  # what a processor holds near it; of 4 MiB the same work took a tenth longer
SMALL_BYTES = 256 * 1024  # at first, and after a block that was not regular
STRICT_ROWS = 50_000  # of the strict reader, handed on at once
_LINES = ("\n", "\r")

T = TypeVar("T")


class Piece(NamedTuple, Generic[T]):
    """What was made of some rows; their numbers and lines count from what came `before` them."""

    made: T
    before: tuple[int, int]


class _Bytes:
    """The bytes of a stream, which can be given back."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._held, self._at = b"", 0
        self._ended = False

    def take_some(self) -> bytes:
        """Return the next few lines, or the start of one; b"" at the end."""
        return self._take(_some_lines(self._hold(SMALL_BYTES)))

    def take_block(self, size: int) -> Block | bytes:
        """Return a block of about a size or, where no record ends in one, what `take_some` does of it."""
        while (block := cut(data := self._hold(size))) is None and len(data) == size < BLOCK_BYTES:
            size = min(2 * size, BLOCK_BYTES)
        if block is None:
            return self._take(_some_lines(data))
        self._at += len(block.data)
        return block

    def give_back(self, data: bytes) -> None:
        self._held, self._at = data + self._held[self._at :], 0

    def _hold(self, size: int) -> bytes:
        while len(self._held) < self._at + size and not self._ended:
            more = self._stream.read(self._at + size - len(self._held))
            self._ended = not more
            self._held, self._at = self._held[self._at :] + more, 0
        return self._held[self._at : self._at + size]  # no copy where that is all

    def _take(self, many: int) -> bytes:
        self._at += many
        return self._held[self._at - many : self._at]


def _some_lines(data: bytes) -> int:
    """Return where to cut the data: behind a line, or within one, but not behind a return whose newline may follow."""
    return data.rfind(b"\n") + 1 or len(data) - (len(data) > 1 and data.endswith(b"\r"))


class _Text:
    """The lines of bytes, as the strict reader asks for them; what it has not read is known to the byte."""

    def __init__(self, more: Callable[[], bytes], name: str) -> None:
        self.name = name
        self._more = more
        self._decoder = codecs.getincrementaldecoder("utf-8")(ERRORS)
        self._data, self._at = b"", 0
        self._line = io.StringIO(newline="")
        self._chars = 0  # of the line that were not read
        self.bytes_given = self.bytes_read = self.recoded = 0

    def give(self, data: bytes) -> None:
        """Let these be the next bytes, all before them being read."""
        self._data, self._at = data, 0
        self.bytes_given += len(data)

    @property
    def is_between_lines(self) -> bool:
        """Tell whether what was not read begins with a line."""
        return not self._chars and not self._decoder.getstate()[0]

    def take_rest(self, again: str = "") -> bytes:
        """Take away what was not read, or is not to have been; return its bytes."""
        behind = again.encode()
        rest = behind + self._data[self._at :]
        self._data, self._at = b"", 0
        self.bytes_given -= len(rest)
        self.bytes_read -= len(behind)
        return rest

    def readline(self, limit: int) -> str:
        """Return the next line, which ends with a newline, a return or both, or its first characters."""
        line = ""
        while self._chars or self._decode():
            part = self._line.readline(limit - len(line))
            self._chars -= len(part)
            line += part
            if line.endswith(_LINES) or len(line) == limit:
                break
        return line

    def _decode(self) -> bool:
        """Decode the next bytes up to a newline; tell whether there were any."""
        if self._at == len(self._data):
            self.give(self._more())
        end = self._data.find(b"\n", self._at) + 1 or len(self._data)
        before = fallback.count
        text = self._decoder.decode(self._data[self._at : end], final=not self._data)
        self.recoded += fallback.count - before
        self.bytes_read += end - self._at
        self._at, self._line, self._chars = end, io.StringIO(text, newline=""), len(text)
        return bool(text) or end > 0


class CsvPieces(Generic[T]):
    """The pieces of one stream of CSV. Call `header`, then `read`.

    `work` makes of rows what is to be handed on, where columns are those at the wanted places; of place -1, empty.
    """

    def __init__(self, stream: BinaryIO, name: str, delimiter: str) -> None:
        self._bytes = _Bytes(stream)
        self._text = _Text(self._more, name)
        self._records = Records(self._text, delimiter)
        self._delimiter = delimiter
        self._size = SMALL_BYTES
        self._ahead: deque[tuple[Block | bytes, Future[T | None]]] = deque()

    def header(self) -> list[str] | None:
        """Return the first record; [] for one that can't be parsed, None in an empty file."""
        return self._records.header()

    def read(self, wanted: Sequence[int], work: Callable[[Strings], T], workers: int) -> Iterator[Piece[T]]:
        """Yield the pieces of the file in order, at least one, typed by so many threads."""
        head = Strings(
            empty_columns(len(wanted), 0),
            places([], []),
            recoded=self._text.recoded,
            bytes_strict=self._text.bytes_read,
        )
        yield Piece(work(head), (0, 0))
        pool = ThreadPoolExecutor(workers)
        try:
            if not self._give_rest_back(self._text.recoded):
                yield from self._read_strictly(wanted, work)
            while True:
                while len(self._ahead) <= workers and (block := self._bytes.take_block(self._size)):
                    self._ahead.append((block, pool.submit(self._read_fast, block, wanted, work)))
                if not self._ahead:
                    return
                block, future = self._ahead.popleft()
                made = future.result()
                if isinstance(block, Block) and made is not None:
                    self._size = min(2 * self._size, BLOCK_BYTES)
                    yield Piece(made, self._records.pass_by(len(block.ends), len(block.newlines)))
                elif self._size > SMALL_BYTES:  # of a smaller one, less need be read strictly
                    self._size = SMALL_BYTES
                    self._give_back_what_is_ahead()
                    self._bytes.give_back(_data(block))
                else:
                    self._text.give(_data(block))
                    yield from self._read_strictly(wanted, work)
        finally:
            pool.shutdown(cancel_futures=True)

    def _read_fast(
        self, block: Block | bytes, wanted: Sequence[int], work: Callable[[Strings], T]
    ) -> T | None:
        """Return what is made of a block, None where it is not regular."""
        if isinstance(block, bytes) or not proves(block, self._delimiter, self._records.width):
            return None
        columns = _split(block, self._delimiter, self._records.width, wanted)
        if columns is None:
            return None
        lines = np.concatenate([[1], block.ends[:-1] + 2])
        where = places(np.arange(1, len(lines) + 1), lines)
        return work(Strings(columns, where, bytes_fast=len(block.data)))

    def _read_strictly(self, wanted: Sequence[int], work: Callable[[Strings], T]) -> Iterator[Piece[T]]:
        """Yield the pieces of the text that was given, or the first of it, up to where a block may begin."""
        text, records = self._text, self._records
        enough, at_first, gave_back = (
            min(text.bytes_given, text.bytes_read + SMALL_BYTES),
            text.recoded,
            False,
        )
        while not gave_back and not records.ended:
            rows, began, recoded = StrictRows(wanted), text.bytes_read, text.recoded
            while len(rows) < STRICT_ROWS and text.bytes_read - began < BLOCK_BYTES and not records.ended:
                rows.add(records.step())
                if text.bytes_read - records.chars_to_read_again >= enough and self._give_rest_back(at_first):
                    gave_back = True
                    break
            yield Piece(work(rows.strings(text.bytes_read - began, text.recoded - recoded)), (0, 0))

    def _give_rest_back(self, recoded: int) -> bool:
        """Give back what comes next, where that begins a record and its bytes are known; tell whether it was so.

        `recoded` is the count of recoded bytes before what may be read again.
        """
        records, text = self._records, self._text
        if records.is_damaged or not text.is_between_lines:
            return False
        if records.chars_to_read_again and text.recoded > recoded:
            return False
        if (again := records.take_back()) is None:
            return False
        if rest := text.take_rest(again):
            self._give_back_what_is_ahead()
            self._bytes.give_back(rest)
        return True

    def _more(self) -> bytes:
        """Return more of the text: what was read ahead of it is no longer known to begin with a record."""
        self._give_back_what_is_ahead()
        return self._bytes.take_some()

    def _give_back_what_is_ahead(self) -> None:
        while self._ahead:
            block, future = self._ahead.pop()
            future.cancel()
            self._bytes.give_back(_data(block))


def _data(block: Block | bytes) -> bytes:
    return block.data if isinstance(block, Block) else block


def _split(block: Block, delimiter: str, width: int, wanted: Sequence[int]) -> list[pa.Array] | None:
    """Return some columns of a block, None where records have another number of fields."""
    names = [str(place) for place in range(width)]
    there = list(dict.fromkeys(names[place] for place in wanted if place >= 0))
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(block.data),
            pyarrow.csv.ReadOptions(use_threads=False, block_size=len(block.data) + 1, column_names=names),
            pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            pyarrow.csv.ConvertOptions(
                check_utf8=False,  # all of it was checked
                column_types=dict.fromkeys(there, pa.string()),
                include_columns=there,
                null_values=[],
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None
    if len(table) != len(block.ends):
        return None
    (nothing,) = empty_columns(1, len(table))
    return [table[names[place]].combine_chunks() if place >= 0 else nothing for place in wanted]
