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
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

from cohorts.records.base import Source
from cohorts.records.notes.places import BEFORE_WORD, Finder, Found, Note, by_first_letter, read_note
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

_SENTENCE_MARKS = ".!?;\n"
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
_ASIDE_SIGN = re.compile(r"[\t–—-]")
_CLOSED = re.compile(r"\s(?:or|nor)\s[^,]*$|,\s*(?:such as|including)\b")  # in small letters

# Check lists. Something parts an answer from its question: "Fever: no", "Smoking - never", "Cough (denies)".
_QUESTION_END = (
    r"(?:[:=?(|]|\t|\.{2,}|(?<=\w)[ ]+[-–—]+(?=[ ])|(?=\[[xX]\]|\([xX]\)|[☒☑]))"
    r"\s*(?:\[\s?\]\s*yes\s*|\(\s?\)\s*yes\s*|☐\s*yes\s*)?(?:\[[xX]\]|\([xX]\)|[☒☑])?\s*"
)
_ANSWER_END = (
    r"(?=\s*(?:[,;.)|\[☐☒☑]|$|\s\s|(?:and|but)\b|-\s|(?-i:[A-Z])[\w /()'-]{1,40}?(?:[:?=]|\s[-–—]\s)))"
)
_ANSWER_PLACE = re.compile(
    r"[:=?(|\t.\[☒☑ ](?:(?<=[^. ])|(?<=\.)(?=\.)|(?<=\w )(?=[ ]*[-–—]))"
)  # of the above
_SIGN_OR_ANSWER = re.compile(
    r"[.:=?(|\t\[☐□☒☑✓+−–—-]"
)  # in all that the two begin with, or behind its blanks
_QUESTION_START = re.compile(
    r"[,;:=|•☐☒☑✓*\])]|\s\s|\t|\s[-–—]\s|\b(?:yes|no|none|positive|negative|never|denie[sd]|present|absent)\b",
    re.IGNORECASE,
)
_BEFORE_ANSWER = re.compile(r"(?:\s*\([^()]*\)|\s*:?\s*(?:\[\s?\]|\(\s?\)|☐)\s*yes)\s*$", re.IGNORECASE)
_SIGN_PLACE = re.compile(r"[(\[☐□☒☑✓+−–-]")
_SIGN = re.compile(
    r"(?:(?P<open>(?:\[\s?\]|[☐□]|\(\s\))(?!\s*(?:yes|no|y|n)\b))|(?P<minus>[(\[][-−–][)\]])"
    r"|(?P<other>\[\s?\]|\[[xX✓+]\]|[☐☒☑✓]|\([xX+]\)|(?<![\w)])\+(?=\s?[A-Za-z]))|(?P<dash>(?<=[\s,])[-−](?=[A-Za-z])))"
)
# What may be a trigger without a word. In a set with signs that are not ASCII `re` looks up every character twice.
_MAY_SIGN = re.compile(r"[(\[+](?:(?<=\+)|\s?[\])]|[-−–][)\]])")
_MAY_SIGN_OR_BOX = re.compile(rf"[☐□]|{_MAY_SIGN.pattern}")
_MEMBER_FIRST = re.compile(r"^\(\?:MEMBER\).*")
_WORD_END = r"(?!\w)"
_SENTENCES_KEPT = 50_000  # of which the marks are known, for notes repeat themselves: some 30 MB


@dataclass(frozen=True)
class _Rules:
    """The triggers of one kind, by what they do."""

    kind: Kind
    triggers: Finder  # before, after, pseudo
    answer: re.Pattern[str] | None
    subject: re.Pattern[str] | None  # what a sentence must speak of


@dataclass(frozen=True)
class _Lists:
    """Where a list ends before its sentence does."""

    clause: re.Pattern[str]  # a comma, and behind it a whole clause: it ends any scope
    present: re.Pattern[str]  # a comma, and behind it what is there: it ends what is negated
    counted: re.Pattern[str]  # the same, unless an "or" closes the list
    complete: re.Pattern[str]  # what begins no list, unless an "or" closes one: "no acute distress, ..."


