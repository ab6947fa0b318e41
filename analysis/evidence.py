"""Passages of the neighbours' notes that fit a question best: read from the user's own files, told, and never kept.

A passage is a sentence, with the next one where it is short. It fits by the words that it shares with the question:
with the texts that are asked by, and with the notes of the patients who are asked by. They count by BM25, each once,
among all passages that were read; words that a note negates, tells of the family or only speaks of do not count.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise

from cohorts.connectors.base import Hit
from cohorts.records.base import Batch, Source, Unit
from cohorts.records.notes.cleaning import count_words
from cohorts.records.notes.context import mark
from cohorts.records.transforms import reading
from cohorts.records.window import WHOLE_STAY, Window, parse_window, seen
from cohorts.search.negation import without_negated
from cohorts.search.question import Kind, Question

MOST = 100  # answers whose notes are read: they are held until all are
_END = re.compile(r"(?<=[.!?;])\s+|\n(?!\s*[a-z])")  # a wrapped line goes on in small letters
_SHORT, _LONG = 80, 300  # characters of a passage
_K1, _B = 1.5, 0.75


@dataclass(frozen=True)
class Passage:
    """What was found in a note, with the words of the question in it, the rarest first; its text is in no repr."""

    text: str = field(repr=False)
    category: str
    time: str
    words: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class _Note:
    text: str
    category: str
    time: str

    def written_by(self, day: date) -> bool:
        """Tell whether it was written up to a day; of one without a time nobody knows."""
        return "" < self.time[:10] <= day.isoformat()

    def passages(self) -> Iterator["_Piece"]:
        """Yield its sentences."""
        said = _said(self.text)
        starts = [0, *(end.end() for end in _END.finditer(self.text)), len(self.text)]
        for start, end in pairwise(starts):
            words = count_words(said[start:end])
            if words:
                yield _Piece(self, start, end, frozenset(words), words.total())


@dataclass(frozen=True)
class _Piece:
    note: _Note
    start: int
    end: int
    words: frozenset[str]
    length: int

    def shown(self) -> str:
        """Return its text in one line, with the next sentence where it is short."""
        text, end = self.note.text, self.end
        if end - self.start < _SHORT and end < len(text):
            following = _END.search(text, end + 1)
            end = following.end() if following else len(text)
        line = " ".join(text[self.start : end].split())
        return line if len(line) <= _LONG else f"{line[: _LONG - 1]}…"


def read_passages(
    source: Source,
    hits: Sequence[Hit],
    whose: Sequence[Set[str]],
    question: Question,
    as_of: str = "",
    *,
    until: date | None = None,
) -> list[Passage | None]:
    """Return the passage for each hit, None where no note shares a word with the question; the first 100 are read.

    `whose` are the patients of each hit. A source of patients is matched by them, one of admissions by the hits' ids.
    Only what lies in the window `as_of` is read, and what was written up to the day `until`.
    """
    window = parse_window(as_of) if as_of not in ("", WHOLE_STAY) else None
    notes = _read(source, hits[:MOST], whose, asked_patients(question), window)
    if until is not None:
        notes = {key: [note for note in own if note.written_by(until)] for key, own in notes.items()}
    wanted = _wanted(question, notes.pop("", []))
    found = {key: [piece for note in own for piece in note.passages()] for key, own in notes.items()}
    weights = _Weights.of([piece for own in found.values() for piece in own], wanted)
    return [weights.best(found.get(hit.id, [])) for hit in hits]


def asked_patients(question: Question) -> set[str]:
    """Return the ids of the patients of the collection whom answers are to be like."""
    return {one.value for one in question.examples if one.kind is Kind.PATIENT and not one.unlike}


def _read(
    source: Source, hits: Sequence[Hit], whose: Sequence[Set[str]], asked: Set[str], window: Window | None
) -> dict[str, list[_Note]]:
    """Return the notes by the ids of hits, and under "" those of the patients asked by."""
    of_patient: defaultdict[str, list[str]] = defaultdict(list)
    for hit, patients in zip(hits, whose, strict=False):
        for one in patients if source.unit is Unit.PATIENT else (hit.id,):
            of_patient[one].append(hit.id)
    notes: defaultdict[str, list[_Note]] = defaultdict(list)
    frames = frozenset({"notes"}) | (window.reads if window else frozenset())
    with reading(source, frames):
        for batch in seen(source, window).batches():
            for key, note in _notes(batch, of_patient, asked, source.unit):
                notes[key].append(note)
    return dict(notes)


def _notes(
    batch: Batch, of_patient: Mapping[str, list[str]], asked: Set[str], unit: Unit
) -> Iterator[tuple[str, _Note]]:
    patients = dict(zip(batch.units["unit_id"], batch.units["patient_id"], strict=True))
    columns = (batch.notes[name].tolist() for name in ("unit_id", "text", "category"))
    times = batch.notes["time"].astype("str").fillna("").tolist()
    for owner, text, category, time in zip(*columns, times, strict=True):
        note = _Note(text, category if isinstance(category, str) else "", "" if time == "NaT" else time)
        if patients[owner] in asked:
            yield "", note
        for key in of_patient.get(patients[owner] if unit is Unit.PATIENT else owner, ()):
            yield key, note


def _wanted(question: Question, notes: Sequence[_Note]) -> dict[str, float]:
    """Return the words of a question and what each weighs: as it is said, 1 + ln of how often."""
    counts: Counter[str] = Counter()
    for one in question.examples:
        if one.kind in (Kind.TEXT, Kind.NOTE) and not one.unlike:
            counts += count_words(one.value if question.as_written else without_negated(one.value))
    for note in notes:
        counts += count_words(_said(note.text))
    return {word: 1 + math.log(many) for word, many in counts.items()}


def _said(text: str) -> str:
    """Return a note of the same length, with blanks for what is not said of the patient as it is."""
    signs = list(text)
    for start, end, _ in mark(text):
        signs[start:end] = " " * (end - start)
    return "".join(signs)


@dataclass(frozen=True)
class _Weights:
    """What each word of a question weighs among the passages that were read, and how long these are on average."""

    of_word: Mapping[str, float]
    length: float

    @classmethod
    def of(cls, pieces: Sequence[_Piece], wanted: Mapping[str, float]) -> "_Weights":
        """Return the weights: what a word weighs in the question, times how rare it is."""
        many, among = len(pieces), Counter(word for one in pieces for word in one.words & wanted.keys())
        rare = {word: math.log(1 + (many - of + 0.5) / (of + 0.5)) for word, of in among.items()}
        length = sum(one.length for one in pieces) / max(1, many)
        return cls({word: rare[word] * wanted[word] for word in rare}, length)

    def best(self, pieces: Sequence[_Piece]) -> Passage | None:
        """Return the passage that fits best, the first of those that fit as well."""
        best = max(pieces, key=self._score, default=None)
        if best is None or not self._score(best):
            return None
        words = sorted(best.words & self.of_word.keys(), key=lambda word: (-self.of_word[word], word))
        return Passage(best.shown(), best.note.category, best.note.time, tuple(words))

    def _score(self, piece: _Piece) -> float:
        shared = sum(self.of_word[word] for word in piece.words & self.of_word.keys())
        return shared * (_K1 + 1) / (1 + _K1 * (1 - _B + _B * piece.length / self.length))
