"""De-identification by patterns: ids, phones, dates, addresses, ages over 89. It finds no names.

The patterns stand in `identifiers.toml` and run in the library `regex`. presidio-analyzer is not used: its patterns of
dates, phones and networks take findings for them ("Apgars 8/9/10"), its engine asks for a language model, which it
would download, and to import it takes ten seconds. Patterns are tried only where one may begin (`beginnings.py`).
What is found becomes a placeholder in MIMIC's own shape, `[**PHONE**]`, which cleaning takes out; MIMIC's own stay.
"""

import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from importlib import import_module
from importlib.metadata import version
from importlib.resources import files
from itertools import chain
from time import monotonic
from typing import Any, NamedTuple

from cohorts.errors import EngineError
from cohorts.extras import require
from cohorts.records.base import Source
from cohorts.records.notes.beginnings import Beginnings
from cohorts.records.notes.places import Note, read_note
from cohorts.records.transforms import RewrittenNotes

LIMITS = (
    "De-identification finds what has a pattern: record and account numbers, phones, e-mail and web addresses, dates, "
    "street addresses, ZIP codes, ages over 89. It finds no names of people, places or hospitals, and not every "
    "spelling of the rest: what it leaves is still patient data, and not de-identified as HIPAA's Safe Harbor asks"
)
REPLACED = "identifiers replaced"
_CARD = (
    r"\b(?:(?:4\d{3}|5[0-5]\d{2}|6\d{3}|35\d{2}|2[2-7]\d{2})([- ]?)\d{4}\1\d{4}\1\d{4}"
    r"|3[47]\d{2}([- ]?)\d{6}\2\d{5})\b"
)
_LICENSE = r"(?<!\w)(?-i:[A-HJ-MPRSTUX][A-Z9]|[a-hj-mprstux][a-z])\d{7}\b"
# What stands in addresses of e-mail, of the web and of networks, and in long numbers: @, ://, .com, 2001:, -3a-.
_DIGIT = r"[^\x00-/:-\x7f]"  # of any alphabet
_IN_WORD = re.compile(
    rf"[^\x00-,/;-?A-\x7f](?:(?<=@)|(?<={_DIGIT})(?={_DIGIT}{{6}})"
    r"|(?<=[:-])(?=[0-9A-Fa-f]{2}[:-])|(?<=:)(?=//|[0-9A-Fa-f]{0,4}:)|(?<=\.)(?:(?<=[Ww]{3}\.)|(?=(?i:com|org|net|edu|gov))))"
)
_TIMEOUT_S = 60
_PLACEHOLDER = re.compile(r"\[\*\*[^\[\]]{0,80}\*\*\]")


class Finding(NamedTuple):
    """What stands from `start` to `end` of a text, in characters."""

    start: int
    end: int
    kind: str