def mark(text: str) -> list[Span]:
    """Return what is marked, in order; spans of different kinds may overlap."""
    note = read_note(text)
    spans = [span for part in family_sections(note) for span in _span(text, *part, Kind.FAMILY)]
    for start, end, kinds in list(_told(note)):
        at = max(0, start - 1)
        marked = _marked_in(text[at:end], start - at, kinds)
        spans += [Span(at + one, at + last, kind) for one, last, kind in marked]
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
        files("cohorts.records.notes").joinpath(name).read_bytes()
        for name in ("context.py", "places.py", "sections.py")
    ]
    return hashlib.sha256(b"\0".join([rules_text().encode(), *code])).hexdigest()[:16]


def _masked(part: str, found: Kind | None) -> str:
    return part if found is None else "\n" * part.count("\n")


def _tagged(part: str, found: Kind | None) -> str:
    return part if found is None else _WORD.sub(lambda word: TAGS[found] + word[0], part)


def _parts(text: str, kinds: Collection[Kind]) -> Iterator[tuple[str, Kind | None]]:
    """Cut the text where marks begin and end; of several kinds, the first of `Kind` counts."""
    at = 0
    for start, end, spans in _clusters([span for span in mark(text) if span.kind in kinds]):
        if at < start:
            yield text[at:start], None
        for one, last, kind in _painted(start, end, spans):
            yield text[one:last], kind
        at = end
    if at < len(text):
        yield text[at:], None


def _clusters(spans: Sequence[Span]) -> Iterator[tuple[int, int, list[Span]]]:
    """Yield the spans that overlap or touch together, with where they begin and end."""
    cluster: list[Span] = []
    start = end = 0
    for span in spans:
        if cluster and span.start > end:
            yield start, end, cluster
            cluster = []
        if not cluster:
            start = end = span.start
        cluster.append(span)
        end = max(end, span.end)
    if cluster:
        yield start, end, cluster


def _painted(start: int, end: int, spans: Sequence[Span]) -> Iterator[tuple[int, int, Kind]]:
    """Cut a cluster where its kinds change."""
    if len(spans) == 1:
        yield spans[0]
        return
    order = list(Kind)
    painted = bytearray(end - start)
    for span in sorted(spans, key=lambda span: order.index(span.kind), reverse=True):
        painted[span.start - start : span.end - start] = bytes([order.index(span.kind)]) * (
            span.end - span.start
        )
    for run in _RUN.finditer(painted):
        yield start + run.start(), start + run.end(), order[run[0][0]]


def _told(note: Note) -> Iterator[tuple[int, int, tuple[Kind, ...]]]:
    """Yield the sentences in which a trigger may mark something, with its kinds: most have none."""
    pattern, words_of, known = _words()
    told: list[tuple[int, Kind]] = []
    for found in pattern.finditer(note.folded):
        word = found[0][1:]
        if word not in known:
            known[word] = next(kind for kind, of in words_of if of.match(note.folded, found.start() + 1))
        told.append((found.start(), known[word]))
    may_sign = _MAY_SIGN if note.text.isascii() else _MAY_SIGN_OR_BOX
    signs = [(found.start(), Kind.NEGATED) for found in may_sign.finditer(note.text)]
    marks = [mark for mark in _SENTENCE_MARKS if mark in note.text]
    start = end = -1
    kinds: dict[Kind, None] = {}
    for place, kind in sorted(told + signs) if signs else told:
        if place >= end:
            if kinds:
                yield start, end, tuple(kinds)
            start, end = _sentence(note.text, place, max(end, 0), marks)
            kinds = {}
        kinds[kind] = None
    if kinds:
        yield start, end, tuple(kinds)


