"""De-identification by patterns: ids, phones, dates, addresses, ages over 89. It finds no names.

The patterns stand in `identifiers.toml` and run through presidio-analyzer, whose pattern of e-mail addresses and checks
of cards and licences are used as well. Its own patterns of dates, phones and networks take findings for them ("Apgars
8/9/10"), and its engine asks for a language model, which it would download: both are left aside. What is found becomes
a placeholder in MIMIC's own shape, `[**PHONE**]`, which cleaning takes out; MIMIC's own placeholders stay as they are.
"""

import hashlib
import logging
import re
import tomllib
from collections import Counter
from functools import cached_property
from importlib import import_module
from importlib.metadata import version
from importlib.resources import files
from typing import Any, NamedTuple

from cohorts.errors import EngineError
from cohorts.extras import missing
from cohorts.records.base import Source
from cohorts.records.transforms import RewrittenNotes

LIMITS = (
    "De-identification finds what has a pattern: record and account numbers, phones, e-mail and web addresses, dates, "
    "street addresses, ZIP codes, ages over 89. It finds no names of people, places or hospitals, and not every "
    "spelling of the rest: what it leaves is still patient data, and not de-identified as HIPAA's Safe Harbor asks"
)
REPLACED = "identifiers replaced"
_LIBRARIES = ("presidio-analyzer", "regex")
_SURE = 0.4  # what the library gives to what it has not checked is less
_CARD = (
    r"\b(?:(?:4\d{3}|5[0-5]\d{2}|6\d{3}|35\d{2}|2[2-7]\d{2})([- ]?)\d{4}\1\d{4}\1\d{4}"
    r"|3[47]\d{2}([- ]?)\d{6}\2\d{5})\b"
)
_LICENSE = r"(?<!\w)(?-i:[A-HJ-MPRSTUX][A-Z9]|[a-hj-mprstux][a-z])\d{7}\b"
_PLACEHOLDER = re.compile(r"\[\*\*[^\[\]]{0,80}\*\*\]")


class Finding(NamedTuple):
    """What stands from `start` to `end` of a text, in characters."""

    start: int
    end: int
    kind: str


class Deidentifier:
    """Replaces what its patterns find. Raises MissingExtra without presidio-analyzer."""

    def __init__(self) -> None:
        self._recognizers = _recognizers()

    @cached_property
    def version(self) -> str:
        """Return a hash of the patterns and the libraries' versions (hex)."""
        parts = [
            *map(version, _LIBRARIES),
            str(_SURE),
            _CARD,
            _LICENSE,
            _PLACEHOLDER.pattern,
            _patterns_text(),
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def find(self, text: str) -> list[Finding]:
        """Return what is found, in order, without overlap and outside the placeholders that are there already."""
        there = [found.span() for found in _PLACEHOLDER.finditer(text)]
        found = [
            Finding(result.start, result.end, kind)
            for kind, recognizer in self._recognizers
            for result in recognizer.analyze(text, [kind])
            if result.score >= _SURE
            and not any(start < result.end and result.start < end for start, end in there)
        ]
        return _merged(found)

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

    How many were replaced, by kind, stands in the report's `counts`. Raises MissingExtra without presidio-analyzer.
    """

    def __init__(self, source: Source) -> None:
        deidentifier = Deidentifier()

        def rewrite(text: str) -> tuple[str, Counter[str]]:
            replaced, kinds = deidentifier.replace(text)
            named = {f"{REPLACED}: {kind}": many for kind, many in kinds.items()}
            return replaced, Counter({REPLACED: kinds.total(), **named})

        super().__init__(source, rewrite, f"deidentified/{deidentifier.version}", REPLACED)


class _Alarm(logging.Handler):
    """Makes an error of the library's warning that a pattern took too long and was left out."""

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - logging calls it so
        """Raise EngineError."""
        raise EngineError(
            "De-identification gave up on a note: a pattern took more than a minute. Nothing was let through."
        )


def _recognizers() -> list[tuple[str, Any]]:
    """Return the recognisers with the kinds of what they find. Raises MissingExtra."""
    try:
        presidio = import_module("presidio_analyzer")
        theirs = import_module("presidio_analyzer.predefined_recognizers")
    except ModuleNotFoundError as error:
        raise missing("De-identification", "deidentify") from error
    logger = logging.getLogger("presidio-analyzer")
    if not any(isinstance(handler, _Alarm) for handler in logger.handlers):
        logger.addHandler(_Alarm(logging.WARNING))
    made = [
        # Without the check of its domain, which asks the network for the list of all, and lets jane@ward.local through.
        ("EMAIL", presidio.PatternRecognizer("EMAIL", patterns=theirs.EmailRecognizer.PATTERNS)),
        ("CARD", theirs.CreditCardRecognizer([presidio.Pattern("CARD", _CARD, 0.3)])),
        ("LICENSE", theirs.MedicalLicenseRecognizer([presidio.Pattern("LICENSE", _LICENSE, 0.3)])),
    ]
    table = tomllib.loads(_patterns_text())
    names = re.compile("|".join(sorted(table["parts"], key=len, reverse=True)))
    for one in table["pattern"]:
        regex = names.sub(lambda name: table["parts"][name[0]], one["regex"])
        pattern = presidio.Pattern(one["kind"], regex, 1.0)
        made.append((one["kind"], presidio.PatternRecognizer(one["kind"], patterns=[pattern])))
    return made


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
