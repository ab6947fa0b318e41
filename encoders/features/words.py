"""The words of notes counted unit by unit: which words there are, and each unit's as a sparse row.

Words are kept as hashes of 64 bits, so that an encoder's folder can't be read like the notes it learnt from. They can
be tried against a list of names, since the hash is no secret: such a folder is patient data still.
"""

import hashlib
import operator
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import count, islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from cohorts.encoders.features.kept_notes import KeptRows, RowsRead
from cohorts.encoders.features.lot import Lot, as_matrix, draw_rows
from cohorts.records.notes.cleaning import clean, count_words, words

if TYPE_CHECKING:  # it takes Arrow, for which a question from the command line should not wait
    from cohorts.records.notes.splitting import Split

Row = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]
"""A unit's words, by column or, while they are read, by number, and how often each stands there."""

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


def by_length(made: "Split", ngrams: int) -> "Iterator[Split]":
    """Yield the words of texts, then their runs of two words, each as one word, and so on up to `ngrams`."""
    yield made
    ends = np.repeat(made.texts[1:], np.diff(made.texts))
    for many in range(2, ngrams + 1):
        starts = np.flatnonzero(np.arange(len(ends)) + many <= ends)
        run, first = np.zeros(len(starts), np.int64), np.zeros(0, np.intp)
        for place in range(many):
            run = run * len(made.vocabulary) + made.words[starts + place]
            _, first, run = np.unique(run, return_index=True, return_inverse=True)
        each = (made.words[start : start + many].tolist() for start in starts[first].tolist())
        yield replace(
            made,
            vocabulary=[" ".join(made.vocabulary[word] for word in one) for one in each],
            words=run.astype(np.int32),
            texts=np.searchsorted(starts, made.texts),
        )


class Vocabulary:
    """Words as columns. `hashes` are theirs, in order."""

    def __init__(self, hashes: Sequence[str], ngrams: int = 1) -> None:
        self.hashes, self._ngrams = list(hashes), ngrams
        self._places = {key: place for place, key in enumerate(self.hashes)}
        self._columns = _Columns(self._places)

    def __len__(self) -> int:
        """Return how many words there are."""
        return len(self.hashes)

    def rows(self, made: "Split") -> Any:
        """Return how often each known word stands in each text, scipy CSR (n, words) float32, columns rising."""
        counts = (
            one.counts(np.fromiter(map(self._columns.__getitem__, one.vocabulary), np.int32), len(self))
            for one in by_length(made, self._ngrams)
        )
        return reduce(operator.add, counts)

    def known(self, text: str) -> tuple[list[str], Row]:
        """Return the known words of a text, and its row: the words are those of the row's entries, in their order."""
        columns = {self._columns[word]: word for word in words_of(text, self._ngrams)}
        row = self.row(text)
        return [columns[place] for place in row[0].tolist()], row

    def row(self, text: str) -> Row:
        """Return the known words of one text, by column, which rise, and how often each stands there."""
        counts = words_of(text, self._ngrams)
        places = np.fromiter(map(self._columns.__getitem__, counts), np.int32, len(counts))
        known = np.argsort(places)[np.count_nonzero(places < 0) :]
        return places[known], np.fromiter(counts.values(), np.int32, len(counts))[known]


class _Columns(dict[str, int]):
    """The columns of words met before, -1 for those that are not known: others are hashed."""

    def __init__(self, places: Mapping[str, int]) -> None:
        super().__init__()
        self._places = places

    def __missing__(self, word: str) -> int:
        if len(self) >= _REMEMBERED:
            self.clear()
        column = self[word] = self._places.get(hash_of(word), -1)
        return column


class WordSample:
    """The words of units, read once in bounded memory: in how many units each stands, and all words of some units.

    Those units are drawn by lot. A `folder` takes the words of all of them: `learn` makes them its `kept`, unless there
    were so many words that some were forgotten while reading.
    """

    def __init__(self, most: int, ngrams: int, seed: int, folder: Path | None = None) -> None:
        self._ngrams = ngrams
        self._numbers = count()
        self._number: defaultdict[str, int] = defaultdict(self._numbers.__next__)
        self._having = np.zeros(1, np.int64)  # units, by the number of a word
        self._rows = Lot[Row](most, seed)
        self._all = RowsRead(folder) if folder else None
        self.kept: KeptRows | None = None

    @property
    def units(self) -> int:
        """Return how many units with a word were counted."""
        return self._rows.met

    def add(self, texts: Iterable[str]) -> "WordSample":
        """Count the words of units, whose texts are read one by one, on all cores, and return self."""
        from cohorts.records.notes.splitting import splits

        texts, again = tee(texts)  # which holds those that are at work
        for learnt, rows in splits(texts, self._counted):
            numbers = np.fromiter(map(self._number.__getitem__, learnt), np.int32, len(learnt))
            most = int(numbers.max(initial=0))
            if most >= len(self._having):
                self._having = np.concatenate([self._having, np.zeros(most + 1, np.int64)])
            self._having[numbers] += np.bincount(rows.indices, minlength=len(learnt))
            words, counts = numbers[rows.indices], rows.data.astype(np.int32)
            draw_rows(self._rows, words, counts, rows.indptr.tolist())
            units = list(islice(again, rows.shape[0]))
            if self._all:
                self._all.add(units, words, counts, rows.indptr)
            if len(self._number) > _PRUNE_AT:
                self._prune()
        return self

    def learn(
        self, min_df: int, max_df: float, max_words: int
    ) -> tuple[Vocabulary, npt.NDArray[np.int64], Any]:
        """Return the words that are kept, (f,) in how many units each stands, and the units drawn as rows (n, f).

        Kept are words in at least `min_df` units, and at most a share of `max_df` of them; of more than `max_words`
        those of most units.
        """
        most = max_df * self.units
        having = self._having[list(self._number.values())].tolist()
        fit = [
            (-units, word)
            for word, units in zip(self._number, having, strict=True)
            if min_df <= units <= most
        ]
        kept = sorted(word for _, word in sorted(fit)[:max_words])
        numbers = np.array([self._number[word] for word in kept], np.intp)
        column = np.full(next(self._numbers), -1, np.int32)
        column[numbers] = np.arange(len(kept), dtype=np.int32)
        rows = as_matrix(self._rows.drawn, column, len(kept))
        self.kept = self._all.kept(column, len(kept)) if self._all else None
        return Vocabulary([hash_of(word) for word in kept], self._ngrams), self._having[numbers], rows

    def _counted(self, made: "Split") -> tuple[list[str], Any]:
        """Return the words of some units, and how often each stands in each, CSR (n, words)."""
        from scipy.sparse import hstack

        each = list(by_length(made, self._ngrams))
        counts = [
            one.counts(np.arange(len(one.vocabulary), dtype=np.int32), len(one.vocabulary)) for one in each
        ]
        return [word for one in each for word in one.vocabulary], hstack(counts, format="csr")

    def _prune(self) -> None:
        """Forget the rarest words, as many as bring the rest to half of what may be known."""
        self._all = None
        least = 1
        while len(self._number) > _PRUNE_AT // 2:
            for word in [word for word, number in self._number.items() if self._having[number] <= least]:
                del self._number[word]
            least += 1


def hash_of(word: str) -> str:
    """Return what stands for a word in an encoder's folder (hex)."""
    return hashlib.blake2b(word.encode(errors="surrogatepass"), digest_size=_HASH_BYTES).hexdigest()
