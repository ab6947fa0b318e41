"""Words of notes as sparse counts, made text by text in bounded memory, and TF-IDF and BM25 of them: what every text
encoder has to beat.

A word's column is told by its CRC-32, so no vocabulary is kept; of a million words some 120 pairs share a column. An
entry, one word of one text, takes 8 bytes: of 1 GB of notes some 600 MB.
"""

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Self
from zlib import crc32

import numpy as np
import numpy.typing as npt
from cohorts.records.base import Batch, Source, joined_notes
from cohorts.records.notes.splitting import Split, splits

_K1, _B = 1.5, 0.75
_AT_ONCE = 1 << 20  # entries

Flags = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class WordCounts:
    """How often each of m words stands in each of n texts: `rows` is scipy CSR (n, m) float32, `hashes` (m,) rise."""

    hashes: Hashes
    rows: Any

    @property
    def empty(self) -> Flags:
        """Return which texts have no words, (n,)."""
        return np.asarray(np.diff(self.rows.indptr) == 0)

    def texts_with(self, chosen: Flags | None = None) -> npt.NDArray[np.float32]:
        """Return in how many texts each word stands, (m,): in all of them, or in those `chosen`, (n,)."""
        of = np.ones(self.rows.shape[0], np.float32) if chosen is None else chosen.astype(np.float32)
        return np.asarray(self.weighed(np.ones_like(self.rows.data)).T @ of)

    def in_columns_of(self, hashes: Hashes) -> Any:
        """Return the counts of other words, (k,), as CSR (n, k); where these are its own, nothing is copied."""
        from scipy.sparse import csr_array

        if hashes is self.hashes:
            return self.rows
        known = np.isin(self.hashes, hashes)
        rows, place = self.rows[:, known], np.searchsorted(hashes, self.hashes[known])
        return csr_array((rows.data, place[rows.indices], rows.indptr), shape=(rows.shape[0], len(hashes)))

    def tfidf(self, learnt: npt.NDArray[np.intp]) -> Any:
        """Return sublinear TF-IDF, CSR (n, m) float32 unit rows, with the weights of words among the texts `learnt`."""
        return TfIdf().learn(self, learnt).weigh(self)

    def weighed(self, weights: npt.NDArray[Any]) -> Any:
        """Return these weights of the entries as CSR (n, m); places are shared."""
        from scipy.sparse import csr_array

        return csr_array((weights, self.rows.indices, self.rows.indptr), shape=self.rows.shape)


