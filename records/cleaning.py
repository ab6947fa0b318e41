"""Cleaning of note text as named steps, and its split into sentences and words.

The steps run in the order of `STEPS`. Sentences end at a newline or at . ! ? (FineEHR, section III-A), but not at the
point of a decimal. Words are runs of letters and digits; a decimal is one word.
"""

import hashlib
import re
import tomllib
from collections.abc import Callable, Iterable
from functools import cache
from importlib.resources import files

Step = Callable[[str], str]

_PLACEHOLDER = re.compile(r"\[\*\*.*?\*\*\]", re.DOTALL)
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_TIMESTAMP = re.compile(
    r"\b\d{4}-\d{1,2}-\d{1,2}(?:[ t]\d{1,2}:\d{2}(?::\d{2})?)?\b"
    r"|\b\d{1,2}/\d{1,2}/(?:\d{4}|\d{2})\b"
    rf"|\b{_MONTH} \d{{1,2}}, ?\d{{4}}\b"
    rf"|\b\d{{1,2}} {_MONTH} \d{{4}}\b"
    r"|\b\d{1,2}:\d{2}(?::\d{2})?(?: ?[ap]\.?m\b\.?)?",
    re.IGNORECASE,
)
_HOSPITAL_NUMBER = re.compile(
    r"\b(?:mrn|medical record(?: (?:number|no))?|(?:unit|accession|account|visit|clip) (?:number|no))\b"
    r"[ .:#]*(?:[a-z]{0,3}[\d-]*\d)"
    r"|\b\d{7,}\b",
    re.IGNORECASE,
)
_BLANKS = re.compile(r"[^\S\n]+")
_EMPTY_LINES = re.compile(r"\n\s*\n")
_SHORT = re.compile(r"(?<![\w/])[a-z][a-z0-9/&-]{0,6}(?![\w/])")
_SENTENCE_END = re.compile(r"[\n!?]+|\.(?!\d)")
_WORD = re.compile(r"[^\W_]+(?:\.\d+)?")


def placeholders(text: str) -> str:
    """Take out what de-identification left: `[**2151-3-4**]`, `[**Hospital1 18**]`."""
    return _PLACEHOLDER.sub(" ", text)


def timestamps(text: str) -> str:
    """Take out dates and times of day; fractions and blood pressures (120/80) stay."""
    return _TIMESTAMP.sub(" ", text)


def hospital_numbers(text: str) -> str:
    """Take out record, unit and accession numbers, and any run of seven digits or more; values and doses stay."""
    return _HOSPITAL_NUMBER.sub(" ", text)


def lowercase(text: str) -> str:
    """Lower the case."""
    return text.lower()


def abbreviations(text: str) -> str:
    """Write the curated clinical abbreviations out; expects lower case."""
    expansion = abbreviation_table().get
    return _SHORT.sub(lambda found: expansion(found[0], found[0]), text)


def whitespace(text: str) -> str:
    """Fold runs of blanks and empty lines; newlines stay, since they end sentences."""
    return _EMPTY_LINES.sub("\n", _BLANKS.sub(" ", text)).strip()


STEPS: dict[str, Step] = {
    step.__name__: step
    for step in (placeholders, timestamps, hospital_numbers, lowercase, abbreviations, whitespace)
}


def clean(text: str, steps: Iterable[str] = tuple(STEPS)) -> str:
    """Apply the named steps in the order given."""
    for name in steps:
        text = STEPS[name](text)
    return text


def sentences(text: str) -> list[str]:
    """Split at newlines and end punctuation; empty sentences are left out."""
    parts = (part.strip() for part in _SENTENCE_END.split(text))
    return [part for part in parts if part]


def words(sentence: str) -> list[str]:
    """Return the words of a sentence, or of a whole cleaned text."""
    return _WORD.findall(sentence)


@cache
def abbreviation_table() -> dict[str, str]:
    """Return the expansions by abbreviation, from `abbreviations.toml`."""
    table: dict[str, str] = tomllib.loads(_table_text())["abbreviations"]
    return table


@cache
def cleaning_version() -> str:
    """Return a hash of the steps' patterns and the abbreviations: vectors depend on them (hex)."""
    patterns = (
        _PLACEHOLDER,
        _TIMESTAMP,
        _HOSPITAL_NUMBER,
        _BLANKS,
        _EMPTY_LINES,
        _SHORT,
        _SENTENCE_END,
        _WORD,
    )
    text = "\0".join([*STEPS, *(pattern.pattern for pattern in patterns), _table_text()])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _table_text() -> str:
    return files("cohorts.records").joinpath("abbreviations.toml").read_text(encoding="utf-8")
