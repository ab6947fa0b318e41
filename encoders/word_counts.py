"""The words of notes counted unit by unit: which words there are, and each unit's as a sparse row.

Words are kept as hashes of 64 bits, so that an encoder's folder can't be read like the notes it learnt from. They can
be tried against a list of names, since the hash is no secret: such a folder is patient data still.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from cohorts.records.cleaning import clean, count_words, words

_PRUNE_AT = 2_000_000  # words known at once while reading; the rarest are forgotten beyond it
_REMEMBERED = 1_000_000  # words of which the column is known without hashing
_HASH_BYTES = 8


def words_of(text: str, ngrams: int) -> Counter[str]:
    """Return how often each word of a text stands there, and each run of up to `ngrams` words."""
    counts = count_words(text)
    if ngrams > 1:
        ordered = words(clean(text))
        for many in range(2, ngrams + 1):
            counts.update(" ".join(ordered[start : start + many]) for start in range(len(ordered) - many + 1))
    return counts


class Vocabulary:
    """Words as columns. `hashes` are theirs, in order."""

    def __init__(self, hashes: Sequence[str], ngrams: int = 1) -> None:
        self.hashes, self._ngrams = list(hashes), ngrams
        self._places = {key: place for place, key in enumerate(self.hashes)}
        self._columns: dict[str, int] = {}

    def __len__(self) -> int:
        """Return how many words there are."""
        return len(self.hashes)

    def rows(self, texts: Iterable[str]) -> Any:
        """Return how often each known word stands in each text, scipy CSR (n, words) float32."""
        return _matrix([self._row(text) for text in texts], len(self))

    def known(self, text: str) -> tuple[list[str], Any]:
        """Return the known words of a text, and its row: the words are those of the row's entries, in their order."""
        columns = {self._column(word): word for word in words_of(text, self._ngrams)}
        row = self.rows([text])
        return [columns[place] for place in row.indices], row

    def _row(self, text: str) -> tuple[list[int], list[int]]:
        places, counts = [], []
        for word, many in words_of(text, self._ngrams).items():
            place = self._column(word)
            if place >= 0:
                places.append(place)
                counts.append(many)
        return places, counts

    def _column(self, word: str) -> int:
        """Return a word's column, -1 for one that is not known."""
        column = self._columns.get(word)
        if column is None:
            if len(self._columns) >= _REMEMBERED:
                self._columns.clear()
            column = self._columns[word] = self._places.get(hash_of(word), -1)
        return column


class WordSample:
    """The words of units, read once in bounded memory: in how many units each stands, and all words of some units.

    Those units are drawn by lot, each as likely (reservoir sampling, Vitter's algorithm R).
    """

    def __init__(self, most: int, ngrams: int, seed: int) -> None:
        self.units = 0  # that have a word
        self._most, self._ngrams = most, ngrams
        self._rng = np.random.default_rng(seed)
        self._number: dict[str, int] = {}
        self._having: list[int] = []  # units, by number
        self._rows: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]] = []

    def add(self, text: str) -> None:
        """Count the words of one unit."""
        counts = words_of(text, self._ngrams)
        if not counts:
            return
        numbers = [self._numbered(word) for word in counts]
        for number in numbers:
            self._having[number] += 1
        self.units += 1
        place = len(self._rows) if self.units <= self._most else int(self._rng.integers(self.units))
        if place < self._most:
            row = np.array(numbers, np.int32), np.fromiter(counts.values(), np.int32, len(counts))
            self._rows[place : place + 1] = [row]
        if len(self._number) > _PRUNE_AT:
            self._prune()

    def learn(
        self, min_df: int, max_df: float, max_words: int
    ) -> tuple[Vocabulary, npt.NDArray[np.int64], Any]:
        """Return the words that are kept, (f,) in how many units each stands, and the units drawn as rows (n, f).

        Kept are words in at least `min_df` units, and at most a share of `max_df` of them; of more than `max_words`
        those of most units.
        """
        most = max_df * self.units
        fit = [
            (-units, word)
            for word, number in self._number.items()
            if min_df <= (units := self._having[number]) <= most
        ]
        kept = sorted(word for _, word in sorted(fit)[:max_words])
        column = np.full(len(self._having), -1, np.int32)
        numbers = [self._number[word] for word in kept]
        column[numbers] = np.arange(len(kept), dtype=np.int32)
        having = np.array([self._having[number] for number in numbers], np.int64)
        rows = _matrix(list(_in_columns(self._rows, column)), len(kept))
        return Vocabulary([hash_of(word) for word in kept], self._ngrams), having, rows

    def _numbered(self, word: str) -> int:
        number = self._number.setdefault(word, len(self._having))
        if number == len(self._having):
            self._having.append(0)
        return number

    def _prune(self) -> None:
        """Forget the rarest words, as many as bring the rest to half of what may be known."""
        least = 1
        while len(self._number) > _PRUNE_AT // 2:
            self._number = {word: at for word, at in self._number.items() if self._having[at] > least}
            least += 1


def hash_of(word: str) -> str:
    """Return what stands for a word in an encoder's folder (hex)."""
    return hashlib.blake2b(word.encode(errors="surrogatepass"), digest_size=_HASH_BYTES).hexdigest()


def _in_columns(
    rows: Iterable[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]], column: npt.NDArray[np.int32]
) -> Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]]:
    for numbers, counts in rows:
        places = column[numbers]
        yield places[places >= 0], counts[places >= 0]


def _matrix(rows: Sequence[tuple[Any, Any]], columns: int) -> Any:
    from scipy.sparse import csr_array

    ends = np.cumsum([0, *(len(places) for places, _ in rows)])
    indices = np.empty(ends[-1], np.int32)
    counts = np.empty(ends[-1], np.float32)
    for (places, many), (start, end) in zip(rows, pairwise(ends), strict=True):
        indices[start:end], counts[start:end] = places, many
    return csr_array((counts, indices, ends), shape=(len(rows), columns))