class WordCounter:
    """Counts the words of texts, some at a time."""

    def __init__(self) -> None:
        self._hashes, self._counts, self._ends = array("I"), array("f"), array("q", [0])

    def add(self, texts: Iterable[str]) -> "WordCounter":
        """Count the words of these texts, a row each, on all cores, and return self."""
        for hashes, rows in splits(texts, _counted):
            self._ends.frombytes((rows.indptr[1:].astype(np.int64) + len(self._hashes)).tobytes())
            self._hashes.frombytes(hashes[rows.indices].tobytes())
            self._counts.frombytes(rows.data.tobytes())
        return self

    def counts(self) -> WordCounts:
        """Return what was counted, in place: nothing can be added after that."""
        from scipy.sparse import csr_array

        columns = np.frombuffer(self._hashes, np.uint32)
        hashes = np.unique(columns)
        for first in range(0, len(columns), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            columns[some] = np.searchsorted(hashes, columns[some])
        parts = np.frombuffer(self._counts, np.float32), columns.view(np.int32), np.array(self._ends)
        rows = csr_array(parts, shape=(len(self._ends) - 1, len(hashes)))
        rows.sum_duplicates()  # of words that share a column
        return WordCounts(hashes, rows)


class TfIdf:
    """Sublinear TF-IDF in the manners of an encoder: fitted, and then units and texts in, sparse float32 unit rows out.

    A word counts 1 + ln of how often it stands there, times ln((1 + texts) / (1 + texts with it)) + 1, and 0 where no
    text learnt from has it.
    """

    name = "TF-IDF"

    def fit(self, source: Source) -> Self:
        """Learn the words, and how rare they are, and return self."""
        counter = WordCounter()
        for batch in source.batches():
            counter.add(joined_notes(batch))
        return self.learn(counter.counts())

    def learn(self, known: WordCounts, rows: npt.NDArray[np.intp] | None = None) -> Self:
        """Learn from counted texts, those in `rows` or all of them, and return self."""
        learnt = np.ones(known.rows.shape[0], np.bool_)
        if rows is not None:
            learnt = np.isin(np.arange(len(learnt)), rows)
        texts_with, texts = known.texts_with(learnt), learnt.sum(dtype=np.float32)
        self._hashes = known.hashes
        self._idf = np.where(texts_with > 0, np.log((1 + texts) / (1 + texts_with)) + 1, 0)
        return self

    @property
    def fingerprint(self) -> str:
        """Return a hash over the words and their weights (hex); `fit` goes before."""
        return hashlib.sha256(self._hashes.tobytes() + self._idf.tobytes()).hexdigest()[:16]

    def encode(self, batch: Batch) -> Any:
        """Return (len(batch), words), zeros for a unit without a known word."""
        return self.encode_text(joined_notes(batch))

    def encode_text(self, texts: Sequence[str]) -> Any:
        """Return (len(texts), words), zeros as above."""
        return self.weigh(WordCounter().add(texts).counts())

    def weigh(self, counts: WordCounts) -> Any:
        """Return the same of texts that are counted already, CSR (n, words)."""
        from sklearn.preprocessing import normalize

        known = WordCounts(self._hashes, counts.in_columns_of(self._hashes))
        made = known.weighed(np.log(known.rows.data))
        made.data += 1
        made.data *= self._idf[made.indices]
        return normalize(made, copy=False) if made.shape[0] else made  # scikit-learn refuses none


class Bm25:
    """BM25 of n texts, asked by the same ones: each word of a query counts as often as it stands there.

    Source: Kamphuis et al., 2020, Which BM25 do you mean?, the accurate form of Lucene; k1 = 1.5, b = .75.
    """

    def __init__(self, counts: WordCounts) -> None:
        self._known, rows = counts, counts.rows
        lengths = rows.sum(axis=1, dtype=np.float64)
        weights = np.repeat(_K1 * (1 - _B + _B * lengths / (lengths.mean() or 1)), np.diff(rows.indptr))
        weights += rows.data
        self._weights = counts.weighed(np.divide(rows.data, weights, out=weights))
        texts_with = counts.texts_with().astype(np.float64)
        self._idf = np.log(1 + (len(lengths) - texts_with + 0.5) / (texts_with + 0.5))
        self._asked, self._unasked = rows, counts.empty

    def asked_by(self, counts: WordCounts) -> Self:
        """Return the same, asked by other texts, one for each of the n."""
        other = copy(self)
        other._asked, other._unasked = counts.in_columns_of(self._known.hashes), counts.empty
        return other

    def similarity(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        """Return BM25 of every text for the queries in `rows`, (len(rows), n); 0 where no word is shared."""
        asked = self._asked[rows].astype(np.float64)
        asked.data *= self._idf[asked.indices]
        return products(asked, self._weights)

    def scores(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """Return the same as a `Scorer`: a text without words is like nothing."""
        scores = self.similarity(rows).astype(np.float32)
        scores[:, self._known.empty] = -np.inf
        scores[self._unasked[rows]] = -np.inf
        return scores


def _counted(made: Split) -> tuple[Hashes, Any]:
    """Return the hashes of some texts' words, (words,), and how often each word stands in each, CSR (n, words)."""
    many = len(made.vocabulary)
    return np.fromiter(map(hash_of, made.vocabulary), np.uint32, many), made.counts(
        np.arange(many, dtype=np.int32), many
    )


def hash_of(word: str) -> int:
    """Return what tells a word's column."""
    return crc32(word.encode(errors="surrogatepass"))


def products(asked: Any, vectors: Any) -> npt.NDArray[Any]:
    """Return the inner products of sparse rows, (q, m) and (n, m), as dense (q, n); the larger one is not copied."""
    return np.ascontiguousarray((vectors @ asked.T.tocsr()).toarray().T)