def _sentence(text: str, place: int, after: int, marks: Sequence[str]) -> tuple[int, int]:
    """Return where the sentence at a place begins and ends; the one before it ends at `after` or later."""
    start, at = 0, place
    while (at := max([text.rfind(mark, after, at) for mark in marks], default=-1)) >= 0:
        if (found := _SENTENCE_END.match(text, at)) and (text[at] != "\n" or not _goes_on(text, at)):
            start = found.end()
            break
    for found in _SENTENCE_END.finditer(text, place):
        if found[0] != "\n" or not _goes_on(text, found.start()):
            return start, found.start()
    return start, len(text)


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


@lru_cache(maxsize=_SENTENCES_KEPT)
def _marked_in(text: str, start: int, kinds: tuple[Kind, ...]) -> list[Span]:
    """Return what the triggers of some kinds mark in the sentence from `start`: 1, or 0 where nothing is before it."""
    note = read_note(text)
    return [span for rules in _rules() if rules.kind in kinds for span in _marked(note, start, rules)]


def _marked(note: Note, start: int, rules: _Rules) -> Iterator[Span]:
    """Yield what the triggers of one kind mark."""
    text, end = note.text, len(note.text)
    if rules.subject and not rules.subject.search(text, start):
        return
    triggers = _triggers(note, start, rules)
    if not any(trigger.role != "pseudo" for trigger in triggers):
        return
    ends = _ends().find(note, start)
    clauses = [found.start() - 1 for found in _lists().clause.finditer(note.folded, start + 1)]
    stops = sorted([one.start for one in ends] + clauses + [trigger.start for trigger in triggers] + [end])
    begins = sorted([start] + [one.end for one in ends] + [trigger.end for trigger in triggers])
    for trigger in triggers:
        if trigger.role == "before":
            stop = stops[bisect_left(stops, trigger.end)]
            if rules.kind is Kind.NEGATED:
                stop = _list_end(note, trigger.end, stop)
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


def _list_end(note: Note, start: int, stop: int) -> int:
    """Return where a negated list ends: of "no acute distress, febrile" behind the comma something is there."""
    text, folded = note
    if _ASIDE_SIGN.search(text, start, stop) and (aside := _ASIDE.search(text, start, stop)):
        stop = aside.start()
    comma = text.find(",", start, stop)
    if comma < 0:
        return stop
    lists = _lists()
    closed = _CLOSED.search(folded, comma + 1, stop + 1)
    if not closed and lists.complete.fullmatch(folded, start + 1, comma + 1):
        return comma
    ends = [lists.present.search(folded, comma + 1, stop + 1)]
    if not closed:
        ends.append(lists.counted.search(folded, comma + 1, stop + 1))
    return min((one.start() - 1 for one in ends if one), default=stop)


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


def _triggers(note: Note, start: int, rules: _Rules) -> list[Found]:
    """Return the triggers of a sentence in order; of several that overlap, the first to begin, then the longest."""
    text, found = note.text, rules.triggers.find(note, start)
    if rules.answer and _SIGN_OR_ANSWER.search(text, start):
        found += [Found(*one.span(), "answer") for one in _matches(rules.answer, _ANSWER_PLACE, text, start)]
        found += _signs(text, start)
    kept: list[Found] = []
    for one in sorted(found, key=lambda trigger: (trigger.start, -trigger.end)):
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
    return kept


def _signs(text: str, start: int) -> Iterator[Found]:
    """Yield the signs of a check list: `[ ] fever`, `(-) cough`, `cough (-)`, and `-cough` among others with a plus."""
    signs = list(_matches(_SIGN, _SIGN_PLACE, text, start))
    if not signs:
        return
    behind = (
        _WORD.search(text, start, signs[0].start()) is not None and ":" not in text[start : signs[0].start()]
    )
    plus = any("+" in sign[0] for sign in signs)
    for sign in signs:
        if sign["open"] or (sign["dash"] and plus):
            yield Found(*sign.span(), "before")
        elif sign["minus"]:
            yield Found(*sign.span(), "after" if behind else "before")
        elif sign["other"]:
            yield Found(*sign.span(), "pseudo")


