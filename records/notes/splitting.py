"""The words of many notes at once: those of `words(clean(text))`, by numpy and Arrow outside the interpreter lock.

A run of letters and signs between blanks is split by cleaning.py's own steps, and but once for all its occurrences;
numpy finds the runs, and Arrow tells which are different. Dates and numbers that go over blanks are taken out before
that (removal.py). A text that is not plain ASCII goes through the steps for these on its own.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, count, islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from cohorts.records.cores import usable_cores
from cohorts.records.notes.cleaning import (
    APART,
    END,
    RUNS,
    lowercase,
    named_numbers,
    placeholders,
    timestamps,
)
from cohorts.records.notes.removal import ROOM, Places, Signs, remove_from_plain

T = TypeVar("T")

_PIECE = 1 << 22  # signs split at once: some 60 MB of memory
_MOST_THREADS = 4  # a fourth of the work holds the interpreter lock: more would wait for one another


def _table() -> bytes:
    """Return what each byte becomes: letters small, ends of sentences newlines, other signs between words blanks."""
    table = bytearray(range(256))
    for code in range(128):
        sign = chr(code)
        table[code] = ord(END if sign in "\n!?" else APART.get(code, sign.lower()))
    return bytes(table)


_TABLE = _table()


@dataclass(frozen=True)
class Split:
    """The words of n texts, in order, as places in a `vocabulary` of their own.

    Text i is `words[texts[i] : texts[i + 1]]`, sentence j `words[sentences[j] : sentences[j + 1]]`: `words` is
    (m,) int32, `texts` (n + 1,) and `sentences` (s + 1,) int64. A sentence is of one text; none is without a word.
    """

    vocabulary: list[str]
    words: npt.NDArray[np.int32]
    texts: npt.NDArray[np.int64]
    sentences: npt.NDArray[np.int64]

    def counts(self, columns: npt.NDArray[np.int32], width: int) -> Any:
        """Return how often the words of each column stand in each text, scipy CSR (n, width) float32, columns rising.

        `columns` (vocabulary,) are those of the words, -1 for a word that is left out.
        """
        from scipy.sparse import csr_array

        many = len(self.texts) - 1
        column = columns[self.words]
        kind = np.int32 if (many + 1) * width < 1 << 31 else np.int64  # half the size is sorted faster
        firsts: npt.NDArray[Any] = np.arange(many + 1, dtype=kind) * width
        keys = (np.repeat(firsts[:-1], np.diff(self.texts)) + column)[column >= 0]
        keys.sort()
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        keys, times = keys[first], np.diff(first, append=len(keys)).astype(np.float32)
        ends = np.searchsorted(keys, firsts)
        places = keys - np.repeat(firsts[:-1], np.diff(ends))
        parts = times, places.astype(np.int32), ends.astype(np.int32)
        return csr_array(parts, shape=(many, width))


def split(texts: Sequence[str]) -> Split:
    """Return the words of these texts, as `words(clean(text))` gives them for each."""
    signs, text_starts = _without_numbers(texts)
    runs, run_starts, sentence_ends = _runs(signs)
    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    end = numbers[END]
    tokens, before_run = _tokens(runs.dictionary_encode(), numbers)
    is_word = tokens != end
    before_token = np.concatenate([[0], np.cumsum(is_word)])
    before_place = before_token.take(before_run)
    within, between = np.flatnonzero(~is_word), np.searchsorted(run_starts, sentence_ends)
    sentences = np.concatenate([[0], before_token[within], before_place[between], before_token[-1:]])
    sentences.sort(kind="stable")
    return Split(
        vocabulary=list(numbers)[1:],
        words=tokens[is_word] - np.int32(1),
        texts=before_place[np.searchsorted(run_starts, text_starts)],
        sentences=sentences[np.diff(sentences, prepend=-1) > 0],
    )


def splits(texts: Iterable[str], make: Callable[[Split], T]) -> Iterator[T]:
    """Yield what `make` makes of the words of the texts, some MB of them at a time, in order.

    Threads split, and make, one a core up to four; of the texts only what is at work is held.
    """
    pieces, threads = _pieces(texts), _threads()
    first = list(islice(pieces, 2))
    if threads == 1 or len(first) < 2:
        yield from (make(split(piece)) for piece in chain(first, pieces))
        return
    at_work: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for piece in chain(first, pieces):
                at_work.append(pool.submit(lambda piece: make(split(piece)), piece))
                if len(at_work) > threads:
                    yield at_work.popleft().result()
            while at_work:
                yield at_work.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _pieces(texts: Iterable[str]) -> Iterator[list[str]]:
    piece, size = [], 0
    for text in texts:
        piece.append(text)
        size += len(text)
        if size >= _PIECE:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _threads() -> int:
    """Return how many threads split: one for each core that this process may use, up to a few."""
    return min(usable_cores(), _MOST_THREADS)


def _without_numbers(texts: Iterable[str]) -> tuple[Signs, Places]:
    """Return the texts as bytes (b,), newlines between and around, and where each begins, and what is behind the last.

    They are without placeholders, dates and numbers that a word tells, and, what is not plain, in lower case.
    """
    parts, is_plain = [b"\n" * (ROOM - 1)], list[bool]()
    for text in texts:
        is_plain.append(text.isascii())
        left = text if is_plain[-1] else lowercase(named_numbers(timestamps(placeholders(text))))
        parts.append(left.encode(errors="surrogatepass"))
    signs = np.frombuffer(bytearray(b"\n".join([*parts, b"\n" * ROOM])), np.uint8)
    starts = np.cumsum([len(part) + 1 for part in parts])
    remove_from_plain(signs, starts, np.array(is_plain, np.bool_))
    return signs, starts


def _runs(signs: Signs) -> tuple[pa.LargeStringArray, Places, Places]:
    """Return the runs of signs between blanks, where they begin, and where sentences end, but those within a run."""
    small = np.frombuffer(bytearray(signs).translate(_TABLE), np.uint8)
    is_sign = small > ord(" ")
    points = np.flatnonzero((small[:-1] == ord(".")) & ~is_sign[1:])
    is_sign[points] = False
    edges = np.flatnonzero(is_sign[1:] != is_sign[:-1]) + 1
    starts = edges[::2]
    offsets = np.concatenate([[0], np.cumsum(edges[1::2] - starts)])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(small[is_sign])]
    runs = pa.Array.from_buffers(pa.large_string(), len(starts), buffers)
    return runs, starts, np.concatenate([points, np.flatnonzero(small == ord(END))])


def _tokens(
    runs: pa.DictionaryArray, numbers: "defaultdict[str, int]"
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return the words of the runs and `END`, by number, (t,), and how many stand before each run and behind all."""
    each = list(map(RUNS.__getitem__, _strings(runs.dictionary)))
    flat = np.fromiter(map(numbers.__getitem__, chain.from_iterable(each)), np.int32)
    many = np.fromiter(map(len, each), np.int64, len(each))
    run = runs.indices.to_numpy()
    before = np.concatenate([[0], np.cumsum(many[run])])
    shift = (np.cumsum(many) - many)[run] - before[:-1]
    return flat.take(np.arange(before[-1]) + np.repeat(shift, many[run])), before


def _strings(runs: pa.LargeStringArray) -> list[str]:
    try:
        made: list[str] = runs.to_numpy(zero_copy_only=False).tolist()
    except (pa.ArrowException, UnicodeDecodeError):  # half of a surrogate pair, which is no UTF-8
        parts = runs.view(pa.large_binary()).to_numpy(zero_copy_only=False)
        return [part.decode(errors="surrogatepass") for part in parts]
    return made
