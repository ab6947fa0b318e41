"""The question of a search, kept in a cohort's file and asked again.

A text is kept as it was typed: it says what the cohort is. One that is to be sealed, as a patient's note, is kept as
the vector that it was asked by, its length and its SHA-256.
"""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import replace

from cohorts.analysis.saved.members import Members, of_hits
from cohorts.connectors.base import Connector
from cohorts.connectors.filters.reading import parse_filter
from cohorts.connectors.filters.writing import written
from cohorts.connectors.index import SearchParams, parse_search, show_search
from cohorts.connectors.patients import patient_field
from cohorts.errors import InputError
from cohorts.saved_cohorts import SavedExample, SavedQuestion
from cohorts.search.examples import Encode
from cohorts.search.neighbours import of_question
from cohorts.search.question import Example, Kind, Question


def kept(question: Question, sealed: Collection[str] = (), encode: Encode | None = None) -> SavedQuestion:
    """Return a question as a file holds it; texts in `sealed`, which `encode` reads, are not kept."""
    return SavedQuestion(
        kind="examples",
        examples=tuple(
            _sealed(one, encode) if encode and one.value in sealed else _example(one)
            for one in question.examples
        ),
        any_of=question.any_of,
        contrast=question.contrast,
        as_written=question.as_written,
        k=question.k,
        where=written(question.where) if question.where else "",
        search=show_search(question.params or SearchParams()),
        per_unit=question.per_unit,
    )


def ask(connector: Connector, name: str, asked: SavedQuestion, encode: Callable[[], Encode]) -> Members:
    """Ask a kept question again. `encode` gives what reads texts. Raises InputError, as a query does."""
    question = _question(asked)
    found = of_question(connector, name, question, encode() if question.reads_text else None)
    made = of_hits(patient_field(found.description.collection), found.hits)
    return replace(made, notes=tuple(note for note in (found.shortfall, *found.notes) if note))


def check_no_vectors(asked: SavedQuestion) -> None:
    """Raise InputError for a question by vectors of an encoder that is the collection's no more."""
    if any(one.vector for one in asked.examples):
        raise InputError(
            "The question holds a vector (of a note, of a patient who was not ingested, or one that was given), which "
            "is of the encoder before: by another encoder's vectors it can't be asked. Query anew, and save that."
        )


def _question(asked: SavedQuestion) -> Question:
    return Question(
        examples=tuple(
            Example(
                kind=Kind.VECTOR if one.sha256 else Kind(one.kind),
                value=one.value,
                weight=one.weight,
                unlike=one.unlike,
                vector=one.vector,
            )
            for one in asked.examples
        ),
        k=asked.k or 1,
        any_of=asked.any_of,
        contrast=asked.contrast,
        as_written=asked.as_written,
        where=parse_filter(asked.where) if asked.where else None,
        params=parse_search(asked.search) if asked.search else None,
        per_unit=asked.per_unit,
    )


def _example(one: Example) -> SavedExample:
    return SavedExample(
        kind=one.kind.value, value=one.value, vector=one.vector, weight=one.weight, unlike=one.unlike
    )


def _sealed(one: Example, encode: Encode) -> SavedExample:
    return SavedExample(
        kind="text",
        vector=tuple(map(float, encode([one.value])[0])),
        weight=one.weight,
        unlike=one.unlike,
        sha256=hashlib.sha256(one.value.encode()).hexdigest(),
        characters=len(one.value),
    )
