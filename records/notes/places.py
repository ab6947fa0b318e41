"""Patterns that are tried only where their matches may begin, for most of a note holds no trigger and no identifier.

`re` leaps to the next character of a set; a pattern that begins otherwise, or without regard to case, it tries at every
place. So patterns are sorted by their first letters, behind a set of what stands before a word, and read small letters.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

BEFORE_WORD = (
    "[^0-9a-z_-]"  # what a word stands behind, in small letters; letters of other alphabets are tried
)
_ANY_NOT = (r"\w+n't", r"\w++(?<=n)'t")  # and how it is found without going back


class Note(NamedTuple):
    """A text, and the same in small letters behind a line end: a place of the one is one less than of the other."""

    text: str
    folded: str


def read_note(text: str) -> Note:
    """Return the note of a text."""
    lowered = text if text.isascii() else text.replace("İ", "i").replace("ı", "i").replace("ſ", "s")
    return Note(text, "\n" + lowered.lower())


class Found(NamedTuple):
    """What patterns of a role found: from `start` to `end` of the text."""

    start: int
    end: int
    role: str


class Finder:
    """Finds what patterns find that stand behind no letter, digit, underscore or hyphen, those of each role apart.

    They are written in small letters and ignore case, save in parts such as `(?-i:A)`. `end` is what they all end
    with, `heads` are what they begin with.
    """

    def __init__(self, roles: Mapping[str, Sequence[str]], heads: Iterable[str], end: str) -> None:
        whole = {role: rf"(?:{'|'.join(ones) or '(?!)'}){end}" for role, ones in roles.items()}
        self._roles = [
            (number, role, re.compile(one, re.IGNORECASE) if "(?-i:" in one else None)
            for number, (role, one) in enumerate(whole.items(), start=1)
        ]
        each = "".join(f"(?=({folded(one)})?)" for one in whole.values())
        self._pattern = re.compile(rf"{BEFORE_WORD}(?={by_first_letter(heads)})(?<!\w){each}")

    def find(self, note: Note, start: int) -> list[Found]:
        """Return what is found from `start` on: of each role what `finditer` of its patterns would find."""
        found: list[Found] = []
        free = dict.fromkeys(range(1, len(self._roles) + 1), start)
        for place in self._pattern.finditer(note.folded, start):
            at = place.start()
            for number, role, exact in self._roles:
                end = place.end(number) - 1
                if at < end and at >= free[number]:
                    if exact:
                        one = exact.match(note.text, at)
                        end = one.end() if one else at
                    if at < end:
                        free[number] = end
                        found.append(Found(at, end, role))
        return found


def by_first_letter(patterns: Iterable[str]) -> str:
    """Return a pattern that finds in folded text where any of the patterns begins, or more.

    One look at the first letter tells whether any is worth a try.
    """
    rests: dict[str, list[str]] = {}
    for one in (branch for pattern in patterns for branch in _branches(folded(pattern))):
        whole = one.replace(*_ANY_NOT) if one.startswith(_ANY_NOT[0]) else one
        letter = whole[0] if re.match(r"[a-z0-9](?![?*+{])", whole) else ""
        rests.setdefault(letter, []).append(whole[len(letter) :])
    return (
        "|".join(f"{letter}(?:{'|'.join(dict.fromkeys(rest))})" for letter, rest in rests.items()) or "(?!)"
    )


def folded(pattern: str) -> str:
    """Return a pattern that finds in small letters what the pattern finds without regard to case, or more."""
    small = re.sub(r"\\.|[A-Z]", lambda one: one[0] if len(one[0]) > 1 else one[0].lower(), pattern)
    return small.replace("(?-i:", "(?:")


def _branches(pattern: str) -> list[str]:
    r"""Return the patterns that a pattern is made of if it begins with a choice: of "(?:a|b)? c" "a c", "b c", " c"."""
    if pattern.startswith(r"\s?"):
        return [r"\s" + pattern[3:], *_branches(pattern[3:])]
    if not pattern.startswith("(?:"):
        return [pattern]
    depth, cuts, at = 0, [2], 0
    for at, sign in enumerate(
        pattern
    ):  # no trigger has a bracket or a bar escaped, or in a set, in its first group
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            break
        if sign == "|" and depth == 1:
            cuts.append(at)
    rest = pattern[at + 1 :]
    if rest.startswith(("*", "+", "{")):
        return [pattern]
    optional = rest.startswith("?")
    rest = rest[optional:]
    taken = [pattern[one + 1 : two] + rest for one, two in pairwise([*cuts, at])]
    return [branch for one in [*taken, *[rest] * optional] for branch in _branches(one)]
