"""Which words of a note are not of the patient as it is: negated, of the family, or only spoken of.

Small rules of our own after ConText: a trigger marks the words behind it (or before it) up to the end of its sentence,
or up to a word that ends its scope; a list that it negates ends where something stands that is there. "No" behind a
question of a check list marks the question. All of a section on the family's history is of the family. The triggers
stand in `context.toml`.

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
from typing import NamedTuple

from cohorts.records.base import Source
from cohorts.records.notes.sections import family_sections, is_title, rules_text
from cohorts.records.transforms import RewrittenNotes


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

# Behind a full stop the blank may be missing: "Denies fever.Has pneumonia."
_SENTENCE_END = re.compile(
    r"[.!?;\n](?:(?<=[\n;])|(?<!\bDr\.)(?<!\bMr\.)(?<!\bMrs\.)(?<!\bMs\.)(?<!\bSt\.)(?<!\bvs\.)"
    r"(?:(?:(?<!\?)|(?!\s*(?:\[[xX]\]\s*)?(?i:yes|no|none|never|y|n)\b))[\"')\]]*(?=\s|$)"
    r"|(?:(?<!\.\.)|(?!(?:No|None|Never|Yes)\b))(?=[A-Z][a-z])"
    r"|(?<=[a-z]{3}\.)(?=[a-z]{2,}\s)|(?<=[A-Z]{3}\.)(?=[A-Z]{2})))"
)
_WRAPPED = re.compile(r"\s*(?:or|and|nor|but|of|with|in|on|to|for|at|from|by)\b")
_GOES_ON = re.compile(r"(?:,|\b(?:or|and|nor|of|with|any|the|an?|no|denies|for|to|in|on))\s*$")
_WRAPPED_LINE = 50  # characters: a shorter line ends because its item does
_WORD = re.compile(r"[^\W\d_][^\W_]*")
_LOWER = re.compile(r"[ \t]*[a-z]")
_RUN = re.compile(rb"(.)\1*", re.DOTALL)
_MANY = ("are ", "were ", "have ")  # what they deny may be a list
_ASIDE = re.compile(r"\t|(?<=\w)\s[-–—]+\s")
_CLOSED = re.compile(r"\s(?:or|nor)\s[^,]*$|,\s*(?:such as|including)\b", re.IGNORECASE)

# Check lists. Something parts an answer from its question: "Fever: no", "Smoking - never", "Cough (denies)".
_QUESTION_END = (
    r"(?:[:=?(|]|\t|\.{2,}|(?<=\w)[ ]+[-–—]+(?=[ ])|(?=\[[xX]\]|\([xX]\)|[☒☑]))"
    r"\s*(?:\[\s?\]\s*yes\s*|\(\s?\)\s*yes\s*|☐\s*yes\s*)?(?:\[[xX]\]|\([xX]\)|[☒☑])?\s*"
)
_ANSWER_END = (
    r"(?=\s*(?:[,;.)|\[☐☒☑]|$|\s\s|(?:and|but)\b|-\s|(?-i:[A-Z])[\w /()'-]{1,40}?(?:[:?=]|\s[-–—]\s)))"
)
_QUESTION_START = re.compile(
    r"[,;:=|•☐☒☑✓*\])]|\s\s|\t|\s[-–—]\s|\b(?:yes|no|none|positive|negative|never|denie[sd]|present|absent)\b",
    re.IGNORECASE,
)
_BEFORE_ANSWER = re.compile(r"(?:\s*\([^()]*\)|\s*:?\s*(?:\[\s?\]|\(\s?\)|☐)\s*yes)\s*$", re.IGNORECASE)
_SIGN = re.compile(
    r"(?=[(\[☐□☒☑✓+−–-])(?:(?P<open>(?:\[\s?\]|[☐□]|\(\s\))(?!\s*(?:yes|no|y|n)\b))|(?P<minus>[(\[][-−–][)\]])"
    r"|(?P<other>\[\s?\]|\[[xX✓+]\]|[☐☒☑✓]|\([xX+]\)|(?<![\w)])\+(?=\s?[A-Za-z]))|(?P<dash>(?<=[\s,])[-−](?=[A-Za-z])))"
)


@dataclass(frozen=True)
class _Rules:
    """The triggers of one kind, each as one pattern."""

    kind: Kind
    before: re.Pattern[str]
    after: re.Pattern[str]
    pseudo: re.Pattern[str]
    answer: re.Pattern[str] | None
    subject: re.Pattern[str] | None  # what a sentence must speak of: it is found faster than triggers


@dataclass(frozen=True)
class _Lists:
    """Where a list ends before its sentence does."""

    clause: re.Pattern[str]  # a comma, and behind it a whole clause: it ends any scope
    present: re.Pattern[str]  # a comma, and behind it what is there: it ends what is negated
    counted: re.Pattern[str]  # the same, unless an "or" closes the list
    complete: re.Pattern[str]  # what begins no list, unless an "or" closes one: "no acute distress, ..."


class _Trigger(NamedTuple):
    start: int
    end: int
    role: str  # before, after, answer, pseudo


def mark(text: str) -> list[Span]:
    """Return what is marked, in order; spans of different kinds may overlap."""
    spans = [span for part in family_sections(text) for span in _span(text, *part, Kind.FAMILY)]
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
    """Return a hash of the triggers and of the code that reads them: texts depend on both (hex)."""
    code = [
        files("cohorts.records.notes").joinpath(name).read_bytes() for name in ("context.py", "sections.py")
    ]
    return hashlib.sha256(b"\0".join([rules_text().encode(), *code])).hexdigest()[:16]


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
        if found[0] != "\n" or not _goes_on(text, found.start()):
            yield start, found.start()
            start = found.end()
    yield start, len(text)


def _goes_on(text: str, at: int) -> bool:
    """Whether a line that ends here is wrapped: it goes on in lower case, and is long or has a list to finish."""
    if not _LOWER.match(text, at + 1):
        return False
    begin = text.rfind("\n", 0, at) + 1
    return (
        at - begin >= _WRAPPED_LINE
        or _WRAPPED.match(text, at + 1) is not None
        or _GOES_ON.search(text, max(begin, at - 12), at) is not None
    )


def _marked(text: str, start: int, end: int, rules: _Rules) -> Iterator[Span]:
    """Yield what the triggers of one kind mark in the sentence from `start` to `end`."""
    if rules.subject and not rules.subject.search(text, start, end):
        return
    triggers = _triggers(text, start, end, rules)
    if not any(trigger.role != "pseudo" for trigger in triggers):
        return
    ends = [found.span() for found in _ends().finditer(text, start, end)]
    clauses = [found.start() for found in _lists().clause.finditer(text, start, end)]
    stops = sorted([at for at, _ in ends] + clauses + [trigger.start for trigger in triggers] + [end])
    begins = sorted([start] + [at for _, at in ends] + [trigger.end for trigger in triggers])
    for trigger in triggers:
        if trigger.role == "before":
            stop = stops[bisect_left(stops, trigger.end)]
            if rules.kind is Kind.NEGATED:
                stop = _list_end(text, trigger.end, stop)
            yield from _span(text, trigger.end, stop, rules.kind)
        elif trigger.role == "after":
            begin = begins[bisect_right(begins, trigger.start) - 1]
            begin = max(begin, text.rfind(":", begin, trigger.start - 2) + 1)
            if not text.startswith(_MANY, trigger.start):
                begin = max(begin, text.rfind(",", begin, trigger.start) + 1)
            yield from _span(text, begin, trigger.start, rules.kind)
        elif trigger.role == "answer":
            begin = begins[bisect_right(begins, trigger.start) - 1]
            yield from _question(text, begin, trigger.start)


def _list_end(text: str, start: int, stop: int) -> int:
    """Return where a negated list ends: of "no acute distress, febrile" behind the comma something is there."""
    aside = _ASIDE.search(text, start, stop)
    stop = aside.start() if aside else stop
    comma = text.find(",", start, stop)
    if comma < 0:
        return stop
    lists = _lists()
    closed = _CLOSED.search(text, comma, stop) is not None
    if lists.complete.fullmatch(text, start, comma) and not closed:
        return comma
    found = [
        lists.present.search(text, comma, stop),
        None if closed else lists.counted.search(text, comma, stop),
    ]
    return min((one.start() for one in found if one), default=stop)


def _question(text: str, start: int, end: int) -> Iterator[Span]:
    """Yield the question of a check list that ends at `end`, where its answer begins."""
    aside = _BEFORE_ANSWER.search(text, max(start, end - 60), end)
    end = aside.start() if aside else end
    start = max(start, end - 80)
    for found in _QUESTION_START.finditer(text, start, end):
        start = found.end()
    if not is_title(text[start:end]):
        yield from _span(text, start, end, Kind.NEGATED)


def _span(text: str, start: int, end: int, kind: Kind) -> Iterator[Span]:
    """Yield the span unless there is no word in it."""
    if _WORD.search(text, start, end):
        yield Span(start, start + len(text[start:end].rstrip()), kind)


def _triggers(text: str, start: int, end: int, rules: _Rules) -> list[_Trigger]:
    """Return the triggers of a sentence in order; of several that overlap, the first to begin, then the longest."""
    roles = [("pseudo", rules.pseudo), ("before", rules.before), ("after", rules.after)]
    if rules.answer:
        roles.append(("answer", rules.answer))
    found = [
        _Trigger(*match.span(), role)
        for role, pattern in roles
        for match in pattern.finditer(text, start, end)
    ]
    if rules.kind is Kind.NEGATED:
        found += _signs(text, start, end)
    kept: list[_Trigger] = []
    for one in sorted(found, key=lambda trigger: (trigger.start, -trigger.end)):
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
    return kept


def _signs(text: str, start: int, end: int) -> Iterator[_Trigger]:
    """Yield the signs of a check list: `[ ] fever`, `(-) cough`, `cough (-)`, and `-cough` among others with a plus."""
    signs = list(_SIGN.finditer(text, start, end))
    if not signs:
        return
    behind = (
        _WORD.search(text, start, signs[0].start()) is not None and ":" not in text[start : signs[0].start()]
    )
    plus = any("+" in sign[0] for sign in signs)
    for sign in signs:
        if sign["open"] or (sign["dash"] and plus):
            yield _Trigger(*sign.span(), "before")
        elif sign["minus"]:
            yield _Trigger(*sign.span(), "after" if behind else "before")
        elif sign["other"]:
            yield _Trigger(*sign.span(), "pseudo")


@cache
def _rules() -> tuple[_Rules, ...]:
    table = tomllib.loads(rules_text())
    return tuple(
        _Rules(
            kind=kind,
            before=_pattern(table[kind]["before"], table["member"]),
            after=_pattern(table[kind]["after"], table["member"]),
            pseudo=_pattern(table[kind]["pseudo"], table["member"]),
            answer=_answer_pattern(table[kind]["answer"]) if "answer" in table[kind] else None,
            subject=_pattern(table[kind]["subject"], table["member"]) if "subject" in table[kind] else None,
        )
        for kind in Kind
    )


@cache
def _ends() -> re.Pattern[str]:
    """Return the pattern for the words that end a scope."""
    table = tomllib.loads(rules_text())
    return _pattern(table["end"], table["member"])


@cache
def _lists() -> _Lists:
    table = tomllib.loads(rules_text())["lists"]
    words = {name: "|".join(one.replace(" ", r"\s+") for one in table[name]) for name in table}
    item_end = r"(?=\s*(?:,|$|(?:and|to|at|on|with|in|for|over|since|despite)\b))"
    return _Lists(
        clause=re.compile(
            rf",(?!\s*(?:or|nor)\b)(?:(?=[^,;]*(?<=[\s,])(?:{words['verbs']})\b)|\s*(?:{words['begins']})\b)",
            re.IGNORECASE,
        ),
        present=re.compile(
            rf",\s*(?:and\s+)?(?:(?:{words['heads']})\b|(?:[^,]*?\s)?(?:{words['states']})\b{item_end}"
            rf"|[^,]*?\s(?:{words['changes']})\b{item_end}|[^,:]{{1,40}}:)",
            re.IGNORECASE,
        ),
        counted=re.compile(
            rf",\s*(?:and\s+)?(?:[^,]*?(?<![\w.-])\d|(?:\w+ly\s+)?\w+(?:{words['endings']}){item_end})",
            re.IGNORECASE,
        ),
        complete=re.compile(rf"\s*(?:{words['complete']})\s*", re.IGNORECASE),
    )


def _pattern(triggers: list[str], member: str) -> re.Pattern[str]:
    """Return one pattern for whole words; it never matches where there are no triggers."""
    blank = [one.replace("MEMBER", member).replace(" ?", r"\s?").replace(" ", r"\s+") for one in triggers]
    return re.compile(rf"(?<![\w-])(?:{'|'.join(blank) or '(?!)'})(?!\w)", re.IGNORECASE)


def _answer_pattern(answers: list[str]) -> re.Pattern[str]:
    """Return the pattern for an answer with what parts it from its question."""
    return re.compile(rf"{_QUESTION_END}(?:{'|'.join(answers)})\b{_ANSWER_END}", re.IGNORECASE)
