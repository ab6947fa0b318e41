"""The words of the notes that an encoder learnt from, by number, on disk: to encode them they are not cleaned again.

The file has no name and is its owner's alone: it goes with the process, however that ends, and holds no words. A note
is known by the hash of its text.
"""

import hashlib
import os
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path

import numpy as np
import numpy.typing as npt

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


class KeptNotes:
    """The notes of a corpus, whose words are parted by blanks and newlines, as `places` of their words.

    `folder` takes the file. Raises OSError.
    """

    def __init__(self, corpus: Path, read: NotesRead, places: Mapping[str, int], folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - open as long as this object is there
        weakref.finalize(self, self._file.close)
        for part in _numbered(corpus, places):
            self._file.write(part.data)
        self._file.flush()
        keys, words = read.keys(), read.words()
        order = np.argsort(keys[:, 0], kind="stable")
        self._keys = keys[order]
        self._words, self._starts = words[order], (np.cumsum(words) - words)[order]

    def find(self, texts: Sequence[str]) -> list[Places | None]:
        """Return the places of the known words of each text, (m,) in order, None for a text that was not read."""
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


def _numbered(corpus: Path, places: Mapping[str, int]) -> Iterator[Places]:
    """Yield the place of every word of the corpus, -1 for one that is not known."""
    with corpus.open(encoding="utf-8") as stream:
        while lines := stream.readlines(_READ_AT_ONCE):
            words = " ".join(lines).split()
            yield np.fromiter(map(places.get, words, repeat(-1)), np.int32, len(words))


def _as_numbers(keys: bytes | bytearray) -> npt.NDArray[np.uint64]:
    return np.frombuffer(bytes(keys), np.uint64).reshape(-1, 2)
