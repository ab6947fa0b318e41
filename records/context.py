"""Which words of a note are not of the patient as it is: negated, of the family, or only spoken of.

Small rules of our own after ConText: a trigger marks the words behind it (or before it) up to the end of its sentence,
or up to a word that ends its scope. All of a section on the family's history is of the family. The triggers stand in
`context.toml`.

Source: Harkema et al., ConText, J Biomed Inform 42(5):839-851, 2009, section 3; Chapman et al., NegEx, J Biomed Inform
34(5):301-310, 2001.
"""

import hashlib
import re
import tomllib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import NamedTuple

from cohorts.records.base import Source
from cohorts.records.views import RewrittenNotes


class Kind(StrEnum):
    """What the context of a word says of it."""

    NEGATED = "negated"
    FAMILY = "family"
    HYPOTHETICAL = "hypothetical"


class Treatment(StrEnum):
    """What becomes of marked words."""

    MASK = "mask"
    TAG = "tag"


class Span(NamedTuple):
    """What a trigger marks: from `start` to `end` of the text, in characters."""

    start: int
    end: int
    kind: Kind


TAGS = {Kind.NEGATED: "NEG", Kind.FAMILY: "FAM", Kind.HYPOTHETICAL: "HYP"}
MARKED = "words marked by context"

# A line that goes on in lower case is wrapped.
_SENTENCE_END = re.compile(r"(?<!\bDr)(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bvs)[.!?;](?=\s|$)|\n(?![ \t]*[a-z])")
_HEADING = re.compile(
    r"^[ \t]*(?:[A-Z][A-Z /&,()-]{2,60}:?[ \t]*$|[A-Z][A-Z /&()-]{2,50}:"
    r"|(?i:[a-z /&]*(?:history|medications?|allergies|review|exam|examination|assessment|plan|signs|labs|impression)):)"
    r"|(?<=[.,;] )[A-Z][A-Z /&()-]{2,50}:",
    re.MULTILINE,
)
_FAMILY_HEADING = re.compile(
    r"\s*(?:(?:past )?family (?:(?:medical|health|psychiatric) )?(?:history|hx)|fhx?|fam ?hx)\s*:?\s*",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_][^\W_]*")
_CLAUSE = re.compile(  # a comma, and behind it a whole clause or what is there
    r",(?!\s*(?:or|nor)\b)(?=[^,;]*\s(?:is|are|was|were|has|have|had|will|does|did|can|shows?|reveals?|demonstrates?)\b"
    r"|\s+(?:possible|probable|mild|moderate|severe|positive|small|large|stable|normal|intact|regular|clear|soft)\b"
    r"|\s+(?:please|call|return|then)\b)",
    re.IGNORECASE,
)
_RUN = re.compile(rb"(.)\1*", re.DOTALL)
_MANY = ("are ", "were ", "have ")  # what they deny may be a list


@dataclass(frozen=True)
class _Rules:
    """The triggers of one kind, each as one pattern."""

    kind: Kind
    before: re.Pattern[str]
    after: re.Pattern[str]
    pseudo: re.Pattern[str]


class _Trigger(NamedTuple):
    start: int
    end: int
    role: str  # before, after, pseudo


def mark(text: str) -> list[Span]:
    """Return what is marked, in order; spans of different kinds may overlap."""
    spans = list(_family_sections(text))
    for start, end in _sentences(text):
        for rules in _rules():
            spans += _marked(text, start, end, rules)
    return sorted(spans)


def mask(text: str, kinds: Collection[Kind] = tuple(Kind)) -> str:
    """Return the text without the marked words; triggers and line ends stay: "denies fever." becomes "denies."."""
    return "".join(_masked(*part) for part in _parts(text, kinds))


def tag(text: str, kinds: Collection[Kind] = tuple(Kind)) -> str:
    """Return the text with a tag at the head of every marked word: "denies fever" becomes "denies NEGfever".

    A tagged word is one word to cleaning, and another one than the bare word to encoders and to phenotypes' terms.
    """
    return "".join(_tagged(*part) for part in _parts(text, kinds))


class ContextMarked(RewrittenNotes):
    """A source in whose notes the marked words are masked or tagged; how many stands in the report's `counts`."""

    def __init__(self, source: Source, treatment: Treatment) -> None:
        treated = _masked if treatment is Treatment.MASK else _tagged

        def rewrite(text: str) -> tuple[str, Counter[str]]:
            parts = list(_parts(text, tuple(Kind)))
            marked = sum(len(_WORD.findall(part)) for part, found in parts if found)
            return "".join(treated(*part) for part in parts), Counter({MARKED: marked})

        super().__init__(source, rewrite, f"{treatment}/{rules_version()}", MARKED)


