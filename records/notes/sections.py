"""Where the sections on the family's history of a note stand.

A heading is known by its form: a short title that begins a line or a sentence and ends with a colon, or stands alone
on its line. Within a family's history, lines such as `Mother: asthma` and `Cancer: father` have that form too and are
none. The words stand in `context.toml`.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from cohorts.records.notes.places import Note

_START = r"(?:^[ \t]*(?:[#=>•·▪*_-]+[ \t]*)?(?:(?:\d{1,2}|[IVX]{1,4}|[A-Za-z])[.)][ \t]*)?[*_\[(<]*|(?<=[.,;:!?] ))"
_END = r"[ \t*_\])>]*(?::[*_]*|$|[ \t][-–—](?=[ \t]))"
_FAMILY = re.compile(
    rf"{_START}(?i:(?:past |patient )?family (?:(?:medical|health|psych|psychiatric|cancer|cardiac|genetic) )*"
    rf"(?:history|hx)|f\.?h\.?x?|fam(?:ily)?\.? ?(?:hx|hist)\.?)(?: \([\w ]+\))?{_END}",
    re.MULTILINE,
)
_MAY_BE_FAMILY = re.compile(r"f(?:\.?h|am(?:ily (?:[a-z]+ )*h|(?:ily)?\.? ?h))")  # in small letters
_TITLE = re.compile(
    rf"{_START}(?P<title>[^\W_](?:[\w /&,()'’#%+\[\]*-]{{0,60}}?[\w)\]])??)(?P<mark>{_END})", re.MULTILINE
)
_CAPITALIZED = re.compile(r"(?:[A-Z][\w/&'-]*|of|and|or|on|the|for|in|at|to|by|with|&|/)(?: |$)")
_LINE_END = re.compile(r"\n|$")
_SENTENCE_END = re.compile(r"[.!?;]\s|\n|$")
_PRONOUN = re.compile(r"[ \t•*-]*(?P<she>s)?he\b", re.IGNORECASE)
_MALE = re.compile(r"\b(?:\w*father|dad|brother|son|uncle|nephew|husband)\b", re.IGNORECASE)
_FEMALE = re.compile(r"\b(?:\w*mother|mom|sister|daughter|aunt|niece|wife)\b", re.IGNORECASE)


class _Words(NamedTuple):
    """What the words of a title, or behind it, say."""

    heading: re.Pattern[str]  # of a section, whatever stands behind
    title: re.Pattern[str]  # the same for a whole title, whose section may be empty: "Allergies: none"
    member: re.Pattern[str]  # of a member of the family
    initials: re.Pattern[str]  # a whole title that stands for one: MGM
    condition: re.Pattern[str]  # a disease or a habit, which the family has or has not
    answer: re.Pattern[str]  # behind the colon: yes, no, or who has it
    patient: re.Pattern[str]  # a sentence on the patient begins


def family_sections(note: Note) -> Iterator[tuple[int, int]]:
    """Yield where the text of each section on the family's history begins and ends, in characters."""
    text, at = note.text, 0
    for found in _MAY_BE_FAMILY.finditer(note.folded):
        place = found.start() - 1
        start, end = (
            text.rfind("\n", 0, place) + 1,
            _end(_LINE_END, text, place),
        )  # a heading stands on one line
        while at <= place and (heading := _FAMILY.search(text, max(at, start), end)):
            at = _section_end(text, heading.end())
            yield heading.end(), at


def is_title(words: str) -> bool:
    """Whether words in front of "none" are the title of an empty section, and no question of a check list."""
    return _words().title.fullmatch(words) is not None


def _section_end(text: str, start: int) -> int:
    """Return where the next heading stands, or the first sentence on the patient, or the text ends."""
    heading = next((found.start() for found in _TITLE.finditer(text, start) if _is_heading(found)), len(text))
    sentences = _words().patient.finditer(text, start, heading)
    return next((found.start() for found in sentences if _is_of_the_patient(found, start)), heading)


def _is_heading(found: re.Match[str]) -> bool:
    """Whether what has the form of a heading is one, and no line on a member of the family or on one disease."""
    words, title, text = _words(), found["title"], found.string
    within = text[max(0, found.start() - 2) : found.start()] in (", ", ": ")
    if words.member.search(title) or words.initials.fullmatch(title) or (within and not title.isupper()):
        return False
    if ":" not in found["mark"]:  # a line of its own, or a dash
        capitals = title.isupper() or _is_capitalized(title)
        named = words.heading.search(title) is not None
        return capitals and (
            named or (title.isupper() and len(title) > 3 and not words.condition.search(title))
        )
    behind = text[found.end() : _end(_LINE_END, text, found.end())].strip()
    if not behind or words.heading.search(title):
        return True
    of_family = words.answer.match(behind) or words.condition.search(title)
    return not of_family and not title[0].islower()


def _is_capitalized(title: str) -> bool:
    at = 0
    while at < len(title) and (word := _CAPITALIZED.match(title, at)):
        at = word.end()
    return title[0].isupper() and at == len(title)


def _is_of_the_patient(found: re.Match[str], start: int) -> bool:
    """Whether a sentence that begins like one on the patient is on no relative: "His father died. He had gout"."""
    text = found.string
    if _words().member.search(text, found.start(), _end(_SENTENCE_END, text, found.end())):
        return False
    pronoun = _PRONOUN.match(text, found.start())
    if pronoun is None:
        return True
    before = max(start, text.rfind(".", start, max(start, found.start() - 2)) + 1)
    return (_FEMALE if pronoun["she"] else _MALE).search(text, before, found.start()) is None


def _end(pattern: re.Pattern[str], text: str, start: int) -> int:
    found = pattern.search(text, start)
    return len(text) if found is None else found.start()


@cache
def _words() -> _Words:
    table: Mapping[str, list[str]] = tomllib.loads(rules_text())["sections"]
    member = rf"\b(?:{'|'.join(table['members'])})\b"
    answers, initials = "|".join(table["answers"]), "|".join(table["initials"])
    return _Words(
        heading=re.compile(rf"\b(?:{'|'.join(table['titles'] + table['headings'])})\b", re.IGNORECASE),
        title=re.compile(rf".*\b(?:{'|'.join(table['titles'])})\W*", re.IGNORECASE),
        member=re.compile(member, re.IGNORECASE),
        initials=re.compile(initials, re.IGNORECASE),
        condition=re.compile(rf"\b(?:{'|'.join(table['conditions'])})\b", re.IGNORECASE),
        answer=re.compile(
            rf"[\s(+-]*(?:(?:{answers})\b|(?:(?:his|her|the|in|two|three|both|\d)\s)*(?:{member}|(?:{initials})\b))",
            re.IGNORECASE,
        ),
        patient=re.compile(
            rf"(?:^|(?<=[.;!?]\s)|(?<=[a-z][.]))[ \t•*-]*(?:{'|'.join(table['patient'])})\b",
            re.IGNORECASE | re.MULTILINE,
        ),
    )


def rules_text() -> str:
    """Return the table of words and triggers, which all rules of context are read from."""
    return files("cohorts.records.notes").joinpath("context.toml").read_text(encoding="utf-8")