def _matches(
    pattern: re.Pattern[str], places: re.Pattern[str], text: str, start: int
) -> Iterator[re.Match[str]]:
    """Yield what the pattern's `finditer(text, start)` finds, tried at places alone."""
    at = start
    for place in places.finditer(text, start):
        if place.start() >= at and (found := pattern.match(text, place.start())):
            at = found.end()
            yield found


@cache
def _rules() -> tuple[_Rules, ...]:
    table = tomllib.loads(rules_text())
    return tuple(_read_rules(kind, table[kind], table["member"]) for kind in Kind)


def _read_rules(kind: Kind, table: Mapping[str, list[str]], member: str) -> _Rules:
    roles = ("pseudo", "before", "after")
    triggers = {role: _spelt(table[role], member) for role in roles}
    heads = [_MEMBER_FIRST.sub("(?:MEMBER)", one) for role in roles for one in table[role]]
    subject = "|".join(_spelt(table.get("subject", []), member))
    return _Rules(
        kind=kind,
        triggers=Finder(triggers, _spelt(dict.fromkeys(heads), member), _WORD_END),
        answer=_answer_pattern(table["answer"]) if "answer" in table else None,
        subject=re.compile(rf"(?<![\w-])(?:{subject}){_WORD_END}", re.IGNORECASE) if subject else None,
    )


@cache
def _words() -> tuple[re.Pattern[str], list[tuple[Kind, re.Pattern[str]]], dict[str, Kind]]:
    """Return the pattern for the words of all kinds, those of each, and of what kind those are that were found."""
    table = tomllib.loads(rules_text())
    words = [(kind, table[kind]["words"]) for kind in Kind]
    each = [(kind, re.compile("|".join(of_kind))) for kind, of_kind in words]
    letters = by_first_letter(word for _, of_kind in words for word in of_kind)
    return re.compile(f"{BEFORE_WORD}(?:{letters})"), each, {}


@cache
def _ends() -> Finder:
    """Return what finds the words that end a scope."""
    table = tomllib.loads(rules_text())
    words = _spelt(table["end"], table["member"])
    return Finder({"end": words}, words, _WORD_END)


@cache
def _lists() -> _Lists:
    """Return the patterns, which read small letters."""
    table = tomllib.loads(rules_text())["lists"]
    words = {name: "|".join(one.replace(" ", r"\s+") for one in table[name]) for name in table}
    item_end = r"(?=\s*(?:,|$|(?:and|to|at|on|with|in|for|over|since|despite)\b))"
    return _Lists(
        clause=re.compile(
            rf",(?!\s*(?:or|nor)\b)(?:(?=[^,;]*(?<=[\s,])(?:{words['verbs']})\b)|\s*(?:{words['begins']})\b)",
        ),
        present=re.compile(
            rf",\s*(?:and\s+)?(?:(?:{words['heads']})\b|(?:[^,]*?\s)?(?:{words['states']})\b{item_end}"
            rf"|[^,]*?\s(?:{words['changes']})\b{item_end}|[^,:]{{1,40}}:)",
        ),
        counted=re.compile(
            rf",\s*(?:and\s+)?(?:[^,]*?(?<![\w.-])\d|(?:\w+ly\s+)?\w+(?:{words['endings']}){item_end})",
        ),
        complete=re.compile(rf"\s*(?:{words['complete']})\s*"),
    )


def _spelt(triggers: Iterable[str], member: str) -> list[str]:
    return [one.replace("MEMBER", member).replace(" ?", r"\s?").replace(" ", r"\s+") for one in triggers]


def _answer_pattern(answers: list[str]) -> re.Pattern[str]:
    """Return the pattern for an answer with what parts it from its question."""
    return re.compile(rf"{_QUESTION_END}(?:{'|'.join(answers)})\b{_ANSWER_END}", re.IGNORECASE)