@cache
def rules_version() -> str:
    """Return a hash of the triggers and the patterns: texts depend on them (hex)."""
    patterns = (_SENTENCE_END, _HEADING, _FAMILY_HEADING, _CLAUSE, _WORD)
    text = "\0".join([_rules_text(), *(pattern.pattern for pattern in patterns), *TAGS.values(), *_MANY])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _masked(part: str, found: Kind | None) -> str:
    return part if found is None else "\n" * part.count("\n")


def _tagged(part: str, found: Kind | None) -> str:
    return part if found is None else _WORD.sub(lambda word: TAGS[found] + word[0], part)


def _parts(text: str, kinds: Collection[Kind]) -> Iterator[tuple[str, Kind | None]]:
    """Cut the text where marks begin and end; of several kinds, the first of `Kind` counts."""
    order: list[Kind | None] = [None, *Kind]
    painted = bytearray(len(text))
    for span in sorted(mark(text), key=lambda span: order.index(span.kind), reverse=True):
        if span.kind in kinds:
            painted[span.start : span.end] = bytes([order.index(span.kind)]) * (span.end - span.start)
    for run in _RUN.finditer(painted):
        yield text[slice(*run.span())], order[run[0][0]]


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for found in _SENTENCE_END.finditer(text):
        yield start, found.start()
        start = found.end()
    yield start, len(text)


def _family_sections(text: str) -> Iterator[Span]:
    """Mark what stands under the heading of the family's history, up to the next heading."""
    headings = [found.span() for found in _HEADING.finditer(text)]
    for (start, end), (stop, _) in pairwise([*headings, (len(text), 0)]):
        if _FAMILY_HEADING.fullmatch(text, start, end):
            yield from _span(text, end, stop, Kind.FAMILY)


def _marked(text: str, start: int, end: int, rules: _Rules) -> Iterator[Span]:
    """Yield what the triggers of one kind mark in the sentence from `start` to `end`."""
    triggers = _triggers(text, start, end, rules)
    if not any(trigger.role != "pseudo" for trigger in triggers):
        return
    ends = [found.span() for found in _ends().finditer(text, start, end)]
    clauses = [found.start() for found in _CLAUSE.finditer(text, start, end)]
    stops = sorted([at for at, _ in ends] + clauses + [trigger.start for trigger in triggers] + [end])
    begins = sorted([start] + [at for _, at in ends] + [trigger.end for trigger in triggers])
    for trigger in triggers:
        if trigger.role == "before":
            yield from _span(text, trigger.end, stops[bisect_left(stops, trigger.end)], rules.kind)
        elif trigger.role == "after":
            begin = begins[bisect_right(begins, trigger.start) - 1]
            begin = max(begin, text.rfind(":", begin, trigger.start - 2) + 1)
            if not text.startswith(_MANY, trigger.start):
                begin = max(begin, text.rfind(",", begin, trigger.start) + 1)
            yield from _span(text, begin, trigger.start, rules.kind)


def _span(text: str, start: int, end: int, kind: Kind) -> Iterator[Span]:
    """Yield the span unless there is no word in it."""
    if _WORD.search(text, start, end):
        yield Span(start, start + len(text[start:end].rstrip()), kind)


def _triggers(text: str, start: int, end: int, rules: _Rules) -> list[_Trigger]:
    """Return the triggers of a sentence in order; of several that overlap, the first to begin, then the longest."""
    found = [
        _Trigger(*match.span(), role)
        for role, pattern in (("pseudo", rules.pseudo), ("before", rules.before), ("after", rules.after))
        for match in pattern.finditer(text, start, end)
    ]
    kept: list[_Trigger] = []
    for one in sorted(found, key=lambda trigger: (trigger.start, -trigger.end)):
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
    return kept


@cache
def _rules() -> tuple[_Rules, ...]:
    table = tomllib.loads(_rules_text())
    return tuple(
        _Rules(
            kind, *(_pattern(table[kind][role], table["member"]) for role in ("before", "after", "pseudo"))
        )
        for kind in Kind
    )


@cache
def _ends() -> re.Pattern[str]:
    """Return the pattern for the words that end a scope."""
    table = tomllib.loads(_rules_text())
    return _pattern(table["end"], table["member"])


def _pattern(triggers: list[str], member: str) -> re.Pattern[str]:
    """Return one pattern for whole words; it never matches where there are no triggers."""
    blank = [one.replace("MEMBER", member).replace(" ?", r"\s?").replace(" ", r"\s+") for one in triggers]
    return re.compile(rf"(?<![\w-])(?:{'|'.join(blank) or '(?!)'})(?!\w)", re.IGNORECASE)


def _rules_text() -> str:
    return files("cohorts.records").joinpath("context.toml").read_text(encoding="utf-8")
