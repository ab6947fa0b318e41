"""The words of the notes that an encoder learnt from, by number, on disk: to encode them they are not split again.

The file has no name and is its owner's alone: it goes with the process, however that ends, and holds no words. A note,
or all notes of a unit, are known by the hash of the text.
"""

import hashlib
import os
import weakref
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from cohorts.encoders.features.lot import as_matrix
from cohorts.private_files import unnamed_file

Places = npt.NDArray[np.int32]

_KEY_BYTES = 16
_READ_AT_ONCE = 1 << 20  # bytes


def text_key(text: str) -> bytes:
    """Return the hash by which a text is known."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=_KEY_BYTES).digest()


class NotesRead:
    """Which notes stand in a corpus, one after the other, and how many words each has: 24 bytes a note."""

    def __init__(self) -> None:
        self._keys, self._words = bytearray(), array("q")

    def add(self, text: str, words: int) -> None:
        """Tell the note that follows."""
        self._keys += text_key(text)
        self._words.append(words)

    def skip(self, words: int) -> None:
        """Tell of words that follow and are of no note."""
        self._keys += bytes(_KEY_BYTES)
        self._words.append(words)

    def keys(self) -> npt.NDArray[np.uint64]:
        """Return the hashes, (n, 2)."""
        return _as_numbers(self._keys)

    def words(self) -> npt.NDArray[np.int64]:
        """Return how many words each has, (n,)."""
        return np.array(self._words, np.int64)


def by_number(corpus: Path, places: Mapping[str, int], folder: Path) -> IO[bytes]:
    """Return a file of the places of a corpus' words, which are parted by blanks and newlines. Raises OSError."""
    file = unnamed_file(folder)
    for part in _numbered(corpus, places):
        file.write(part.data)
    return file


class KeptNotes:
    """Notes as whole numbers, four bytes each, one note after the other in a file, which is open as long as this is."""

    def __init__(self, file: IO[bytes], read: NotesRead) -> None:
        file.flush()
        self._file = file
        weakref.finalize(self, file.close)
        keys, words = read.keys(), read.words()
        order = np.argsort(keys[:, 0], kind="stable")
        self._keys = keys[order]
        self._words, self._starts = words[order], (np.cumsum(words) - words)[order]

    def find(self, texts: Sequence[str]) -> list[Places | None]:
        """Return the numbers of each text, (m,) in order, less those below 0; None for a text that was not read."""
        if not len(self._keys) or not texts:
            return [None] * len(texts)
        keys = _as_numbers(b"".join(map(text_key, texts)))
        rows = np.searchsorted(self._keys[:, 0], keys[:, 0]).clip(max=len(self._keys) - 1)
        there = (self._keys[rows] == keys).all(axis=1)
        return [
            self._read(row) if known else None
            for row, known in zip(rows.tolist(), there.tolist(), strict=True)
        ]

    def _read(self, row: int) -> Places:
        wide = np.dtype(np.int32).itemsize
        raw = os.pread(self._file.fileno(), wide * int(self._words[row]), wide * int(self._starts[row]))
        places = np.frombuffer(raw, np.int32)
        return places[places >= 0]


class RowsRead:
    """The words of units and how often each stands there, written to a file of a folder while they are counted."""

    def __init__(self, folder: Path) -> None:
        self._file, self._read = unnamed_file(folder), NotesRead()
        self._closing = weakref.finalize(self, self._file.close)

    def add(
        self, texts: Sequence[str], numbers: Places, counts: Places, ends: npt.NDArray[np.integer[Any]]
    ) -> None:
        """Tell the units that follow, their words by number; those of one stand between two ends."""
        self._file.write(np.stack([numbers, counts], axis=1).data)
        for text, many in zip(texts, np.diff(ends).tolist(), strict=True):
            self._read.add(text, 2 * many)

    def kept(self, column: Places, width: int) -> "KeptRows":
        """Return them as rows of so many columns; `column` is that of each number, -1 for a word that has none."""
        self._closing.detach()  # it is theirs from here on
        return KeptRows(KeptNotes(self._file, self._read), column, width)


class KeptRows:
    """How often each of some words stands in units that were read before."""

    def __init__(self, notes: KeptNotes, column: Places, width: int) -> None:
        self._notes, self._column, self._width = notes, column, width

    def find(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.bool_], Any]:
        """Return which of the texts were read, (texts,), and the rows of these, scipy CSR float32, columns rising."""
        found = self._notes.find(texts)
        pairs = [one.reshape(-1, 2) for one in found if one is not None]
        rows = as_matrix([(one[:, 0], one[:, 1]) for one in pairs], self._column, self._width)
        return np.array([one is not None for one in found], np.bool_), rows


def _numbered(corpus: Path, places: Mapping[str, int]) -> Iterator[Places]:
    """Yield the place of every word of the corpus, -1 for one that is not known."""
    with corpus.open(encoding="utf-8") as stream:
        while lines := stream.readlines(_READ_AT_ONCE):
            words = " ".join(lines).split()
            yield np.fromiter(map(places.get, words, repeat(-1)), np.int32, len(words))


def _as_numbers(keys: bytes | bytearray) -> npt.NDArray[np.uint64]:
    return np.frombuffer(bytes(keys), np.uint64).reshape(-1, 2)
