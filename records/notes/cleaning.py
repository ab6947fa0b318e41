"""Cleaning of note text as named steps, and its split into sentences and words.

The steps run in the order of `STEPS`. Sentences end at a newline or at . ! ? (FineEHR, section III-A), but not at the
point of a decimal. Words are runs of letters and digits; a decimal is one word.

Many texts go to their words by `split` and `splits` of splitting.py: the same words and sentences, by the patterns and
steps that stand here, five times as fast and on all cores.
"""

import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.resources import files
from itertools import chain

Step = Callable[[str], str]

# Patterns begin with a set of characters and look back for the start of the word, in place of \b: `re` then leaps from
# candidate to candidate instead of trying every position (3 to 5 times as fast). `_GAP` is any blank within a line.
_GAP = r"[^\S\n]+"
_PLACEHOLDER = re.compile(r"\[\*\*.*?\*\*\]", re.DOTALL)
_MONTH_TAIL = r"(?i:an|eb|ar|pr|ay|un|ul|ug|ep|ct|ov|ec)[A-Za-z]*\.?"
_CLOCK = r":[0-5]\d(?::[0-5]\d)?(?!\d)"
NUMBER_FIRST = re.compile(
    r"\d(?<!\w\d)(?:"
    rf"\d{{3}}-\d{{1,2}}-\d{{1,2}}(?:(?:[Tt]|{_GAP})\d{{1,2}}{_CLOCK})?\b"
    r"|\d?/\d{1,2}/(?:\d{4}|\d{2})\b"
    rf"|\d?{_GAP}[ADFJMNOSadfjmnos]{_MONTH_TAIL}{_GAP}\d{{4}}\b"
    rf"|\d?{_CLOCK}(?:(?:{_GAP})?(?i:[ap]\.m\.|[ap]m\b))?)"
)
MONTH_FIRST = re.compile(
    rf"[ADFJMNOSadfjmnos](?<!\w.){_MONTH_TAIL}{_GAP}\d{{1,2}},(?:{_GAP})?\d{{4}}\b", re.DOTALL
)
_COMMA_YEAR = re.compile(rf",(?:{_GAP})?\d{{4}}")  # in every match of the above: few texts have one
# With a + within, blanks before what is no number took time 2 to their number.
_BEFORE_NUMBER = r"(?:[.:\#]|[^\S\n])*"
HOSPITAL_NUMBER = re.compile(
    rf"[ACMUVacmuv](?<!\w.)(?i:(?<=m)rn\b|(?<=m)edical{_GAP}record\b(?:{_GAP}(?:number|no)\b)?"
    r"|(?:(?<=u)nit|(?<=a)ccession|(?<=a)ccount|(?<=v)isit|(?<=c)lip)"
    rf"(?:(?:{_GAP})?\#|{_GAP}(?:number|no)\b))"
    rf"{_BEFORE_NUMBER}[A-Za-z]{{0,3}}[\d-]*\d\w*",
    re.DOTALL,
)
_HOSPITAL_WORDS = (
    "mrn",
    "medical",
    "unit",
    "accession",
    "account",
    "visit",
    "clip",
)  # which the above begins with
_LONG_NUMBER = re.compile(r"\d(?<!\w\d)\d{6,}\b")
_SENTENCE_END = re.compile(r"[.\n!?](?<!\.(?=\d))")
_WORD = re.compile(r"[^\W_]+(?:\.\d+)?")
APART = {sign: " " for sign in range(128) if not chr(sign).isalnum() and chr(sign) not in "._/-"}
END = "\n"  # stands between the words of two sentences in `RUNS`
_RUNS_KEPT = 200_000  # of which the words are known: some 40 MB


def placeholders(text: str) -> str:
    """Take out what de-identification left: `[**2151-3-4**]`, `[**Hospital1 18**]`."""
    return _PLACEHOLDER.sub(" ", text)


def timestamps(text: str) -> str:
    """Take out dates and times of day; fractions, blood pressures (120/80) and titres over 1:59 stay."""
    text = NUMBER_FIRST.sub(" ", text)
    return MONTH_FIRST.sub(" ", text) if _COMMA_YEAR.search(text) else text


def hospital_numbers(text: str) -> str:
    """Take out record, unit and accession numbers, and any run of seven digits or more; values and doses stay."""
    return _LONG_NUMBER.sub(" ", named_numbers(text))