class Deidentifier:
    """Replaces what its patterns find. Raises MissingExtra without regex."""

    def __init__(self) -> None:
        self._patterns = _patterns()
        self._matches = [one.pattern.match for one in self._patterns]
        self._in_words = [number for number, one in enumerate(self._patterns) if one.in_word]
        self._beginnings = Beginnings(
            {number: one.loose for number, one in enumerate(self._patterns) if not one.in_word}
        )

    @cached_property
    def version(self) -> str:
        """Return a hash of the patterns and the libraries' versions (hex)."""
        parts = [
            version("regex"),
            _CARD,
            _LICENSE,
            _PLACEHOLDER.pattern,
            _patterns_text(),
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def find(self, text: str) -> list[Finding]:
        """Return what is found, in order, without overlap and outside the placeholders that are there already."""
        there = [found.span() for found in _PLACEHOLDER.finditer(text)] if "[**" in text else []
        note = read_note(text)
        return _merged(
            [
                Finding(*span, self._patterns[number].kind)
                for number, span in sorted(self._found(note))  # of two that find the same, the first counts
                if not any(start < span[1] and span[0] < end for start, end in there)
                and self._patterns[number].check(text[slice(*span)])
            ]
        )

    def _found(self, note: Note) -> Iterator[tuple[int, tuple[int, int]]]:
        """Yield what the `finditer` of each pattern finds, with the pattern's number. Raises EngineError."""
        free = [0] * len(self._patterns)
        until = monotonic() + _TIMEOUT_S
        for place, numbers in chain(self._beginnings.places(note), self._words(note)):
            for number in numbers:
                if place >= free[number] and (found := self._matches[number](note.text, place)):
                    free[number] = found.end()
                    yield number, found.span()
            if monotonic() > until:
                raise EngineError(
                    "De-identification gave up on a note: it took more than a minute. Nothing was let through."
                )

    def _words(self, note: Note) -> Iterator[tuple[int, Sequence[int]]]:
        """Yield the places in the words in which something stands that the patterns of a word never lack."""
        tried = 0
        for found in _IN_WORD.finditer(note.text):
            start = found.start()
            while start > tried and not note.text[start - 1].isspace():
                start -= 1
            for place in range(start, found.end()):
                yield place, self._in_words
            tried = found.end()

    def replace(self, text: str) -> tuple[str, Counter[str]]:
        """Return the text with placeholders, and how many there are of each kind."""
        parts, end = [], 0
        findings = self.find(text)
        for one in findings:
            parts += [text[end : one.start], f"[**{one.kind}**]"]
            end = one.end
        return "".join([*parts, text[end:]]), Counter(one.kind for one in findings)


class Deidentified(RewrittenNotes):
    """A source whose notes have placeholders for what patterns find; nothing else of a unit is looked at.

    How many were replaced, by kind, stands in the report's `counts`. Raises MissingExtra without regex.
    """

    def __init__(self, source: Source) -> None:
        deidentifier = Deidentifier()

        def rewrite(text: str) -> tuple[str, Counter[str]]:
            replaced, kinds = deidentifier.replace(text)
            named = {f"{REPLACED}: {kind}": many for kind, many in kinds.items()}
            return replaced, Counter({REPLACED: kinds.total(), **named})

        super().__init__(source, rewrite, f"deidentified/{deidentifier.version}", REPLACED)


class _Pattern(NamedTuple):
    """A pattern of the library `regex` for what is of one kind; the check has the last word.

    One of a word finds no blanks before what `_IN_WORD` finds; the others begin where a word may.
    """

    kind: str
    pattern: Any
    loose: Any  # the same without regard to case and to the edges of words
    in_word: bool
    check: Callable[[str], bool]


def _pattern(
    kind: str, pattern: str, *, in_word: bool = False, check: Callable[[str], bool] = lambda _: True
) -> _Pattern:
    regex = import_module("regex")
    flags = regex.DOTALL | regex.MULTILINE | regex.IGNORECASE
    # At the end of a partial match \b fails behind a point, and what follows is not known: "no." before a number.
    loose = regex.compile(pattern.replace("(?-i:", "(?:").replace(r"\b", ""), flags)
    return _Pattern(kind, regex.compile(pattern, flags), loose, in_word, check)


def _patterns() -> list[_Pattern]:
    """Return the patterns: those of the table, and those whose digits are checked. Raises MissingExtra."""
    require("De-identification", "deidentify")
    made = [
        _pattern("CARD", _CARD, check=_is_card),
        _pattern("LICENSE", _LICENSE, in_word=True, check=_is_license),
    ]
    table = tomllib.loads(_patterns_text())
    names = re.compile("|".join(sorted(table["parts"], key=len, reverse=True)))
    for one in table["pattern"]:
        regex = names.sub(lambda name: table["parts"][name[0]], one["regex"])
        made.append(_pattern(one["kind"], regex, in_word=one.get("in_word", False)))
    return made


def _is_card(number: str) -> bool:
    """Tell whether the last digit is that of a card: the check of Luhn (ISO/IEC 7812-1, annex B)."""
    digits = [int(sign) for sign in reversed(number) if sign.isdecimal()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _is_license(number: str) -> bool:
    """Tell whether the last digit is that of a DEA number: odd places once, even ones twice (21 CFR 1301)."""
    *digits, last = (int(sign) for sign in number[2:])
    return (sum(digits[::2]) + 2 * sum(digits[1::2])) % 10 == last


def _merged(findings: list[Finding]) -> list[Finding]:
    """Return them in order; those that overlap become one, of the longest one's kind."""
    merged: list[Finding] = []
    for one in sorted(findings, key=lambda finding: (finding.start, -finding.end)):
        if merged and one.start < merged[-1].end:
            last = merged.pop()
            longest = max(last, one, key=lambda finding: finding.end - finding.start)
            one = Finding(last.start, max(last.end, one.end), longest.kind)
        merged.append(one)
    return merged


def _patterns_text() -> str:
    return files("cohorts.records.notes").joinpath("identifiers.toml").read_text(encoding="utf-8")
