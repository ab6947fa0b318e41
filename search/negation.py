"""What a text says is not so, read as criteria: taken out of what is encoded, and where a phenotype fits, a filter.

A vector of words has no "not": "no heart failure" finds patients with heart failure. What ConText marks as negated is
left out of the text. An item of it that is called as a phenotype is excludes patients who have a diagnosis of it; of
any other, a note says that it excludes nobody.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from cohorts.connectors.base import Collection
from cohorts.connectors.filters.conditions import All, Contains, Filter, Not
from cohorts.errors import InputError
from cohorts.plain_text import printable
from cohorts.records.codes.phenotypes import load_phenotypes
from cohorts.records.notes.context import Kind as Said
from cohorts.records.notes.context import mark
from cohorts.search.question import Kind, Question

FIELD = "phenotypes"  # of a payload
_ITEMS = re.compile(r"[,;/]|\b(?:or|and|nor|and/or)\b", re.IGNORECASE)
_WORD = re.compile(r"\w")
_BEFORE = re.compile(
    r"^(?:(?:a|an|any|the|known|prior|previous|past|current|active|personal|medical|history|hx|h/o|diagnosis|evidence|"
    r"signs?|symptoms?|of|for)\s+)+",
    re.IGNORECASE,
)
_NO = re.compile(
    r"(?:(?<!\w)(?:no|not|nor|never|without|denie[sd]|deny|denying|negative|absence|ruled?|out|history|hx|evidence|signs?|"
    r"of|for|any|and|or|but|with|do|does|did|has|have|had)(?!\w)[\s,]*)+$",
    re.IGNORECASE,
)
_SHOWN = 60  # characters


@dataclass(frozen=True)
class Negated:
    """What is negated in a text, word for word, and the phenotype that is called so; "" for none."""

    words: str
    phenotype: str = ""


def negated(text: str) -> list[Negated]:
    """Return the items that a text negates, in order."""
    called = {term.casefold(): one.name for one in load_phenotypes() for term in (*one.terms, one.title)}
    spans = [text[one.start : one.end] for one in mark(text) if one.kind is Said.NEGATED]
    items = (" ".join(item.split()).strip(" .:") for span in spans for item in _ITEMS.split(span))
    return [Negated(item, called.get(_BEFORE.sub("", item).casefold(), "")) for item in items if item]


def without_negated(text: str) -> str:
    """Return a text without the words that it negates, and without the words before them that do so."""
    kept, at = list[str](), 0
    for start, end, kind in mark(text):
        if kind is Said.NEGATED and end > at:
            kept.append(_NO.sub("", text[at : max(at, start)]))
            at = end
    return " ".join([*kept, text[at:]])


def as_meant(question: Question, collection: Collection) -> tuple[Question, tuple[str, ...]]:
    """Return a question whose texts are read as criteria, and what is told of that.

    A text that negates all it says is a filter alone. Raises InputError where there is no other example beside it.
    """
    if question.as_written:
        return question, ()
    found = [item for text in question.texts for item in negated(text)]
    if not found:
        return question, ()
    examples = tuple(
        replace(one, value=without_negated(one.value)) if one.kind is Kind.TEXT and not one.unlike else one
        for one in question.examples
    )
    examples = tuple(one for one in examples if one.kind is not Kind.TEXT or _WORD.search(one.value))
    if all(one.unlike for one in examples):
        raise InputError(
            "The text says only what is not so: describe whom to find, too; who is to be left out, a filter says."
        )
    names = sorted({one.phenotype for one in found if one.phenotype}) if FIELD in collection.fields else []
    excluded = tuple(Not(Contains(FIELD, name)) for name in names)
    parts: tuple[Filter, ...] = excluded if question.where is None else (question.where, *excluded)
    where = All(parts) if len(parts) > 1 else (*parts, None)[0]
    return replace(question, examples=examples, where=where), tuple(_told(found, names))


def _told(found: list[Negated], applied: list[str]) -> Iterator[str]:
    """Yield what was taken for an exclusion, and what became of it."""
    for one in dict.fromkeys(found):
        words = printable(one.words if len(one.words) <= _SHOWN else f"{one.words[: _SHOWN - 1]}…")
        taken = f'"{words}" is negated: it was taken out of the text, and'
        if one.phenotype in applied:
            yield f"{taken} patients with a diagnosis of {one.phenotype} were left out"
        elif one.phenotype:
            yield f"{taken} nobody was left out: the collection keeps no phenotypes; ingested anew, it does"
        else:
            yield f"{taken} nobody was left out: no phenotype is called so; a filter on codes can do it"