def named_numbers(text: str) -> str:
    """Take out the numbers that a word before them tells; most texts have none, and that is found out faster."""
    lowered = text.lower().replace("ı", "i").replace("ſ", "s")  # which the pattern takes for these
    if len(lowered) == len(text) and not any(
        HOSPITAL_NUMBER.match(text, at) for word in _HOSPITAL_WORDS for at in _places_of(word, lowered)
    ):
        return text
    return HOSPITAL_NUMBER.sub(" ", text)


def _places_of(word: str, text: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + 1)


def lowercase(text: str) -> str:
    """Lower the case, letter by letter: the only one that becomes two, İ, loses its dot and stays in its word."""
    return text.replace("İ", "i").lower()


def abbreviations(text: str) -> str:
    """Write the curated clinical abbreviations out; expects lower case. A part of `mg/kg` is no whole token."""
    table = abbreviation_table()
    return _abbreviation_pattern().sub(lambda found: table[found[0]], text)


def whitespace(text: str) -> str:
    """Fold runs of blanks and take out empty lines; newlines stay, since they end sentences."""
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


STEPS: dict[str, Step] = {
    step.__name__: step
    for step in (placeholders, timestamps, hospital_numbers, lowercase, abbreviations, whitespace)
}


def clean(text: str, steps: Iterable[str] = tuple(STEPS)) -> str:
    """Apply the named steps in the order given.

    A second pass changes nothing, save where what was taken out stood between the halves of another date or number.
    """
    for name in steps:
        text = STEPS[name](text)
    return text


def sentences(text: str) -> list[str]:
    """Split at newlines and end punctuation; empty sentences are left out."""
    return [part for part in map(str.strip, _SENTENCE_END.split(text)) if part]


def words(sentence: str) -> list[str]:
    """Return the words of a sentence, or of a whole cleaned text."""
    return _WORD.findall(sentence)


def count_words(text: str) -> Counter[str]:
    """Return how often each of `words(clean(text))` stands there; a run of signs is split once, which is faster.

    What stands between blanks, and what else parts words and abbreviations, is looked up as a whole.
    """
    for step in (placeholders, timestamps, named_numbers, lowercase):
        text = step(text)
    counts = Counter(chain.from_iterable(map(RUNS.__getitem__, text.translate(APART).split())))
    del counts[END]
    return counts


class _Runs(dict[str, tuple[str, ...]]):
    """The words of the runs of signs that were met before, and `END` between those of two sentences.

    A run is what the steps before `abbreviations` leave between blanks, and long numbers.
    """

    def __missing__(self, run: str) -> tuple[str, ...]:
        if len(self) >= _RUNS_KEPT:
            self.clear()
        first, *more = _SENTENCE_END.split(abbreviations(_LONG_NUMBER.sub(" ", run)))
        found = self[run] = (*words(first), *(word for part in more for word in (END, *words(part))))
        return found


RUNS = _Runs()


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
        NUMBER_FIRST,
        MONTH_FIRST,
        HOSPITAL_NUMBER,
        _LONG_NUMBER,
        _SENTENCE_END,
        _WORD,
        _abbreviation_pattern(),
    )
    text = "\0".join([*STEPS, *(pattern.pattern for pattern in patterns), _table_text()])
    text = text.replace(_BEFORE_NUMBER, rf"(?:[.:\#]|{_GAP})*")  # as it was written once: it matches the same
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def _abbreviation_pattern() -> re.Pattern[str]:
    """Return one pattern for all abbreviations as whole tokens."""
    return re.compile(rf"(?<![\w/]){_shared_starts(abbreviation_table())}(?![\w/])")


def _shared_starts(tokens: Iterable[str]) -> str:
    """Return a pattern for any of the tokens that reads a shared start once: `re` tries alternatives one by one."""
    tails: dict[str, list[str]] = {}
    for token in tokens:
        tails.setdefault(token[:1], []).append(token[1:])
    ends_here = tails.pop("", None)
    branches = "|".join(re.escape(first) + _shared_starts(rest) for first, rest in tails.items())
    if not branches:
        return ""
    return f"(?:{branches})?" if ends_here else f"(?:{branches})"


def _table_text() -> str:
    return files("cohorts.records.notes").joinpath("abbreviations.toml").read_text(encoding="utf-8")
